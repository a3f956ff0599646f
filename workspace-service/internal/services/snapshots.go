package services

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/setting"
	"github.com/pyairtable/pyairtable/workspace-service/internal/gallery"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// Insert adds a job in a transaction.
type Insert func(ctx context.Context, tx pgx.Tx, args river.JobArgs) error

// Snapshots has airtable-gateway take and restore snapshots, as callers and schedules ask.
type Snapshots struct {
	repo    *repository.Snapshots
	tree    *Tree
	insert  Insert
	gallery *gallery.Gallery
	made    *prometheus.CounterVec // bases of templates
}

// NewSnapshots returns the service on the repository; insert adds its jobs, and g has the
// templates that come with the product.
func NewSnapshots(repo *repository.Snapshots, tree *Tree, g *gallery.Gallery, metrics prometheus.Registerer, insert Insert) *Snapshots {
	return &Snapshots{repo, tree, insert, g, countMade(metrics, g)}
}

// mayCopy refuses whoever may not create in the base. All of a base goes into a snapshot,
// and what policies hide in a base they do not hide in its copies: from whom they hide
// something has to be one who could lift them, an owner or an admin of the tenant. Where
// tables have grants of their own, it takes who may manage the base and read all of them.
func (s *Snapshots) mayCopy(ctx context.Context, who auth.Principal, ref string) error {
	r := s.tree.rights
	if err := r.Check(ctx, who, permissionapi.Create, base(who.TenantID, ref)); err != nil || r.keeper == nil {
		return err
	}
	policy, err := rpc.Call(ctx, r.api, permissionapi.FetchPolicy, permissionapi.PolicyQuery{
		TenantID: who.TenantID.String(), Subject: permit.Subject(who), BaseID: ref, Role: who.Role,
	})
	if err != nil || len(policy.Tables)+len(policy.Granted) == 0 {
		return err
	}
	takes := base(who.TenantID, ref)
	if len(policy.Tables) > 0 {
		takes = permit.Tenant(who.TenantID)
	}
	if err := r.Check(ctx, who, permissionapi.Manage, takes); err != nil {
		if errors.Is(err, errs.ErrForbidden) || errors.Is(err, errs.ErrNotFound) {
			return workspaceapi.ErrMasked
		}
		return err
	}
	tables := make([]permit.Object, len(policy.Granted))
	for i, t := range policy.Granted {
		tables[i] = permit.Table(who.TenantID, ref, t)
	}
	read, err := r.Filter(ctx, who, permissionapi.Read, tables)
	if err == nil && slices.Contains(read, false) {
		return workspaceapi.ErrMasked
	}
	return err
}

// mayKeep is mayCopy of a base that is there, and not in the trash: whoever owns a tenant
// may do all to whatever he names.
func (s *Snapshots) mayKeep(ctx context.Context, who auth.Principal, ref string) error {
	if err := s.mayCopy(ctx, who, ref); err != nil {
		return err
	}
	if err := s.tree.repo.OutOfTrash(ctx, who.TenantID, ref); err != nil {
		return err
	}
	_, err := rpc.Call(ctx, s.tree.airtable.As(who), airtableapi.FetchBase, airtableapi.BasePath{BaseID: ref})
	if errors.Is(err, airtableapi.ErrBaseNotFound) {
		return workspaceapi.ErrNoBase.Because(err)
	}
	return err
}

// Take has a snapshot of the base taken.
func (s *Snapshots) Take(ctx context.Context, who auth.Principal, ref, label string, comments bool) (models.Snapshot, error) {
	if err := s.mayKeep(ctx, who, ref); err != nil {
		return models.Snapshot{}, err
	}
	n := s.newSnapshot(who.TenantID, ref, who.UserID)
	n.Label, n.Comments = label, comments
	return n, s.repo.CreateSnapshot(ctx, n, s.follow(n))
}

func (s *Snapshots) newSnapshot(tenant id.TenantID, ref string, by id.UserID) models.Snapshot {
	n := models.Snapshot{Tenant: tenant, Base: ref, Status: airtableapi.SnapshotTaking, TakenBy: by, CreatedAt: s.tree.now()}
	_ = n.ID.UnmarshalText([]byte(id.New[id.Event]().String())) // an id is one
	return n
}

func (s *Snapshots) follow(n models.Snapshot) repository.Enqueue {
	return func(ctx context.Context, tx pgx.Tx) error { return s.insert(ctx, tx, FollowSnapshot{n.Tenant, n.ID}) }
}

