package local

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
)

// writing is one run of a job in one transaction: it gathers what becomes of
// records in memory, and stores all of it at the end.
type writing struct {
	*job
	tx      *repository.Tx
	newIDs  *models.IDs
	now     time.Time
	removes bool // the job deletes its records
	drafts  map[draftKey]*draft
	order   []*draft // in which they came up
	links   *linkBook
	// titles remembers which record a text meant, so that one text creates one record.
	titles map[titleKey]models.RecordID
	// cellFiles are the attachments that the job names by id, sources the addresses of
	// those that a job has to fetch.
	cellFiles map[models.AttachmentID][]repository.CellFile
	sources   map[models.AttachmentID]string
	enqueue   repository.Enqueue
}

type draftKey struct {
	table  models.TableID
	record models.RecordID
}

type titleKey struct {
	table models.TableID
	text  string
}

// draft is what becomes of one record.
type draft struct {
	table   *models.Table
	rec     *models.Record
	old     *models.Record        // nil: the record is new
	was     *repository.StoredRow // of a record that comes back
	gone    bool
	changed map[models.FieldID]bool
}

func (s *Store) newWriting(tx *repository.Tx, j *job) *writing {
	return &writing{
		job: j, tx: tx, newIDs: s.ids, now: s.clock(),
		drafts: map[draftKey]*draft{}, links: newLinkBook(), titles: map[titleKey]models.RecordID{},
		sources: map[models.AttachmentID]string{}, enqueue: s.enqueue,
	}
}

func (w *writing) run(ctx context.Context) error {
	if err := w.tx.LockTables(ctx, w.tenant(), w.tablesToLock()); err != nil {
		return err
	}
	targets, err := w.match(ctx)
	if err != nil {
		return err
	}
	if err := w.loadExisting(ctx, targets); err != nil {
		return err
	}
	w.makeDrafts(targets)
	if err := w.resolvePeople(ctx); err != nil {
		return err
	}
	if err := w.resolveFiles(ctx); err != nil {
		return err
	}
	refs, err := w.resolveLinks(ctx)
	if err != nil {
		return err
	}
	if err := w.loadEdges(ctx, refs); err != nil {
		return err
	}
	for i := range w.items {
		w.applyItem(i, refs)
	}
	if err := w.loadMirrors(ctx); err != nil {
		return err
	}
	return w.save(ctx)
}

// tablesToLock are the table, where records come into being or links change, and
// the tables at the links' other ends. A plain change of cells locks records only.
func (w *writing) tablesToLock() []models.TableID {
	tables := map[models.TableID]bool{}
	if w.mergeOn != nil {
		tables[w.table.ID] = true
	}
	for _, it := range w.items {
		if it.create {
			tables[w.table.ID] = true
		}
		for _, c := range it.writes {
			if c.Field.Type == models.MultipleRecordLinks {
				tables[w.table.ID], tables[c.Field.Options.LinkedTable] = true, true
			}
		}
	}
	if w.replace {
		for _, f := range w.table.LinkFields() {
			tables[w.table.ID], tables[f.Options.LinkedTable] = true, true
		}
	}
	return slices.Sorted(maps.Keys(tables))
}

// match decides for every item of an upsert which record it is about. It returns
// the record of each item; "" means a new one. An item may share the record of
// an earlier one, new or not. Matching looks at the state before the request.
func (w *writing) match(ctx context.Context) ([]models.RecordID, error) {
	targets := make([]models.RecordID, len(w.items))
	created := map[string]models.RecordID{}
	for i, it := range w.items {
		targets[i] = it.id
		if it.id != "" {
			continue
		}
		fresh := w.newIDs.Record()
		if it.chosen.id != "" {
			fresh = it.chosen.id
		}
		targets[i] = fresh
		if w.mergeOn == nil {
			continue
		}
		key, ok := mergeKey(it, w.mergeOn)
		if !ok {
			continue // an empty key matches nothing
		}
		hits, err := w.tx.MatchAndLock(ctx, w.tenant(), w.table.ID, key, 2)
		if err != nil {
			return nil, err
		}
		name := string(models.Marshal(key))
		switch {
		case len(hits) > 1:
			return nil, models.BadRequest("Invalid request: more than one record matches the fields to merge on.")
		case len(hits) == 1:
			targets[i] = hits[0]
		case created[name] != "":
			targets[i] = created[name]
		default:
			created[name] = fresh
		}
	}
	return targets, nil
}

