// Command withinfra runs a command with a throw-away PostgreSQL and Redis, so that
// the test processes of many packages share them:
//
//	go run ./pkg/cmd/withinfra -- go test ./...
//
// It installs what is missing, tells the command the servers' addresses in the
// variables that pgtest and redistest read, passes signals on, and exits with the
// command's code. A server whose variable is set already is not started.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

func main() {
	argv := os.Args[1:]
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	if len(argv) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withinfra -- command [argument...]")
		os.Exit(2)
	}
	code, err := run(argv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "withinfra:", err)
	}
	os.Exit(code)
}

// run returns the command's exit code, or 1 and why it could not be run.
func run(argv []string) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := os.Environ()
	options := localinfra.Options{
		Profile: localinfra.Ephemeral, Install: true,
		Say: func(s string) { fmt.Fprintln(os.Stderr, "withinfra:", s) },
	}
	if !given(pgtest.URLVariable) {
		p, startErr := localinfra.StartPostgres(ctx, options)
		if startErr != nil {
			return 1, startErr
		}
		defer func() { err = errors.Join(err, p.Stop(context.WithoutCancel(ctx))) }()
		env = append(env, pgtest.URLVariable+"="+p.URL)
	}
	if !given(redistest.URLVariable) {
		r, startErr := localinfra.StartRedis(ctx, options)
		if startErr != nil {
			return 1, startErr
		}
		defer func() { err = errors.Join(err, r.Stop(context.WithoutCancel(ctx))) }()
		env = append(env, redistest.URLVariable+"="+r.URL)
	}
	return command(ctx, argv, env)
}

func given(variable string) bool {
	value, ok := config.Environ()(variable)
	return ok && value != ""
}

// command runs argv in the terminal of this process. When ctx ends, it is interrupted
// and waited for: the terminal has sent the signal to it too, a supervisor has not.
func command(ctx context.Context, argv, env []string) (int, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return 1, nil
	case err != nil:
		return 127, fmt.Errorf("run %s: %w", argv[0], err)
	}
	return 0, nil
}
