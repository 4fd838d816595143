package main_test

import (
	"os"
	"testing"

	"github.com/belfryhq/belfry/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(cleaning{m}) }

// cleaning ends, with the tests, what they share.
type cleaning struct{ tests *testing.M }

// Run runs the tests.
func (c cleaning) Run() int {
	code := c.tests.Run()
	if stop != nil {
		stop()
	}
	if binaryDir != "" {
		os.RemoveAll(binaryDir)
	}
	return code
}
