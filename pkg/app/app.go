// Package app is the life of a service: configuration, start, readiness, drain,
// stop. A service is a Wire function that says what it is made of; the kit runs
// it, alone in a process (Main) or with others (Service.Run).
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/health"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/idempotency"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/metrics"
	"github.com/pyairtable/pyairtable/pkg/migrate"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pkg/refusals"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
	"github.com/pyairtable/pyairtable/pkg/tracing"
)

// App is what a service is wired with. It is complete before Wire is called;
// what Wire starts through it begins to run after Wire has returned, and is
// stopped in reverse order.
type App struct {
	Name     string
	Declared api.Service // the service's entry in the catalog
	Base     config.Base
	Log      *zap.Logger
	Router   *gin.Engine
	API      *httpx.API
	Metrics  *prometheus.Registry
	Tracer   *tracing.Tracer
	Verifier *auth.Verifier
	Revoked  *auth.Revocations  // heard from Redis once that is open
	Refusals *refusals.Recorder // publishes once Redis is open
	Health   *health.Probe
	Output   io.Writer // where the logs go; concurrent writes are safe

	keys      auth.Keys
	http      *metrics.HTTP
	rpc       *rpc.Metrics
	tokens    *serviceTokens
	pool      *pgxpool.Pool
	redis     goredis.UniversalClient
	consumer  *events.Consumer
	box       *seal.Box
	workers   []worker
	closers   []closer
	wired     atomic.Bool
	listener  net.Listener
	stopLimit time.Duration
}

type worker struct {
	name string
	run  func(context.Context) error
}

type closer struct {
	name  string
	close func(context.Context) error
}

// newApp binds the port and prepares everything that needs no connection.
func newApp(ctx context.Context, svc api.Service, base config.Base, log *zap.Logger, out io.Writer) (*App, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(base.Host, fmt.Sprint(base.Port)))
	if err != nil {
		return nil, fmt.Errorf("listen on port %d (%sPORT): %w", base.Port, config.Prefix(svc.Name), err)
	}
	tracer, err := tracing.Start(ctx, svc.Name, base.OTLPEndpoint)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	registry := metrics.New()
	a := &App{
		Name: svc.Name, Declared: svc, Base: base, Log: log, Output: out, Metrics: registry, Tracer: tracer,
		Health: &health.Probe{}, listener: listener, stopLimit: base.StopTimeout,
		http: metrics.NewHTTP(registry), rpc: rpc.NewMetrics(registry), Router: httpx.NewEngine(),
	}
	a.Refusals = refusals.New(svc.Name, log, registry)
	a.OnClose("tracer", tracer.Stop)
	a.identity()
	return a, nil
}

// identity prepares how this service verifies tokens and gets its own.
func (a *App) identity() {
	a.tokens = newServiceTokens(a)
	a.Revoked = auth.NewRevocations()
	a.Revoked.Observe(a.Metrics)
	jwks := auth.NewJWKS(a.Base.Addresses[catalog.Auth][0] + "/.well-known/jwks.json")
	a.Go("jwks", jwks.Run)
	a.VerifyWith(jwks)
}

// VerifyWith makes the service verify tokens with other keys than those that
// auth-service publishes. Only auth-service calls it: it has them itself.
func (a *App) VerifyWith(keys auth.Keys) {
	a.keys = keys
	a.Verifier = auth.NewVerifier(a.Base.Issuer, keys, a.Revoked.Revoked)
	options := httpx.Options{
		Service: a.Name, Title: a.Declared.Title, Log: a.Log, Verifier: a.Verifier, Metrics: a.http, Tracer: a.Tracer,
		Refusals: a.Refusals,
	}
	if a.API == nil {
		a.API = httpx.New(a.Router, options)
		a.probes()
		return
	}
	a.API.Verifier = a.Verifier
}