// Snapshot returns a snapshot of a base that the caller may create in, and its tables as
// far as they are known.
func (s *Snapshots) Snapshot(ctx context.Context, who auth.Principal, key models.SnapshotID) (models.Snapshot, []airtableapi.SnapshotTable, error) {
	n, err := s.mine(ctx, who, key)
	if err != nil || n.Status != airtableapi.SnapshotReady {
		return n, nil, err
	}
	kept, err := rpc.Call(ctx, s.tree.airtable, airtableapi.FetchSnapshot, snapshotRef(n))
	return n, kept.Tables, err
}

func snapshotRef(n models.Snapshot) airtableapi.SnapshotRef {
	return airtableapi.SnapshotRef{ID: n.ID.String(), TenantID: n.Tenant.String()}
}

func (s *Snapshots) mine(ctx context.Context, who auth.Principal, key models.SnapshotID) (models.Snapshot, error) {
	n, err := s.repo.Snapshot(ctx, who.TenantID, key)
	if err != nil {
		return n, err
	}
	return n, unseen(s.tree.rights.Check(ctx, who, permissionapi.Create, base(who.TenantID, n.Base)))
}

// List is a page of the base's snapshots.
func (s *Snapshots) List(ctx context.Context, who auth.Principal, ref string, before models.SnapshotID, limit int) ([]models.Snapshot, error) {
	if err := s.tree.rights.Check(ctx, who, permissionapi.Create, base(who.TenantID, ref)); err != nil {
		return nil, err
	}
	return s.repo.Snapshots(ctx, who.TenantID, ref, before, limit)
}

// Delete removes a snapshot.
func (s *Snapshots) Delete(ctx context.Context, who auth.Principal, key models.SnapshotID) error {
	n, err := s.mine(ctx, who, key)
	if err != nil {
		return err
	}
	return s.drop(ctx, n)
}

// drop has airtable-gateway forget first: who is interrupted here finds the row again.
func (s *Snapshots) drop(ctx context.Context, n models.Snapshot) error {
	_, err := rpc.Call(ctx, s.tree.airtable, airtableapi.DeleteSnapshot, snapshotRef(n))
	if err != nil && !errors.Is(err, airtableapi.ErrSnapshotNotFound) {
		return err
	}
	return s.repo.DeleteSnapshot(ctx, n.Tenant, n.ID)
}

// Restore has something of a snapshot restored. n says what, and where a new base goes.
func (s *Snapshots) Restore(ctx context.Context, who auth.Principal, n models.Restoration) (models.Restoration, error) {
	snap, err := s.mine(ctx, who, n.Snapshot)
	if err != nil {
		return n, err
	}
	if !n.Whole() {
		return n, workspaceapi.ErrRestore
	}
	if snap.Status != airtableapi.SnapshotReady {
		return n, airtableapi.ErrSnapshotNotReady
	}
	n.Source = snap.Base
	return s.begin(ctx, who, n)
}

// Duplicate has a base copied.
func (s *Snapshots) Duplicate(ctx context.Context, who auth.Principal, n models.Restoration) (models.Restoration, error) {
	n.Kind = airtableapi.CopyBase
	if err := s.mayKeep(ctx, who, n.Source); err != nil {
		return n, err
	}
	return s.begin(ctx, who, n)
}

func (s *Snapshots) begin(ctx context.Context, who auth.Principal, n models.Restoration) (models.Restoration, error) {
	if err := s.mayCopy(ctx, who, n.Source); err != nil {
		return n, err
	}
	if err := s.mayPut(ctx, who, n); err != nil {
		return n, err
	}
	n.Tenant, n.RequestedBy, n.Status, n.CreatedAt = who.TenantID, who.UserID, airtableapi.RestoreRunning, s.tree.now()
	if err := n.ID.UnmarshalText([]byte(id.New[id.Event]().String())); err != nil {
		return n, err
	}
	return n, s.repo.CreateRestoration(ctx, n, func(ctx context.Context, tx pgx.Tx) error {
		return s.insert(ctx, tx, FollowRestore{n.Tenant, n.ID})
	})
}

// mayPut refuses a new base where the caller may not create or what is in the archive or
// the trash, and anything else in a base that is in the trash.
func (s *Snapshots) mayPut(ctx context.Context, who auth.Principal, n models.Restoration) error {
	if n.Kind != airtableapi.RestoreBase && n.Kind != airtableapi.CopyBase {
		return s.tree.repo.OutOfTrash(ctx, who.TenantID, n.Source)
	}
	if err := s.tree.createIn(ctx, who, n.Workspace); err != nil {
		return err
	}
	return s.tree.repo.MayEnter(ctx, who.TenantID, n.Workspace, n.Project)
}

