// Package pushtest helps tests with push services: it ties the simulators of
// push/simulate to a test's life, and holds every provider to one suite.
//
// Only tests import it.
package pushtest

import (
	"testing"

	"github.com/belfryhq/belfry/push/simulate"
)

// StartWebPush starts a Web Push service that ends with the test.
func StartWebPush(t testing.TB) *simulate.WebPush {
	t.Helper()
	service, err := simulate.OpenWebPush()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Stop)
	return service
}
