package repository

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

const recordColumns = `r.id, r.number, r.cells, r.version, r.created_at, r.created_by, r.modified_at, r.modified_by, r.touched`

func scanRecord(row pgx.CollectableRow) (*models.Record, error) {
	r := &models.Record{}
	var cells, touched []byte
	var modified *time.Time
	var creator, modifier *id.UserID
	if err := row.Scan(&r.ID, &r.Number, &cells, &r.Version, &r.CreatedAt, &creator, &modified, &modifier, &touched); err != nil {
		return nil, err
	}
	if creator != nil {
		r.CreatedBy = *creator
	}
	if modified != nil {
		r.ModifiedAt = *modified
	}
	if modifier != nil {
		r.ModifiedBy = *modifier
	}
	var err error
	if r.Touched, err = readTouched(touched); err != nil {
		return nil, fmt.Errorf("changes of %s: %w", r.ID, err)
	}
	if err := json.Unmarshal(cells, &r.Cells); err != nil {
		return nil, fmt.Errorf("cells of %s: %w", r.ID, err)
	}
	return r, nil
}

func (r Reader) records(ctx context.Context, tenant id.TenantID, doing, sql string, args ...any) ([]*models.Record, error) {
	rows, err := r.of(tenant).Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	out, err := pgx.CollectRows(rows, scanRecord)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return out, nil
}

// RecordsAfter returns up to limit records that meet where, in the table's order,
// whose number is above after. Links are not loaded by this and the other readers of
// records.
func (r Reader) RecordsAfter(ctx context.Context, tenant id.TenantID, table models.TableID, where Where, after int64, limit int) ([]*models.Record, error) {
	q := newQuery(tenant, table, where)
	sql := `SELECT ` + recordColumns + ` FROM searched_records r
		WHERE ` + q.where + ` AND r.number > ` + q.arg(after) + ` ORDER BY r.number LIMIT ` + q.arg(limit)
	return r.records(ctx, tenant, "list records", sql, q.params()...)
}

// RecordsByNumber returns the records that still exist, in the order of numbers.
func (r Reader) RecordsByNumber(ctx context.Context, tenant id.TenantID, table models.TableID, numbers []int64) ([]*models.Record, error) {
	return r.records(ctx, tenant, "read records", `
		SELECT `+recordColumns+` FROM records r
		WHERE r.tenant_id = $1 AND r.table_id = $2 AND r.number = ANY($3) ORDER BY array_position($3, r.number)`,
		tenant, table, numbers)
}

// RecordsByID returns the records that exist, by id.
func (r Reader) RecordsByID(ctx context.Context, tenant id.TenantID, table models.TableID, ids []models.RecordID) (map[models.RecordID]*models.Record, error) {
	return r.byID(ctx, "read records", "", tenant, table, ids)
}

// LockRecords is RecordsByID, and keeps others from changing them.
func (t *Tx) LockRecords(ctx context.Context, tenant id.TenantID, table models.TableID, ids []models.RecordID) (map[models.RecordID]*models.Record, error) {
	return t.byID(ctx, "lock records", ` ORDER BY r.id COLLATE "C" FOR NO KEY UPDATE`, tenant, table, ids)
}

func (r Reader) byID(ctx context.Context, doing, suffix string, tenant id.TenantID, table models.TableID, ids []models.RecordID) (map[models.RecordID]*models.Record, error) {
	if len(ids) == 0 {
		return map[models.RecordID]*models.Record{}, nil
	}
	list, err := r.records(ctx, tenant, doing, `
		SELECT `+recordColumns+` FROM records r
		WHERE r.tenant_id = $1 AND r.table_id = $2 AND r.id = ANY($3)`+suffix, tenant, table, ids)
	out := make(map[models.RecordID]*models.Record, len(list))
	for _, rec := range list {
		out[rec.ID] = rec
	}
	return out, err
}

// Match returns the ids of up to limit records that have exactly these values in
// these fields, oldest first. A list equals a list in the same order.
func (r Reader) Match(ctx context.Context, tenant id.TenantID, table models.TableID, cells map[models.FieldID]any, limit int) ([]models.RecordID, error) {
	return r.match(ctx, tenant, table, cells, limit, "")
}

// MatchAndLock is Match, and keeps others from changing what it found.
func (t *Tx) MatchAndLock(ctx context.Context, tenant id.TenantID, table models.TableID, cells map[models.FieldID]any, limit int) ([]models.RecordID, error) {
	return t.match(ctx, tenant, table, cells, limit, " FOR NO KEY UPDATE OF r")
}

