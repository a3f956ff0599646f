package services

import (
	"context"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/policy"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// History tells how records of local bases became what they are.
type History struct {
	connections *Connections
	store       *local.Store
	guard       *policy.Guard
}

// NewHistory returns the history of store's records, as far as guard lets callers see it.
func NewHistory(c *Connections, store *local.Store, guard *policy.Guard) *History {
	return &History{c, store, guard}
}

// Of returns up to limit changes of a record; see local.Store.History. A base of an
// Airtable account is airtableapi.ErrHistoryElsewhere.
func (s *History) Of(ctx context.Context, who auth.Principal, of local.HistoryOf, before int64, limit int) ([]repository.Revision, error) {
	if err := s.connections.mustBeLocal(ctx, who, string(of.Base), airtableapi.ErrHistoryElsewhere); err != nil {
		return nil, err
	}
	door := policy.Door{Upstream: s.store, Local: true}
	sight, err := s.guard.Look(ctx, who, door, permissionapi.Read, string(of.Base), of.Table)
	if err != nil {
		return nil, err
	}
	if sight == nil {
		return s.store.History(ctx, who.TenantID, of, before, limit)
	}
	if err := sight.NameHistory(ctx, door, callerOf(who), &of); err != nil {
		return nil, err
	}
	revisions, err := s.store.History(ctx, who.TenantID, of, before, limit)
	if err != nil {
		return nil, err
	}
	return sight.Revisions(ctx, door, callerOf(who), of, revisions)
}

// PruneHistory is the job that forgets changes that are too old.
type PruneHistory struct{}

// Kind implements river.JobArgs.
func (PruneHistory) Kind() string { return "prune_record_history" }

// PruneHistoryPeriodically is when, by one replica at a time.
func PruneHistoryPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(24*time.Hour),
		func() (river.JobArgs, *river.InsertOpts) { return PruneHistory{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// PruneHistoryWorker works PruneHistory.
type PruneHistoryWorker struct {
	river.WorkerDefaults[PruneHistory]
	Store *repository.Store
	Keep  time.Duration // 0: for ever
	Now   func() time.Time
}

// Timeout implements river.Worker: the first run after the time was shortened may
// have much to do.
func (*PruneHistoryWorker) Timeout(*river.Job[PruneHistory]) time.Duration { return time.Hour }

// Work implements river.Worker.
func (w *PruneHistoryWorker) Work(ctx context.Context, _ *river.Job[PruneHistory]) error {
	if w.Keep == 0 {
		return nil
	}
	gone, err := w.Store.PruneHistory(ctx, w.Now().Add(-w.Keep))
	if gone > 0 {
		logging.From(ctx).Info("old history of records is forgotten", zap.Int64("changes", gone))
	}
	return err
}
