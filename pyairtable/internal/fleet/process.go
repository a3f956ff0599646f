package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// Restarts of a process that ended by itself: soon at first, then with patience.
const (
	firstRestart  = 250 * time.Millisecond
	slowRestart   = 10 * time.Second
	healthyAfter  = 30 * time.Second
	killAfter     = 30 * time.Second
	startAttempts = 3
)

// Process is a member in a process of its own: command run again and again with env,
// until ctx ends. A process that dies is started anew; one that cannot even live for a
// moment, several times in a row, fails the fleet.
func Process(name, url string, command, env []string, log io.Writer, say func(string)) Member {
	return Member{Name: name, URL: url, Run: func(ctx context.Context) error {
		wait := firstRestart
		for attempt := 1; ; attempt++ {
			began := time.Now()
			err := runProcess(ctx, command, env, log)
			if ctx.Err() != nil {
				return err
			}
			if time.Since(began) > healthyAfter {
				wait, attempt = firstRestart, 1
			}
			if attempt >= startAttempts && time.Since(began) < time.Second {
				return fmt.Errorf("its process does not stay up: %w", err)
			}
			say(fmt.Sprintf("%s ended (%v): starting it again", name, err))
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
				wait = min(2*wait, slowRestart)
			}
		}
	}}
}

// runProcess runs the command until it ends, or asks it to when ctx does. It returns
// nil if it then ended in order.
func runProcess(ctx context.Context, command, env []string, log io.Writer) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	err := tied(cmd)
	if err == nil && ctx.Err() == nil {
		return errors.New("it stopped")
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}