// Restoration returns a restore to who asked for it.
func (s *Snapshots) Restoration(ctx context.Context, who auth.Principal, key models.RestorationID) (models.Restoration, error) {
	n, err := s.repo.Restoration(ctx, who.TenantID, key)
	if err == nil && (n.RequestedBy != who.UserID || !who.MaySeeBase(n.Source)) {
		return models.Restoration{}, errs.ErrNotFound
	}
	return n, err
}

// Schedule returns when snapshots of the base are taken.
func (s *Snapshots) Schedule(ctx context.Context, who auth.Principal, ref string) (models.Schedule, error) {
	if err := s.tree.rights.Check(ctx, who, permissionapi.Create, base(who.TenantID, ref)); err != nil {
		return models.Schedule{}, err
	}
	return s.repo.Schedule(ctx, who.TenantID, ref)
}

// PutSchedule sets when snapshots of the base are taken.
func (s *Snapshots) PutSchedule(ctx context.Context, who auth.Principal, n models.Schedule) (models.Schedule, error) {
	if err := s.mayKeep(ctx, who, n.Base); err != nil {
		return n, err
	}
	if _, fault := setting.Zone(n.Zone); fault != "" || n.Zone == "" {
		return n, workspaceapi.ErrSchedule
	}
	n.Tenant, n.SetBy = who.TenantID, who.UserID
	n.NextAt = n.Next(s.tree.now())
	return n, s.repo.PutSchedule(ctx, n)
}

// DeleteSchedule ends the taking of snapshots of the base.
func (s *Snapshots) DeleteSchedule(ctx context.Context, who auth.Principal, ref string) error {
	if err := s.tree.rights.Check(ctx, who, permissionapi.Create, base(who.TenantID, ref)); err != nil {
		return err
	}
	return s.repo.DeleteSchedule(ctx, who.TenantID, ref)
}

// again is how long a job waits before it asks how far airtable-gateway is.
const again = time.Second

// given says whether another try would end the same.
func given(err error) bool {
	if err == nil {
		return false
	}
	switch errs.From(err).Kind {
	case errs.Internal, errs.Unavailable, errs.TooMany, errs.Unauthenticated:
		return false
	}
	return true
}

func faultOf(err error) models.Fault {
	e := errs.From(err)
	return models.Fault{Code: e.Code, Text: e.Message}
}

func faultIn(e *airtableapi.JobError) models.Fault {
	if e == nil {
		return models.Fault{}
	}
	return models.Fault{Code: e.Code, Text: e.Message}
}

// FollowSnapshot is the job that has a snapshot taken and waits for it.
type FollowSnapshot struct {
	Tenant   id.TenantID       `json:"tenant"`
	Snapshot models.SnapshotID `json:"snapshot"`
}

// Kind implements river.JobArgs.
func (FollowSnapshot) Kind() string { return "follow_snapshot" }

// FollowSnapshotWorker works FollowSnapshot.
type FollowSnapshotWorker struct {
	river.WorkerDefaults[FollowSnapshot]
	Snapshots *Snapshots
}

// Work implements river.Worker. The request is the same each time and begins the work
// once.
func (w *FollowSnapshotWorker) Work(ctx context.Context, j *river.Job[FollowSnapshot]) error {
	s := w.Snapshots
	n, err := s.repo.Snapshot(ctx, j.Args.Tenant, j.Args.Snapshot)
	if errors.Is(err, errs.ErrNotFound) || err == nil && n.Status != airtableapi.SnapshotTaking {
		return nil
	}
	if err != nil {
		return err
	}
	kept, err := rpc.Call(ctx, s.tree.airtable, airtableapi.TakeSnapshot, airtableapi.SnapshotTake{Body: airtableapi.SnapshotTakeBody{
		ID: n.ID.String(), TenantID: n.Tenant.String(), UserID: n.TakenBy.String(), BaseID: n.Base, Comments: n.Comments,
	}})
	switch {
	case given(err):
		n.Status, n.Fault = airtableapi.SnapshotFailed, faultOf(err)
	case err != nil:
		return err
	default:
		n.Status, n.Fault, n.TakenAt, n.Records, n.Size = kept.Status, faultIn(kept.Error), kept.TakenAt, kept.Records, kept.SizeBytes
	}
	var told []events.Event
	if n.Status == airtableapi.SnapshotReady {
		told = append(told, workspaceapi.SnapshotTaken.New(ctx, n.Tenant, n.ID.String(), 1, workspaceapi.SnapshotChanged{
			SnapshotID: n.ID.String(), TenantID: n.Tenant.String(), BaseID: n.Base, ActorID: n.TakenBy.String(),
		}))
	}
	err = s.repo.NoteSnapshot(ctx, n, told...)
	if errors.Is(err, errs.ErrNotFound) { // deleted meanwhile
		_, err = rpc.Call(ctx, s.tree.airtable, airtableapi.DeleteSnapshot, snapshotRef(n))
		if errors.Is(err, airtableapi.ErrSnapshotNotFound) {
			return nil
		}
		return err
	}
	if err == nil && n.Status == airtableapi.SnapshotTaking {
		return river.JobSnooze(again)
	}
	return err
}

