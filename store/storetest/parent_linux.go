package storetest

import "syscall"

// dieWithParent has the kernel tell a server to stop at once when its parent dies.
func dieWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGQUIT }
