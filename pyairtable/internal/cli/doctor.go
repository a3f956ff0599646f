package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pyairtable/internal/fleet"
	"github.com/pyairtable/pyairtable/pyairtable/internal/instance"
	"github.com/pyairtable/pyairtable/pyairtable/internal/rundir"
)

func (c *cli) doctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check this machine and the instance, and say what to do", Args: cobra.NoArgs,
		Long: "Check programs, ports, disk, clock, secrets, and the running instance. The exit code is 1 if something is wrong.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := c.openDir()
			if err != nil {
				return err
			}
			return c.examine(cmd.Context(), dir)
		},
	}
}

// finding is the outcome of one check: what was found, or what is wrong.
type finding struct {
	good string
	err  error
}

func (c *cli) examine(ctx context.Context, dir rundir.Dir) error {
	findings := []finding{c.programs(), redisProgram(), disk(dir), descriptors(), clock(dir), secretsFile(dir)}
	pid, err := dir.Holder()
	if err != nil {
		return err
	}
	if pid == 0 {
		findings = append(findings, c.portsFree(ctx, dir)...)
	} else {
		findings = append(findings, finding{good: fmt.Sprintf("the instance runs as process %d", pid)})
		findings = append(findings, running(ctx, dir)...)
	}
	healthy := true
	for _, f := range findings {
		if f.err == nil {
			_, _ = fmt.Fprintln(c.out, "ok    ", f.good)
			continue
		}
		healthy = false
		var p *localinfra.Problem
		if errors.As(f.err, &p) {
			_, _ = fmt.Fprintf(c.out, "WRONG  %s\n       to do: %s\n", p.What, p.Do)
		} else {
			_, _ = fmt.Fprintln(c.out, "WRONG ", f.err)
		}
	}
	if !healthy {
		return exitCode(1)
	}
	return nil
}

func (c *cli) programs() finding {
	found, err := localinfra.FindPostgres()
	if err != nil {
		return finding{err: err}
	}
	if len(found) == 0 {
		return finding{good: "no PostgreSQL server on this machine: `pyairtable up` will install one"}
	}
	return finding{good: fmt.Sprintf("PostgreSQL %s in %s", found[0].Version, found[0].Dir)}
}

func redisProgram() finding {
	if path := localinfra.FindRedis(); path != "" {
		return finding{good: "Redis: " + path}
	}
	return finding{good: "no Redis server on this machine: `pyairtable up` will install one, or use a stand-in that forgets"}
}

func disk(dir rundir.Dir) finding {
	const want = 1 << 30
	free, err := localinfra.FreeBytes(dir.Path)
	switch {
	case err != nil:
		return finding{err: err}
	case free < want:
		return finding{err: &localinfra.Problem{What: fmt.Sprintf("only %d MiB are free on the disk of %s", free>>20, dir.Path), Do: "free some space, or choose another directory with --dir"}}
	}
	probe, err := os.CreateTemp(dir.Path, ".probe-")
	if err != nil {
		return finding{err: localinfra.FileProblem(dir.Path, err)}
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return finding{err: err}
	}
	return finding{good: fmt.Sprintf("%s can be written, %d GiB are free", dir.Path, free>>30)}
}

// descriptors checks that sockets, files and pools of all services fit in one process.
func descriptors() finding {
	const want = 1024
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return finding{err: fmt.Errorf("limit of open files: %w", err)}
	}
	if limit.Cur < want {
		return finding{err: &localinfra.Problem{What: fmt.Sprintf("a process may open only %d files", limit.Cur), Do: fmt.Sprintf("raise the limit (ulimit -n %d)", 4*want)}}
	}
	return finding{good: fmt.Sprintf("a process may open %d files", limit.Cur)}
}

// clock checks that the time has not gone back behind what was written before: tokens
// and leases would not be valid yet, or for ever.
func clock(dir rundir.Dir) finding {
	const slack = time.Minute
	var newest time.Time
	for _, path := range []string{dir.SecretsFile(), dir.DemoFile(), filepath.Join(dir.Path, "state.json")} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if now := time.Now(); newest.After(now.Add(slack)) {
		return finding{err: &localinfra.Problem{What: fmt.Sprintf("the clock says %s, but the instance was written at %s", now.Format(time.DateTime), newest.Format(time.DateTime)), Do: "set the clock (timedatectl set-ntp true)"}}
	}
	return finding{good: "the clock has not gone back: " + time.Now().Format(time.RFC3339)}
}

func secretsFile(dir rundir.Dir) finding {
	info, err := os.Stat(dir.SecretsFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{good: "no secrets yet: the first `pyairtable up` makes them"}
	case err != nil:
		return finding{err: localinfra.FileProblem(dir.SecretsFile(), err)}
	case info.Mode().Perm()&0o077 != 0:
		return finding{err: &localinfra.Problem{What: fmt.Sprintf("%s can be read by others (%s)", dir.SecretsFile(), info.Mode().Perm()), Do: "chmod 600 " + dir.SecretsFile()}}
	}
	return finding{good: "the secrets are this user's alone"}
}

// portsFree checks the ports of an instance that is not running.
func (c *cli) portsFree(ctx context.Context, dir rundir.Dir) []finding {
	var out []finding
	if state, killed, err := dir.ReadState(); err != nil {
		out = append(out, finding{err: err})
	} else if killed {
		out = append(out, finding{err: &localinfra.Problem{What: fmt.Sprintf("the last instance (process %d) was killed", state.Pid), Do: "`pyairtable up` takes over, `pyairtable down` tidies up"}})
	} else {
		out = append(out, finding{good: "the instance is not running"})
	}
	places, err := instance.Places(instance.Options{Services: c.services, Env: config.Environ(), DotEnv: c.envFile})
	if err != nil {
		return append(out, finding{err: err})
	}
	for _, p := range places {
		err := instance.CheckPort(ctx, p.Service, p.Host, p.Port)
		out = append(out, finding{good: fmt.Sprintf("port %d is free for %s", p.Port, p.Service), err: err})
	}
	return out
}

// running checks the services of a running instance.
func running(ctx context.Context, dir rundir.Dir) []finding {
	state, _, err := dir.ReadState()
	if err != nil {
		return []finding{{err: err}}
	}
	var out []finding
	for _, s := range state.Services {
		f := finding{good: s.Name + " is ready"}
		if ready, answer := fleet.Ready(ctx, s.URL); !ready {
			f.err = &localinfra.Problem{What: fmt.Sprintf("%s is not ready (%s)", s.Name, answer), Do: "see `pyairtable logs " + s.Name + "`"}
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		out = append(out, finding{err: &localinfra.Problem{What: "the instance is still starting", Do: "see `pyairtable logs pyairtable`"}})
	}
	return out
}
