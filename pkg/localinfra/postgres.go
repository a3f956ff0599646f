package localinfra

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const superuser = "postgres"

// Postgres is a running private PostgreSQL server.
type Postgres struct {
	// URL opens the database postgres as superuser. It holds the password.
	URL     string
	Port    int
	Version string
	// Dir is the data directory. It may be outside Options.Dir where root's own
	// directories are closed to the user that the server runs as.
	Dir string

	opts      Options
	account   account
	bin       Binaries
	password  string
	home      string // holds Dir and what belongs to it
	log       string
	portFile  string
	temporary bool // home goes with the server
	lock      *FileLock
	proc      *process
	release   func()
}

// StartPostgres starts a private server, making its cluster first if the directory has
// none, and returns when it answers. A server that a killed predecessor left running
// on the same data is stopped first. It returns a *Problem where a person can help:
// no server to be found, a full or closed disk, a directory in use by another process.
func StartPostgres(ctx context.Context, o Options) (*Postgres, error) {
	p, err := newPostgres(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := p.prepare(ctx); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	if err := p.launch(ctx); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	return p, nil
}

// newPostgres finds the program, the account and the directories.
func newPostgres(ctx context.Context, o Options) (*Postgres, error) {
	if o.Dir == "" && o.Profile == Durable {
		return nil, errors.New("a durable PostgreSQL needs a directory")
	}
	if o.Dir != "" {
		abs, err := filepath.Abs(o.Dir)
		if err != nil {
			return nil, fmt.Errorf("directory of PostgreSQL: %w", err)
		}
		o.Dir = abs
	}
	p := &Postgres{opts: o, temporary: o.Dir == ""}
	var err error
	if p.account, err = accountOf(o.Dir); err != nil {
		return nil, err
	}
	if p.temporary {
		if p.bin, err = p.account.postgresFor(ctx, 0, o); err != nil {
			return nil, err
		}
		if p.home, err = p.account.ephemeralDir("postgres"); err != nil {
			return nil, err
		}
		p.password = newPassword()
		p.log, p.portFile = filepath.Join(p.home, "log"), filepath.Join(p.home, "port")
	} else if err := p.settle(ctx); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	p.Dir, p.Version = filepath.Join(p.home, "data"), p.bin.Version
	return p, nil
}

// accountOf returns the account that owns the data found under dir; it can be another
// than serverAccount would choose today, if the user postgres was made since.
func accountOf(dir string) (account, error) {
	a, err := serverAccount()
	if err != nil || !a.other || dir == "" {
		return a, err
	}
	info, err := os.Stat(filepath.Join(postgresHome(dir), "data", "PG_VERSION"))
	if err != nil {
		return a, nil
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != a.uid {
		a.name, a.uid, a.gid = strconv.Itoa(int(s.Uid)), int(s.Uid), int(s.Gid)
	}
	return a, nil
}

// settle takes the lock on a directory that is kept, and finds the home of the data in
// it, the password, and the program that fits the data.
func (p *Postgres) settle(ctx context.Context) error {
	dir := p.opts.Dir
	// Root's server runs as another user, who must be able to walk through.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return FileProblem(dir, err)
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	lock, err := lockInstance(filepath.Join(dir, "postgres.lock"), "PostgreSQL")
	if err != nil {
		return err
	}
	p.lock = lock
	p.log, p.portFile = filepath.Join(dir, "postgres.log"), filepath.Join(dir, "postgres.port")
	if p.home, err = p.account.place(dir, "postgres", p.opts.say); err != nil {
		return err
	}
	major := readNumber(filepath.Join(p.home, "data", "PG_VERSION"))
	if p.bin, err = p.account.postgresFor(ctx, major, p.opts); err != nil {
		return err
	}
	p.password, err = rememberedPassword(filepath.Join(dir, "postgres.password"), major != 0)
	return err
}

// lockInstance takes the lock of an instance's directory.
func lockInstance(path, what string) (*FileLock, error) {
	lock, err := Lock(path)
	var held *Held
	if errors.As(err, &held) {
		return nil, &Problem{
			What: fmt.Sprintf("%s in %s is in use by process %d", what, filepath.Dir(path), held.Pid),
			Do:   "stop that process first (pyairtable down)",
			Err:  err,
		}
	}
	return lock, err
}

// rememberedPassword returns the password in the file, made on first use. Data without
// its password cannot be opened.
func rememberedPassword(path string, hasData bool) (string, error) {
	raw, err := os.ReadFile(path)
	switch {
	case err == nil && len(raw) > 0:
		return strings.TrimSpace(string(raw)), nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", FileProblem(path, err)
	case hasData:
		return "", &Problem{What: "the password of the data beside it is gone: " + path, Do: "put the file back, or start anew without the data (pyairtable reset)"}
	}
	password := newPassword()
	return password, FileProblem(path, os.WriteFile(path, []byte(password+"\n"), 0o600))
}

// prepare stops what a killed predecessor left and makes the cluster if there is none.
func (p *Postgres) prepare(ctx context.Context) error {
	if err := p.takeOver(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.Dir, "PG_VERSION")); err == nil {
		return nil
	}
	return p.initialise(ctx)
}

// takeOver ends a server that still works on the data. The lock tells that whoever
// started it is dead. A pid file whose number now belongs to a stranger is removed:
// PostgreSQL itself would refuse to start.
func (p *Postgres) takeOver(ctx context.Context) error {
	pidFile := filepath.Join(p.Dir, "postmaster.pid")
	pid := readNumber(pidFile)
	if pid == 0 {
		return nil
	}
	if !worksOn(pid, p.Dir, "postgres") {
		return FileProblem(pidFile, os.Remove(pidFile))
	}
	p.opts.say("stopping the PostgreSQL (process %d) that a killed run left", pid)
	left := &process{pid: pid}
	if err := left.stop(ctx, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL); err != nil {
		return &Problem{What: "a PostgreSQL of a killed run still works on " + p.Dir, Do: fmt.Sprintf("end it: kill %d", pid), Err: err}
	}
	return nil
}

// initialise makes the cluster beside its final place and moves it there, so that an
// interrupted attempt is never taken for a cluster.
func (p *Postgres) initialise(ctx context.Context) error {
	if p.opts.Profile == Durable {
		p.opts.say("making a PostgreSQL %s cluster in %s", p.bin.Version, p.home)
	}
	fresh := filepath.Join(p.home, "data.new")
	secret := filepath.Join(p.home, "initdb.password")
	if err := os.RemoveAll(fresh); err != nil {
		return FileProblem(fresh, err)
	}
	if err := os.WriteFile(secret, []byte(p.password+"\n"), 0o600); err != nil {
		return FileProblem(secret, err)
	}
	defer func() { _ = os.Remove(secret) }()
	if err := p.account.own(secret); err != nil {
		return err
	}
	var failures []string
	for _, locale := range []string{"C.UTF-8", "en_US.UTF-8", "C"} { // not every system has each
		out, err := p.initdb(ctx, fresh, secret, locale)
		if err == nil {
			return FileProblem(p.Dir, os.Rename(fresh, p.Dir))
		}
		if problem := logProblem(p.home, out); problem != nil {
			return problem
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		failures = append(failures, out)
	}
	return fmt.Errorf("make a PostgreSQL cluster in %s: %s", p.home, strings.Join(failures, "\n"))
}

func (p *Postgres) initdb(ctx context.Context, dir, secret, locale string) (output string, err error) {
	args := []string{
		"-D", dir, "-U", superuser, "-A", "scram-sha-256", "--pwfile", secret,
		"-E", "UTF8", "--locale", locale, "--lc-messages", "C", "--no-instructions",
	}
	if p.opts.Profile == Ephemeral {
		args = append(args, "--no-sync")
	}
	cmd := p.account.command(p.bin.initdb(), args...)
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// settings are given on the command line: no file to edit, and a change here reaches
// existing clusters too.
func (p *Postgres) settings() []string {
	set := []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=", // a path under .run may be longer than a socket's may
		"max_connections=300",
		"timezone=UTC", "log_timezone=UTC",
		"logging_collector=off", "log_destination=stderr",
		"jit=off", // costs short queries more than it gives
	}
	if p.opts.Profile == Ephemeral {
		set = append(set, "fsync=off", "full_page_writes=off", // commits still reach the kernel, and outlive a kill -9
			"wal_level=minimal", "max_wal_senders=0", "max_wal_size=2GB", "checkpoint_timeout=1h",
			"autovacuum=off", "shared_buffers=64MB",
			"dynamic_shared_memory_type=mmap") // in the data directory, which the guard removes
	} else {
		set = append(set, "fsync=on", "synchronous_commit=on", "full_page_writes=on",
			"shared_buffers=128MB", "log_line_prefix=%m [%p] %q%u@%d ",
			"log_min_duration_statement=1s",
			"log_error_verbosity=terse", "log_parameter_max_length=0") // no rows and no values: they are people's
	}
	return set
}

// launch starts the server on the prepared data and waits until it answers.
func (p *Postgres) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.opts.startLimit(), errors.New("PostgreSQL did not answer in time: "+p.log))
	defer cancel()
	asked := p.opts.Port
	for tries := 0; ; tries++ {
		port, err := choosePort(asked, p.portFile)
		if err != nil {
			return err
		}
		err = p.run(ctx, port)
		switch {
		case err == nil:
			return rememberPort(p.portFile, port)
		case errors.Is(err, errPortTaken) && asked == 0 && tries < 5:
		case errors.Is(err, errOrphans) && tries < 50:
			// The orphans of a killed postmaster notice within a moment.
			_ = poll(ctx, waitOnce(200*time.Millisecond))
		default:
			return err
		}
	}
}

