// Package instance runs PyAirtable as a whole: private servers, every service, and
// the demo data, in one directory.
package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pyairtable/internal/demo"
	"github.com/pyairtable/pyairtable/pyairtable/internal/fleet"
	"github.com/pyairtable/pyairtable/pyairtable/internal/rundir"
)

// Options say what to run.
type Options struct {
	Dir      string // the run directory
	Services []app.Service
	Env      config.Source
	DotEnv   string // path of a .env file, "" for none

	// PostgresURL is of an administrator on a server in which the databases are made;
	// "" starts a private one. A DATABASE_URL in the environment goes before both.
	PostgresURL string
	// RedisURL "" starts a private one. A REDIS_URL in the environment goes before both.
	RedisURL string
	Profile  localinfra.Profile // of the private servers
	Install  bool               // what is missing, by the package manager or a download

	// Command runs one service in a process of its own when the service's name is
	// added to it; nil runs all in this process.
	Command []string
	NoDemo  bool
	Say     func(sentence string) // told what happens; may be nil
	Errors  io.Writer             // gets the services' log lines of level error; may be nil
}

// Instance is a running PyAirtable.
type Instance struct {
	URL  string // the gateway's
	Dir  rundir.Dir
	Demo *demo.Access // nil without demo data
	// Postgres and Redis are the private servers; nil where a URL was given.
	Postgres *localinfra.Postgres
	Redis    *localinfra.Redis

	opts  Options
	vars  variables
	lock  *localinfra.FileLock
	state rundir.State
	fleet *fleet.Fleet
	logs  []io.Closer
	// unwatch ends the watch over the private servers, and returns when it has.
	unwatch func()
}

