// Package pushtest stands in for the other side of a push: the browser that
// decrypts it and the push services that take it.
//
// It is written from the standards and not from Belfry's encoders, with which
// it shares no code, so that what it accepts is right and not merely the same.
// Only tests import it.
package pushtest