// FollowRestore is the job that has something restored, waits for it, and links a new base
// into its workspace.
type FollowRestore struct {
	Tenant  id.TenantID          `json:"tenant"`
	Restore models.RestorationID `json:"restore"`
}

// Kind implements river.JobArgs.
func (FollowRestore) Kind() string { return "follow_restore" }

// FollowRestoreWorker works FollowRestore.
type FollowRestoreWorker struct {
	river.WorkerDefaults[FollowRestore]
	Snapshots *Snapshots
}

// Work implements river.Worker.
func (w *FollowRestoreWorker) Work(ctx context.Context, j *river.Job[FollowRestore]) error {
	s := w.Snapshots
	n, err := s.repo.Restoration(ctx, j.Args.Tenant, j.Args.Restore)
	if errors.Is(err, errs.ErrNotFound) || err == nil && n.Status != airtableapi.RestoreRunning {
		return nil
	}
	if err != nil {
		return err
	}
	in := airtableapi.RestoreStartBody{
		ID: n.ID.String(), TenantID: n.Tenant.String(), UserID: n.RequestedBy.String(), Kind: n.Kind, SnapshotID: n.Snapshot.String(), Name: n.Name,
		TableID: n.Table, RecordID: n.Record, SkipRecords: n.SkipRecords, Comments: n.Comments,
	}
	if n.Kind == airtableapi.CopyBase {
		in.BaseID = n.Source
	}
	if n.Template != "" {
		in.Kind, in.Fresh = airtableapi.RestoreBase, true
	}
	out, err := s.restore(ctx, n, in)
	switch {
	case given(err):
		n.Status, n.Fault, n.FinishedAt = airtableapi.SnapshotFailed, faultOf(err), s.tree.now()
	case err != nil:
		return err
	case out.Status == airtableapi.RestoreRunning:
		n.Records = out.Records
	default:
		n.Status, n.Fault, n.Base, n.Records, n.DroppedLinks, n.FinishedAt = out.Status, faultIn(out.Error), out.BaseID, out.Records, out.DroppedLinks, s.tree.now()
		n.Table = out.TableID
	}
	var told []events.Event
	if n.Status == airtableapi.RestoreDone {
		if err := s.link(ctx, &n, out); err != nil {
			return err
		}
		told = append(told, restored(ctx, n))
	}
	if n.Seeded() && n.Status != airtableapi.RestoreRunning {
		if err := s.forget(ctx, n.Tenant, n.Snapshot); err != nil {
			return err
		}
	}
	if err := s.repo.NoteRestoration(ctx, n, told...); err != nil {
		if errors.Is(err, errs.ErrNotFound) {
			return nil
		}
		return err
	}
	s.count(n)
	if n.Status == airtableapi.RestoreRunning {
		return river.JobSnooze(again)
	}
	return nil
}

// restoredAs names the new base, or what was restored into the old one.
func restoredAs(n models.Restoration) string {
	out := n.Base
	for _, part := range []string{n.Table, n.Record} {
		if part != "" {
			out += "/" + part
		}
	}
	return out
}

