package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// Snapshots keeps what is known of snapshots, of what is restored of them, and when they
// are taken.
type Snapshots struct{ pool *pgxpool.Pool }

// NewSnapshots returns those in the pool's database.
func NewSnapshots(pool *pgxpool.Pool) *Snapshots { return &Snapshots{pool} }

// Enqueue adds what has to be done about something in the transaction that stores it.
type Enqueue func(ctx context.Context, tx pgx.Tx) error

func (r *Snapshots) of(tenant id.TenantID) postgres.Querier {
	return postgres.ForTenant(r.pool, tenant)
}

const snapshotColumns = `SELECT tenant_id, id, base_id, label, status, error_code, error_text, scheduled, comments, taken_by, created_at, taken_at, records, size
	FROM snapshots `

func scanSnapshot(row pgx.CollectableRow) (s models.Snapshot, err error) {
	var taken *time.Time
	err = row.Scan(&s.Tenant, &s.ID, &s.Base, &s.Label, &s.Status, &s.Fault.Code, &s.Fault.Text, &s.Scheduled, &s.Comments, &s.TakenBy,
		&s.CreatedAt, &taken, &s.Records, &s.Size)
	s.TakenAt = zero(taken)
	return s, err
}

func insertSnapshot(ctx context.Context, tx pgx.Tx, s models.Snapshot) error {
	_, err := exec(ctx, tx, "insert snapshot", `
		INSERT INTO snapshots (tenant_id, id, base_id, label, status, scheduled, comments, taken_by, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		s.Tenant, s.ID, s.Base, s.Label, s.Status, s.Scheduled, s.Comments, s.TakenBy, s.CreatedAt)
	return err
}

// CreateSnapshot stores a snapshot that is to be taken.
func (r *Snapshots) CreateSnapshot(ctx context.Context, s models.Snapshot, enqueue Enqueue) error {
	return postgres.InTenant(ctx, r.pool, s.Tenant, func(tx pgx.Tx) error {
		if err := insertSnapshot(ctx, tx, s); err != nil {
			return err
		}
		return enqueue(ctx, tx)
	})
}

// Unended are snapshots that are being taken, and restorations that run.
type Unended struct {
	Tenant      id.TenantID
	Snapshot    models.SnapshotID
	Restoration models.RestorationID // zero for a snapshot
}

// Unended lists at most limit of what has not ended, the oldest first, in all tenants.
func (r *Snapshots) Unended(ctx context.Context, limit int) ([]Unended, error) {
	return query(ctx, postgres.ForEveryTenant(r.pool), "list what has not ended", func(row pgx.CollectableRow) (u Unended, err error) {
		return u, row.Scan(&u.Tenant, &u.Snapshot, &u.Restoration, nil)
	}, `
		SELECT tenant_id, id, NULL::uuid, created_at FROM snapshots WHERE status = 'taking'
		UNION ALL SELECT tenant_id, NULL::uuid, id, created_at FROM restores WHERE status = 'running'
		ORDER BY created_at LIMIT $1`, limit)
}

// Enqueue adds what has to be done about something of the tenant that is stored.
func (r *Snapshots) Enqueue(ctx context.Context, tenant id.TenantID, enqueue Enqueue) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error { return enqueue(ctx, tx) })
}

// Snapshot returns a snapshot of the tenant, or errs.ErrNotFound.
func (r *Snapshots) Snapshot(ctx context.Context, tenant id.TenantID, key models.SnapshotID) (models.Snapshot, error) {
	return one(ctx, r.of(tenant), "read snapshot", scanSnapshot, snapshotColumns+`WHERE tenant_id = $1 AND id = $2`, tenant, key)
}

// Snapshots returns up to limit snapshots of the base, the newest first, from behind
// before on, if that is not zero.
func (r *Snapshots) Snapshots(ctx context.Context, tenant id.TenantID, base string, before models.SnapshotID, limit int) ([]models.Snapshot, error) {
	return query(ctx, r.of(tenant), "list snapshots", scanSnapshot, snapshotColumns+`
		WHERE tenant_id = $1 AND base_id = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4`, tenant, base, before, limit)
}

// NoteSnapshot stores how far a snapshot is that is being taken, together with the events
// if that is the end. It returns errs.ErrNotFound if it is being taken no more.
func (r *Snapshots) NoteSnapshot(ctx context.Context, s models.Snapshot, evs ...events.Event) error {
	return postgres.InTenant(ctx, r.pool, s.Tenant, func(tx pgx.Tx) error {
		n, err := exec(ctx, tx, "note snapshot", `
			UPDATE snapshots SET status = $3, error_code = $4, error_text = $5, taken_at = $6, records = $7, size = $8
			WHERE tenant_id = $1 AND id = $2 AND status = 'taking'`,
			s.Tenant, s.ID, s.Status, s.Fault.Code, s.Fault.Text, null(s.TakenAt), s.Records, s.Size)
		if err == nil && n == 0 {
			err = errs.ErrNotFound
		}
		if err != nil || len(evs) == 0 {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
}

// DeleteSnapshot forgets a snapshot.
func (r *Snapshots) DeleteSnapshot(ctx context.Context, tenant id.TenantID, key models.SnapshotID) error {
	_, err := exec(ctx, r.of(tenant), "delete snapshot", `DELETE FROM snapshots WHERE tenant_id = $1 AND id = $2`, tenant, key)
	return err
}

// Surplus returns scheduled snapshots of the base that have ended and are older than the
// newest keep ready ones.
func (r *Snapshots) Surplus(ctx context.Context, s models.Schedule) ([]models.Snapshot, error) {
	return query(ctx, r.of(s.Tenant), "look for surplus", scanSnapshot, snapshotColumns+`
		WHERE tenant_id = $1 AND base_id = $2 AND scheduled AND status <> 'taking' AND id < (
			SELECT id FROM snapshots WHERE tenant_id = $1 AND base_id = $2 AND scheduled AND status = 'ready' ORDER BY id DESC OFFSET $3 - 1 LIMIT 1)
		ORDER BY id`, s.Tenant, s.Base, s.Keep)
}

const restorationColumns = `SELECT tenant_id, id, kind, snapshot_id, source_id, name, workspace_id, project_id, table_id, record_id, skip_records, comments,
	requested_by, status, error_code, error_text, base_id, records, dropped_links, created_at, finished_at, template_id FROM restores `

func scanRestoration(row pgx.CollectableRow) (n models.Restoration, err error) {
	var finished *time.Time
	var of *models.SnapshotID
	var workspace *models.WorkspaceID
	var project *models.ProjectID
	err = row.Scan(&n.Tenant, &n.ID, &n.Kind, &of, &n.Source, &n.Name, &workspace, &project, &n.Table, &n.Record, &n.SkipRecords, &n.Comments,
		&n.RequestedBy, &n.Status, &n.Fault.Code, &n.Fault.Text, &n.Base, &n.Records, &n.DroppedLinks, &n.CreatedAt, &finished, &n.Template)
	if of != nil {
		n.Snapshot = *of
	}
	if workspace != nil {
		n.Workspace = *workspace
	}
	if project != nil {
		n.Project = *project
	}
	n.FinishedAt = zero(finished)
	return n, err
}

// CreateRestoration stores a restore that is to be done.
func (r *Snapshots) CreateRestoration(ctx context.Context, n models.Restoration, enqueue Enqueue) error {
	return postgres.InTenant(ctx, r.pool, n.Tenant, func(tx pgx.Tx) error {
		if err := insertRestoration(ctx, tx, n); err != nil {
			return err
		}
		return enqueue(ctx, tx)
	})
}

func insertRestoration(ctx context.Context, tx pgx.Tx, n models.Restoration) error {
	_, err := exec(ctx, tx, "insert restore", `
		INSERT INTO restores (tenant_id, id, kind, snapshot_id, source_id, name, workspace_id, project_id, table_id, record_id, skip_records, comments,
			requested_by, status, created_at, template_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		n.Tenant, n.ID, n.Kind, n.Snapshot, n.Source, n.Name, n.Workspace, n.Project, n.Table, n.Record, n.SkipRecords, n.Comments,
		n.RequestedBy, n.Status, n.CreatedAt, n.Template)
	return err
}

// Restoration returns a restore of the tenant, or errs.ErrNotFound.
func (r *Snapshots) Restoration(ctx context.Context, tenant id.TenantID, key models.RestorationID) (models.Restoration, error) {
	return one(ctx, r.of(tenant), "read restore", scanRestoration, restorationColumns+`WHERE tenant_id = $1 AND id = $2`, tenant, key)
}

// NoteRestoration is NoteSnapshot for a restore.
func (r *Snapshots) NoteRestoration(ctx context.Context, n models.Restoration, evs ...events.Event) error {
	return postgres.InTenant(ctx, r.pool, n.Tenant, func(tx pgx.Tx) error {
		changed, err := exec(ctx, tx, "note restore", `
			UPDATE restores SET status = $3, error_code = $4, error_text = $5, base_id = $6, table_id = $7, records = $8, dropped_links = $9, finished_at = $10
			WHERE tenant_id = $1 AND id = $2 AND status = 'running'`,
			n.Tenant, n.ID, n.Status, n.Fault.Code, n.Fault.Text, n.Base, n.Table, n.Records, n.DroppedLinks, null(n.FinishedAt))
		if err == nil && changed == 0 {
			err = errs.ErrNotFound
		}
		if err != nil || len(evs) == 0 {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
}

const scheduleColumns = `SELECT tenant_id, base_id, every, minute, hour, weekday, time_zone, keep, next_at, set_by FROM snapshot_schedules `

// Schedule returns the schedule of a base, or errs.ErrNotFound.
func (r *Snapshots) Schedule(ctx context.Context, tenant id.TenantID, base string) (models.Schedule, error) {
	return one(ctx, r.of(tenant), "read schedule", pgx.RowToStructByPos[models.Schedule], scheduleColumns+`WHERE tenant_id = $1 AND base_id = $2`, tenant, base)
}

// PutSchedule stores the schedule of a base.
func (r *Snapshots) PutSchedule(ctx context.Context, s models.Schedule) error {
	_, err := exec(ctx, r.of(s.Tenant), "put schedule", `
		INSERT INTO snapshot_schedules (tenant_id, base_id, every, minute, hour, weekday, time_zone, keep, next_at, set_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT ON CONSTRAINT snapshot_schedules_pkey DO UPDATE SET every = excluded.every, minute = excluded.minute, hour = excluded.hour,
			weekday = excluded.weekday, time_zone = excluded.time_zone, keep = excluded.keep, next_at = excluded.next_at, set_by = excluded.set_by`,
		s.Tenant, s.Base, s.Every, s.Minute, s.Hour, s.Weekday, s.Zone, s.Keep, s.NextAt, s.SetBy)
	return err
}

// DeleteSchedule removes the schedule of a base, or returns errs.ErrNotFound.
func (r *Snapshots) DeleteSchedule(ctx context.Context, tenant id.TenantID, base string) error {
	n, err := exec(ctx, r.of(tenant), "delete schedule", `DELETE FROM snapshot_schedules WHERE tenant_id = $1 AND base_id = $2`, tenant, base)
	if err == nil && n == 0 {
		err = errs.ErrNotFound
	}
	return err
}

// DueSchedules returns up to limit schedules, of all tenants, whose time has come.
func (r *Snapshots) DueSchedules(ctx context.Context, now time.Time, limit int) ([]models.Schedule, error) {
	return query(ctx, postgres.ForEveryTenant(r.pool), "look for due schedules", pgx.RowToStructByPos[models.Schedule],
		scheduleColumns+`WHERE next_at <= $1 ORDER BY next_at LIMIT $2`, now, limit)
}

// RunSchedule stores the snapshot that a due schedule asks for and moves the schedule on,
// or does nothing if somebody was faster or the schedule is another now. Of a base in the
// trash none is taken.
func (r *Snapshots) RunSchedule(ctx context.Context, s models.Schedule, now time.Time, n models.Snapshot, enqueue Enqueue) error {
	return postgres.InTenant(ctx, r.pool, s.Tenant, func(tx pgx.Tx) error {
		moved, err := exec(ctx, tx, "move schedule", `UPDATE snapshot_schedules SET next_at = $4 WHERE tenant_id = $1 AND base_id = $2 AND next_at = $3`,
			s.Tenant, s.Base, s.NextAt, s.Next(now))
		if err != nil || moved == 0 {
			return err
		}
		trashed, err := one(ctx, tx, "look into the trash", pgx.RowTo[bool], `SELECT EXISTS (`+trashedBase+`)`, s.Tenant, s.Base)
		if err != nil || trashed {
			return err
		}
		if err := insertSnapshot(ctx, tx, n); err != nil {
			return err
		}
		return enqueue(ctx, tx)
	})
}
