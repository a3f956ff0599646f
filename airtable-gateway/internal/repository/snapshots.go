package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// The statuses of snapshots and restores that statements name.
const (
	taking  = "taking"
	ready   = "ready"
	running = "running"
	done    = "done"
	failed  = "failed"
)

// ErrInUse says that a snapshot is being restored.
var ErrInUse = errors.New("the snapshot is being restored")

// Snapshots keeps what is known of snapshots of bases and of restores.
type Snapshots struct {
	pool    *pgxpool.Pool
	enqueue Enqueue
}

// NewSnapshots returns the snapshots in pool's database; enqueue adds their jobs.
func NewSnapshots(pool *pgxpool.Pool, enqueue Enqueue) *Snapshots { return &Snapshots{pool, enqueue} }

const snapshotColumns = `id, base_id, base_name, status, comments, skip_records, error_code, error_text, requested_by, created_at, taken_at,
	records, tables, size, coalesce(sum, '')`

func scanSnapshot(tenant id.TenantID) pgx.RowToFunc[models.BaseSnapshot] {
	return func(row pgx.CollectableRow) (models.BaseSnapshot, error) {
		s := models.BaseSnapshot{Tenant: tenant}
		var by *id.UserID
		var taken *time.Time
		var tables []storedTable
		err := row.Scan(&s.ID, &s.Base, &s.BaseName, &s.Status, &s.Comments, &s.SkipRecords, &s.Fault.Code, &s.Fault.Text, &by, &s.CreatedAt, &taken,
			&s.Records, &tables, &s.Size, &s.Sum)
		if by != nil {
			s.RequestedBy = *by
		}
		if taken != nil {
			s.TakenAt = *taken
		}
		for _, t := range tables {
			s.Tables = append(s.Tables, models.SnapshotTable(t))
		}
		return s, err
	}
}

type storedTable struct {
	ID      models.TableID `json:"id"`
	Name    string         `json:"name"`
	Records int64          `json:"records"`
}

func storedTables(list []models.SnapshotTable) []byte {
	out := make([]storedTable, len(list))
	for i, t := range list {
		out[i] = storedTable(t)
	}
	return models.Marshal(out)
}

