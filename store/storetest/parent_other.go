//go:build !linux

package storetest

import "syscall"

// dieWithParent can only be asked of Linux: elsewhere a test that is killed
// leaves its server behind.
func dieWithParent(*syscall.SysProcAttr) {}
