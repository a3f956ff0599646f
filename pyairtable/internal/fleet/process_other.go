//go:build unix && !linux

package fleet

import "os/exec"

// tied runs the command. Only Linux can tie its life to this process's.
func tied(cmd *exec.Cmd) error { return cmd.Run() }
