//go:build !linux && !darwin

package main

// mayWrite is not known here, and it shows when it is tried.
func mayWrite(string) bool { return true }

// roomOn is not known here.
func roomOn(string) (bytes uint64, known bool) { return 0, false }
