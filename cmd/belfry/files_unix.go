//go:build unix

package main

import "golang.org/x/sys/unix"

// openFilesMax is how many files the process may have open, or 0 if that is not
// known.
func openFilesMax() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), 1<<20))
}
