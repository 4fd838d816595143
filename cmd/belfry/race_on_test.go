//go:build race

package main_test

import "os"

// raceEnabled: the program under test is built with the race detector too.
const raceEnabled = true

// A program with the race detector sleeps for a second before it exits. The tests
// run hundreds.
func init() { os.Setenv("GORACE", "atexit_sleep_ms=50 "+os.Getenv("GORACE")) }
