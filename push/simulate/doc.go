// Package simulate stands in for the other side of a push: the push services
// that take it and the browser that decrypts it. It is for tests, Belfry's own
// and other people's, and for trying things out; belfry simulate runs it.
//
//	WebPush   RFC 8030, 8291, 8292 as a push service sees them; also Mozilla's
//	          autopush protocol, so that a stock Firefox subscribes to it
//	Browser   a key pair that decrypts what a WebPush took
//
// It is written from the standards and the vendors' documents and not from
// Belfry's own senders, with which it shares no code, so that what it accepts
// is right and not merely the same.
package simulate
