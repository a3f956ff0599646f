package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/pyairtable/pyairtable/pkg/postgres"
)

type metrics struct {
	finished *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	waited   *prometheus.HistogramVec
	jobs     *prometheus.GaugeVec
}

// Kinds and queues are names in our code, so the labels are bounded.
func newMetrics(r prometheus.Registerer) metrics {
	buckets := []float64{.003, .01, .03, .1, .3, 1, 3, 10, 30, 100, 300}
	return metrics{
		finished: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jobs_finished_total",
			Help: "Runs of jobs by outcome: completed, failed (and retried), discarded, cancelled, snoozed, interrupted."}, []string{"kind", "outcome"})),
		seconds: register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "jobs_run_seconds",
			Help: "Duration of a run.", Buckets: buckets}, []string{"kind"})),
		waited: register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "jobs_wait_seconds",
			Help: "How long a job that was due waited for a worker.", Buckets: buckets}, []string{"kind"})),
		jobs: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "jobs_unfinished",
			Help: "Jobs in the queue by state."}, []string{"queue", "state"})),
	}
}

func (m metrics) observe(e *river.Event) {
	outcome := "completed"
	switch e.Kind {
	case river.EventKindJobFailed:
		outcome = "failed"
		if e.Job.State == rivertype.JobStateDiscarded {
			outcome = "discarded"
		}
	case river.EventKindJobCancelled:
		outcome = "cancelled"
	case river.EventKindJobSnoozed:
		outcome = "snoozed"
	case river.EventKindJobInterrupted:
		outcome = "interrupted"
	}
	m.finished.WithLabelValues(e.Job.Kind, outcome).Inc()
	if e.JobStats != nil {
		m.seconds.WithLabelValues(e.Job.Kind).Observe(e.JobStats.RunDuration.Seconds())
		m.waited.WithLabelValues(e.Job.Kind).Observe(e.JobStats.QueueWaitDuration.Seconds())
	}
}

// depth counts the jobs that are not finished, in all tenants.
func (m metrics) depth(ctx context.Context, q postgres.Querier) error {
	rows, err := q.Query(ctx, `SELECT queue, state::text, count(*)::float8 FROM river_job
		WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled') GROUP BY queue, state`)
	if err != nil {
		return fmt.Errorf("count jobs: %w", err)
	}
	m.jobs.Reset() // a state without jobs has no row
	var queue, state string
	var n float64
	_, err = pgx.ForEachRow(rows, []any{&queue, &state, &n}, func() error {
		m.jobs.WithLabelValues(queue, state).Set(n)
		return nil
	})
	if err != nil {
		return fmt.Errorf("count jobs: %w", err)
	}
	return nil
}

// register returns c, or the equal collector that is registered already: a
// service may have a client that inserts and one that works.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	var twice prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &twice) {
		if old, ok := twice.ExistingCollector.(C); ok {
			return old
		}
	} else if err != nil {
		panic(err) // a name taken by another kind of metric: a programming error
	}
	return c
}
