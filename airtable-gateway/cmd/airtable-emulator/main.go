// Command airtable-emulator serves an Airtable of one's own on a port: the Web API
// under /v0, with Airtable's limits and, when asked for, its faults.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pkg/migrate"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	s, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = s.run(ctx, func(address string) { fmt.Printf("serving on http://%s\n", address) })
	}
	switch {
	case err == flag.ErrHelp: //nolint:errorlint // flag returns it bare
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "airtable-emulator: %v\n", err)
		os.Exit(1)
	}
}

const usage = `airtable-emulator serves the Airtable Web API under /v0, with Airtable's limits:
5 requests/s a base, 50/s a token, and 30 s of refusals for who exceeds them.

  airtable-emulator                          # a sample base, any token that begins with pat
  curl -H 'Authorization: Bearer patAny' http://127.0.0.1:8900/v0/appEmulator000001/Tasks

  airtable-emulator -seed bases.json -503 0.05 -broken-writes 0.02 -latency 150ms -random-seed 7

It needs a PostgreSQL: that of -database-url, which must be its own, or else it
starts a private one that is gone with it. What happened so far: ` + emulator.StatsPath + `

`

// setting is what the flags say.
type setting struct {
	address, database, seed string
	files                   string
	install                 bool
	dataClock               string
	dataStep                time.Duration
	iteratorLife            time.Duration
	limits                  emulator.Limits
	plain                   bool
	faults                  emulator.Faults
	say                     io.Writer
}

func parse(args []string, out io.Writer) (setting, error) {
	s := setting{say: out}
	f := flag.NewFlagSet("airtable-emulator", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		_, _ = io.WriteString(out, usage)
		f.PrintDefaults()
	}
	real := emulator.RealLimits()
	f.StringVar(&s.address, "addr", "127.0.0.1:8900", "`address` to listen on; port 0 takes a free one")
	f.StringVar(&s.database, "database-url", "", "`URL` of a PostgreSQL database for this emulator alone; what it holds stays. Default: a private, ephemeral server")
	f.BoolVar(&s.install, "install", true, "install PostgreSQL if this machine has none")
	f.StringVar(&s.seed, "seed", "", "JSON `file` with tokens, collaborators, bases, tables, fields and records, ids chosen; see internal/emulator/sample.json. Default: that sample")
	f.StringVar(&s.files, "files", "", "`directory` of attachments, which stay there. Default: a temporary one")
	f.StringVar(&s.dataClock, "clock", "", "deterministic clock of the stored data: the RFC 3339 `time` that it begins at. Default: the real time. Limits and pings always go by the real time")
	f.DurationVar(&s.dataStep, "clock-step", time.Millisecond, "how far -clock moves each time that the store looks at it")
	f.DurationVar(&s.iteratorLife, "iterator-life", models.IteratorLife, "how long a client may wait between two pages of a list, by the clock of the stored data")
	f.IntVar(&s.limits.BasePerSecond, "base-rate", real.BasePerSecond, "requests a second for one base; 0: no limit")
	f.IntVar(&s.limits.TokenPerSecond, "token-rate", real.TokenPerSecond, "requests a second of one token; 0: no limit")
	f.DurationVar(&s.limits.LockOut, "lock-out", real.LockOut, "how long a base or token is refused after it exceeded its limit")
	f.IntVar(&s.limits.MonthlyCalls, "monthly-calls", 0, "answer PUBLIC_API_BILLING_LIMIT_EXCEEDED after so many calls; 0: never")
	f.BoolVar(&s.plain, "documented-429", false, "answer 429 in the documented shape, not in the live service's")
	f.Float64Var(&s.faults.BadGateway, "502", 0, "`rate` (0 to 1) of requests answered 502, not executed")
	f.Float64Var(&s.faults.Unavailable, "503", 0, "`rate` of requests answered 503 RETRIABLE_ERROR, not executed")
	f.Float64Var(&s.faults.BrokenWrites, "broken-writes", 0, "`rate` of writes that are applied and whose connection is then closed without an answer")
	f.DurationVar(&s.faults.Latency, "latency", 0, "time added to every request")
	f.DurationVar(&s.faults.Jitter, "jitter", 0, "time added on top, evenly between 0 and this")
	f.Uint64Var(&s.faults.Seed, "random-seed", 1, "`number` that decides which request meets which fault, and which ids are given out in which order")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected %q; see -help", f.Arg(0))
	}
	for name, rate := range map[string]float64{"502": s.faults.BadGateway, "503": s.faults.Unavailable, "broken-writes": s.faults.BrokenWrites} {
		if rate < 0 || rate > 1 {
			return s, fmt.Errorf("-%s %v: want a rate between 0 and 1", name, rate)
		}
	}
	if s.iteratorLife < time.Second {
		return s, fmt.Errorf("-iterator-life %s: want a second at least", s.iteratorLife)
	}
	return s, nil
}

