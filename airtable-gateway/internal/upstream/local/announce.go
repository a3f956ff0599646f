package local

import (
	"context"
	"encoding/json"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// events tells of every record that was created, changed or deleted, the ones at
// the other ends of links included.
func (w *writing) events(ctx context.Context) ([]events.Event, error) {
	var out []events.Event
	for _, d := range w.order {
		kind, version := airtableapi.RecordUpdated, d.rec.Version
		switch {
		case d.gone:
			kind, version = airtableapi.RecordDeleted, version+1
		case d.old == nil:
			kind = airtableapi.RecordCreated
		case len(d.changed) == 0:
			continue
		}
		data, err := w.change(d)
		if err != nil {
			return nil, err
		}
		out = append(out, kind.New(ctx, w.tenant(), string(d.rec.ID), version, data))
	}
	return out, nil
}

func (w *writing) change(d *draft) (airtableapi.RecordChanged, error) {
	c := airtableapi.RecordChanged{
		BaseID: string(w.base.ID), TableID: string(d.table.ID), RecordID: string(d.rec.ID),
		ChangedFieldIDs: []string{}, OldCells: map[string]json.RawMessage{}, NewCells: map[string]json.RawMessage{},
	}
	if !w.caller.User.IsZero() {
		c.ActorID = w.caller.User.String()
	}
	for _, f := range d.table.Fields {
		if f.Type.Computed() || d.old != nil && !d.gone && !d.changed[f.ID] {
			continue
		}
		var before, after any
		var err error
		if d.old != nil {
			if before, err = f.Read(d.old); err != nil {
				return c, err
			}
		}
		if !d.gone {
			if after, err = f.Read(d.rec); err != nil {
				return c, err
			}
		}
		if before == nil && after == nil {
			continue
		}
		c.ChangedFieldIDs = append(c.ChangedFieldIDs, string(f.ID))
		putCell(c.OldCells, f, before)
		putCell(c.NewCells, f, after)
	}
	return c, nil
}

func putCell(cells map[string]json.RawMessage, f *models.Field, v any) {
	if v != nil {
		cells[string(f.ID)] = appendValue(nil, v)
	}
}
