package services

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// Sweep is the job that purges the trash and forgets the oldest of the feed.
type Sweep struct{}

// Kind implements river.JobArgs.
func (Sweep) Kind() string { return "sweep_workspaces" }

// SweepEvery is when, by one replica at a time.
func SweepEvery(interval time.Duration) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(interval),
		func() (river.JobArgs, *river.InsertOpts) { return Sweep{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// SweepWorker works Sweep.
type SweepWorker struct {
	river.WorkerDefaults[Sweep]
	Repo  *repository.Repository
	Trash time.Duration // how long it is kept
	Feed  time.Duration // how far it reaches back
	Now   func() time.Time
}

// Timeout implements river.Worker: the first run after the time was shortened may have
// much to do.
func (*SweepWorker) Timeout(*river.Job[Sweep]) time.Duration { return time.Hour }

// Work implements river.Worker. What cannot be purged keeps nothing else from it.
func (w *SweepWorker) Work(ctx context.Context, _ *river.Job[Sweep]) error {
	return errors.Join(w.purge(ctx), w.forget(ctx))
}

func (w *SweepWorker) purge(ctx context.Context) error {
	before := w.Now().Add(-w.Trash)
	for {
		due, err := w.Repo.Due(ctx, before, scan)
		if err != nil || len(due) == 0 {
			return err
		}
		var failed []error
		for _, d := range due {
			if err := w.Repo.Purge(ctx, d, before); err != nil {
				failed = append(failed, fmt.Errorf("purge %s %s: %w", d.Kind, d.ID, err))
			}
		}
		if len(failed) > 0 {
			return errors.Join(failed...)
		}
	}
}

func (w *SweepWorker) forget(ctx context.Context) error {
	const batch = 5_000
	for {
		gone, err := w.Repo.ForgetActivities(ctx, w.Now().Add(-w.Feed), batch)
		if err != nil || gone < batch {
			return err
		}
	}
}
