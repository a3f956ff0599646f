package policy

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// shape is how the caller wants records.
type shape struct {
	byID bool // fields by id
	text bool // cells as texts
}

// shownRecord is a record of an answer, its fields by id and without hidden ones.
type shownRecord struct {
	id      string
	members []v0.Member // but its fields
	cells   []shownCell
}

type shownCell struct {
	field *field
	value json.RawMessage
	links []string // where value is a list of ids that are not all for the caller
}

var errAnswer = errors.New("the upstream's answer cannot be masked")

// broken is an answer that cannot be read, and so not shown.
func broken(err error) error { return fmt.Errorf("%w: %w", errAnswer, err) }

// passOn is the upstream's refusal of a call that the caller did not make himself.
func passOn(a upstream.Answer) error {
	if e := v0.ReadError(a); e != nil && a.Status < http.StatusInternalServerError && a.Status != http.StatusUnauthorized {
		return e
	}
	return fmt.Errorf("%w: a look at records was answered %d", upstream.ErrNotSent, a.Status)
}

// page shows the answer to a list. The later pages of a walk may be of records that were
// seen when it began: they are looked at again.
func (v *seer) page(ctx context.Context, c upstream.Call, t *seenTable, a upstream.Answer, s shape, again bool) (upstream.Answer, error) {
	members, err := v0.Members(a.Body)
	if err != nil {
		return a, broken(err)
	}
	var out []v0.Member
	for _, m := range members {
		switch m.Name {
		case "records":
			if m.Value, err = v.records(ctx, c, t, m.Value, s, again && t.rule != ""); err != nil {
				return a, err
			}
		case "offset", "createdRecords", "updatedRecords", "details":
		default:
			continue
		}
		out = append(out, m)
	}
	return with(a, v0.Object(out...)), nil
}

// records shows a list of records.
func (v *seer) records(ctx context.Context, c upstream.Call, t *seenTable, list json.RawMessage, s shape, again bool) (json.RawMessage, error) {
	var raws []json.RawMessage
	if err := json.Unmarshal(list, &raws); err != nil {
		return nil, broken(err)
	}
	var found []shownRecord
	var ids []string
	for _, raw := range raws {
		r, err := v.take(t, raw, s)
		if err != nil {
			return nil, err
		}
		found, ids = append(found, r), append(ids, r.id)
	}
	if again {
		seen, err := v.visible(ctx, c, t, ids, false)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(r shownRecord) bool { return !seen[r.id] })
	}
	if err := v.cutLinks(ctx, c, found); err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(found))
	for i, r := range found {
		out[i] = r.write(s)
	}
	return v0.List(out), nil
}

// record shows one record.
func (v *seer) record(ctx context.Context, c upstream.Call, t *seenTable, raw json.RawMessage, s shape) ([]byte, error) {
	r, err := v.take(t, raw, s)
	if err != nil {
		return nil, err
	}
	found := []shownRecord{r}
	if err := v.cutLinks(ctx, c, found); err != nil {
		return nil, err
	}
	return found[0].write(s), nil
}

// take takes a record apart and leaves out what is hidden, and what is unknown.
func (v *seer) take(t *seenTable, raw json.RawMessage, s shape) (out shownRecord, err error) {
	members, err := v0.Members(raw)
	if err != nil {
		return out, broken(err)
	}
	for _, m := range members {
		switch m.Name {
		case "id":
			if err := json.Unmarshal(m.Value, &out.id); err != nil {
				return out, broken(err)
			}
		case "fields":
			if err := v.takeCells(t, m.Value, s, &out); err != nil {
				return out, err
			}
			m.Value = nil
		case "createdTime", "commentCount", "deleted", "details":
		default:
			continue
		}
		out.members = append(out.members, m)
	}
	return out, nil
}

func (v *seer) takeCells(t *seenTable, raw json.RawMessage, s shape, out *shownRecord) error {
	cells, err := v0.Members(raw)
	if err != nil {
		return broken(err)
	}
	for _, m := range cells {
		f := t.byID[m.Name]
		if f == nil || t.hidden[f.id] || s.text && v.sight.limits(f) {
			continue
		}
		cell := shownCell{field: f, value: m.Value}
		if v.sight.ruled(f) {
			if err := json.Unmarshal(m.Value, &cell.links); err != nil {
				return broken(err)
			}
		}
		out.cells = append(out.cells, cell)
	}
	return nil
}

// cutLinks leaves out the links to records that the caller does not see.
func (v *seer) cutLinks(ctx context.Context, c upstream.Call, found []shownRecord) error {
	wanted := map[string][]string{}
	for _, r := range found {
		for _, cell := range r.cells {
			if v.sight.ruled(cell.field) {
				wanted[cell.field.linked] = append(wanted[cell.field.linked], cell.links...)
			}
		}
	}
	seen := map[string]map[string]bool{}
	for linked, ids := range wanted {
		var err error
		if seen[linked], err = v.visible(ctx, c, v.sight.tables[linked], ids, false); err != nil {
			return err
		}
	}
	for i := range found {
		kept := found[i].cells[:0]
		for _, cell := range found[i].cells {
			if v.sight.ruled(cell.field) {
				cell.links = slices.DeleteFunc(cell.links, func(id string) bool { return !seen[cell.field.linked][id] })
				if len(cell.links) == 0 {
					continue
				}
				cell.value = models.Marshal(cell.links)
			}
			kept = append(kept, cell)
		}
		found[i].cells = kept
	}
	return nil
}

