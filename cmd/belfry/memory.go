package main

import (
	"os"
	"runtime/debug"
)

const (
	// memoryBound is what the process stays below if it can: what it holds is
	// bounded, and at its most some 300 MiB.
	memoryBound = 448 << 20

	// garbage is how much there may be of it before it is collected, in percent of
	// what is in use, unless the bound is near. Most of the time little is in use, and
	// Go's own 100 would collect several times a second.
	garbage = 200
)

// boundMemory sets when garbage is collected, where the environment does not.
func boundMemory() {
	if _, given := os.LookupEnv("GOMEMLIMIT"); !given {
		debug.SetMemoryLimit(memoryBound)
	}
	if _, given := os.LookupEnv("GOGC"); !given {
		debug.SetGCPercent(garbage)
	}
}
