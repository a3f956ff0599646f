package files

import (
	"context"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Collect is the job that removes what nothing refers to any more.
type Collect struct{}

// Kind implements river.JobArgs.
func (Collect) Kind() string { return "collect_files" }

// CollectPeriodically is when, by one replica at a time.
func CollectPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
		func() (river.JobArgs, *river.InsertOpts) { return Collect{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// CollectWorker works Collect.
type CollectWorker struct {
	river.WorkerDefaults[Collect]
	Keeper *Keeper
}

// Timeout implements river.Worker.
func (*CollectWorker) Timeout(*river.Job[Collect]) time.Duration { return 30 * time.Minute }

// Work implements river.Worker.
func (w *CollectWorker) Work(ctx context.Context, _ *river.Job[Collect]) error {
	n, err := w.Keeper.blobs.Collect(ctx)
	if n > 0 {
		logging.From(ctx).Info("unused files removed", zap.Int("count", n))
	}
	return err
}

// Erase removes all files of a tenant, which nothing refers to any more, and returns how
// many.
func (k *Keeper) Erase(ctx context.Context, tenant id.TenantID) (int64, error) {
	return k.blobs.EraseAll(ctx, tenant)
}