func (r shownRecord) write(s shape) json.RawMessage {
	cells := make([]v0.Member, len(r.cells))
	for i, cell := range r.cells {
		name := cell.field.name
		if s.byID {
			name = cell.field.id
		}
		cells[i] = v0.Member{Name: name, Value: cell.value}
	}
	out := slices.Clone(r.members)
	for i, m := range out {
		if m.Name == "fields" {
			out[i].Value = v0.Object(cells...)
		}
	}
	return v0.Object(out...)
}

// with is the answer with another body.
func with(a upstream.Answer, body []byte) upstream.Answer {
	a.Header, a.Body = v0.Headers(a.Header, body), body
	return a
}

// conditional gives an answer that has an ETag one of its own: what is shown to another
// caller, or was under another policy, is another answer.
func conditional(a upstream.Answer, given []string) upstream.Answer {
	if a.Header.Get("ETag") == "" {
		return a
	}
	sum := sha256.Sum256(a.Body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`
	a.Header.Set("ETag", etag)
	for _, line := range given {
		for part := range strings.SplitSeq(line, ",") {
			if part = strings.TrimPrefix(strings.TrimSpace(part), "W/"); part == etag || part == "*" {
				a.Status, a.Body = http.StatusNotModified, nil
				a.Header.Del("Content-Type")
				return a
			}
		}
	}
	return a
}

// schemaBody shows the base's tables, fields and views. A table whose primary field is
// masked has the first one that is seen in its place: clients want one.
func (s *Sight) schemaBody([]byte) ([]byte, error) {
	var tables []json.RawMessage
	for _, t := range s.schema.tables {
		if seen := s.tables[t.id]; seen != nil {
			tables = append(tables, s.tableBody(seen))
		}
	}
	return v0.Object(v0.Member{Name: "tables", Value: v0.List(tables)}), nil
}

func (s *Sight) tableBody(t *seenTable) json.RawMessage {
	primary := t.primary
	var fields, views []json.RawMessage
	for _, f := range t.fields {
		if t.hidden[f.id] {
			continue
		}
		if t.hidden[primary] {
			primary = f.id
		}
		fields = append(fields, s.fieldBody(f))
	}
	if t.hidden[primary] {
		primary = ""
	}
	for _, v := range t.views {
		views = append(views, t.viewBody(v.raw))
	}
	var out []v0.Member
	for _, m := range t.members {
		switch m.Name {
		case "id", "name", "description":
		case "primaryFieldId":
			m.Value = models.Marshal(primary)
		case "fields":
			m.Value = v0.List(fields)
		case "views":
			m.Value = v0.List(views)
		default: // such as the fields of dates that depend on each other
			continue
		}
		out = append(out, m)
	}
	return v0.Object(out...)
}

// fieldBody shows a field without what its options say of what is not seen: the mirror of
// a link, the view that records are chosen from, a field whose changes it does not tell.
func (s *Sight) fieldBody(f *field) json.RawMessage {
	out := slices.Clone(f.members)
	for i, m := range out {
		if m.Name != "options" || f.linked == "" {
			continue
		}
		options, err := v0.Members(m.Value)
		if err != nil {
			continue
		}
		linked := s.tables[f.linked]
		options = slices.DeleteFunc(options, func(o v0.Member) bool {
			var id string
			_ = json.Unmarshal(o.Value, &id) // "" for null and for what is no text
			switch o.Name {
			case "inverseLinkFieldId":
				return id != "" && linked.field(id) == nil
			case "viewIdForRecordSelection":
				_, seen := linked.view(id)
				return id != "" && !seen
			}
			return false
		})
		out[i].Value = v0.Object(options...)
	}
	return v0.Object(out...)
}

// viewBody shows a view without the fields that are not seen.
func (t *seenTable) viewBody(raw json.RawMessage) json.RawMessage {
	members, err := v0.Members(raw)
	if err != nil {
		return json.RawMessage("{}")
	}
	for i, m := range members {
		if m.Name != "visibleFieldIds" {
			continue
		}
		var ids []string
		_ = json.Unmarshal(m.Value, &ids)
		ids = slices.DeleteFunc(ids, func(id string) bool { return t.field(id) == nil })
		if ids == nil {
			ids = []string{}
		}
		members[i].Value = models.Marshal(ids)
	}
	return v0.Object(members...)
}

// viewsBody shows a list of views, or one.
func (s *Sight) viewsBody(body []byte) ([]byte, error) {
	var list struct {
		Views []json.RawMessage `json:"views"`
		ID    string            `json:"id"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, broken(err)
	}
	if list.ID != "" {
		return s.oneView(list.ID, body), nil
	}
	out := []json.RawMessage{}
	for _, raw := range list.Views {
		var v struct{ ID string }
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, broken(err)
		}
		if shown := s.oneView(v.ID, raw); shown != nil {
			out = append(out, shown)
		}
	}
	return v0.Object(v0.Member{Name: "views", Value: v0.List(out)}), nil
}

func (s *Sight) oneView(id string, raw json.RawMessage) json.RawMessage {
	for _, t := range s.tables {
		if _, seen := t.view(id); seen {
			return t.viewBody(raw)
		}
	}
	return nil
}
