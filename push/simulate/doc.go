// Package simulate stands in for the other side of a push: the push services
// that take it and the browser that decrypts it. It is for tests, Belfry's own
// and other people's, and for trying things out; belfry simulate runs it.
//
//	WebPush   RFC 8030, 8291, 8292 as a push service sees them; also Mozilla's
//	          autopush protocol, so that a stock Firefox subscribes to it
//	APNs      one environment of Apple's push service, over TLS and HTTP/2
//	FCM       Firebase Cloud Messaging for one project, and the token endpoint of
//	          its service account, over TLS and HTTP/2
//	Browser   a key pair that decrypts what a WebPush took
//
// The services are controlled from Go, and from any language by HTTP at their
// own addresses:
//
//	GET    /simulator/log?after=N   what they got, from entry N+1 on: {"entries":[Entry …]}
//	GET    /simulator/counts        how much they got: Counts
//	POST   /simulator/faults        a Fault, as JSON
//	DELETE /simulator/faults        none is in force any more
//	POST   /simulator/goaway        every connection's next answer is its last
//	GET    /simulator/ca.pem        the Authority, for who is to trust them
//
// It is written from the standards and the vendors' documents and not from
// Belfry's own senders, with which it shares no code, so that what it accepts
// is right and not merely the same.
package simulate