// run serves until ctx ends; started is told the address.
func (s setting) run(ctx context.Context, started func(address string)) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	seed, err := s.readSeed()
	if err != nil {
		return err
	}
	clock, err := s.clock()
	if err != nil {
		return err
	}
	pool, stop, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer stop()
	ids, err := emulator.IDs(ctx, pool, s.faults.Seed)
	if err != nil {
		return err
	}
	dir, forget, err := s.filesDir()
	if err != nil {
		return err
	}
	defer forget()
	attachments, err := emulator.OpenAttachments(ctx, pool, dir, "http://"+listener.Addr().String(), clock)
	if err != nil {
		return err
	}
	defer func() { _ = attachments.Close() }()
	store := local.New(pool, local.Options{
		Now: clock, IDs: ids, IteratorLife: s.iteratorLife, Box: emulator.Box(), Egress: emulator.Everywhere(),
		Files: attachments.Keeper, Enqueue: attachments.Enqueue,
	})
	if err := attachments.Serve(pool, store); err != nil {
		return err
	}
	if err := seed.Plant(ctx, store); err != nil {
		return err
	}
	handler := emulator.New(emulator.Options{
		Store: store, Files: attachments.Keeper, Tokens: seed.Tokens, Collaborators: seed.Collaborators, Limits: s.limits, Faults: s.faults, PlainRateLimit: s.plain, Now: time.Now,
	})
	go emulator.Forget(ctx, pool)
	pinger := local.NewPinger(store, local.PingerOptions{Now: time.Now, Log: zap.NewNop(), Metrics: prometheus.NewRegistry()})
	pinging, stopPinging := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { _ = pinger.Run(pinging) }) // it returns no error
	background.Go(func() { _ = attachments.Run(pinging) })
	defer background.Wait()
	defer stopPinging()
	started(listener.Addr().String())
	return serve(ctx, listener, handler)
}

// filesDir is where attachments are kept; forget removes it if it is temporary.
func (s setting) filesDir() (dir string, forget func(), err error) {
	if s.files != "" {
		dir, err = filepath.Abs(s.files)
		return dir, func() {}, err
	}
	dir, err = os.MkdirTemp("", "airtable-emulator-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	stopped := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(limit)
		_ = server.Close()
	})
	defer stopped()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (s setting) readSeed() (emulator.Seed, error) {
	if s.seed == "" {
		return emulator.SampleSeed(), nil
	}
	file, err := os.Open(s.seed)
	if err != nil {
		return emulator.Seed{}, err
	}
	defer func() { _ = file.Close() }()
	return emulator.ReadSeed(file)
}

func (s setting) clock() (func() time.Time, error) {
	if s.dataClock == "" {
		return time.Now, nil
	}
	start, err := time.Parse(time.RFC3339, s.dataClock)
	if err != nil {
		return nil, fmt.Errorf("-clock: %w", err)
	}
	return emulator.NewStepClock(start, s.dataStep).Now, nil
}

// open opens the database, of a private server if none is named, and brings it to
// the newest schema. stop gives everything back.
func (s setting) open(ctx context.Context) (*pgxpool.Pool, func(), error) {
	address, stop := s.database, func() {}
	if address == "" {
		server, err := localinfra.StartPostgres(ctx, localinfra.Options{
			Profile: localinfra.Ephemeral, Install: s.install,
			Say: func(sentence string) { _, _ = fmt.Fprintln(s.say, sentence) },
		})
		if err != nil {
			return nil, nil, err
		}
		address, stop = server.URL, func() {
			if err := server.Stop(context.WithoutCancel(ctx)); err != nil {
				_, _ = fmt.Fprintln(s.say, "stop PostgreSQL:", err)
			}
		}
	}
	pool, err := postgres.Open(ctx, address, postgres.Options{AppName: "airtable-emulator"})
	if err != nil {
		stop()
		return nil, nil, err
	}
	if err := migrate.Up(ctx, pool, airtableapi.Service.Name, repository.Migrations); err != nil {
		pool.Close()
		stop()
		return nil, nil, err
	}
	return pool, func() { pool.Close(); stop() }, nil
}
