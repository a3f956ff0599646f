package repository

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// ErrTooMuch says that a reader found more than the caller is ready to hold.
var ErrTooMuch = errors.New("more than was allowed for")

// Ends names link cells: of these records in this field.
type Ends struct {
	Field   models.FieldID
	Records []models.RecordID
	Free    bool // not counted
}

// Follow returns what records point to, in their order, for each of ends in one round
// trip. It returns ErrTooMuch if these are more than most links.
func (r Reader) Follow(ctx context.Context, tenant id.TenantID, ends []Ends, most int) ([]map[models.RecordID][]models.RecordID, error) {
	batch := &pgx.Batch{}
	for _, e := range ends {
		limit := int64(most) + 1
		if e.Free {
			limit = math.MaxInt64
		}
		batch.Queue(`
			SELECT record_id, target_id FROM links
			WHERE tenant_id = $1 AND field_id = $2 AND record_id = ANY($3)
			ORDER BY record_id, position, target_id LIMIT $4`, tenant, e.Field, e.Records, limit)
	}
	results := r.of(tenant).SendBatch(ctx, batch)
	out, err := follow(results, ends, most)
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("follow links: %w", err)
	}
	return out, nil
}

func follow(results pgx.BatchResults, ends []Ends, most int) ([]map[models.RecordID][]models.RecordID, error) {
	out := make([]map[models.RecordID][]models.RecordID, len(ends))
	for i, e := range ends {
		rows, err := results.Query()
		if err != nil {
			return nil, err
		}
		out[i] = map[models.RecordID][]models.RecordID{}
		var from, to models.RecordID
		_, err = pgx.ForEachRow(rows, []any{&from, &to}, func() error {
			if !e.Free {
				most--
			}
			if most < 0 {
				return ErrTooMuch
			}
			out[i][from] = append(out[i][from], to)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Cells names cells of records of a table.
type Cells struct {
	Table   models.TableID
	Records []models.RecordID
	Fields  []models.FieldID
}

// excerptColumns are recordColumns with the cells that were asked for.
var excerptColumns = strings.Replace(recordColumns, "r.cells", "c.cells", 1)

// Excerpts returns, for each of wanted and in one round trip, the records that exist,
// with these cells alone. It returns ErrTooMuch if the records are more than most bytes.
func (r Reader) Excerpts(ctx context.Context, tenant id.TenantID, wanted []Cells, most int) ([]map[models.RecordID]*models.Record, error) {
	batch := &pgx.Batch{}
	for _, w := range wanted {
		batch.Queue(`
			SELECT `+excerptColumns+` FROM records r CROSS JOIN LATERAL (
				SELECT COALESCE(jsonb_object_agg(u.field, r.cells -> u.field), '{}') AS cells
				FROM unnest($4::text[]) AS u (field) WHERE r.cells ? u.field) AS c
			WHERE r.tenant_id = $1 AND r.table_id = $2 AND r.id = ANY($3)`, tenant, w.Table, w.Records, w.Fields)
	}
	results := r.of(tenant).SendBatch(ctx, batch)
	out, err := excerpts(results, len(wanted), most)
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("read excerpts: %w", err)
	}
	return out, nil
}

func excerpts(results pgx.BatchResults, n, most int) ([]map[models.RecordID]*models.Record, error) {
	out := make([]map[models.RecordID]*models.Record, n)
	for i := range out {
		rows, err := results.Query()
		if err != nil {
			return nil, err
		}
		out[i] = map[models.RecordID]*models.Record{}
		for rows.Next() {
			for _, raw := range rows.RawValues() {
				most -= len(raw)
			}
			if most < 0 {
				rows.Close()
				return nil, ErrTooMuch
			}
			rec, err := scanRecord(rows)
			if err != nil {
				rows.Close()
				return nil, err
			}
			out[i][rec.ID] = rec
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
