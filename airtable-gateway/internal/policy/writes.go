package policy

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

func (v *seer) create(ctx context.Context, c upstream.Call, t *seenTable) (upstream.Answer, error) {
	w, err := models.ParseCreate(c.Body)
	if err != nil {
		return upstream.Answer{}, err
	}
	if err := v.marked(c, t); err != nil {
		return upstream.Answer{}, err
	}
	if err := v.name(t, &w); err != nil {
		return upstream.Answer{}, err
	}
	if err := v.checkLinks(ctx, c, t, w); err != nil {
		return upstream.Answer{}, err
	}
	return v.write(ctx, c, t, w)
}

// update changes records that the caller sees. One that he does not see any more when it
// is changed is changed all the same: rules are about reading, ReadOnly is about writing.
func (v *seer) update(ctx context.Context, c upstream.Call, t *seenTable) (upstream.Answer, error) {
	w, err := models.ParseUpdate(c.Body, models.RecordID(c.Record))
	if err != nil {
		return upstream.Answer{}, err
	}
	if w.Upsert {
		if err := v.admitUpsert(t, &w); err != nil {
			return upstream.Answer{}, err
		}
	}
	if err := v.name(t, &w); err != nil {
		return upstream.Answer{}, err
	}
	if err := v.mustSee(ctx, c, t, idsOf(w), w.Single); err != nil {
		return upstream.Answer{}, err
	}
	if err := v.checkLinks(ctx, c, t, w); err != nil {
		return upstream.Answer{}, err
	}
	if c.Method == http.MethodPut && v.guarded(t) {
		c.Method = http.MethodPatch
		v.clear(t, &w)
	}
	if err := v.keepLinks(ctx, c, t, w); err != nil {
		return upstream.Answer{}, err
	}
	return v.write(ctx, c, t, w)
}

// admitUpsert refuses an upsert that could match what the caller does not see, or change
// links that he does not see.
func (v *seer) admitUpsert(t *seenTable, w *models.WriteRequest) error {
	if t.rule != "" {
		return models.ErrNotPermitted
	}
	for i, name := range w.MergeOn {
		f := t.field(name)
		if f == nil {
			return models.UnknownField(name)
		}
		w.MergeOn[i] = f.id
	}
	for _, it := range w.Items {
		for name := range it.Fields {
			if f := t.field(name); f != nil && it.ID == "" && v.sight.ruled(f) {
				return notWritable(f)
			}
		}
	}
	return nil
}

// name has the request name fields by id, and refuses what is not to be written.
func (v *seer) name(t *seenTable, w *models.WriteRequest) error {
	for i, it := range w.Items {
		named := make(map[string]any, len(it.Fields))
		for name, value := range it.Fields {
			f := t.field(name)
			switch {
			case f == nil:
				return models.UnknownField(name)
			case t.readOnly[f.id]:
				return notWritable(f)
			}
			named[f.id] = value
		}
		w.Items[i].Fields = named
	}
	return nil
}

func idsOf(w models.WriteRequest) []string {
	var out []string
	for _, it := range w.Items {
		if it.ID != "" {
			out = append(out, string(it.ID))
		}
	}
	return out
}

// checkLinks refuses links to records that the caller does not see as links to unknown
// ones, and names of records where these may be of such, or would make new ones in a
// table that is not his to write in.
func (v *seer) checkLinks(ctx context.Context, c upstream.Call, t *seenTable, w models.WriteRequest) error {
	wanted := map[string][]string{}
	for _, it := range w.Items {
		for id, value := range it.Fields {
			f := t.byID[id]
			if f.linked == "" || value == nil {
				continue
			}
			linked := v.sight.tables[f.linked]
			ids, ok := linkedIDs(value)
			if !ok && (v.sight.limits(f) || w.Typecast && !linked.edits) {
				return models.NotRecordIDs()
			}
			if linked.rule != "" {
				wanted[f.linked] = append(wanted[f.linked], ids...)
			}
		}
	}
	for linked, ids := range wanted {
		if err := v.mustSee(ctx, c, v.sight.tables[linked], ids, false); err != nil {
			return err
		}
	}
	return nil
}

// linkedIDs reads a cell of links as it is written: ids, alone or in objects.
func linkedIDs(value any) ([]string, bool) {
	list, ok := value.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, len(list))
	for i, item := range list {
		if object, isObject := item.(map[string]any); isObject {
			item = object["id"]
		}
		if out[i], ok = item.(string); !ok || !models.IsID("rec", out[i]) {
			return nil, false
		}
	}
	return out, true
}