// mergeKey returns the stored values that the item is matched by; not ok if one
// of them is empty.
func mergeKey(it item, fields []*models.Field) (map[models.FieldID]any, bool) {
	key := map[models.FieldID]any{}
	for _, f := range fields {
		c, _ := it.write(f)
		if c.Value == nil {
			return nil, false
		}
		key[f.ID] = c.Value
	}
	return key, true
}

// loadExisting locks the records that exist and makes drafts of them.
func (w *writing) loadExisting(ctx context.Context, targets []models.RecordID) error {
	ids := slices.Clone(targets)
	slices.Sort(ids)
	found := map[models.RecordID]*models.Record{}
	if len(w.ids()) > 0 || w.mergeOn != nil {
		var err error
		if found, err = w.tx.LockRecords(ctx, w.tenant(), w.table.ID, slices.Compact(ids)); err != nil {
			return err
		}
	}
	if err := w.refuseMissing(found); err != nil {
		return err
	}
	for _, rec := range found {
		w.draft(w.table, rec)
	}
	return nil
}

// draft makes the draft of an existing record, unless it has one.
func (w *writing) draft(t *models.Table, rec *models.Record) {
	key := draftKey{t.ID, rec.ID}
	if w.drafts[key] != nil {
		return
	}
	old := *rec
	rec.Cells = maps.Clone(rec.Cells)
	if rec.Cells == nil {
		rec.Cells = map[models.FieldID]any{}
	}
	w.put(key, &draft{table: t, rec: rec, old: &old, changed: map[models.FieldID]bool{}})
}

func (w *writing) newDraft(t *models.Table, recID models.RecordID, at time.Time) *draft {
	rec := &models.Record{ID: recID, Cells: map[models.FieldID]any{}, CreatedAt: at.Truncate(time.Second), CreatedBy: w.caller.User, Version: 1}
	return w.put(draftKey{t.ID, recID}, &draft{table: t, rec: rec, changed: map[models.FieldID]bool{}})
}

func (w *writing) put(key draftKey, d *draft) *draft {
	w.drafts[key] = d
	w.order = append(w.order, d)
	return d
}

// makeDrafts gives every item its draft.
func (w *writing) makeDrafts(targets []models.RecordID) {
	for i := range w.items {
		d := w.drafts[draftKey{w.table.ID, targets[i]}]
		if d == nil {
			at := w.items[i].chosen.at
			if at.IsZero() {
				at = w.now
			}
			d = w.newDraft(w.table, targets[i], at)
			if d.was = w.items[i].chosen.was; d.was != nil {
				d.rec.Version, d.rec.CreatedAt, d.rec.CreatedBy = d.was.Version, d.was.CreatedAt, userOrNobody(d.was.CreatedBy)
			}
		}
		w.items[i].outcome = d
	}
}

// applyItem changes the draft of the i-th item.
func (w *writing) applyItem(i int, refs *linkRefs) {
	it := w.items[i]
	d := it.outcome
	if w.replace {
		for _, f := range w.table.Fields {
			if _, listed := it.write(f); !listed && !f.Type.Computed() {
				w.setCell(d, models.CellWrite{Field: f}, nil)
			}
		}
	}
	for _, c := range it.writes {
		w.setCell(d, c, refs.of(c))
	}
}

func (w *writing) setCell(d *draft, c models.CellWrite, targets []models.RecordID) {
	if c.Field.Type == models.MultipleRecordLinks {
		w.links.set(c.Field, d.rec.ID, targets)
		return
	}
	if c.Field.Type == models.MultipleAttachments {
		c.Value = w.attachments(d.rec.Cells[c.Field.ID], c)
	}
	if c.Value == nil {
		delete(d.rec.Cells, c.Field.ID)
	} else {
		d.rec.Cells[c.Field.ID] = c.Value
	}
}