// link puts a new base into its workspace. If that cannot take it any more the base stays
// outside, and the restore says why.
func (s *Snapshots) link(ctx context.Context, n *models.Restoration, out airtableapi.BaseRestore) error {
	if n.Workspace.IsZero() {
		return nil
	}
	b := models.NewBase(n.Tenant, n.Workspace, n.Project, out.BaseID, out.ConnectionID, out.BaseName, n.RequestedBy, s.tree.now())
	b, err := s.tree.repo.LinkBase(ctx, b, mostBases, func(b models.Base) events.Event {
		return repository.PlaceEvent(ctx, workspaceapi.BaseLinked, b, models.WorkspaceID{}, n.RequestedBy)
	})
	switch {
	case errors.Is(err, workspaceapi.ErrLinked): // by an earlier run
	case given(err):
		n.Fault = faultOf(err)
	case err != nil:
		return err
	default:
		s.tree.tellPlace(ctx, auth.Principal{TenantID: n.Tenant, UserID: n.RequestedBy}, b)
	}
	return nil
}

// RunSchedules is the job that has the snapshots taken whose time has come.
type RunSchedules struct{}

// Kind implements river.JobArgs.
func (RunSchedules) Kind() string { return "run_snapshot_schedules" }

// RunSchedulesPeriodically is when, by one replica at a time.
func RunSchedulesPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Minute),
		func() (river.JobArgs, *river.InsertOpts) { return RunSchedules{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// RunSchedulesWorker works RunSchedules.
type RunSchedulesWorker struct {
	river.WorkerDefaults[RunSchedules]
	Snapshots *Snapshots
}

// Work implements river.Worker.
func (w *RunSchedulesWorker) Work(ctx context.Context, _ *river.Job[RunSchedules]) error {
	return w.Snapshots.RunDue(ctx, w.Snapshots.tree.now())
}

// RunDue has the snapshots taken whose time has come by now, each once however many run
// it, and removes those that a schedule has too many of. Times that passed meanwhile are
// made up for by one snapshot.
func (s *Snapshots) RunDue(ctx context.Context, now time.Time) error {
	for {
		due, err := s.repo.DueSchedules(ctx, now, scan)
		if err != nil {
			return err
		}
		for _, d := range due {
			n := s.newSnapshot(d.Tenant, d.Base, d.SetBy)
			n.Scheduled = true
			if err := s.repo.RunSchedule(ctx, d, now, n, s.follow(n)); err != nil {
				return err
			}
			if err := s.prune(ctx, d); err != nil {
				logging.From(ctx).Warn("old snapshots stay until the next time", zap.String("base", d.Base), zap.Error(err))
			}
		}
		if len(due) < scan {
			return nil
		}
	}
}

func (s *Snapshots) prune(ctx context.Context, d models.Schedule) error {
	surplus, err := s.repo.Surplus(ctx, d)
	if err != nil {
		return err
	}
	var failed []error
	for _, n := range surplus {
		failed = append(failed, s.drop(ctx, n))
	}
	return errors.Join(failed...)
}

// Live reports whether a job with these arguments is yet to end.
type Live func(ctx context.Context, args river.JobArgs) (bool, error)

// mostLost bounds what one sweep looks at; the others follow when these have ended.
const mostLost = 1_000

// FollowLost has what has not ended followed again if nobody does: its job was given up, or
// killed at its last try. How it ends, airtable-gateway says.
func (s *Snapshots) FollowLost(ctx context.Context, live Live) error {
	list, err := s.repo.Unended(ctx, mostLost)
	if err != nil {
		return err
	}
	for _, u := range list {
		var job river.JobArgs = FollowSnapshot{u.Tenant, u.Snapshot}
		if !u.Restoration.IsZero() {
			job = FollowRestore{u.Tenant, u.Restoration}
		}
		alive, err := live(ctx, job)
		if err == nil && !alive {
			err = s.repo.Enqueue(ctx, u.Tenant, func(ctx context.Context, tx pgx.Tx) error { return s.insert(ctx, tx, job) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// FollowLostWork is the job that has what was lost followed again.
type FollowLostWork struct{}

// Kind implements river.JobArgs.
func (FollowLostWork) Kind() string { return "follow_lost_snapshots" }

// FollowLostPeriodically is when, by one replica at a time.
func FollowLostPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(5*time.Minute),
		func() (river.JobArgs, *river.InsertOpts) { return FollowLostWork{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// FollowLostWorker works FollowLostWork.
type FollowLostWorker struct {
	river.WorkerDefaults[FollowLostWork]
	Snapshots *Snapshots
	Live      Live
}

// Work implements river.Worker.
func (w *FollowLostWorker) Work(ctx context.Context, _ *river.Job[FollowLostWork]) error {
	return w.Snapshots.FollowLost(ctx, w.Live)
}