// guarded reports whether the table has cells that a replacement must leave alone.
func (v *seer) guarded(t *seenTable) bool {
	return slices.ContainsFunc(t.fields, func(f *field) bool { return t.hidden[f.id] || t.readOnly[f.id] || v.sight.ruled(f) })
}

// clear makes an update of a replacement: what the caller may write and does not name
// becomes empty.
func (v *seer) clear(t *seenTable, w *models.WriteRequest) {
	for _, it := range w.Items {
		for _, f := range t.fields {
			if _, named := it.Fields[f.id]; !named && !f.computed() && !t.hidden[f.id] && !t.readOnly[f.id] {
				it.Fields[f.id] = nil
			}
		}
	}
}

// keepLinks adds to written links those that are there and that the caller does not see.
func (v *seer) keepLinks(ctx context.Context, c upstream.Call, t *seenTable, w models.WriteRequest) error {
	fields := map[string]bool{}
	for _, it := range w.Items {
		for id := range it.Fields {
			if f := t.byID[id]; it.ID != "" && v.sight.ruled(f) {
				fields[id] = true
			}
		}
	}
	if len(fields) == 0 {
		return nil
	}
	there := map[string]map[string]json.RawMessage{}
	ask := make([]string, 0, len(fields))
	for id := range fields {
		ask = append(ask, id)
	}
	slices.Sort(ask)
	if err := v.read(ctx, c, t, "", idsOf(w), ask, true, func(id string, cells map[string]json.RawMessage) { there[id] = cells }); err != nil {
		return err
	}
	for _, field := range ask {
		linked := v.sight.tables[t.byID[field].linked]
		old := map[string][]string{}
		var ids []string
		for record, cells := range there {
			var links []string
			if raw := cells[field]; raw != nil && json.Unmarshal(raw, &links) != nil {
				return broken(errAnswer)
			}
			old[record], ids = links, append(ids, links...)
		}
		seen, err := v.visible(ctx, c, linked, ids, true)
		if err != nil {
			return err
		}
		for _, it := range w.Items {
			value, written := it.Fields[field]
			if !written {
				continue
			}
			links, _ := linkedIDs(value)
			for _, id := range old[string(it.ID)] {
				if !seen[id] && !slices.Contains(links, id) {
					links = append(links, id)
				}
			}
			it.Fields[field] = links
			if len(links) == 0 {
				it.Fields[field] = nil
			}
		}
	}
	return nil
}

// write sends the request and shows its answer.
func (v *seer) write(ctx context.Context, c upstream.Call, t *seenTable, w models.WriteRequest) (upstream.Answer, error) {
	body := map[string]any{"returnFieldsByFieldId": true}
	if w.Typecast {
		body["typecast"] = true
	}
	if w.Single {
		body["fields"] = w.Items[0].Fields
	} else {
		records := make([]map[string]any, len(w.Items))
		for i, it := range w.Items {
			records[i] = map[string]any{"fields": it.Fields}
			if it.ID != "" {
				records[i]["id"] = string(it.ID)
			}
		}
		body["records"] = records
	}
	if w.Upsert {
		body["performUpsert"] = map[string]any{"fieldsToMergeOn": w.MergeOn}
	}
	c.RawQuery, c.Body = "", models.Marshal(body)
	answer, err := v.up.Do(ctx, c)
	if err != nil || answer.Status != http.StatusOK {
		return answer, err
	}
	show := shape{byID: w.Output.ByFieldID}
	if w.Single {
		body, err := v.record(ctx, c, t, answer.Body, show)
		return v.written(with(answer, body), err)
	}
	shown, err := v.page(ctx, c, t, answer, show, false)
	return v.written(shown, err)
}

// written is the answer to a write that was made: that it cannot be shown does not undo it.
func (v *seer) written(a upstream.Answer, err error) (upstream.Answer, error) {
	if err == nil {
		return a, nil
	}
	return v0.Refuse(v0.ErrOutcomeUnknown), nil
}

func (v *seer) delete(ctx context.Context, c upstream.Call, t *seenTable) (upstream.Answer, error) {
	ids := []string{c.Record}
	if c.Record == "" {
		named, err := models.ParseDelete(c.RawQuery)
		if err != nil {
			return upstream.Answer{}, err
		}
		ids = models.Texts(named)
	}
	if err := v.mustSee(ctx, c, t, ids, c.Record != ""); err != nil {
		return upstream.Answer{}, err
	}
	return v.up.Do(ctx, c)
}
