//go:build !unix

package main

// openFilesMax is not known here.
func openFilesMax() int { return 0 }
