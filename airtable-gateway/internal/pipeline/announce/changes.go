package announce

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// cells are by the name or the id of their field.
type cells map[string]json.RawMessage

// record is one of an answer.
type record struct {
	ID     string
	Fields cells
}

// records reads those of an answer, of either form.
func records(body []byte) []record {
	var list struct {
		record
		Records []record
	}
	if json.Unmarshal(body, &list) != nil {
		return nil
	}
	if list.ID != "" {
		return []record{list.record}
	}
	return list.Records
}

// writing is a write on its way.
type writing struct {
	call     upstream.Call
	write    v0.Write
	readable bool // write is what the call says
	schema   *schema
	before   map[string]cells

	surprised bool // the answer names what the schema does not know
}

// events are what the answer says was done.
func (w *writing) events(ctx context.Context, a *Announcer, answer upstream.Answer) []events.Event {
	var out []events.Event
	recs := records(answer.Body)
	var upserted struct{ CreatedRecords []string }
	_ = json.Unmarshal(answer.Body, &upserted) // the answer was read already
	for i, r := range recs {
		if r.ID == "" {
			continue
		}
		kind, change, told := w.change(i, r, slices.Contains(upserted.CreatedRecords, r.ID))
		if !told {
			continue
		}
		if by := author(w.call, i, len(recs)); !by.IsZero() {
			change.ActorID = by.String()
		}
		out = append(out, kind.New(ctx, w.call.Caller.Tenant, r.ID, a.next(), change))
	}
	return out
}

// change is what happened to the i-th record. It is not told if that is nothing.
func (w *writing) change(i int, r record, created bool) (kind events.Type[airtableapi.RecordChanged], c airtableapi.RecordChanged, told bool) {
	t := w.table(r)
	c = airtableapi.RecordChanged{
		BaseID: w.call.Base, TableID: w.call.Table, RecordID: r.ID,
		ChangedFieldIDs: []string{}, OldCells: map[string]json.RawMessage{}, NewCells: map[string]json.RawMessage{},
	}
	if t != nil {
		c.TableID = t.id
	}
	switch {
	case w.call.Op == upstream.DeleteRecords:
		old, known := w.old(t, r)
		c.OldCellsUnknown = !known
		maps.Copy(c.OldCells, old)
		c.ChangedFieldIDs = sorted(t, maps.Keys(old))
		return airtableapi.RecordDeleted, c, true
	case w.call.Op == upstream.CreateRecords || created:
		cells, known := w.named(t, r.Fields)
		c.NewCellsUnknown = !known
		maps.Copy(c.NewCells, cells)
		c.ChangedFieldIDs = sorted(t, maps.Keys(cells))
		return airtableapi.RecordCreated, c, true
	}
	now, known := w.named(t, r.Fields)
	c.NewCellsUnknown = !known
	old, oldKnown := w.old(t, r)
	c.OldCellsUnknown = !oldKnown
	changed := map[string]bool{}
	if known && oldKnown {
		for f := range differences(t, old, now) {
			changed[f] = true
		}
		if len(changed) == 0 {
			return kind, c, false
		}
	} else if known {
		changed = w.touched(t, i, now)
	}
	for f := range changed {
		if v, ok := now[f]; ok {
			c.NewCells[f] = v
		}
		if v, ok := old[f]; ok {
			c.OldCells[f] = v
		}
	}
	c.ChangedFieldIDs = sorted(t, maps.Keys(changed))
	return airtableapi.RecordUpdated, c, true
}

// table is the one of the record; an upload names none but a field.
func (w *writing) table(r record) *table {
	if w.call.Op != upstream.UploadAttachment {
		t := w.schema.table(w.call.Table)
		w.surprised = w.surprised || t == nil
		return t
	}
	if w.schema != nil {
		for key := range r.Fields {
			return w.schema.fields[key]
		}
	}
	return nil
}

// named keys the cells by their fields' ids and leaves computed ones out. It is not
// ok if an id is not known.
func (w *writing) named(t *table, in cells) (cells, bool) {
	out := cells{}
	known := true
	for key, value := range in {
		f := t.field(key)
		switch {
		case f == nil && isFieldID(key):
			out[key] = value
		case f == nil:
			known, w.surprised = false, true
		case !f.computed():
			out[f.id] = value
		}
	}
	if !known {
		return nil, false
	}
	return out, true
}

// old is the record's cells before the write, if they are known.
func (w *writing) old(t *table, r record) (cells, bool) {
	if w.call.Op == upstream.UploadAttachment { // an upload appends
		for key, value := range r.Fields {
			var files []json.RawMessage
			if json.Unmarshal(value, &files) != nil || len(files) == 0 {
				return nil, false
			}
			if len(files) == 1 {
				return cells{}, true
			}
			return cells{key: v0.List(files[:len(files)-1])}, true
		}
		return nil, false
	}
	before, ok := w.before[r.ID]
	if !ok {
		return nil, false
	}
	return w.named(t, before)
}

// touched are the fields that the write names, all of them if it replaces or cannot be
// read.
func (w *writing) touched(t *table, i int, now cells) map[string]bool {
	out := map[string]bool{}
	var said cells
	readable := w.readable && i < len(w.write.Items) && json.Unmarshal(w.write.Items[i].Fields, &said) == nil
	for key := range said {
		if f := t.field(key); f != nil {
			out[f.id] = true
		} else if isFieldID(key) {
			out[key] = true
		}
	}
	if readable && w.call.Method != http.MethodPut {
		return out
	}
	for id := range now {
		out[id] = true
	}
	if t != nil {
		for _, f := range t.order {
			if !f.computed() {
				out[f.id] = true
			}
		}
	}
	return out
}

// differences are the fields whose cells differ.
func differences(t *table, old, now cells) map[string]bool {
	out := map[string]bool{}
	for f, v := range old {
		if w, ok := now[f]; !ok || !alike(t.field(f), v, w) {
			out[f] = true
		}
	}
	for f := range now {
		if _, ok := old[f]; !ok {
			out[f] = true
		}
	}
	return out
}

// alike compares what cells mean: of attachments the ids, as their addresses change
// with every reading.
func alike(f *field, a, b json.RawMessage) bool {
	if f != nil && f.kind == attachments {
		var x, y []struct{ ID string }
		return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && slices.Equal(x, y)
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// sorted puts fields into the table's order, unknown ones first.
func sorted(t *table, ids iter.Seq[string]) []string {
	place := map[string]int{}
	if t != nil {
		for i, f := range t.order {
			place[f.id] = i + 1
		}
	}
	out := slices.SortedFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(place[a], place[b]), cmp.Compare(a, b))
	})
	if out == nil {
		return []string{}
	}
	return out
}
