package browsertest

import "syscall"

// ownGroup puts the browser into a process group of its own, which is killed
// as a whole, and lets the kernel kill it if the test dies without Close.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
