package local

import (
	"context"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// HistoryOf names a record of a tenant's base, and a field if only its changes matter.
type HistoryOf struct {
	Base          models.BaseID
	Table, Record string
	Field         string // id or name; "": all
}

// History returns up to limit changes of a record, there or gone, the newest first, from
// behind the one with the sequence number before; 0: from the newest on. The errors are
// airtableapi.ErrBaseNotFound, ErrTableNotFound, ErrRecordNotFound and ErrUnknownField.
func (s *Store) History(ctx context.Context, tenant id.TenantID, of HistoryOf, before int64, limit int) ([]repository.Revision, error) {
	table, err := s.Table(ctx, tenant, of.Base, of.Table)
	if err != nil {
		return nil, err
	}
	if !models.IsID("rec", of.Record) {
		return nil, airtableapi.ErrRecordNotFound
	}
	var field models.FieldID
	if of.Field != "" {
		f := table.Field(of.Field)
		if f == nil {
			return nil, airtableapi.ErrUnknownField
		}
		field = f.ID
	}
	record := models.RecordID(of.Record)
	revs, err := s.repo.History(ctx, tenant, table.ID, record, field, before, limit)
	if err != nil || len(revs) > 0 {
		return only(revs, string(field)), err
	}
	known, err := s.repo.Known(ctx, tenant, table.ID, record)
	if err == nil && !known {
		err = airtableapi.ErrRecordNotFound
	}
	return nil, err
}

// only leaves of each change the cell of the field.
func only(revs []repository.Revision, field string) []repository.Revision {
	if field == "" {
		return revs
	}
	for _, r := range revs {
		for key := range r.Old {
			if key != field {
				delete(r.Old, key)
			}
		}
		for key := range r.New {
			if key != field {
				delete(r.New, key)
			}
		}
	}
	return revs
}
