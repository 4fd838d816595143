// Command bench measures Belfry, and what one would use instead, in the same
// run on the same machine, and holds the figures to goals:
//
//	scenario     what is measured                                 beside
//	encode       a Web Push message, up to the POST               its primitives, webpush-go
//	send         a Web Push message, up to the answer             webpush-go, node's web-push
//	apns         an APNs message, up to the answer                apns2
//	accept       a notification, until it is durable              a bare file, bare INSERTs
//	lifecycle    a notification, until its outcome is durable     River
//	cold         a mailing to users who are not in memory         the same to users who are
//	path         all of it: the real program, from POST to outcome
//	latency      from POST until the push service has it, when idle
//	memory       an actor, and a million users
//
// Goals are ratios of medians of rounds that alternate, never times: machines
// differ, and this one may be busy. CPU is that of the process which sends or
// stores, alone; whatever it talks to, a push service or PostgreSQL, is a process
// of its own. So each contender is one too: see worker.go.
//
// It is a module of its own, so that what Belfry is compared with is no
// dependency of Belfry's. Everything stays on the loopback interface.
package main