// waitOnce returns a check for poll that is true after d.
func waitOnce(d time.Duration) func() (bool, error) {
	until := time.Now().Add(d)
	return func() (bool, error) { return time.Now().After(until), nil }
}

// run starts the server on the port. If it fails, nothing of it is left running.
func (p *Postgres) run(ctx context.Context, port int) error {
	log, from, err := openLog(p.log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := p.account.command(p.bin.postgres(), "-D", p.Dir, "-p", strconv.Itoa(port))
	for _, s := range p.settings() {
		cmd.Args = append(cmd.Args, "-c", s)
	}
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := spawn(cmd, p.deathSignal())
	if err != nil {
		return err
	}
	p.proc, p.Port, p.URL = proc, port, adminURL(port, p.password)
	if p.temporary {
		if p.release, err = guard(proc, p.deathSignal(), p.home); err != nil {
			return errors.Join(err, p.end(ctx, syscall.SIGKILL))
		}
	}
	if err := p.awaitReady(ctx, from); err != nil {
		return errors.Join(err, p.end(context.WithoutCancel(ctx), syscall.SIGQUIT, syscall.SIGKILL))
	}
	return nil
}

// deathSignal is what the server gets when this process dies: an ordinary fast
// shutdown where the data matters, an immediate one where it does not.
func (p *Postgres) deathSignal() syscall.Signal {
	if p.opts.Profile == Ephemeral {
		return syscall.SIGQUIT
	}
	return syscall.SIGINT
}

func adminURL(port int, password string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// awaitReady returns when the server answers a query, or with the reason why it ended.
func (p *Postgres) awaitReady(ctx context.Context, logFrom int64) error {
	return poll(ctx, func() (bool, error) {
		if !p.proc.alive() {
			return false, p.whyEnded(tail(p.log, logFrom))
		}
		return answers(ctx, p.URL), nil
	})
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return false
	}
	err = conn.Ping(ctx)
	return errors.Join(err, conn.Close(ctx)) == nil
}

func (p *Postgres) whyEnded(log string) error {
	if strings.Contains(log, "Address already in use") {
		return errPortTaken
	}
	if problem := logProblem(p.Dir, log); problem != nil {
		return problem
	}
	return fmt.Errorf("PostgreSQL ended while starting; the end of its log: %s", log)
}

// Alive reports whether the server's process runs.
func (p *Postgres) Alive() bool { return p.proc != nil && p.proc.alive() }

// Kill ends the server without warning, as a crash would, and keeps its data for Restart.
func (p *Postgres) Kill() error { return p.end(context.Background(), syscall.SIGKILL) }

// Restart starts a killed server again, on the same port and data.
func (p *Postgres) Restart(ctx context.Context) error {
	if p.Alive() {
		return errors.New("restart PostgreSQL: it is running")
	}
	p.opts.Port = p.Port
	if err := p.takeOver(ctx); err != nil {
		return err
	}
	return p.launch(ctx)
}

// Stop shuts the server down: connections are ended, what is committed is kept. After
// 15 seconds, or when ctx ends, it is ended less politely. A throw-away server's files
// are removed.
func (p *Postgres) Stop(ctx context.Context) error {
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL}
	if p.temporary {
		signals = signals[1:] // nothing worth a checkpoint
	}
	return errors.Join(p.end(ctx, signals...), p.discard())
}

// end ends the process.
func (p *Postgres) end(ctx context.Context, signals ...syscall.Signal) error {
	if p.proc == nil {
		return nil
	}
	err := p.proc.stop(ctx, signals...)
	if err == nil && p.release != nil {
		p.release()
		p.release = nil
	}
	return err
}

// discard gives up the lock and the files of a throw-away server.
func (p *Postgres) discard() error {
	var errs []error
	if p.temporary && p.home != "" {
		errs = append(errs, os.RemoveAll(p.home))
	}
	if p.lock != nil {
		errs = append(errs, p.lock.Unlock())
		p.lock = nil
	}
	return errors.Join(errs...)
}

// openLog opens the log for appending and returns where it ends now. One of 10 MiB or
// more is first put aside under the name .1, in place of the one there.
func openLog(path string) (f *os.File, end int64, err error) {
	const most = 10 << 20
	if info, err := os.Stat(path); err == nil && info.Size() >= most {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, FileProblem(path, err)
		}
	}
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, FileProblem(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("size of %s: %w", path, err)
	}
	return f, info.Size(), nil
}
