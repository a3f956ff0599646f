package localinfra

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

func setDeathSignal(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }

// inspect returns the name of the program that pid runs and its working directory,
// empty where this user may not know.
func inspect(pid int) (command, cwd string) {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	cwd, _ = os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return strings.TrimSpace(string(raw)), cwd
}

// zombie reports whether pid has ended and only waits to be reaped by a parent who
// may never do so.
func zombie(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.HasPrefix(rest, "Z")
}
