package policy

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
)

// Table is a table of a local base as the caller sees it: its views, and their fields.
func (s *Sight) Table(t *models.Table) *models.Table {
	if s == nil {
		return t
	}
	seen := s.tables[string(t.ID)]
	hidden := func(id models.FieldID) bool { return seen.field(string(id)) == nil }
	out := *t
	out.Fields = slices.DeleteFunc(slices.Clone(t.Fields), func(f *models.Field) bool { return hidden(f.ID) })
	if hidden(out.Primary) {
		out.Primary = ""
		if len(out.Fields) > 0 {
			out.Primary = out.Fields[0].ID
		}
	}
	out.Views = nil
	for _, v := range t.Views {
		if _, ok := seen.view(string(v.ID)); ok {
			v.Order, v.Hidden = slices.DeleteFunc(slices.Clone(v.Order), hidden), slices.DeleteFunc(slices.Clone(v.Hidden), hidden)
			out.Views = append(out.Views, v)
		}
	}
	return &out
}

// NameHistory has of name a record and a field that the caller sees, by ids. What he does
// not see is unknown, and so is a deleted record where row rules hold.
func (s *Sight) NameHistory(ctx context.Context, door Door, caller upstream.Caller, of *local.HistoryOf) error {
	t := s.find(of.Table)
	if t == nil {
		return airtableapi.ErrTableNotFound
	}
	of.Table = t.id
	if of.Field != "" {
		f := t.field(of.Field)
		if f == nil {
			return airtableapi.ErrUnknownField
		}
		of.Field = f.id
	}
	if t.rule == "" || !models.IsID("rec", of.Record) {
		return nil
	}
	seen, err := s.through(door).visible(ctx, s.call(*of, caller), t, []string{of.Record}, true)
	if err == nil && !seen[of.Record] {
		err = airtableapi.ErrRecordNotFound
	}
	return err
}

func (s *Sight) through(door Door) *seer {
	return &seer{up: door.Upstream, local: door.Local, sight: s}
}

func (s *Sight) call(of local.HistoryOf, caller upstream.Caller) upstream.Call {
	return upstream.Call{Base: string(of.Base), Table: of.Table, Caller: caller, Header: http.Header{}}
}

// Revisions leaves out of the changes the cells, and the links, that the caller does not
// see.
func (s *Sight) Revisions(ctx context.Context, door Door, caller upstream.Caller, of local.HistoryOf, all []repository.Revision) ([]repository.Revision, error) {
	t := s.find(of.Table)
	linked := map[string][]string{}
	sides := func(each func(cells map[string]json.RawMessage)) {
		for _, r := range all {
			each(r.Old)
			each(r.New)
		}
	}
	sides(func(cells map[string]json.RawMessage) {
		maps.DeleteFunc(cells, func(id string, _ json.RawMessage) bool { return t.byID[id] == nil || t.hidden[id] })
		for id, raw := range cells {
			if f := t.byID[id]; s.ruled(f) {
				linked[f.linked] = append(linked[f.linked], linksOf(raw)...)
			}
		}
	})
	seen := map[string]map[string]bool{}
	for table, ids := range linked {
		var err error
		if seen[table], err = s.through(door).visible(ctx, s.call(of, caller), s.tables[table], ids, true); err != nil {
			return nil, err
		}
	}
	sides(func(cells map[string]json.RawMessage) {
		for id, raw := range cells {
			f := t.byID[id]
			if !s.ruled(f) {
				continue
			}
			kept := slices.DeleteFunc(linksOf(raw), func(id string) bool { return !seen[f.linked][id] })
			if delete(cells, id); len(kept) > 0 {
				cells[id] = models.Marshal(kept)
			}
		}
	})
	return all, nil
}

// linksOf reads a cell of links; what is none has none.
func linksOf(raw json.RawMessage) []string {
	var ids []string
	_ = json.Unmarshal(raw, &ids)
	return ids
}
