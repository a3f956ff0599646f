package services

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/cache"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/watch"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

const (
	// erasedAtOnce bounds the rows that one transaction of an erasure deletes.
	erasedAtOnce = 2_000
	// erasedAgain is when a tenant is looked at once more: after the longest job that may
	// have been under way for it.
	erasedAgain = longWork + time.Hour
)

// Erasures erase what tenants had that were deleted: rows, files, cached answers, and the
// webhooks at Airtable. Each step is a small transaction of its own and looks for what is
// there, so that an erasure which was interrupted goes on where it was.
type Erasures struct {
	Repo  *repository.Erasures
	Files *files.Keeper
	Cache *cache.Cache
	Watch *watch.Watcher
}

// Erase erases all that the tenant has.
func (s *Erasures) Erase(ctx context.Context, tenant id.TenantID) error {
	total := int64(0)
	for {
		n, err := s.pass(ctx, tenant)
		if err != nil {
			return err
		}
		if total += n; n == 0 {
			break
		}
	}
	if total > 0 {
		logging.From(ctx).Info("a tenant was erased", zap.Stringer("tenant", tenant), zap.Int64("rows", total))
	}
	return s.Repo.Emptied(ctx, tenant)
}

// pass erases what it finds, and returns how many rows that were.
func (s *Erasures) pass(ctx context.Context, tenant id.TenantID) (int64, error) {
	total := int64(0)
	for _, step := range []func(context.Context, id.TenantID) (int64, error){
		s.connections, rowsOf(s.Repo, repository.BeforeBlobs), s.Files.Erase, rowsOf(s.Repo, repository.AfterBlobs),
	} {
		n, err := step(ctx, tenant)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// connections erases the connections first: nothing is reached without them.
func (s *Erasures) connections(ctx context.Context, tenant id.TenantID) (int64, error) {
	accounts, err := s.Repo.Accounts(ctx, tenant)
	if err != nil {
		return 0, err
	}
	for _, a := range accounts {
		if a.Kind == models.LocalConnection {
			continue
		}
		for _, base := range append(a.Bases, "") {
			if err := s.Cache.Forget(ctx, a.Connection, base); err != nil {
				return 0, err
			}
		}
	}
	n, err := rowsOf(s.Repo, repository.OfConnections)(ctx, tenant)
	if err != nil {
		return n, err
	}
	for _, a := range accounts {
		err := s.Repo.EraseConnection(ctx, a.Connection, func(tx pgx.Tx, c models.Connection) error { return s.Watch.Leave(ctx, tx, c) })
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func rowsOf(repo *repository.Erasures, tables []string) func(context.Context, id.TenantID) (int64, error) {
	return func(ctx context.Context, tenant id.TenantID) (int64, error) {
		total := int64(0)
		for _, table := range tables {
			for {
				n, err := repo.EraseRows(ctx, tenant, table, erasedAtOnce)
				if err != nil {
					return total, err
				}
				if total += n; n == 0 {
					break
				}
			}
		}
		return total, nil
	}
}

// EraseTenant is the job that erases what a deleted tenant has.
type EraseTenant struct {
	Tenant id.TenantID `json:"tenant"`
}

// NewEraseTenant is the job for the tenant.
func NewEraseTenant(tenant id.TenantID) river.JobArgs { return EraseTenant{tenant} }

// Kind implements river.JobArgs.
func (EraseTenant) Kind() string { return "erase_tenant" }

// InsertOpts implements river.JobArgsWithInsertOpts: one job a tenant at a time. One that
// was given up is added again by EraseTenants.
func (EraseTenant) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 12, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
	}}}
}

// EraseTenantWorker works EraseTenant.
type EraseTenantWorker struct {
	river.WorkerDefaults[EraseTenant]
	Erasures *Erasures
}

// Timeout implements river.Worker.
func (*EraseTenantWorker) Timeout(*river.Job[EraseTenant]) time.Duration { return longWork }

// Work implements river.Worker.
func (w *EraseTenantWorker) Work(ctx context.Context, j *river.Job[EraseTenant]) error {
	return w.Erasures.Erase(ctx, j.Args.Tenant)
}

// EraseTenants is the job that has erasures finished.
type EraseTenants struct{}

// Kind implements river.JobArgs.
func (EraseTenants) Kind() string { return "erase_tenants" }

// EraseTenantsPeriodically is when, by one replica at a time.
func EraseTenantsPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
		func() (river.JobArgs, *river.InsertOpts) { return EraseTenants{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// EraseTenantsWorker works EraseTenants.
type EraseTenantsWorker struct {
	river.WorkerDefaults[EraseTenants]
	Repo *repository.Erasures
}

// Work implements river.Worker.
func (w *EraseTenantsWorker) Work(ctx context.Context, _ *river.Job[EraseTenants]) error {
	return w.Repo.EnqueueUnfinished(ctx, erasedAgain)
}
