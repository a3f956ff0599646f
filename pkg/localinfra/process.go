package localinfra

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// serverEnv is all that a server sees of the environment: none of our secrets, no
// PG* variable that would send it elsewhere, and messages in English, which
// logProblem reads.
func serverEnv() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C", "TZ=UTC"}
}

const pollEvery = 20 * time.Millisecond

// process is a server's process: a child of ours, or one that a killed predecessor left.
type process struct {
	pid   int
	child bool
	done  chan struct{} // closed when a child was reaped
}

// spawn starts cmd in a process group of its own, so that a Ctrl-C in the terminal
// reaches this program alone and the servers outlive the services that need them.
// If this process dies, the child gets deathSignal (Linux).
func spawn(cmd *exec.Cmd, deathSignal syscall.Signal) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	setDeathSignal(cmd.SysProcAttr, deathSignal)

	p := &process{child: true, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the *thread* that forked ends, so
		// this one is kept until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is told by its log
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// alive reports whether the process still runs.
func (p *process) alive() bool {
	if p.child {
		select {
		case <-p.done:
			return false
		default:
			return true
		}
	}
	return pidAlive(p.pid)
}

// wait returns when the process is gone, or with ctx's error.
func (p *process) wait(ctx context.Context) error {
	return poll(ctx, func() (bool, error) { return !p.alive(), nil })
}

// stop sends the signals one after the other, giving each its time, until the process
// is gone. The last one should be SIGKILL.
func (p *process) stop(ctx context.Context, signals ...syscall.Signal) error {
	patience := stopLimit
	for _, s := range signals {
		if !p.alive() {
			return nil
		}
		if err := syscall.Kill(p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal process %d: %w", p.pid, err)
		}
		limited, cancel := context.WithTimeout(ctx, patience)
		err := p.wait(limited)
		cancel()
		if err == nil {
			return nil
		}
		// The caller is out of time: the last word, without more patience.
		if ctx.Err() != nil {
			ctx, patience = context.WithoutCancel(ctx), time.Second
		}
	}
	return fmt.Errorf("process %d does not stop", p.pid)
}

// poll calls check until it says true or fails, or ctx ends.
func poll(ctx context.Context, check func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := check(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func pidAlive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return pid > 0 && (err == nil || errors.Is(err, syscall.EPERM)) && !zombie(pid)
}

// worksOn reports whether the process pid is a server of one of the given names whose
// working directory is dir. PostgreSQL and Redis both change into their data directory,
// which makes this the one sure sign that a process is ours and not a stranger who was
// given a dead one's number.
func worksOn(pid int, dir string, names ...string) bool {
	if !pidAlive(pid) {
		return false
	}
	command, cwd := inspect(pid)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for _, n := range names {
		if strings.HasPrefix(command, n) && cwd == dir {
			return true
		}
	}
	return false
}

// guard starts a process that outlives this one by a moment: when this process ends,
// however it ends, it ends the server with the signal and removes dir. release makes
// it stand down.
func guard(server *process, signal syscall.Signal, dir string) (release func(), err error) {
	const script = `cat >/dev/null
kill -"$1" "$2" 2>/dev/null
n=0
while kill -0 "$2" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
rm -rf "$3"`
	// The read end is the guard's standard input; no other process has the write end.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard of %s: %w", dir, err)
	}
	defer func() { _ = r.Close() }()
	//nolint:noctx // it outlives this process
	cmd := exec.Command("/bin/sh", "-c", script, "guard", strconv.Itoa(int(signal)), strconv.Itoa(server.pid), dir)
	cmd.Stdin, cmd.Env, cmd.Dir = r, serverEnv(), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("guard of %s: %w", dir, err)
	}
	go func() {
		<-server.done
		runtime.KeepAlive(w) // else the collector closes it when the caller forgets the server
	}()
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = w.Close()
	}, nil
}
