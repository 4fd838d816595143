//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// mayWrite tells whether this process may write to a file or directory.
func mayWrite(path string) bool { return unix.Access(path, unix.W_OK) == nil }

// roomOn is how many bytes this process can still write to a path's file system.
func roomOn(path string) (bytes uint64, known bool) {
	var found unix.Statfs_t
	if err := unix.Statfs(path, &found); err != nil {
		return 0, false
	}
	return found.Bavail * uint64(found.Bsize), true
}
