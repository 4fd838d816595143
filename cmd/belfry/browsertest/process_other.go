//go:build !linux

package browsertest

import "syscall"

// ownGroup puts the browser into a process group of its own, which is killed
// as a whole. Only Linux also ends it with the test.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
