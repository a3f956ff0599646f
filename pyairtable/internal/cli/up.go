package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pyairtable/internal/instance"
)

type upFlags struct {
	detach, detached, processes, noDemo, noInstall bool
	postgres, redis                                string
}

func (c *cli) up() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start everything: databases, services, demo data",
		Long: `Start everything on this machine and keep it running until Ctrl-C.

PostgreSQL and Redis are, in this order: those of DATABASE_URL and REDIS_URL in the
environment or .env, those of --postgres and --redis, or private ones in the instance's
directory, from programs found on this machine or else installed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.detach:
				return c.upInBackground(cmd.Context())
			case f.detached:
				return c.upDetached(cmd.Context(), f)
			}
			return c.upHere(cmd.Context(), f, c.err)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.detach, "detach", "d", false, "run in the background; returns when all is ready")
	flags.BoolVar(&f.processes, "processes", false, "give each service its own process")
	flags.BoolVar(&f.noDemo, "no-demo", false, "do not make the demo account and data")
	flags.BoolVar(&f.noInstall, "no-install", false, "do not install PostgreSQL or Redis when they are missing")
	flags.StringVar(&f.postgres, "postgres", "", "URL of an administrator on a PostgreSQL server to make the databases in")
	flags.StringVar(&f.redis, "redis", "", "URL of a Redis server")
	flags.BoolVar(&f.detached, "detached", false, "")
	_ = flags.MarkHidden("detached") // fails only for an unknown flag
	return cmd
}

// upHere runs the instance until ctx ends or a service fails. What happens is told to w.
func (c *cli) upHere(ctx context.Context, f upFlags, w io.Writer) error {
	began := time.Now()
	o := instance.Options{
		Dir: c.dir, Services: c.services, Env: config.Environ(), DotEnv: c.envFile,
		PostgresURL: f.postgres, RedisURL: f.redis, Profile: localinfra.Durable,
		Install: !f.noInstall, NoDemo: f.noDemo, Errors: w,
		Say: func(sentence string) { _, _ = fmt.Fprintln(w, sentence) },
	}
	if f.processes {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("path of this program: %w", err)
		}
		o.Command = []string{self, "--dir", c.dir, "--env-file", c.envFile, "run"}
	}
	i, err := instance.Start(ctx, o)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			_, _ = fmt.Fprintln(w, "stopped while starting")
			return exitCode(130)
		}
		return err
	}
	_, _ = fmt.Fprintf(w, "ready after %s\n", time.Since(began).Round(10*time.Millisecond))
	printAccess(w, i.URL, i.Demo)
	if f.detached {
		_, _ = fmt.Fprintln(w, "  stop it with `pyairtable down`, read its logs with `pyairtable logs -f`")
		if closer, ok := w.(io.Closer); ok {
			_ = closer.Close() // the parent takes it for the end of the start
		}
	} else {
		_, _ = fmt.Fprintln(w, "  Ctrl-C stops it; the data stays. Logs: `pyairtable logs -f`")
	}
	select {
	case <-ctx.Done():
		c.say("stopping")
	case <-i.Failed():
		c.say("a service failed: stopping")
	}
	return i.Stop()
}

// upDetached is upHere as upInBackground starts it: what happens until everything is
// ready is told through descriptor 3, later errors go to the log.
func (c *cli) upDetached(ctx context.Context, f upFlags) error {
	const descriptor = 3
	start := os.NewFile(descriptor, "start")
	if start == nil {
		return errors.New("--detached is for `up -d` alone")
	}
	syscall.CloseOnExec(descriptor) // else the servers would hold it open
	err := c.upHere(ctx, f, &closeOnce{file: start, rest: c.err})
	var code exitCode
	if err != nil && !errors.As(err, &code) {
		printError(start, err) // if the start is over, nobody listens, and the log has it
	}
	return err
}

// closeOnce writes to the file until it is closed, and to rest from then on.
type closeOnce struct {
	mu     sync.Mutex
	file   *os.File
	rest   io.Writer
	closed bool
}

func (w *closeOnce) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return w.rest.Write(p)
	}
	return w.file.Write(p)
}

func (w *closeOnce) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return w.file.Close()
}

// upInBackground starts this command again in a session of its own and returns when
// that one is ready.
func (c *cli) upInBackground(ctx context.Context) error {
	dir, err := c.openDir()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("path of this program: %w", err)
	}
	log, err := os.OpenFile(dir.Log("pyairtable"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return localinfra.FileProblem(dir.Log("pyairtable"), err)
	}
	defer func() { _ = log.Close() }()
	told, start, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	defer func() { _ = told.Close() }()
	//nolint:noctx // it outlives this process
	cmd := exec.Command(self, append(os.Args[1:], "--detach=false", "--detached")...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{start}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = start.Close()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	stopped := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stopped()
	_, _ = io.Copy(c.err, told) // until it is ready, or has ended
	state, _, err := dir.ReadState()
	if holder, holderErr := dir.Holder(); err != nil || holderErr != nil || holder != cmd.Process.Pid || !state.Ready {
		<-ended
		return exitCode(1) // it has said why
	}
	return nil
}
