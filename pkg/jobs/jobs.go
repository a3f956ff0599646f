// Package jobs runs what a service has to do later: durable River jobs in the
// service's own database, inserted in the transaction that makes them necessary,
// and worked by any replica.
//
// A job runs at least once: a worker must bear to be run again. What has to be
// unique says so in the InsertOpts method of its arguments.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"
)

// Options say what a client works on.
type Options struct {
	Workers     *river.Workers               // nil: the client only inserts
	Periodic    []*river.PeriodicJob         // run by one replica at a time
	Queues      map[string]river.QueueConfig // nil: the default queue with 10 workers
	StopTimeout time.Duration                // how long Run lets running jobs finish before it cancels them; 0 = 20 s
	Metrics     prometheus.Registerer
}

const (
	defaultWorkers     = 10
	defaultStopTimeout = 20 * time.Second
	// fetchCooldown bounds throughput to workers/cooldown; River's own 100 ms
	// costs latency and saves nothing at our size.
	fetchCooldown = 2 * time.Millisecond
	// pollInterval is for the notification that got lost.
	pollInterval = 2 * time.Second
	// jobTimeout is for workers that name none.
	jobTimeout = 5 * time.Minute
	depthEvery = 15 * time.Second
)

// Client inserts jobs and works them.
type Client struct {
	*river.Client[pgx.Tx]
	pool *pgxpool.Pool
	log  *zap.Logger
	m    metrics
	work bool
}

// New returns a client on the service's pool. It works nothing before Run.
func New(pool *pgxpool.Pool, log *zap.Logger, o Options) (*Client, error) {
	if log == nil {
		log = zap.NewNop()
	}
	log = log.Named("jobs")
	cfg := &river.Config{
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: pollInterval,
		JobTimeout:        jobTimeout,
		SoftStopTimeout:   defaultStopTimeout,
		Logger:            slog.New(newSlogHandler(log)),
	}
	if o.StopTimeout > 0 {
		cfg.SoftStopTimeout = o.StopTimeout
	}
	if o.Workers != nil {
		cfg.Workers, cfg.PeriodicJobs, cfg.Queues = o.Workers, o.Periodic, o.Queues
		if cfg.Queues == nil {
			cfg.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: defaultWorkers}}
		}
	}
	c, err := river.NewClient(riverpgxv5.New(pool), cfg)
	if err != nil {
		return nil, fmt.Errorf("make job client: %w", err)
	}
	return &Client{Client: c, pool: pool, log: log, m: newMetrics(o.Metrics), work: o.Workers != nil}, nil
}

// Insert adds a job in the caller's transaction: it exists if that commits. Queue,
// priority, uniqueness and time come from the InsertOpts method of args; a job
// that is unique and exists already is not added, which is no error. It hides
// the method of the embedded client that inserts without a transaction.
func (c *Client) Insert(ctx context.Context, tx pgx.Tx, args river.JobArgs) error {
	return c.InsertWith(ctx, tx, args, nil)
}

// InsertWith is Insert with options that are known only now, such as the time at
// which the job is due. They win over those of args.
func (c *Client) InsertWith(ctx context.Context, tx pgx.Tx, args river.JobArgs, o *river.InsertOpts) error {
	if _, err := c.InsertTx(ctx, tx, args, o); err != nil {
		return fmt.Errorf("insert job %s: %w", args.Kind(), err)
	}
	return nil
}

// Live reports whether a job of the kind with these arguments, or more, is yet to end.
func (c *Client) Live(ctx context.Context, args river.JobArgs) (live bool, err error) {
	given, err := json.Marshal(args)
	if err == nil {
		err = c.pool.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM river_job WHERE kind = $1 AND args @> $2::jsonb AND finalized_at IS NULL)`, args.Kind(), given).Scan(&live)
	}
	if err != nil {
		return false, fmt.Errorf("look for job %s: %w", args.Kind(), err)
	}
	return live, nil
}

// Run works until ctx ends, lets the running jobs finish, and returns nil. Jobs
// that outlast the stop timeout are cancelled and run again later.
func (c *Client) Run(ctx context.Context) error {
	if !c.work {
		<-ctx.Done()
		return nil
	}
	done, unsubscribe := c.Subscribe(river.EventKindJobCompleted, river.EventKindJobFailed,
		river.EventKindJobCancelled, river.EventKindJobSnoozed, river.EventKindJobInterrupted)
	var watchers sync.WaitGroup
	watchers.Go(func() {
		for e := range done {
			c.m.observe(e)
			c.report(e)
		}
	})
	mctx, cancel := context.WithCancel(ctx)
	watchers.Go(func() { c.measure(mctx) })
	defer watchers.Wait()
	defer unsubscribe()
	defer cancel()

	// Not ctx: its end must stop the fetching, not the jobs.
	work := context.WithoutCancel(ctx)
	if err := c.Start(work); err != nil {
		return fmt.Errorf("start job client: %w", err)
	}
	select {
	case <-ctx.Done():
	case <-c.Stopped():
		return errors.New("job client stopped by itself")
	}
	if err := c.Stop(work); err != nil {
		return fmt.Errorf("stop job client: %w", err)
	}
	return nil
}

// report logs a failed run. Only a job that is given up needs a person.
func (c *Client) report(e *river.Event) {
	if e.Kind != river.EventKindJobFailed {
		return
	}
	log := c.log.With(zap.String("kind", e.Job.Kind), zap.Int64("job", e.Job.ID), zap.Int("attempt", e.Job.Attempt))
	if n := len(e.Job.Errors); n > 0 {
		log = log.With(zap.String("error", e.Job.Errors[n-1].Error))
	}
	if e.Job.State == rivertype.JobStateDiscarded {
		log.Error("job is given up")
		return
	}
	log.Warn("job failed and is retried")
}

// measure reports the depth of the queues.
func (c *Client) measure(ctx context.Context) {
	for {
		if err := c.m.depth(ctx, c.pool); err != nil && ctx.Err() == nil {
			c.log.Warn("queues were not measured", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(depthEvery):
		}
	}
}
