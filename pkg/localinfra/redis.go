package localinfra

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Redis is a running private server that speaks Redis.
type Redis struct {
	// URL opens database 0. It holds the password.
	URL  string
	Port int
	// InProcess is true for the stand-in inside this process, which keeps nothing and
	// is no Redis in speed and in detail.
	InProcess bool

	opts      Options
	bin       string
	password  string
	home      string
	log       string
	portFile  string
	pidFile   string
	temporary bool
	lock      *FileLock
	proc      *process
	release   func()
	standIn   *miniredis.Miniredis
}

// StartRedis starts a private server and returns when it answers. Without a Redis or
// Valkey on the machine, and none to be installed, it is the stand-in inside this
// process, which Options.Say is told. A server that a killed predecessor left running
// on the same data is stopped first.
func StartRedis(ctx context.Context, o Options) (*Redis, error) {
	r, err := newRedis(ctx, o)
	if err != nil {
		return nil, err
	}
	if err = r.takeOver(ctx); err == nil {
		err = r.launch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.discard())
	}
	return r, nil
}

func newRedis(ctx context.Context, o Options) (*Redis, error) {
	if o.Dir == "" && o.Profile == Durable {
		return nil, errors.New("a durable Redis needs a directory")
	}
	r := &Redis{opts: o, bin: redisFor(ctx, o), temporary: o.Dir == ""}
	if r.temporary {
		home, err := account{uid: os.Geteuid(), gid: os.Getegid()}.ephemeralDir("redis")
		if err != nil {
			return nil, err
		}
		r.home, r.password = home, newPassword()
		r.log, r.portFile, r.pidFile = filepath.Join(home, "log"), filepath.Join(home, "port"), filepath.Join(home, "pid")
		return r, nil
	}
	if err := r.settle(); err != nil {
		return nil, errors.Join(err, r.discard())
	}
	return r, nil
}

// settle takes the lock on a directory that is kept and reads its password.
func (r *Redis) settle() error {
	dir, err := filepath.Abs(r.opts.Dir)
	if err != nil {
		return fmt.Errorf("directory of Redis: %w", err)
	}
	r.home = filepath.Join(dir, "redis")
	r.log, r.portFile, r.pidFile = filepath.Join(dir, "redis.log"), filepath.Join(dir, "redis.port"), filepath.Join(dir, "redis.pid")
	if err := makeDir(r.home); err != nil {
		return err
	}
	if r.lock, err = lockInstance(filepath.Join(dir, "redis.lock"), "Redis"); err != nil {
		return err
	}
	// Redis keeps no password in its data, so a lost one is simply made anew.
	r.password, err = rememberedPassword(filepath.Join(dir, "redis.password"), false)
	return err
}

// redisFor returns the program, installing one if that is allowed, and "" if there is none.
func redisFor(ctx context.Context, o Options) string {
	path := FindRedis()
	if path != "" {
		return path
	}
	why := errors.New("installing one was not asked for")
	if o.Install {
		why = install(ctx, redisPackages, o)
		path = FindRedis()
	}
	if path == "" {
		o.say("no redis-server or valkey-server on this machine (%v): "+
			"using a stand-in inside this process, which forgets everything when it ends", why)
	}
	return path
}

// takeOver ends a server that still works on the data.
func (r *Redis) takeOver(ctx context.Context) error {
	pid := readNumber(r.pidFile)
	if pid == 0 || !worksOn(pid, r.home, "redis-server", "valkey-server") {
		return nil
	}
	r.opts.say("stopping the Redis (process %d) that a killed run left", pid)
	left := &process{pid: pid}
	if err := left.stop(ctx, syscall.SIGTERM, syscall.SIGKILL); err != nil {
		return &Problem{What: "a Redis of a killed run still works on " + r.home, Do: fmt.Sprintf("end it: kill %d", pid), Err: err}
	}
	return nil
}

func (r *Redis) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.opts.startLimit(), errors.New("Redis did not answer in time: "+r.log))
	defer cancel()
	asked := r.opts.Port
	for tries := 0; ; tries++ {
		port, err := choosePort(asked, r.portFile)
		if err != nil {
			return err
		}
		if r.bin == "" {
			err = r.runStandIn(port)
		} else {
			err = r.run(ctx, port)
		}
		if err == nil {
			return rememberPort(r.portFile, port)
		}
		if !errors.Is(err, errPortTaken) || asked != 0 || tries >= 5 {
			return err
		}
	}
}

