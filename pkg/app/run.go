package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Timeouts of every service's HTTP server. A body may take as long as its
// operation may; a client that sends its headers slowly may not.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Wire makes a service out of its parts: it opens what the service needs,
// registers its operations, and names its loops, consumers and jobs.
type Wire[C any] func(ctx context.Context, a *App, cfg C) error

// Service is a service that can be run.
type Service struct {
	Name    string
	Example string // its variables, as lines of a .env file
	run     func(ctx context.Context, o Options) error
}

// Options are how to run a service.
type Options struct {
	Env    config.Source
	DotEnv string    // path of a .env file, "" for none
	Log    io.Writer // concurrent writes must be safe
	// Started, if not nil, is called when the port is bound, with its address.
	Started func(address string)
	// Ready, if not nil, is called when the service is ready.
	Ready func()
}

// Define names a service and how it is wired. The name must be in the catalog.
func Define[C any](name string, wire Wire[C]) Service {
	return Service{
		Name: name, Example: config.Example[C](name),
		run: func(ctx context.Context, o Options) error { return run(ctx, name, wire, o) },
	}
}

// Run runs the service until ctx ends, then drains and stops it. It returns nil
// after an orderly stop.
func (s Service) Run(ctx context.Context, o Options) error { return s.run(ctx, o) }

// Main is the main function of a service: it runs it in the process's
// environment until SIGINT or SIGTERM; a second signal ends the process at once.
// With the flag -health it asks a running service of the same configuration for
// /ready instead, as a container's health check.
func Main[C any](name string, wire Wire[C]) {
	probe := flag.Bool("health", false, "ask the running service for /ready and exit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from now on a signal kills
	o := Options{Env: config.Environ(), DotEnv: dotEnv(), Log: os.Stdout}
	var err error
	if *probe {
		err = askReady[C](ctx, name, o)
	} else {
		err = run(ctx, name, wire, o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// dotEnv finds the .env file beside the caller or, when a service is run from
// its own directory, in the repository's top.
func dotEnv() string {
	for _, path := range []string{".env", "../.env"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

func known(name, dotenv string) config.Known {
	return config.Known{Service: name, Ports: catalog.Ports(), DotEnv: dotenv}
}

func run[C any](ctx context.Context, name string, wire Wire[C], o Options) error {
	svc, ok := catalog.Find(name)
	if !ok {
		return fmt.Errorf("%s is not in the catalog", name)
	}
	cfg, err := config.Load[C](known(name, o.DotEnv), o.Env)
	if err != nil {
		return fmt.Errorf("configuration:\n%w", err)
	}
	base := config.BaseOf(&cfg)
	log, err := logging.New(o.Log, name, base.LogLevel)
	if err != nil {
		return err
	}
	a, err := newApp(ctx, svc, *base, log, o.Log)
	if err != nil {
		return err
	}
	return a.live(ctx, o, func(ctx context.Context) error { return wire(ctx, a, cfg) })
}

// live takes the service from a bound port to a closed one.
func (a *App) live(ctx context.Context, o Options, wire func(context.Context) error) error {
	if o.Started != nil {
		o.Started(a.listener.Addr().String())
	}
	// The server outlives ctx: requests in flight are finished after a stop.
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	server := &http.Server{
		Handler: a.starting(), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: zap.NewStdLog(a.Log),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(a.listener) }()

	err := wire(logging.Into(ctx, a.Log))
	var loops *errgroup.Group
	var failed context.Context
	if err == nil {
		loops, failed = errgroup.WithContext(logging.Into(work, a.Log))
		a.start(loops, failed)
		a.wired.Store(true)
		a.Health.Ready()
		a.Log.Info("ready", zap.String("address", a.listener.Addr().String()))
		if o.Ready != nil {
			o.Ready()
		}
		err = a.wait(ctx, failed, served)
	} else {
		err = fmt.Errorf("start: %w", err)
	}
	return errors.Join(err, a.stop(server, endWork, loops))
}

// start runs the loops.
func (a *App) start(loops *errgroup.Group, ctx context.Context) {
	for _, w := range a.workers {
		loops.Go(func() error {
			if err := w.run(ctx); err != nil && ctx.Err() == nil {
				a.Log.Error("a loop failed; the service stops", zap.String("loop", w.name), zap.Error(err))
				return fmt.Errorf("%s: %w", w.name, err)
			}
			return nil
		})
	}
}

// wait returns when the service has to stop, and why if that is an error.
func (a *App) wait(ctx, failed context.Context, served <-chan error) error {
	select {
	case <-ctx.Done():
		a.Health.Drain()
		a.Log.Info("draining", zap.Duration("delay", a.Base.DrainDelay))
		select {
		case <-time.After(a.Base.DrainDelay):
		case <-failed.Done():
		}
		return nil
	case <-failed.Done():
		return nil // the group returns the reason
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	}
}

// stop ends requests first, loops next, connections last, within the limit.
func (a *App) stop(server *http.Server, endWork func(), loops *errgroup.Group) error {
	a.Health.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), a.stopLimit)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off after %s: %w", a.stopLimit, err), server.Close())
	}
	endWork()
	if loops != nil {
		ended := make(chan error, 1)
		go func() { ended <- loops.Wait() }()
		select {
		case loopErr := <-ended:
			err = errors.Join(err, loopErr)
		case <-ctx.Done():
			err = errors.Join(err, fmt.Errorf("loops still run after %s", a.stopLimit))
		}
	}
	err = errors.Join(err, a.close(ctx))
	a.Log.Info("stopped", zap.Error(err))
	return err
}

// starting answers probes while the service is being wired, and everything once
// it is. Other requests of that time get 503, not a refused connection.
func (a *App) starting() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.wired.Load() {
			a.Router.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/health" {
			_, _ = io.WriteString(w, `{"status":"ok","service":"`+a.Name+`"}`)
			return
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":"starting"}`)
	})
}

// askReady is the health check of a container.
func askReady[C any](ctx context.Context, name string, o Options) error {
	cfg, err := config.Load[C](known(name, o.DotEnv), o.Env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := fmt.Sprintf("http://127.0.0.1:%d/ready", config.BaseOf(&cfg).Port)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
