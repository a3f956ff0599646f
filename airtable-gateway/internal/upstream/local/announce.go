package local

import (
	"context"
	"encoding/json"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// change is what became of one record.
type change struct {
	kind    events.Type[airtableapi.RecordChanged]
	version int64
	data    airtableapi.RecordChanged
}

// changes tells of every record that was created, changed or deleted, the ones at the
// other ends of links included.
func (w *writing) changes() ([]change, error) {
	var out []change
	for _, d := range w.order {
		c := change{kind: airtableapi.RecordUpdated, version: d.rec.Version}
		switch {
		case d.gone:
			c.kind, c.version = airtableapi.RecordDeleted, c.version+1
		case d.old == nil:
			c.kind = airtableapi.RecordCreated
		case len(d.changed) == 0:
			continue
		}
		var err error
		if c.data, err = w.change(d); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// tell emits an event of each change and keeps it in the records' history. It finds
// out who else has to be told.
func (w *writing) tell(ctx context.Context, changes []change) error {
	evs, revs := make([]events.Event, len(changes)), make([]repository.Revision, len(changes))
	for i, c := range changes {
		evs[i] = c.kind.New(ctx, w.tenant(), c.data.RecordID, c.version, c.data)
		revs[i] = repository.Revision{
			Table: models.TableID(c.data.TableID), Record: models.RecordID(c.data.RecordID), Kind: revisionKinds[c.kind.Name],
			Version: c.version, At: w.now, By: w.caller.User, Old: c.data.OldCells, New: c.data.NewCells,
		}
	}
	if err := w.tx.AddHistory(ctx, w.tenant(), revs); err != nil {
		return err
	}
	if len(evs) == 0 {
		return nil
	}
	var err error
	w.watch.hooks, err = w.tx.EmitWatched(ctx, w.tenant(), w.base.ID, evs...)
	return err
}

var revisionKinds = map[string]string{
	airtableapi.RecordCreated.Name: airtableapi.RevisionCreated,
	airtableapi.RecordUpdated.Name: airtableapi.RevisionUpdated,
	airtableapi.RecordDeleted.Name: airtableapi.RevisionDeleted,
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