// config is read by the server from its standard input, so that the password is in no
// file and no process list.
func (r *Redis) config(port int) string {
	lines := []string{
		"bind 127.0.0.1", "protected-mode yes", "port " + strconv.Itoa(port), "requirepass " + r.password,
		"daemonize no", "databases 512", `dir "` + r.home + `"`, `save ""`,
	}
	if r.opts.Profile == Durable {
		lines = append(lines, "appendonly yes", "appendfsync everysec")
	} else {
		lines = append(lines, "appendonly no")
	}
	return strings.Join(lines, "\n") + "\n"
}

// run starts the server on the port. If it fails, nothing of it is left running.
func (r *Redis) run(ctx context.Context, port int) error {
	log, from, err := openLog(r.log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(r.bin, "-") //nolint:noctx // it lives longer than the call that starts it
	cmd.Dir, cmd.Env, cmd.Stdin = r.home, serverEnv(), strings.NewReader(r.config(port))
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := spawn(cmd, syscall.SIGTERM)
	if err != nil {
		return err
	}
	r.proc, r.Port, r.URL = proc, port, redisURL(port, r.password)
	if r.temporary {
		if r.release, err = guard(proc, syscall.SIGKILL, r.home); err != nil {
			return errors.Join(err, r.end(ctx, syscall.SIGKILL))
		}
	}
	err = FileProblem(r.pidFile, os.WriteFile(r.pidFile, []byte(strconv.Itoa(proc.pid)+"\n"), 0o600))
	if err == nil {
		err = r.awaitReady(ctx, from)
	}
	if err != nil {
		return errors.Join(err, r.end(context.WithoutCancel(ctx), syscall.SIGKILL))
	}
	return nil
}

func redisURL(port int, password string) string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/0"}
	return u.String()
}

// awaitReady returns when the server answers, its data loaded, or with the reason why
// it ended.
func (r *Redis) awaitReady(ctx context.Context, logFrom int64) error {
	options, err := redis.ParseURL(r.URL)
	if err != nil {
		return fmt.Errorf("address of Redis: %w", err)
	}
	options.MaxRetries = -1
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	return poll(ctx, func() (bool, error) {
		if !r.proc.alive() {
			return false, r.whyEnded(tail(r.log, logFrom))
		}
		return client.Ping(ctx).Err() == nil, nil
	})
}

func (r *Redis) whyEnded(log string) error {
	if strings.Contains(log, "Address already in use") {
		return errPortTaken
	}
	if problem := logProblem(r.home, log); problem != nil {
		return problem
	}
	return fmt.Errorf("Redis ended while starting; the end of its log: %s", log)
}

func (r *Redis) runStandIn(port int) error {
	m := miniredis.NewMiniRedis()
	m.RequireAuth(r.password)
	if err := m.StartAddr(net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return errPortTaken
		}
		return fmt.Errorf("start the stand-in for Redis: %w", err)
	}
	r.standIn, r.InProcess, r.Port, r.URL = m, true, port, redisURL(port, r.password)
	return nil
}

// Alive reports whether the server runs.
func (r *Redis) Alive() bool { return r.standIn != nil || r.proc != nil && r.proc.alive() }

// Kill ends the server without warning, as a crash would. What a Durable one had
// written to disk is there after Restart; an Ephemeral one comes back empty.
func (r *Redis) Kill() error { return r.end(context.Background(), syscall.SIGKILL) }

// Restart starts a killed server again, on the same port.
func (r *Redis) Restart(ctx context.Context) error {
	if r.Alive() {
		return errors.New("restart Redis: it is running")
	}
	r.opts.Port = r.Port
	return r.launch(ctx)
}

// Stop shuts the server down, writing what is not yet on disk. After 15 seconds, or
// when ctx ends, it is killed. A throw-away server's files are removed.
func (r *Redis) Stop(ctx context.Context) error {
	return errors.Join(r.end(ctx, syscall.SIGTERM, syscall.SIGKILL), r.discard())
}

func (r *Redis) end(ctx context.Context, signals ...syscall.Signal) error {
	if r.standIn != nil {
		r.standIn.Close()
		r.standIn = nil
	}
	if r.proc == nil {
		return nil
	}
	err := r.proc.stop(ctx, signals...)
	if err == nil && r.release != nil {
		r.release()
		r.release = nil
	}
	return err
}

// discard gives up the lock and the files of a throw-away server.
func (r *Redis) discard() error {
	var errs []error
	if r.temporary && r.home != "" {
		errs = append(errs, os.RemoveAll(r.home))
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Unlock())
		r.lock = nil
	}
	return errors.Join(errs...)
}
