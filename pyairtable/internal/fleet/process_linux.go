package fleet

import (
	"os/exec"
	"runtime"
	"syscall"
)

// tied runs the command, which gets SIGTERM if this process dies. The signal follows
// the thread that forked, so that is kept until the command has ended.
func tied(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	return cmd.Run()
}
