package local

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
)

// linkBook holds link cells in memory while a job changes them. Setting a cell
// changes the mirror cell of every record at the other end with it, so the two
// cannot part.
type linkBook struct {
	before, after map[end][]target
}

// end is one link cell.
type end struct {
	field  models.FieldID
	record models.RecordID
}

type target struct {
	record   models.RecordID
	position int
}

func newLinkBook() *linkBook {
	return &linkBook{before: map[end][]target{}, after: map[end][]target{}}
}

// load enters cells as they are stored: fields and records span the cells that
// the edges are all of.
func (b *linkBook) load(fields []models.FieldID, records []models.RecordID, edges []repository.Edge) {
	for _, e := range edges {
		key := end{e.Field, e.Record}
		b.before[key] = append(b.before[key], target{e.Target, e.Position})
	}
	for _, f := range fields {
		for _, r := range records {
			key := end{f, r}
			b.after[key] = slices.Clone(b.before[key])
		}
	}
}

// set makes targets the links of a cell, in that order. The cells at both the old
// and the new targets must be loaded.
func (b *linkBook) set(f *models.Field, record models.RecordID, targets []models.RecordID) {
	key := end{f.ID, record}
	old := b.after[key]
	list := make([]target, len(targets))
	wanted := make(map[models.RecordID]bool, len(targets))
	for i, t := range targets {
		list[i] = target{t, i}
		wanted[t] = true
	}
	had := make(map[models.RecordID]bool, len(old))
	for _, t := range old {
		had[t.record] = true
		if !wanted[t.record] {
			b.drop(end{f.Options.Inverse, t.record}, record)
		}
	}
	for _, t := range targets {
		if !had[t] {
			b.add(end{f.Options.Inverse, t}, record)
		}
	}
	b.after[key] = list
}

func (b *linkBook) drop(key end, record models.RecordID) {
	b.after[key] = slices.DeleteFunc(slices.Clone(b.after[key]), func(t target) bool { return t.record == record })
}

func (b *linkBook) add(key end, record models.RecordID) {
	list := b.after[key]
	position := 0
	if len(list) > 0 {
		position = list[len(list)-1].position + 1
	}
	b.after[key] = append(list, target{record, position})
}

// changes returns the edges to remove and the edges to store.
func (b *linkBook) changes() (removed, put []repository.Edge) {
	for key, after := range b.after {
		was := make(map[models.RecordID]int, len(b.before[key]))
		for _, t := range b.before[key] {
			was[t.record] = t.position
		}
		for _, t := range after {
			position, known := was[t.record]
			delete(was, t.record)
			if !known || position != t.position {
				put = append(put, repository.Edge{Field: key.field, Record: key.record, Target: t.record, Position: t.position})
			}
		}
		for record := range was {
			removed = append(removed, repository.Edge{Field: key.field, Record: key.record, Target: record})
		}
	}
	return removed, put
}

// changedEnds returns the cells whose list of records is another than before.
func (b *linkBook) changedEnds() []end {
	var out []end
	for key, after := range b.after {
		if !slices.Equal(recordsOf(b.before[key]), recordsOf(after)) {
			out = append(out, key)
		}
	}
	slices.SortFunc(out, func(x, y end) int {
		return cmp.Or(cmp.Compare(x.record, y.record), cmp.Compare(x.field, y.field))
	})
	return out
}

func recordsOf(list []target) []models.RecordID {
	var out []models.RecordID
	for _, t := range list {
		out = append(out, t.record)
	}
	return out
}

// linkRefs knows which record each reference of a job means.
type linkRefs struct{ byText map[titleKey]models.RecordID }

// of returns the targets of a written link cell, each once.
func (l *linkRefs) of(c models.CellWrite) []models.RecordID {
	var out []models.RecordID
	seen := map[models.RecordID]bool{}
	for _, ref := range c.Links {
		recID := ref.ID
		if recID == "" {
			recID = l.byText[titleKey{c.Field.Options.LinkedTable, ref.Text}]
		}
		if !seen[recID] {
			out = append(out, recID)
		}
		seen[recID] = true
	}
	return out
}

// resolveLinks checks that linked records exist, and finds or makes the ones
// that typecast names by their primary value. The tables are locked, so none of
// them goes away.
func (w *writing) resolveLinks(ctx context.Context) (*linkRefs, error) {
	if err := w.resolveComputedTitles(ctx); err != nil {
		return nil, err
	}
	wanted := map[models.TableID]map[models.RecordID]bool{}
	for _, it := range w.items {
		for _, c := range it.writes {
			linked := c.Field.Options.LinkedTable
			for _, ref := range c.Links {
				if ref.ID == "" {
					if err := w.resolveTitle(ctx, linked, ref.Text); err != nil {
						return nil, err
					}
					continue
				}
				if wanted[linked] == nil {
					wanted[linked] = map[models.RecordID]bool{}
				}
				wanted[linked][ref.ID] = true
			}
		}
	}
	for _, table := range slices.Sorted(maps.Keys(wanted)) {
		ids := slices.Sorted(maps.Keys(wanted[table]))
		found, err := w.tx.ExistingIDs(ctx, w.tenant(), table, ids)
		if err != nil {
			return nil, err
		}
		for _, recID := range ids {
			if !found[recID] && w.drafts[draftKey{table, recID}] == nil {
				return nil, models.NoSuchRow(recID)
			}
		}
	}
	return &linkRefs{w.titles}, nil
}

