// Package api is Belfry's HTTP API: it decodes, authorises and validates, and
// asks actors.System. It also serves what browsers need: the snippet, the
// service worker and the demo page.
//
// The contract is openapi.yaml, of which api.gen.go (the server's shapes) and
// client/client.gen.go (the Go client) are generated:
//
//	go generate ./api/...
//
// # Who may call what
//
// An API key names an app and what it may do there; operations lists the scope
// each operation needs. A user token names a user of an app and is for
// browsers and phones. Nothing of another app can be reached with either.
//
// The keys of the app default are the operator's, who makes and changes all
// apps, and alone sees what shows them together: the actor tree, the metrics.
//
// # Apps
//
// Only this process changes apps, through this Server: one change at a time for
// each app. The Directory holds them in memory, and a change takes effect with
// its answer, also for what Config.Changed tells of it. Senders ask the same
// Directory for keys and credentials.
//
// # Errors
//
// Every error is a problem+json (RFC 9457) with a stable code, a sentence that
// says what to do, and the field. problem.go maps errors to them, and no other
// file writes a status of 400 or more. A request that was answered with a 4xx
// changed nothing; after a 5xx it may have taken effect.
package api

//go:generate go tool -modfile=../tools.mod oapi-codegen -config oapi-server.yaml openapi.yaml