// CreateSnapshot stores a snapshot and has the job work on it, if there is one; else
// it must be ready. If the id is taken it returns what is there.
func (r *Snapshots) CreateSnapshot(ctx context.Context, s models.BaseSnapshot, job river.JobArgs) (models.BaseSnapshot, error) {
	err := postgres.InTenant(ctx, r.pool, s.Tenant, func(tx pgx.Tx) error {
		if err := mustLive(ctx, tx, s.Tenant); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO snapshots (tenant_id, id, base_id, base_name, status, comments, requested_by, created_at, taken_at, records, tables, size, sum,
				skip_records)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, nullif($13, ''), $14)
			ON CONFLICT ON CONSTRAINT snapshots_pkey DO NOTHING`,
			s.Tenant, s.ID, s.Base, s.BaseName, s.Status, s.Comments, s.RequestedBy, s.CreatedAt, orNull(s.TakenAt),
			s.Records, storedTables(s.Tables), s.Size, s.Sum, s.SkipRecords)
		if err != nil || tag.RowsAffected() == 0 || job == nil {
			return err
		}
		return r.enqueue(ctx, tx, job)
	})
	if err != nil {
		return models.BaseSnapshot{}, fmt.Errorf("insert snapshot: %w", err)
	}
	return r.Snapshot(ctx, s.Tenant, s.ID)
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Snapshot returns a snapshot, or errs.ErrNotFound.
func (r *Snapshots) Snapshot(ctx context.Context, tenant id.TenantID, key models.SnapshotID) (models.BaseSnapshot, error) {
	return readSnapshot(ctx, postgres.ForTenant(r.pool, tenant), tenant, key, "")
}

func readSnapshot(ctx context.Context, q postgres.Querier, tenant id.TenantID, key models.SnapshotID, lock string) (models.BaseSnapshot, error) {
	rows, err := q.Query(ctx, `SELECT `+snapshotColumns+` FROM snapshots WHERE tenant_id = $1 AND id = $2`+lock, tenant, key)
	if err != nil {
		return models.BaseSnapshot{}, fmt.Errorf("read snapshot: %w", err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, scanSnapshot(tenant))
	if err != nil {
		return s, fmt.Errorf("read snapshot: %w", postgres.NotFound(err))
	}
	return s, nil
}

// DeleteSnapshot removes a snapshot: one that is being taken is abandoned. It returns
// errs.ErrNotFound, or ErrInUse while something is restored from it.
func (r *Snapshots) DeleteSnapshot(ctx context.Context, tenant id.TenantID, key models.SnapshotID) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		if _, err := readSnapshot(ctx, tx, tenant, key, ` FOR UPDATE`); err != nil {
			return err
		}
		var inUse bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM restores WHERE tenant_id = $1 AND snapshot_id = $2 AND status = 'running')`,
			tenant, key).Scan(&inUse)
		if err == nil && inUse {
			return ErrInUse
		}
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM snapshots WHERE tenant_id = $1 AND id = $2`, tenant, key)
		}
		if err != nil {
			return fmt.Errorf("delete snapshot: %w", err)
		}
		return nil
	})
}

// NoteRecords stores how many records a snapshot has so far. It returns
// errs.ErrNotFound if it is being taken no more.
func (r *Snapshots) NoteRecords(ctx context.Context, tenant id.TenantID, key models.SnapshotID, n int64) error {
	return oneRow(ctx, "note progress", postgres.ForTenant(r.pool, tenant),
		`UPDATE snapshots SET records = $3 WHERE tenant_id = $1 AND id = $2 AND status = 'taking'`, tenant, key, n)
}

// CompleteSnapshot makes a snapshot that was being taken ready, with what s says of
// its content. It returns errs.ErrNotFound if it was abandoned.
func (r *Snapshots) CompleteSnapshot(ctx context.Context, s models.BaseSnapshot) error {
	return oneRow(ctx, "complete snapshot", postgres.ForTenant(r.pool, s.Tenant), `
		UPDATE snapshots SET status = $3, base_name = $4, taken_at = $5, records = $6, tables = $7, size = $8, sum = $9
		WHERE tenant_id = $1 AND id = $2 AND status = $10`,
		s.Tenant, s.ID, ready, s.BaseName, s.TakenAt, s.Records, storedTables(s.Tables), s.Size, s.Sum, taking)
}

// FailSnapshot stores why a snapshot that was being taken is not.
func (r *Snapshots) FailSnapshot(ctx context.Context, tenant id.TenantID, key models.SnapshotID, why models.Fault) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE snapshots SET status = $3, error_code = $4, error_text = $5 WHERE tenant_id = $1 AND id = $2 AND status = $6`,
			tenant, key, failed, why.Code, why.Text, taking)
		if err == nil {
			_, err = tx.Exec(ctx, `
				DELETE FROM snapshot_files f USING snapshots s
				WHERE f.tenant_id = $1 AND f.snapshot_id = $2 AND s.tenant_id = $1 AND s.id = $2 AND s.status = $3`, tenant, key, failed)
		}
		if err != nil {
			return fmt.Errorf("fail snapshot: %w", err)
		}
		return nil
	})
}

func oneRow(ctx context.Context, doing string, q postgres.Querier, sql string, args ...any) error {
	tag, err := q.Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("%s: %w", doing, errs.ErrNotFound)
	}
	return nil
}

// Frozen is a base as it was at one moment, whatever is written meanwhile.
type Frozen struct {
	Reader
	tenant id.TenantID
	name   string // of the moment, to PostgreSQL
	pool   *pgxpool.Pool
}

// Freeze runs fn on the tenant's bases as they are when it begins.
func (r *Snapshots) Freeze(ctx context.Context, tenant id.TenantID, fn func(f *Frozen) error) error {
	return pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := postgres.Enter(ctx, tx, tenant); err != nil {
			return err
		}
		f := &Frozen{Reader: within(tx), tenant: tenant, pool: r.pool}
		if err := tx.QueryRow(ctx, `SELECT pg_export_snapshot()`).Scan(&f.name); err != nil {
			return fmt.Errorf("freeze: %w", err)
		}
		return fn(f)
	})
}