// save stores what became of all drafts, with their history and the events that tell
// of it.
func (w *writing) save(ctx context.Context) error {
	w.takeLinks()
	created, updated := map[models.TableID][]*models.Record{}, map[models.TableID][]*models.Record{}
	for _, d := range w.order {
		switch {
		case d.gone:
		case d.old == nil && d.was != nil:
			if err := w.bringBack(ctx, d); err != nil {
				return err
			}
		case d.old == nil:
			created[d.table.ID] = append(created[d.table.ID], d.rec)
		case d.noteChanges():
			d.rec.Version++
			d.rec.Touch(slices.Sorted(maps.Keys(d.changed)), models.Touch{At: w.now, By: w.caller.User})
			updated[d.table.ID] = append(updated[d.table.ID], d.rec)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(created)) {
		if err := w.tx.InsertRecords(ctx, w.tenant(), table, created[table], w.caller.User); err != nil {
			return err
		}
	}
	for _, table := range slices.Sorted(maps.Keys(updated)) {
		if err := w.tx.UpdateRecords(ctx, w.tenant(), table, updated[table], w.caller.User); err != nil {
			return err
		}
	}
	if err := w.saveFiles(ctx); err != nil {
		return err
	}
	removed, put := w.links.changes()
	if err := w.tx.DeleteEdges(ctx, w.tenant(), removed); err != nil {
		return err
	}
	if err := w.tx.PutEdges(ctx, w.tenant(), put); err != nil {
		return err
	}
	changes, err := w.changes()
	if err != nil {
		return err
	}
	return w.tell(ctx, changes)
}

// bringBack stores a record that was there once, in its place if that is free.
func (w *writing) bringBack(ctx context.Context, d *draft) error {
	row := *d.was
	row.ID, row.Cells = d.rec.ID, models.Marshal(d.rec.Cells)
	if row.Number == 0 {
		var err error
		if row.Number, err = w.tx.NextNumber(ctx, w.tenant(), d.table.ID); err != nil {
			return err
		}
	}
	d.rec.Number = row.Number
	return w.tx.InsertRows(ctx, w.tenant(), d.table.ID, []repository.StoredRow{row})
}

// noteChanges finds which cells are other than they were, and reports whether
// any is. Links have been noted already.
func (d *draft) noteChanges() bool {
	for _, f := range d.table.Fields {
		if f.Type != models.MultipleRecordLinks && !sameCell(d.old.Cells[f.ID], d.rec.Cells[f.ID]) {
			d.changed[f.ID] = true
		}
	}
	return len(d.changed) > 0
}

func sameCell(a, b any) bool { return reflect.DeepEqual(asDecoded(a), asDecoded(b)) }

// asDecoded is a stored value in the form that reading it back would give it.
func asDecoded(v any) any {
	texts, ok := v.([]string)
	if !ok {
		return v
	}
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = s
	}
	return out
}

// remove deletes the job's records and takes them out of all link cells.
func (w *writing) remove(ctx context.Context) error {
	w.removes = true
	tables := map[models.TableID]bool{w.table.ID: true}
	for _, f := range w.table.LinkFields() {
		tables[f.Options.LinkedTable] = true
	}
	if err := w.tx.LockTables(ctx, w.tenant(), slices.Sorted(maps.Keys(tables))); err != nil {
		return err
	}
	if err := w.loadExisting(ctx, w.ids()); err != nil {
		return err
	}
	if err := w.loadEdges(ctx, &linkRefs{}); err != nil {
		return err
	}
	var ids []models.RecordID
	for _, recID := range w.ids() {
		d := w.drafts[draftKey{w.table.ID, recID}]
		d.gone = true
		ids = append(ids, recID)
		for _, f := range w.table.LinkFields() {
			w.links.set(f, recID, nil)
		}
	}
	if err := w.loadMirrors(ctx); err != nil {
		return err
	}
	if err := w.save(ctx); err != nil {
		return err
	}
	if err := w.tx.DeleteRecords(ctx, w.tenant(), w.table.ID, ids); err != nil {
		return err
	}
	return w.tellWatchers(ctx)
}
