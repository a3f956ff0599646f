package services

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Snapshots takes snapshots of local bases, keeps and restores them. Who may have that
// done is the caller's to know: another service.
type Snapshots struct {
	connections *Connections
	store       *local.Snapshots
	repo        *repository.Snapshots
	now         func() time.Time
}

// NewSnapshots returns the snapshots in repo, of the bases of store.
func NewSnapshots(c *Connections, store *local.Snapshots, repo *repository.Snapshots, now func() time.Time) *Snapshots {
	return &Snapshots{c, store, repo, func() time.Time { return now().UTC().Truncate(time.Microsecond) }}
}

// Take begins a snapshot of n's base, or keeps content as one. The same request again
// finds the first one's; another one by the same id is airtableapi.ErrIDTaken.
func (s *Snapshots) Take(ctx context.Context, n models.BaseSnapshot, content string) (models.BaseSnapshot, error) {
	n.CreatedAt, n.Status = s.now(), airtableapi.SnapshotTaking
	known, err := s.repo.Snapshot(ctx, n.Tenant, n.ID)
	if err == nil {
		return same(known, n)
	}
	if !errors.Is(err, errs.ErrNotFound) {
		return known, err
	}
	var job river.JobArgs
	if content != "" {
		if n, err = s.store.Bring(ctx, n, content); err != nil {
			return n, err
		}
	} else {
		if err := s.mustBeLocal(ctx, n.Tenant, n.Base); err != nil {
			return n, err
		}
		job = TakeSnapshot{n.Tenant, n.ID}
	}
	made, err := s.repo.CreateSnapshot(ctx, n, job)
	if err != nil {
		return made, err
	}
	return same(made, n)
}

func same(known, n models.BaseSnapshot) (models.BaseSnapshot, error) {
	if known.Base != n.Base || known.Comments != n.Comments || known.SkipRecords != n.SkipRecords {
		return known, airtableapi.ErrIDTaken
	}
	return known, nil
}

func (s *Snapshots) mustBeLocal(ctx context.Context, tenant id.TenantID, base models.BaseID) error {
	c, _, err := s.connections.OfBase(ctx, tenant, string(base))
	if err == nil && c.Kind != models.LocalConnection {
		err = airtableapi.ErrNotLocal
	}
	return err
}

// Snapshot returns a snapshot of the tenant.
func (s *Snapshots) Snapshot(ctx context.Context, tenant id.TenantID, key models.SnapshotID) (models.BaseSnapshot, error) {
	out, err := s.repo.Snapshot(ctx, tenant, key)
	return out, absent(err, airtableapi.ErrSnapshotNotFound)
}

// Delete removes a snapshot.
func (s *Snapshots) Delete(ctx context.Context, tenant id.TenantID, key models.SnapshotID) error {
	err := s.repo.DeleteSnapshot(ctx, tenant, key)
	if errors.Is(err, repository.ErrInUse) {
		return airtableapi.ErrSnapshotInUse
	}
	return absent(err, airtableapi.ErrSnapshotNotFound)
}

// absent says what exactly is not there.
func absent(err error, what *errs.Error) error {
	if errors.Is(err, errs.ErrNotFound) {
		return what
	}
	return err
}

// Restore begins a restore; what cannot be is refused here, as far as it can be known
// before the work is done.
func (s *Snapshots) Restore(ctx context.Context, n models.BaseRestore) (models.BaseRestore, error) {
	n.CreatedAt = s.now()
	switch n.Kind {
	case airtableapi.CopyBase:
		n.Source = n.Base
		if err := s.mustBeLocal(ctx, n.Tenant, n.Source); err != nil {
			return n, err
		}
		if err := n.Snapshot.UnmarshalText([]byte(n.ID.String())); err != nil { // the copy's own, by the same id
			return n, err
		}
		n.Base = newBaseOf(n.ID)
	case airtableapi.RestoreBase:
		n.Base = newBaseOf(n.ID)
	default:
		snap, err := s.Snapshot(ctx, n.Tenant, n.Snapshot)
		if err != nil {
			return n, err
		}
		if n.Base = snap.Base; n.Base == "" {
			return n, airtableapi.ErrBaseNotFound
		}
		if err := s.mustBeLocal(ctx, n.Tenant, n.Base); err != nil {
			return n, err
		}
	}
	if err := s.holdBase(ctx, n); err != nil {
		return n, err
	}
	made, err := s.repo.CreateRestore(ctx, n, RestoreSnapshot{n.Tenant, n.ID}, func(snap models.BaseSnapshot) error { return restorable(snap, n) })
	if err != nil {
		return made, absent(err, airtableapi.ErrSnapshotNotFound)
	}
	if made.Kind != n.Kind || made.Snapshot != n.Snapshot || made.Base != n.Base || made.Table != n.Table || made.Record != n.Record || made.Fresh != n.Fresh {
		return made, airtableapi.ErrIDTaken
	}
	return made, nil
}

