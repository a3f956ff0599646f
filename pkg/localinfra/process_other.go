//go:build unix && !linux

package localinfra

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// setDeathSignal does nothing: only Linux has parent death signals. A durable server
// that outlives a killed `up` is adopted by the next one.
func setDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}

// inspect returns the name of the program that pid runs and its working directory,
// empty where this user may not know.
func inspect(pid int) (command, cwd string) {
	p := strconv.Itoa(pid)
	out, err := exec.Command("ps", "-o", "comm=", "-p", p).Output()
	if err != nil {
		return "", ""
	}
	command = filepath.Base(strings.TrimSpace(string(out)))
	out, _ = exec.Command("lsof", "-a", "-d", "cwd", "-Fn", "-p", p).Output()
	for line := range strings.Lines(string(out)) {
		if dir, ok := strings.CutPrefix(line, "n"); ok {
			cwd = strings.TrimSpace(dir)
		}
	}
	return command, cwd
}

// zombie reports whether pid has ended and only waits to be reaped.
func zombie(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}