// resolveTitle finds the oldest record whose primary value is the text, or makes
// one.
func (w *writing) resolveTitle(ctx context.Context, table models.TableID, text string) error {
	key := titleKey{table, text}
	if w.titles[key] != "" {
		return nil
	}
	linked := w.base.Table(string(table))
	primary := linked.PrimaryField()
	value, err := primary.Write(text, true)
	if err != nil {
		return err
	}
	hits, err := w.tx.Match(ctx, w.tenant(), table, map[models.FieldID]any{primary.ID: value.Value}, 1)
	if err != nil {
		return err
	}
	if len(hits) > 0 {
		w.titles[key] = hits[0]
		return nil
	}
	d := w.newDraft(linked, w.newIDs.Record(), w.now)
	d.rec.Cells[primary.ID] = value.Value
	w.titles[key] = d.rec.ID
	return nil
}

// loadEdges loads the link cells of the job's records, and the mirror cells of
// all records that they point to or shall point to.
func (w *writing) loadEdges(ctx context.Context, refs *linkRefs) error {
	fields := w.table.LinkFields()
	if len(fields) == 0 {
		return nil
	}
	var records []models.RecordID
	for key := range w.drafts {
		if key.table == w.table.ID {
			records = append(records, key.record)
		}
	}
	if err := w.loadCells(ctx, fields, records); err != nil {
		return err
	}
	for _, f := range fields {
		if !w.touches(f) {
			continue
		}
		others := map[models.RecordID]bool{}
		for _, r := range records {
			for _, t := range w.links.before[end{f.ID, r}] {
				others[t.record] = true
			}
		}
		for _, it := range w.items {
			if c, ok := it.write(f); ok {
				for _, recID := range refs.of(c) {
					others[recID] = true
				}
			}
		}
		mirror := w.base.Field(f.Options.Inverse)
		for _, r := range records {
			if _, loaded := w.links.after[end{mirror.ID, r}]; loaded {
				delete(others, r)
			}
		}
		if err := w.loadCells(ctx, []*models.Field{mirror}, slices.Collect(maps.Keys(others))); err != nil {
			return err
		}
	}
	return nil
}

// touches reports whether the job may change cells of the link field.
func (w *writing) touches(f *models.Field) bool {
	return w.replace || w.removes || slices.ContainsFunc(w.items, func(it item) bool {
		_, ok := it.write(f)
		return ok
	})
}

func (w *writing) loadCells(ctx context.Context, fields []*models.Field, records []models.RecordID) error {
	ids := make([]models.FieldID, len(fields))
	for i, f := range fields {
		ids[i] = f.ID
	}
	edges, err := w.tx.Edges(ctx, w.tenant(), ids, records)
	if err != nil {
		return err
	}
	w.links.load(ids, records, edges)
	return nil
}

// loadMirrors makes drafts of the records at the other ends of changed links.
func (w *writing) loadMirrors(ctx context.Context) error {
	missing := map[models.TableID][]models.RecordID{}
	for _, e := range w.links.changedEnds() {
		table := w.base.Field(e.field).Table
		if w.drafts[draftKey{table, e.record}] == nil {
			missing[table] = append(missing[table], e.record)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(missing)) {
		found, err := w.tx.LockRecords(ctx, w.tenant(), table, slices.Compact(missing[table]))
		if err != nil {
			return err
		}
		for _, recID := range slices.Sorted(maps.Keys(found)) {
			w.draft(w.base.Table(string(table)), found[recID])
		}
	}
	return nil
}

// takeLinks copies the link cells from the book into the drafts.
func (w *writing) takeLinks() {
	for _, d := range w.order {
		d.rec.Links = map[models.FieldID][]models.RecordID{}
		if d.old != nil {
			d.old.Links = map[models.FieldID][]models.RecordID{}
		}
		for _, f := range d.table.LinkFields() {
			key := end{f.ID, d.rec.ID}
			d.rec.Links[f.ID] = recordsOf(w.links.after[key])
			if d.old != nil {
				d.old.Links[f.ID] = recordsOf(w.links.before[key])
			}
		}
	}
	for _, e := range w.links.changedEnds() {
		if d := w.drafts[draftKey{w.base.Field(e.field).Table, e.record}]; d != nil {
			d.changed[e.field] = true
		}
	}
}