// probes serves the endpoints that Prometheus and the orchestrator ask for.
func (a *App) probes() {
	a.Router.GET("/health", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok", "service": a.Name}) })
	a.Router.GET("/ready", func(c *gin.Context) {
		report, failed := a.Health.Report(c.Request.Context())
		for name, err := range failed {
			a.Log.Warn("not ready", zap.String("check", name), zap.Error(err))
		}
		c.JSON(report.Code(), report)
	})
	a.Router.GET("/metrics", gin.WrapH(metrics.Handler(a.Metrics)))
}

// Postgres opens the service's database and brings it to the newest schema. The
// events that the service emits are published from then on, and Idempotency-Keys
// are honoured. A service has one database: a second call returns the same pool.
func (a *App) Postgres(ctx context.Context, migrations fs.FS) (*pgxpool.Pool, error) {
	if a.pool != nil {
		return a.pool, nil
	}
	url := a.Base.DatabaseFor(a.Declared.Database)
	if url == "" {
		return nil, errors.New("DATABASE_URL is not set")
	}
	pool, err := postgres.Open(ctx, url, postgres.Options{AppName: a.Name, MaxConns: int32(a.Base.DatabaseConns)})
	if err != nil {
		return nil, fmt.Errorf("open the database (DATABASE_URL): %w", err)
	}
	a.OnClose("postgres", func(context.Context) error { pool.Close(); return nil })
	if err := postgres.CheckRole(ctx, pool); err != nil {
		return nil, fmt.Errorf("the role of the database (DATABASE_URL): %w", err)
	}
	if err := migrate.Up(ctx, pool, a.Name, migrations); err != nil {
		return nil, err
	}
	a.pool = pool
	metrics.Pool(a.Metrics, pool)
	a.Health.Check("postgres", pool.Ping)
	return pool, a.publish(ctx)
}

// publish starts what a database brings with it.
func (a *App) publish(ctx context.Context) error {
	rdb, err := a.Redis(ctx)
	if err != nil {
		return err
	}
	box, err := a.Seal()
	if err != nil {
		return err
	}
	relay := events.NewRelay(a.pool, rdb, events.RelayOptions{Log: a.Log, Metrics: a.Metrics})
	a.Go("outbox relay", relay.Run)
	store := idempotency.New(a.pool, box)
	a.API.Remember(store)
	a.Go("idempotency sweeper", store.Run)
	return nil
}

// Redis opens the service's connection to Redis, once. A Redis that is away does
// not keep the service from starting; it is not ready until Redis answers.
func (a *App) Redis(ctx context.Context) (goredis.UniversalClient, error) {
	if a.redis != nil {
		return a.redis, nil
	}
	if a.Base.RedisURL == "" {
		return nil, errors.New("REDIS_URL is not set")
	}
	rdb, err := redis.Open(ctx, a.Base.RedisURL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("open redis (REDIS_URL): %w", err)
	}
	a.redis = rdb
	a.HearRevocations(rdb)
	a.TellRefusals(rdb)
	a.OnClose("redis", func(context.Context) error { return rdb.Close() })
	a.Health.Check("redis", func(ctx context.Context) error { return rdb.Ping(ctx).Err() })
	return rdb, nil
}

// HearRevocations makes the service refuse tokens that auth-service has revoked.
// Redis calls it; only a service that opens Redis in a way of its own must.
func (a *App) HearRevocations(rdb goredis.UniversalClient) {
	a.Go("revocations", func(ctx context.Context) error { return a.Revoked.Run(ctx, rdb) })
}

// TellRefusals publishes the requests that the service refuses. Redis calls it; only a
// service that opens Redis in a way of its own must.
func (a *App) TellRefusals(rdb goredis.UniversalClient) {
	a.Go("refusals", func(ctx context.Context) error { return a.Refusals.Run(ctx, rdb) })
}

// Seal is the box of secrets at rest, under SEAL_KEYS.
func (a *App) Seal() (*seal.Box, error) {
	if a.box != nil {
		return a.box, nil
	}
	box, err := seal.New(a.Base.SealKeys.Reveal())
	if err != nil {
		return nil, fmt.Errorf("SEAL_KEYS: %w", err)
	}
	a.box = box
	return box, nil
}

// Consumer is the service's consumer of events. The database must be open.
func (a *App) Consumer(ctx context.Context) (*events.Consumer, error) {
	if a.consumer != nil {
		return a.consumer, nil
	}
	rdb, err := a.Redis(ctx)
	if err != nil {
		return nil, err
	}
	a.consumer = events.NewConsumer(a.Name, a.pool, rdb, events.ConsumerOptions{Log: a.Log, Metrics: a.Metrics})
	a.Go("consumer", a.consumer.Run)
	return a.consumer, nil
}

// Jobs starts the service's job queue. The database must be open.
func (a *App) Jobs(workers *river.Workers, periodic ...*river.PeriodicJob) (*jobs.Client, error) {
	client, err := jobs.New(a.pool, a.Log, jobs.Options{
		Workers: workers, Periodic: periodic, Metrics: a.Metrics, StopTimeout: a.stopLimit * 3 / 4,
	})
	if err != nil {
		return nil, err
	}
	a.Go("jobs", client.Run)
	return client, nil
}

// Go runs a loop for as long as the service lives. Its context ends when the
// service stops. An error, other than the context's, stops the service.
func (a *App) Go(name string, run func(ctx context.Context) error) {
	a.workers = append(a.workers, worker{name, run})
}

// OnClose has close called when the service has stopped, after everything that
// was opened later.
func (a *App) OnClose(name string, close func(context.Context) error) {
	a.closers = append(a.closers, closer{name, close})
}

// Client calls another service.
func (a *App) Client(callee api.Service) *rpc.Client {
	return rpc.New(rpc.Options{
		Callee: callee.Name, Addresses: a.Base.Addresses[callee.Name], Token: a.tokens.Token,
		Propagator: a.Tracer.Propagator, Metrics: a.rpc,
	})
}

// close undoes what was opened, last first.
func (a *App) close(ctx context.Context) error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		if err := a.closers[i].close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", a.closers[i].name, err))
		}
	}
	return errors.Join(errs...)
}
