package actors

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// A run of what may happen to a whole system is dear: make torture makes more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