func (r Reader) match(ctx context.Context, tenant id.TenantID, table models.TableID, cells map[models.FieldID]any, limit int, lock string) ([]models.RecordID, error) {
	fields := make([]string, 0, len(cells))
	values := make([]string, 0, len(cells))
	for f, v := range cells {
		fields = append(fields, string(f))
		values = append(values, string(models.Marshal(v)))
	}
	// The index of cells finds what contains the values, which is wider than
	// equality for lists. IS NOT DISTINCT FROM keeps the planner to that index: by
	// the others it would read the whole table, and without fresh statistics it
	// chooses them.
	rows, err := r.of(tenant).Query(ctx, `
		SELECT r.id FROM searched_records r
		WHERE r.tenant_id IS NOT DISTINCT FROM $1 AND r.table_id IS NOT DISTINCT FROM $2
		  AND cell_key(r.tenant_id, r.table_id, r.cells) @> cell_key($1, $2, $3)
		  AND (SELECT bool_and(r.cells -> u.field = u.value::jsonb) FROM unnest($4::text[], $5::text[]) AS u (field, value))
		ORDER BY r.number LIMIT $6`+lock,
		tenant, table, models.Marshal(cells), fields, values, limit)
	if err != nil {
		return nil, fmt.Errorf("match records: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[models.RecordID])
	if err != nil {
		return nil, fmt.Errorf("match records: %w", err)
	}
	return ids, nil
}

// LockTables makes the transaction the only one that creates, deletes, upserts
// or links records of these tables.
func (t *Tx) LockTables(ctx context.Context, tenant id.TenantID, tables []models.TableID) error {
	if len(tables) == 0 {
		return nil
	}
	_, err := t.tx.Exec(ctx, `
		SELECT table_id FROM table_counters
		WHERE tenant_id = $1 AND table_id = ANY($2) ORDER BY table_id COLLATE "C" FOR NO KEY UPDATE`, tenant, tables)
	if err != nil {
		return fmt.Errorf("lock tables: %w", err)
	}
	return nil
}

// InsertRecords stores new records in their order and gives them the table's
// next numbers. It returns ErrDuplicateID if a chosen id is taken.
func (t *Tx) InsertRecords(ctx context.Context, tenant id.TenantID, table models.TableID, recs []*models.Record, by id.UserID) error {
	if len(recs) == 0 {
		return nil
	}
	var last int64
	err := t.tx.QueryRow(ctx, `
		UPDATE table_counters SET last_number = last_number + $3 WHERE tenant_id = $1 AND table_id = $2 RETURNING last_number`,
		tenant, table, len(recs)).Scan(&last)
	if err != nil {
		return fmt.Errorf("take numbers: %w", err)
	}
	ids, numbers, cells, times := make([]models.RecordID, len(recs)), make([]int64, len(recs)), make([]string, len(recs)), make([]time.Time, len(recs))
	for i, r := range recs {
		r.Number = last - int64(len(recs)) + int64(i) + 1
		ids[i], numbers[i], cells[i], times[i] = r.ID, r.Number, string(models.Marshal(r.Cells)), r.CreatedAt
	}
	_, err = t.tx.Exec(ctx, `
		INSERT INTO records (tenant_id, table_id, id, number, cells, created_at, created_by)
		SELECT $1, $2, u.id, u.number, u.cells::jsonb, u.created_at, $7
		FROM unnest($3::text[], $4::bigint[], $5::text[], $6::timestamptz[]) AS u (id, number, cells, created_at)`,
		tenant, table, ids, numbers, cells, times, by)
	return insertError("records", "records_pkey", err)
}

// UpdateRecords stores the cells, versions and times of change of locked records.
func (t *Tx) UpdateRecords(ctx context.Context, tenant id.TenantID, table models.TableID, recs []*models.Record, by id.UserID) error {
	if len(recs) == 0 {
		return nil
	}
	ids, cells, versions := make([]models.RecordID, len(recs)), make([]string, len(recs)), make([]int64, len(recs))
	touched := make([]string, len(recs))
	for i, r := range recs {
		ids[i], cells[i], versions[i], touched[i] = r.ID, string(models.Marshal(r.Cells)), r.Version, string(writeTouched(r.Touched))
	}
	_, err := t.tx.Exec(ctx, `
		UPDATE records r SET cells = u.cells::jsonb, version = u.version, modified_at = $6, modified_by = $7, touched = u.touched::jsonb
		FROM unnest($3::text[], $4::text[], $5::bigint[], $8::text[]) AS u (id, cells, version, touched)
		WHERE r.tenant_id = $1 AND r.table_id = $2 AND r.id = u.id`,
		tenant, table, ids, cells, versions, recs[0].ModifiedAt, by, touched)
	if err != nil {
		return fmt.Errorf("update records: %w", err)
	}
	return nil
}

// DeleteRecords removes records; their links must be gone.
func (t *Tx) DeleteRecords(ctx context.Context, tenant id.TenantID, table models.TableID, ids []models.RecordID) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM records WHERE tenant_id = $1 AND table_id = $2 AND id = ANY($3)`, tenant, table, ids)
	if err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	return nil
}

// Edge is one end of a link: the record in the field points to the target.
type Edge struct {
	Field    models.FieldID
	Record   models.RecordID
	Target   models.RecordID
	Position int
}

// Edges returns what the records point to in the fields, by field, record and
// position.
func (r Reader) Edges(ctx context.Context, tenant id.TenantID, fields []models.FieldID, records []models.RecordID) ([]Edge, error) {
	if len(fields) == 0 || len(records) == 0 {
		return nil, nil
	}
	rows, err := r.of(tenant).Query(ctx, `
		SELECT field_id, record_id, target_id, position FROM links
		WHERE tenant_id = $1 AND field_id = ANY($2) AND record_id = ANY($3)
		ORDER BY field_id, record_id, position, target_id`, tenant, fields, records)
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	edges, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Edge])
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	return edges, nil
}

// DeleteEdges removes edges; the caller names both ends of each link.
func (t *Tx) DeleteEdges(ctx context.Context, tenant id.TenantID, edges []Edge) error {
	if len(edges) == 0 {
		return nil
	}
	fields, records, targets, _ := edgeColumns(edges)
	_, err := t.tx.Exec(ctx, `
		DELETE FROM links l USING unnest($2::text[], $3::text[], $4::text[]) AS u (field, record, target)
		WHERE l.tenant_id = $1 AND l.field_id = u.field AND l.record_id = u.record AND l.target_id = u.target`,
		tenant, fields, records, targets)
	if err != nil {
		return fmt.Errorf("delete links: %w", err)
	}
	return nil
}

// PutEdges stores edges, or moves them to another position.
func (t *Tx) PutEdges(ctx context.Context, tenant id.TenantID, edges []Edge) error {
	for chunk := range slices.Chunk(edges, 5_000) {
		fields, records, targets, positions := edgeColumns(chunk)
		_, err := t.tx.Exec(ctx, `
			INSERT INTO links (tenant_id, field_id, record_id, target_id, position)
			SELECT $1, u.field, u.record, u.target, u.position
			FROM unnest($2::text[], $3::text[], $4::text[], $5::int[]) AS u (field, record, target, position)
			ON CONFLICT ON CONSTRAINT links_pkey DO UPDATE SET position = excluded.position`,
			tenant, fields, records, targets, positions)
		if err != nil {
			return fmt.Errorf("put links: %w", err)
		}
	}
	return nil
}

func edgeColumns(edges []Edge) (fields []models.FieldID, records, targets []models.RecordID, positions []int32) {
	for _, e := range edges {
		fields, records = append(fields, e.Field), append(records, e.Record)
		targets, positions = append(targets, e.Target), append(positions, int32(e.Position))
	}
	return fields, records, targets, positions
}

// ExistingIDs returns which of the ids the table has.
func (r Reader) ExistingIDs(ctx context.Context, tenant id.TenantID, table models.TableID, ids []models.RecordID) (map[models.RecordID]bool, error) {
	rows, err := r.of(tenant).Query(ctx, `SELECT id FROM records WHERE tenant_id = $1 AND table_id = $2 AND id = ANY($3)`, tenant, table, ids)
	if err != nil {
		return nil, fmt.Errorf("look for records: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[models.RecordID])
	if err != nil {
		return nil, fmt.Errorf("look for records: %w", err)
	}
	out := make(map[models.RecordID]bool, len(found))
	for _, recID := range found {
		out[recID] = true
	}
	return out, nil
}