// KeepFiles has the snapshot keep the files that the base has at the frozen moment, and
// no others. It is done when it returns: nobody has to wait until the whole base is read.
func (f *Frozen) KeepFiles(ctx context.Context, key models.SnapshotID, base models.BaseID) error {
	err := pgx.BeginTxFunc(ctx, f.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		// The name is PostgreSQL's own; this statement takes no parameters.
		if _, err := tx.Exec(ctx, `SET TRANSACTION SNAPSHOT '`+f.name+`'`); err != nil {
			return err
		}
		if err := postgres.Enter(ctx, tx, f.tenant); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM snapshot_files WHERE tenant_id = $1 AND snapshot_id = $2`, f.tenant, key); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO snapshot_files (tenant_id, snapshot_id, sum)
			SELECT DISTINCT $1::uuid, $2::uuid, sum FROM attachments WHERE tenant_id = $1 AND base_id = $3 AND sum IS NOT NULL`,
			f.tenant, key, base)
		return err
	})
	if postgres.IsForeignKey(err, "snapshot_files_snapshot_fkey") {
		return fmt.Errorf("keep files: %w", errs.ErrNotFound) // abandoned
	}
	if err != nil {
		return fmt.Errorf("keep files: %w", err)
	}
	return nil
}

// StoredRow is a record as it is stored, its cells as JSON.
type StoredRow struct {
	ID         models.RecordID
	Number     int64
	Cells      []byte
	Version    int64
	CreatedAt  time.Time
	CreatedBy  *id.UserID
	ModifiedAt *time.Time
	ModifiedBy *id.UserID
	Touched    []byte // nil: none
}

// Rows returns up to limit records of the table by ascending number, from behind after.
func (f *Frozen) Rows(ctx context.Context, table models.TableID, after int64, limit int) ([]StoredRow, error) {
	rows, err := f.of(f.tenant).Query(ctx, `
		SELECT id, number, cells::text, version, created_at, created_by, modified_at, modified_by, touched::text FROM records
		WHERE tenant_id = $1 AND table_id = $2 AND number > $3 ORDER BY number LIMIT $4`, f.tenant, table, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[StoredRow])
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return list, nil
}