// holdBase refuses a base that the tenant's plan does not allow. What is set aside for it is
// the job's from now on; without one it is given back by itself.
func (s *Snapshots) holdBase(ctx context.Context, n models.BaseRestore) error {
	if n.Kind != airtableapi.CopyBase && n.Kind != airtableapi.RestoreBase {
		return nil
	}
	_, err := s.repo.Restore(ctx, n.Tenant, n.ID)
	if errors.Is(err, errs.ErrNotFound) { // else it was asked for before
		_, err = s.store.HoldBase(ctx, n)
	}
	return err
}

// newBaseOf is the id of the base that a restore makes: known from the beginning.
func newBaseOf(r models.RestoreID) models.BaseID {
	return models.BaseID(models.DerivedID("app", r.String()))
}

func restorable(snap models.BaseSnapshot, n models.BaseRestore) error {
	if snap.Status != airtableapi.SnapshotReady {
		return airtableapi.ErrSnapshotNotReady
	}
	if n.Kind == airtableapi.RestoreBase {
		return nil
	}
	if _, found := snap.Table(n.Table); !found {
		return airtableapi.ErrNotInSnapshot
	}
	return nil
}

// Connection is the connection that the tenant's local bases are reached through.
func (s *Snapshots) Connection(ctx context.Context, tenant id.TenantID) (models.ConnectionID, error) {
	c, err := s.connections.Local(ctx, tenant)
	return c.ID, err
}

// Restored returns a restore of the tenant.
func (s *Snapshots) Restored(ctx context.Context, tenant id.TenantID, key models.RestoreID) (models.BaseRestore, error) {
	out, err := s.repo.Restore(ctx, tenant, key)
	return out, absent(err, airtableapi.ErrRestoreNotFound)
}

const (
	// longWork bounds one run of the jobs: a million records take minutes.
	longWork = 2 * time.Hour
	// workTries is how often they are run.
	workTries = 6
)

// TakeSnapshot is the job that takes a snapshot.
type TakeSnapshot struct {
	Tenant   id.TenantID       `json:"tenant"`
	Snapshot models.SnapshotID `json:"snapshot"`
}

// Kind implements river.JobArgs.
func (TakeSnapshot) Kind() string { return "take_snapshot" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (TakeSnapshot) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: workTries} }

// TakeSnapshotWorker works TakeSnapshot.
type TakeSnapshotWorker struct {
	river.WorkerDefaults[TakeSnapshot]
	Snapshots *Snapshots
}

// Timeout implements river.Worker.
func (*TakeSnapshotWorker) Timeout(*river.Job[TakeSnapshot]) time.Duration { return longWork }

// Work implements river.Worker.
func (w *TakeSnapshotWorker) Work(ctx context.Context, j *river.Job[TakeSnapshot]) error {
	s := w.Snapshots
	err := s.store.Take(ctx, j.Args.Tenant, j.Args.Snapshot)
	if !final(err, j.Attempt >= j.MaxAttempts) {
		return err
	}
	logging.From(ctx).Warn("a snapshot cannot be taken", zap.Error(err))
	return s.repo.FailSnapshot(ctx, j.Args.Tenant, j.Args.Snapshot, faultOf(err))
}

// final reports whether err is not worth another try, or the last one's.
func final(err error, last bool) bool {
	if err == nil {
		return false
	}
	switch errs.From(err).Kind {
	case errs.Internal, errs.Unavailable:
		return last
	}
	return true
}

func faultOf(err error) models.Fault {
	e := errs.From(err)
	return models.Fault{Code: e.Code, Text: e.Message}
}

