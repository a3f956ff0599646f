package repository

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Revision is what one write did to one record. Cells are in the API's form, by field
// id; an empty one is absent.
type Revision struct {
	Seq      int64 // in the order of the record's changes; given by the store
	Table    models.TableID
	Record   models.RecordID
	Kind     string
	Version  int64
	At       time.Time
	By       id.UserID // zero: the system
	Old, New map[string]json.RawMessage
}

// AddHistory keeps what a write did: of one user, at one time.
func (t *Tx) AddHistory(ctx context.Context, tenant id.TenantID, revs []Revision) error {
	if len(revs) == 0 {
		return nil
	}
	n := len(revs)
	tables, records, kinds := make([]models.TableID, n), make([]models.RecordID, n), make([]string, n)
	versions, before, after := make([]int64, n), make([]*string, n), make([]*string, n)
	for i, r := range revs {
		tables[i], records[i], kinds[i], versions[i] = r.Table, r.Record, r.Kind, r.Version
		before[i], after[i] = cellsColumn(r.Old), cellsColumn(r.New)
	}
	_, err := t.tx.Exec(ctx, `
		INSERT INTO record_history (tenant_id, table_id, record_id, kind, version, at, by, old_cells, new_cells)
		SELECT $1, u.table_id, u.record_id, u.kind, u.version, $2, $3, u.old_cells::jsonb, u.new_cells::jsonb
		FROM unnest($4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[])
			AS u (table_id, record_id, kind, version, old_cells, new_cells)`,
		tenant, revs[0].At, revs[0].By, tables, records, kinds, versions, before, after)
	if err != nil {
		return fmt.Errorf("keep history: %w", err)
	}
	return nil
}

// cellsColumn puts the object together: keys are ids, values JSON, nothing needs an
// escape, and an import does this for every record.
func cellsColumn(cells map[string]json.RawMessage) *string {
	if len(cells) == 0 {
		return nil
	}
	out := []byte{'{'}
	for field, value := range cells {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(append(out, '"'), field...), `":`...), value...)
	}
	text := string(append(out, '}'))
	return &text
}

// History returns up to limit changes of a record, the newest first, that are older
// than the one with the sequence number before; 0: from the newest on. With a field,
// only those that changed it.
func (r Reader) History(ctx context.Context, tenant id.TenantID, table models.TableID, record models.RecordID, field models.FieldID, before int64, limit int) ([]Revision, error) {
	rows, err := r.of(tenant).Query(ctx, `
		SELECT seq, kind, version, at, by, old_cells, new_cells FROM record_history
		WHERE tenant_id = $1 AND table_id = $2 AND record_id = $3 AND ($5 = 0 OR seq < $5)
		  AND ($4 = '' OR old_cells ? $4 OR new_cells ? $4)
		ORDER BY seq DESC LIMIT $6`, tenant, table, record, field, before, limit)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	revs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Revision, error) {
		rev := Revision{Table: table, Record: record}
		var by *id.UserID
		err := row.Scan(&rev.Seq, &rev.Kind, &rev.Version, &rev.At, &by, &rev.Old, &rev.New)
		if by != nil {
			rev.By = *by
		}
		return rev, err
	})
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return revs, nil
}

// Known reports whether the table has the record, or the history knows that it had.
func (r Reader) Known(ctx context.Context, tenant id.TenantID, table models.TableID, record models.RecordID) (known bool, err error) {
	err = r.of(tenant).QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM records WHERE tenant_id = $1 AND table_id = $2 AND id = $3)
		    OR EXISTS (SELECT FROM record_history WHERE tenant_id = $1 AND table_id = $2 AND record_id = $3)`,
		tenant, table, record).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("look for record: %w", err)
	}
	return known, nil
}

// prunePiece is how many rows of history one statement forgets: none holds its locks
// for long.
const prunePiece = 5_000

// PruneHistory forgets all changes, of every tenant, that are older than before, and
// returns how many they were. What an interrupted run leaves the next one finds.
func (s *Store) PruneHistory(ctx context.Context, before time.Time) (gone int64, err error) {
	rows, err := postgres.ForEveryTenant(s.pool).Query(ctx, `SELECT DISTINCT tenant_id FROM bases`)
	if err != nil {
		return 0, fmt.Errorf("prune history: %w", err)
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowTo[id.TenantID])
	if err != nil {
		return 0, fmt.Errorf("prune history: %w", err)
	}
	for _, tenant := range tenants {
		for more := true; more; {
			tag, err := s.of(tenant).Exec(ctx, `
				DELETE FROM record_history WHERE tenant_id = $1 AND ctid = ANY (ARRAY(
					SELECT ctid FROM record_history WHERE tenant_id = $1 AND at < $2 ORDER BY at LIMIT $3))`,
				tenant, before, prunePiece)
			if err != nil {
				return gone, fmt.Errorf("prune history: %w", err)
			}
			gone += tag.RowsAffected()
			more = tag.RowsAffected() == prunePiece
		}
	}
	return gone, nil
}
