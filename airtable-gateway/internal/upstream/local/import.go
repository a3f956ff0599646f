package local

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// ImportRecord is a record to be stored in bulk. Fields are keyed by name or id;
// values are as in JSON: string, bool, float64, int, json.Number, []any, and
// []string for lists.
type ImportRecord struct {
	ID        models.RecordID // chosen, or "" for a new one
	CreatedAt time.Time       // zero: now
	Fields    map[string]any
}

// seed is what an import may choose about a new record.
type seed struct {
	id  models.RecordID
	at  time.Time
	was *repository.StoredRow // how the record was that comes back, but for its cells
}

// importPiece is how many records travel in one transaction.
const importPiece = 500

// manyRecords is how many imported records make the planner's picture of the
// table wrong enough to have it drawn anew at once.
const manyRecords = 1_000

// ImportRecords stores records in their order, without the limit of ten, and
// returns their ids. typecast is as in the API: it makes missing choices, and
// links by primary value. Cells that only Airtable writes (button, aiText,
// externalSyncSource, manualSort) are stored as given. Each piece of some hundred records is a transaction: on
// an error the pieces before it are stored and their ids returned. Linked records
// must be there already. Events are emitted as for any write.
func (s *Store) ImportRecords(ctx context.Context, caller upstream.Caller, baseID models.BaseID, tableName string, recs []ImportRecord, typecast bool) ([]models.RecordID, error) {
	var ids []models.RecordID
	for piece := range slices.Chunk(recs, importPiece) {
		base, err := s.schema(ctx, caller.Tenant, baseID)
		if err != nil {
			return ids, err
		}
		table := base.Table(tableName)
		if table == nil {
			return ids, models.ErrModelNotFound
		}
		j := &job{caller: caller, base: base, table: table, typecast: typecast, imports: true}
		chosen := map[models.RecordID]bool{}
		for _, r := range piece {
			if r.ID != "" && !models.IsID("rec", string(r.ID)) {
				return ids, models.InvalidRecordID(string(r.ID))
			}
			if r.ID != "" && chosen[r.ID] {
				return ids, fmt.Errorf("import record %s: %w", r.ID, repository.ErrDuplicateID)
			}
			chosen[r.ID] = true
			j.items = append(j.items, item{create: true, chosen: seed{id: r.ID, at: r.CreatedAt}, input: plainLists(r.Fields)})
		}
		if err := s.run(ctx, j); err != nil {
			return ids, fmt.Errorf("import into %s: %w", table.Name, err)
		}
		for _, it := range j.items {
			ids = append(ids, it.outcome.rec.ID)
		}
	}
	if len(recs) >= manyRecords {
		return ids, s.repo.Analyze(ctx)
	}
	return ids, nil
}

// plainLists turns lists of strings into the form that JSON has.
func plainLists(in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for k, v := range in {
		if list, ok := v.([]string); ok {
			items := make([]any, len(list))
			for i, s := range list {
				items[i] = s
			}
			v = items
		}
		out[k] = v
	}
	return out
}