// RestoreSnapshot is the job that restores a snapshot, or copies a base.
type RestoreSnapshot struct {
	Tenant  id.TenantID      `json:"tenant"`
	Restore models.RestoreID `json:"restore"`
}

// Kind implements river.JobArgs.
func (RestoreSnapshot) Kind() string { return "restore_snapshot" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (RestoreSnapshot) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: workTries} }

// RestoreSnapshotWorker works RestoreSnapshot.
type RestoreSnapshotWorker struct {
	river.WorkerDefaults[RestoreSnapshot]
	Snapshots *Snapshots
}

// Timeout implements river.Worker.
func (*RestoreSnapshotWorker) Timeout(*river.Job[RestoreSnapshot]) time.Duration { return longWork }

// Work implements river.Worker.
func (w *RestoreSnapshotWorker) Work(ctx context.Context, j *river.Job[RestoreSnapshot]) error {
	s := w.Snapshots
	conn, err := s.connections.Local(ctx, j.Args.Tenant)
	if err != nil {
		return err
	}
	r, err := s.store.Restore(ctx, j.Args.Tenant, j.Args.Restore, conn.WorkspaceID())
	if final(err, j.Attempt >= j.MaxAttempts) {
		logging.From(ctx).Warn("a snapshot cannot be restored", zap.Error(err))
		return s.store.Fail(ctx, r, faultOf(err))
	}
	if err != nil || r.Status != airtableapi.RestoreDone || r.Kind != airtableapi.RestoreBase && r.Kind != airtableapi.CopyBase {
		return err
	}
	return s.connections.repo.AddBase(ctx, conn, models.OfferedBase{
		Connection: conn.ID, ID: string(r.Base), Name: r.Name, PermissionLevel: "create",
	})
}

// EndLost ends as failed what no job works on any more: that of a job which was killed at
// its last try. live reports whether a job is yet to end.
func (s *Snapshots) EndLost(ctx context.Context, live func(context.Context, river.JobArgs) (bool, error)) error {
	list, err := s.repo.Unended(ctx, mostLost)
	if err != nil {
		return err
	}
	for _, u := range list {
		var job river.JobArgs = TakeSnapshot{u.Tenant, u.Snapshot}
		if !u.Restore.IsZero() {
			job = RestoreSnapshot{u.Tenant, u.Restore}
		}
		alive, err := live(ctx, job)
		if err == nil && !alive {
			err = s.endLost(ctx, u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mostLost bounds what one sweep looks at; the others follow when these have ended.
const mostLost = 1_000

// endLost does nothing to what has ended since it was listed.
func (s *Snapshots) endLost(ctx context.Context, u repository.Unended) error {
	logging.From(ctx).Warn("a snapshot or restore was lost with its job", zap.Stringer("tenant", u.Tenant),
		zap.Stringer("snapshot", u.Snapshot), zap.Stringer("restore", u.Restore))
	why := faultOf(airtableapi.ErrWorkLost)
	if u.Restore.IsZero() {
		return s.repo.FailSnapshot(ctx, u.Tenant, u.Snapshot, why)
	}
	r, err := s.repo.Restore(ctx, u.Tenant, u.Restore)
	if errors.Is(err, errs.ErrNotFound) || err == nil && r.Status != airtableapi.RestoreRunning {
		return nil
	}
	if err != nil {
		return err
	}
	return s.store.Fail(ctx, r, why)
}

// EndLostWork is the job that ends what was lost.
type EndLostWork struct{}

// Kind implements river.JobArgs.
func (EndLostWork) Kind() string { return "end_lost_snapshots" }

// EndLostWorkPeriodically is when, by one replica at a time.
func EndLostWorkPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(5*time.Minute),
		func() (river.JobArgs, *river.InsertOpts) { return EndLostWork{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// EndLostWorker works EndLostWork.
type EndLostWorker struct {
	river.WorkerDefaults[EndLostWork]
	Snapshots *Snapshots
	Live      func(context.Context, river.JobArgs) (bool, error)
}

// Work implements river.Worker.
func (w *EndLostWorker) Work(ctx context.Context, _ *river.Job[EndLostWork]) error {
	return w.Snapshots.EndLost(ctx, w.Live)
}