// Start starts everything and returns when every service is ready and the demo data is
// there. If it fails, or ctx ends first, nothing is left running. The error is a
// *localinfra.Problem where a person can help.
func Start(ctx context.Context, o Options) (*Instance, error) {
	dir, err := rundir.Open(o.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := dir.Lock()
	if err != nil {
		return nil, err
	}
	i := &Instance{Dir: dir, opts: o, lock: lock}
	if err := i.start(ctx); err != nil {
		stopErr := i.Stop()
		if i.fleet != nil && i.fleet.Err() != nil {
			return nil, stopErr // says it all
		}
		return nil, errors.Join(err, stopErr)
	}
	return i, nil
}

func (i *Instance) say(format string, args ...any) {
	if i.opts.Say != nil {
		i.opts.Say(fmt.Sprintf(format, args...))
	}
}

func (i *Instance) start(ctx context.Context) error {
	if last, killed, err := i.Dir.ReadState(); err != nil {
		return err
	} else if killed {
		i.say("the last run (process %d) ended without stopping its services: taking over; nothing that was acknowledged is lost", last.Pid)
	}
	var err error
	if i.vars, err = newVariables(i.opts); err != nil {
		return err
	}
	if err := i.vars.checkPorts(ctx); err != nil {
		return err
	}
	secrets, err := i.Dir.Secrets(i.vars.services())
	if err != nil {
		return err
	}
	i.vars.secrets, i.vars.files = secrets, i.Dir.Files
	i.state = rundir.State{Pid: os.Getpid(), StartedAt: time.Now().UTC(), URL: i.vars.gatewayURL()}
	if err := i.Dir.WriteState(i.state); err != nil {
		return err
	}
	if err := i.startServers(ctx); err != nil {
		return err
	}
	if err := i.startServices(ctx); err != nil {
		return err
	}
	i.guard(ctx)
	i.URL, i.state.Ready = i.state.URL, true
	if err := i.Dir.WriteState(i.state); err != nil {
		return err
	}
	return i.loadDemo(ctx)
}

// startServers starts what was not given by URL, both at the same time.
func (i *Instance) startServers(ctx context.Context) error {
	o := localinfra.Options{Dir: i.Dir.Path, Profile: i.opts.Profile, Install: i.opts.Install, Say: i.opts.Say}
	admin := i.opts.PostgresURL
	var both errgroup.Group
	if admin == "" && i.vars.wantsPostgres() {
		both.Go(func() (err error) {
			i.Postgres, err = localinfra.StartPostgres(ctx, o)
			return err
		})
	}
	if i.opts.RedisURL == "" && !i.vars.given("REDIS_URL") {
		both.Go(func() (err error) {
			i.Redis, err = localinfra.StartRedis(ctx, o)
			return err
		})
	}
	if err := both.Wait(); err != nil {
		return err
	}
	if i.Postgres != nil {
		admin = i.Postgres.URL
		i.state.Postgres = fmt.Sprintf("PostgreSQL %s on port %d, data in %s", i.Postgres.Version, i.Postgres.Port, i.Postgres.Dir)
	}
	i.vars.redis = i.opts.RedisURL
	if i.Redis != nil {
		i.vars.redis = i.Redis.URL
		i.state.Redis = fmt.Sprintf("Redis on port %d", i.Redis.Port)
		if i.Redis.InProcess {
			i.state.Redis += " (a stand-in in memory)"
		}
	}
	if admin == "" || !i.vars.wantsPostgres() {
		return nil
	}
	databases, err := i.vars.databases(admin)
	if err != nil {
		return err
	}
	return localinfra.Databases(ctx, admin, databases)
}

// startServices starts every service and returns when all are ready.
func (i *Instance) startServices(ctx context.Context) error {
	i.state.Shared = i.vars.shared()
	var members []fleet.Member
	for _, s := range i.opts.Services {
		log, err := i.Dir.OpenLog(s.Name, i.opts.Errors)
		if err != nil {
			return err
		}
		i.logs = append(i.logs, log)
		url, own := i.vars.urls[s.Name], i.vars.own(s.Name)
		i.state.Services = append(i.state.Services, rundir.Service{Name: s.Name, URL: url, Vars: own})
		members = append(members, i.member(s, url, i.vars.merged(s.Name), log))
	}
	if err := i.Dir.WriteState(i.state); err != nil {
		return err
	}
	i.fleet = fleet.Start(ctx, members)
	return i.fleet.AwaitReady(ctx)
}

func (i *Instance) member(s app.Service, url string, vars map[string]string, log io.Writer) fleet.Member {
	if i.opts.Command == nil {
		return fleet.InProcess(s, url, app.Options{Env: config.Overlay(vars, i.opts.Env), DotEnv: i.opts.DotEnv, Log: log})
	}
	env := os.Environ()
	for key, value := range vars {
		env = append(env, key+"="+value)
	}
	command := append(append([]string{}, i.opts.Command...), s.Name)
	return fleet.Process(s.Name, url, command, env, log, func(sentence string) { i.say("%s", sentence) })
}

// loadDemo makes the demo account and data. Without them PyAirtable is as good, so
// what goes wrong here is said and no more.
func (i *Instance) loadDemo(ctx context.Context) error {
	if i.opts.NoDemo {
		return nil
	}
	access, err := demo.Ensure(ctx, i.URL, i.Dir.DemoFile(), i.vars.secrets[rundir.DemoPasswordKey])
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		i.say("the demo data is not there (%v); the next start tries again", err)
		return nil
	}
	i.Demo = &access
	return nil
}

// ServiceURL is where the named service listens.
func (i *Instance) ServiceURL(name string) string { return i.vars.urls[name] }

// Failed is closed when a service has failed; Stop then returns why.
func (i *Instance) Failed() <-chan struct{} { return i.fleet.Failed() }

// Stop drains the services, then stops the private servers. It returns every failure
// of the services, before and while stopping.
func (i *Instance) Stop() error {
	var errs []error
	if i.fleet != nil {
		errs = append(errs, i.fleet.Stop())
	}
	for _, log := range i.logs {
		errs = append(errs, log.Close())
	}
	if i.unwatch != nil {
		i.unwatch()
	}
	ctx := context.Background() // each has a limit of its own
	if i.Redis != nil {
		errs = append(errs, i.Redis.Stop(ctx))
	}
	if i.Postgres != nil {
		errs = append(errs, i.Postgres.Stop(ctx))
	}
	return errors.Join(append(errs, i.Dir.RemoveState(), i.lock.Unlock())...)
}