// LastNumbers returns the highest number that a record had so far, by table.
func (f *Frozen) LastNumbers(ctx context.Context, tables []models.TableID) (map[models.TableID]int64, error) {
	rows, err := f.of(f.tenant).Query(ctx, `SELECT table_id, last_number FROM table_counters WHERE tenant_id = $1 AND table_id = ANY($2)`, f.tenant, tables)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	out := map[models.TableID]int64{}
	var table models.TableID
	var last int64
	_, err = pgx.ForEachRow(rows, []any{&table, &last}, func() error {
		out[table] = last
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	return out, nil
}

// CommentsOf returns the comments of the records, in the order in which they were made.
func (f *Frozen) CommentsOf(ctx context.Context, table models.TableID, records []models.RecordID) ([]models.Comment, error) {
	rows, err := f.of(f.tenant).Query(ctx, `
		SELECT `+commentColumns+` FROM comments c
		WHERE c.tenant_id = $1 AND c.table_id = $2 AND c.record_id = ANY($3) ORDER BY c.record_id, c.number`, f.tenant, table, records)
	if err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanComment)
	if err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	return list, nil
}

// Sources returns where the files of the records' cells are to be fetched that are not
// here yet.
func (f *Frozen) Sources(ctx context.Context, table models.TableID, records []models.RecordID) ([]CellFile, error) {
	rows, err := f.of(f.tenant).Query(ctx, `
		SELECT `+cellFileColumns+` FROM attachments a
		WHERE a.tenant_id = $1 AND a.table_id = $2 AND a.record_id = ANY($3) AND a.sum IS NULL`, f.tenant, table, records)
	if err != nil {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanCellFile)
	if err != nil {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	return list, nil
}

const restoreColumns = `id, kind, snapshot_id, status, error_code, error_text, base_id, source_id, name, table_id, new_table_id, record_id,
	skip_records, comments, fresh, records, dropped_links, requested_by, created_at, finished_at`

func scanRestore(tenant id.TenantID) pgx.RowToFunc[models.BaseRestore] {
	return func(row pgx.CollectableRow) (models.BaseRestore, error) {
		r := models.BaseRestore{Tenant: tenant}
		var by *id.UserID
		var finished *time.Time
		err := row.Scan(&r.ID, &r.Kind, &r.Snapshot, &r.Status, &r.Fault.Code, &r.Fault.Text, &r.Base, &r.Source, &r.Name, &r.Table,
			&r.NewTable, &r.Record, &r.SkipRecords, &r.Comments, &r.Fresh, &r.Records, &r.DroppedLinks, &by, &r.CreatedAt, &finished)
		if by != nil {
			r.RequestedBy = *by
		}
		if finished != nil {
			r.FinishedAt = *finished
		}
		return r, err
	}
}

// restoresKept is how long a restore that has ended is remembered.
const restoresKept = 30 * 24 * time.Hour

// CreateRestore stores a restore and has the job work on it. check sees the snapshot,
// which then is not deleted before the restore has ended; it is not called for a copy,
// whose snapshot is yet to be taken. If the id is taken CreateRestore returns what is
// there. The tenant's restores of long ago are forgotten.
func (r *Snapshots) CreateRestore(ctx context.Context, n models.BaseRestore, job river.JobArgs, check func(models.BaseSnapshot) error) (models.BaseRestore, error) {
	err := postgres.InTenant(ctx, r.pool, n.Tenant, func(tx pgx.Tx) error {
		if err := mustLive(ctx, tx, n.Tenant); err != nil {
			return err
		}
		known, err := restoreExists(ctx, tx, n)
		if err != nil || known {
			return err
		}
		if n.Source == "" {
			of, err := readSnapshot(ctx, tx, n.Tenant, n.Snapshot, ` FOR SHARE`)
			if err != nil {
				return err
			}
			if err := check(of); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM restores WHERE tenant_id = $1 AND finished_at < $2`, n.Tenant, n.CreatedAt.Add(-restoresKept)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO restores (tenant_id, id, kind, snapshot_id, status, base_id, source_id, name, table_id, new_table_id, record_id,
				skip_records, comments, requested_by, created_at, fresh)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
			ON CONFLICT ON CONSTRAINT restores_pkey DO NOTHING`,
			n.Tenant, n.ID, n.Kind, n.Snapshot, running, n.Base, n.Source, n.Name, n.Table, n.NewTable, n.Record,
			n.SkipRecords, n.Comments, n.RequestedBy, n.CreatedAt, n.Fresh)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return r.enqueue(ctx, tx, job)
	})
	if err != nil {
		return models.BaseRestore{}, fmt.Errorf("insert restore: %w", err)
	}
	return r.Restore(ctx, n.Tenant, n.ID)
}

// restoreExists: the second of two equal requests finds the first one's row whatever
// became of the snapshot since.
func restoreExists(ctx context.Context, tx pgx.Tx, n models.BaseRestore) (known bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM restores WHERE tenant_id = $1 AND id = $2)`, n.Tenant, n.ID).Scan(&known)
	return known, err
}

// Restore returns a restore, or errs.ErrNotFound.
func (r *Snapshots) Restore(ctx context.Context, tenant id.TenantID, key models.RestoreID) (models.BaseRestore, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `SELECT `+restoreColumns+` FROM restores WHERE tenant_id = $1 AND id = $2`, tenant, key)
	if err != nil {
		return models.BaseRestore{}, fmt.Errorf("read restore: %w", err)
	}
	out, err := pgx.CollectExactlyOneRow(rows, scanRestore(tenant))
	if err != nil {
		return out, fmt.Errorf("read restore: %w", postgres.NotFound(err))
	}
	return out, nil
}

// NoteRestored stores how many records were read so far.
func (r *Snapshots) NoteRestored(ctx context.Context, tenant id.TenantID, key models.RestoreID, n int64) error {
	return oneRow(ctx, "note progress", postgres.ForTenant(r.pool, tenant),
		`UPDATE restores SET records = $3 WHERE tenant_id = $1 AND id = $2 AND status = 'running'`, tenant, key, n)
}

// Unended are snapshots that are being taken, and restores that run.
type Unended struct {
	Tenant   id.TenantID
	Snapshot models.SnapshotID
	Restore  models.RestoreID // zero for a snapshot
}

// Unended lists at most limit of what has not ended, the oldest first, in all tenants. The
// snapshot of a copy is the restore's.
func (r *Snapshots) Unended(ctx context.Context, limit int) ([]Unended, error) {
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `
		SELECT tenant_id, id, NULL::uuid, created_at FROM snapshots s
		WHERE status = $1 AND NOT EXISTS (
			SELECT FROM restores r WHERE r.tenant_id = s.tenant_id AND r.snapshot_id = s.id AND r.status = $2)
		UNION ALL SELECT tenant_id, snapshot_id, id, created_at FROM restores WHERE status = $2
		ORDER BY created_at LIMIT $3`, taking, running, limit)
	if err != nil {
		return nil, fmt.Errorf("list what has not ended: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u Unended, err error) {
		return u, row.Scan(&u.Tenant, &u.Snapshot, &u.Restore, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("list what has not ended: %w", err)
	}
	return list, nil
}

// FailRestore stores why a running restore came to nothing.
func (r *Snapshots) FailRestore(ctx context.Context, tenant id.TenantID, key models.RestoreID, why models.Fault, at time.Time) error {
	_, err := postgres.ForTenant(r.pool, tenant).Exec(ctx, `
		UPDATE restores SET status = $3, error_code = $4, error_text = $5, finished_at = $6 WHERE tenant_id = $1 AND id = $2 AND status = $7`,
		tenant, key, failed, why.Code, why.Text, at, running)
	if err != nil {
		return fmt.Errorf("fail restore: %w", err)
	}
	return nil
}

// FinishRestore ends a running restore in the transaction that did it. It returns
// errs.ErrNotFound if another run of it was faster.
func (t *Tx) FinishRestore(ctx context.Context, n models.BaseRestore) error {
	return t.one(ctx, "finish restore", `
		UPDATE restores SET status = $3, name = $4, new_table_id = $5, records = $6, dropped_links = $7, finished_at = $8
		WHERE tenant_id = $1 AND id = $2 AND status = 'running'`,
		n.Tenant, n.ID, done, n.Name, n.NewTable, n.Records, n.DroppedLinks, n.FinishedAt)
}

// InsertRows stores records as they were. It returns ErrDuplicateID if an id is taken.
func (t *Tx) InsertRows(ctx context.Context, tenant id.TenantID, table models.TableID, rows []StoredRow) error {
	n := len(rows)
	if n == 0 {
		return nil
	}
	ids, numbers, cells, versions := make([]models.RecordID, n), make([]int64, n), make([]string, n), make([]int64, n)
	created, creators := make([]time.Time, n), make([]*id.UserID, n)
	modified, modifiers, touched := make([]*time.Time, n), make([]*id.UserID, n), make([]*string, n)
	for i, r := range rows {
		ids[i], numbers[i], cells[i], versions[i] = r.ID, r.Number, string(r.Cells), r.Version
		created[i], creators[i], modified[i], modifiers[i] = r.CreatedAt, r.CreatedBy, r.ModifiedAt, r.ModifiedBy
		if r.Touched != nil {
			text := string(r.Touched)
			touched[i] = &text
		}
	}
	_, err := t.tx.Exec(ctx, `
		INSERT INTO records (tenant_id, table_id, id, number, cells, version, created_at, created_by, modified_at, modified_by, touched)
		SELECT $1, $2, u.id, u.number, u.cells::jsonb, u.version, u.created_at, u.created_by, u.modified_at, u.modified_by, u.touched::jsonb
		FROM unnest($3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::timestamptz[], $8::uuid[], $9::timestamptz[], $10::uuid[], $11::text[])
			AS u (id, number, cells, version, created_at, created_by, modified_at, modified_by, touched)`,
		tenant, table, ids, numbers, cells, versions, created, creators, modified, modifiers, touched)
	return insertError("records", "records_pkey", err)
}

// RaiseNumber has the next record of the table get a number above last.
func (t *Tx) RaiseNumber(ctx context.Context, tenant id.TenantID, table models.TableID, last int64) error {
	return t.one(ctx, "raise number", `
		UPDATE table_counters SET last_number = greatest(last_number, $3) WHERE tenant_id = $1 AND table_id = $2`, tenant, table, last)
}

// NextNumber takes the table's next number.
func (t *Tx) NextNumber(ctx context.Context, tenant id.TenantID, table models.TableID) (n int64, err error) {
	err = t.tx.QueryRow(ctx, `
		UPDATE table_counters SET last_number = last_number + 1 WHERE tenant_id = $1 AND table_id = $2 RETURNING last_number`,
		tenant, table).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("take number: %w", err)
	}
	return n, nil
}

// TakenNumbers returns which of the numbers records of the table have.
func (r Reader) TakenNumbers(ctx context.Context, tenant id.TenantID, table models.TableID, numbers []int64) (map[int64]bool, error) {
	rows, err := r.of(tenant).Query(ctx, `SELECT number FROM records WHERE tenant_id = $1 AND table_id = $2 AND number = ANY($3)`, tenant, table, numbers)
	if err != nil {
		return nil, fmt.Errorf("look for numbers: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for numbers: %w", err)
	}
	out := map[int64]bool{}
	for _, n := range list {
		out[n] = true
	}
	return out, nil
}

// LastVersions returns the highest version that the history knows of each record that
// it knows.
func (r Reader) LastVersions(ctx context.Context, tenant id.TenantID, table models.TableID, records []models.RecordID) (map[models.RecordID]int64, error) {
	rows, err := r.of(tenant).Query(ctx, `
		SELECT record_id, max(version) FROM record_history
		WHERE tenant_id = $1 AND table_id = $2 AND record_id = ANY($3) GROUP BY record_id`, tenant, table, records)
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	out := map[models.RecordID]int64{}
	var record models.RecordID
	var last int64
	_, err = pgx.ForEachRow(rows, []any{&record, &last}, func() error {
		out[record] = last
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	return out, nil
}

// IDsAfter returns up to limit ids of the table's records by ascending number, from
// behind after, and the number of the last one.
func (r Reader) IDsAfter(ctx context.Context, tenant id.TenantID, table models.TableID, after int64, limit int) ([]models.RecordID, int64, error) {
	rows, err := r.of(tenant).Query(ctx, `
		SELECT id, number FROM records WHERE tenant_id = $1 AND table_id = $2 AND number > $3 ORDER BY number LIMIT $4`,
		tenant, table, after, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("list ids: %w", err)
	}
	var out []models.RecordID
	var key models.RecordID
	_, err = pgx.ForEachRow(rows, []any{&key, &after}, func() error {
		out = append(out, key)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list ids: %w", err)
	}
	return out, after, nil
}

// PutComments stores comments of records as they were, in their order. One whose id is
// taken is left out.
func (t *Tx) PutComments(ctx context.Context, tenant id.TenantID, list []models.Comment) error {
	batch := &pgx.Batch{}
	for _, c := range list {
		batch.Queue(`
			INSERT INTO comments (tenant_id, id, table_id, record_id, author_id, text, parent_id, version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, (SELECT id FROM comments WHERE tenant_id = $1 AND id = $7), $8, $9, $10)
			ON CONFLICT ON CONSTRAINT comments_pkey DO NOTHING`,
			tenant, c.ID, c.Table, c.Record, c.Author, c.Text, c.Parent, c.Version, c.CreatedAt, orNull(c.UpdatedAt))
	}
	return t.send(ctx, "put comments", batch)
}
