package local

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/formula"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// watch is who has to be told of a transaction, and what the schema was before it.
type watch struct {
	hooks  []repository.StoredWebhook
	before models.Snapshot // zero unless the transaction changes the schema
	told   bool

	specs  map[models.WebhookID]models.WebhookSpec // of those that hear of changes
	broken []models.WebhookID                      // whose specification names what is gone
}

// read reads the specifications of the webhooks that hear of changes made at now. It
// returns the schema to tell by, nil if there is nobody to tell: a write that began
// before a field was made may be told to a webhook that watches the field.
func (w *watch) read(ctx context.Context, tx *repository.Tx, tenant id.TenantID, base *models.Base, now time.Time) (*models.Base, error) {
	w.hooks = slices.DeleteFunc(w.hooks, func(h repository.StoredWebhook) bool { return !h.Active(now) })
	if len(w.hooks) == 0 {
		return nil, nil
	}
	if w.fit(base); len(w.broken) == 0 {
		return base, nil
	}
	newest, err := tx.Schema(ctx, tenant, base.ID)
	if err != nil {
		return nil, err
	}
	w.fit(newest)
	return newest, nil
}

// fit finds out which specifications name only what base has.
func (w *watch) fit(base *models.Base) {
	w.specs, w.broken = map[models.WebhookID]models.WebhookSpec{}, nil
	for _, h := range w.hooks {
		spec, err := models.ReadWebhookSpec(h.Specification, base)
		if err == nil {
			err = spec.Check(base)
		}
		if err != nil {
			w.broken = append(w.broken, h.ID)
			continue
		}
		w.specs[h.ID] = spec
	}
}

// tell appends to the logs of the webhooks that were read what t is to them. base is
// the schema after t.
func (w *watch) tell(ctx context.Context, tx *repository.Tx, c upstream.Caller, base *models.Base, now time.Time, t models.Transaction) error {
	if t.User == nil && !c.User.IsZero() {
		people, err := tx.People(ctx, c.Tenant, nil, []id.UserID{c.User})
		if err != nil {
			return err
		}
		actor := people.Of(c.User)
		t.User = &actor
	}
	if w.before.Tables != nil {
		t.Before, t.After = w.before, base.Snapshot()
	}
	var told []repository.Told
	for _, hook := range slices.Sorted(maps.Keys(w.specs)) {
		body, err := t.Payload(w.specs[hook])
		if err != nil {
			return err
		}
		if body != nil {
			told = append(told, repository.Told{Webhook: hook, Body: body})
		}
	}
	for _, hook := range w.broken {
		told = append(told, repository.Told{Webhook: hook, Body: t.BrokenPayload(), Broken: true})
	}
	w.told = len(told) > 0
	return tx.Tell(ctx, c.Tenant, base.ID, now, told)
}

// tellWatchers tells webhooks what became of all drafts. It comes last, when all is
// stored.
//
// Told are the cells that the job wrote, and the links at their other ends. That a
// formula, lookup or rollup shows something else now is not told, nor that a view
// shows another record for it.
func (w *writing) tellWatchers(ctx context.Context) error {
	base, err := w.watch.read(ctx, w.tx, w.tenant(), w.base, w.now)
	if err != nil || base == nil {
		return err
	}
	var t models.Transaction
	for _, d := range w.order {
		change := models.RecordChange{Table: d.table, Old: d.old, New: d.rec, Changed: d.changed}
		switch {
		case d.gone:
			change.New = nil
		case d.old != nil && len(d.changed) == 0:
			continue
		}
		t.Records = append(t.Records, change)
	}
	if len(t.Records) == 0 && w.watch.before.Tables == nil {
		return nil
	}
	s := scribe{w, base, w.watch.specs, newCalculator(w.tx.Reader, w.tenant(), base, w.now)}
	if err := s.complete(ctx, &t); err != nil {
		return err
	}
	return w.watch.tell(ctx, w.tx, w.caller, base, w.now, t)
}

// scribe finds out what a job had no need to know and webhooks show all the same.
type scribe struct {
	*writing
	base  *models.Base // at least as new as the job's
	specs map[models.WebhookID]models.WebhookSpec
	calc  *calculator
}

func (s scribe) complete(ctx context.Context, t *models.Transaction) error {
	if err := s.links(ctx, t.Records); err != nil {
		return err
	}
	var err error
	if t.Titles, err = s.titlesOf(ctx, t.Records); err != nil {
		return err
	}
	if t.Lookups, err = s.derived(ctx, t.Records); err != nil {
		return err
	}
	if err := s.views(ctx, t.Records); err != nil {
		return err
	}
	return s.people(ctx, t)
}

// people looks up whom the changed records name, and who changed them.
func (s scribe) people(ctx context.Context, t *models.Transaction) error {
	var ids []models.PersonID
	users := []id.UserID{s.caller.User}
	for _, c := range t.Records {
		for _, r := range []*models.Record{c.Old, c.New} {
			if r != nil {
				someIDs, someUsers := models.PeopleOf(c.Table.Fields, []*models.Record{r})
				ids, users = append(ids, someIDs...), append(users, someUsers...)
			}
		}
	}
	known, err := s.tx.People(ctx, s.tenant(), ids, users)
	if err != nil {
		return err
	}
	for _, c := range t.Records {
		if c.Old != nil {
			c.Old.People = known
		}
		if c.New != nil {
			c.New.People = known
		}
	}
	if !s.caller.User.IsZero() {
		actor := known.Of(s.caller.User)
		t.User = &actor
	}
	return nil
}

// showsMore reports whether a webhook shows cells of the table that did not change,
// or looks at its records through a view.
func (s scribe) showsMore(t models.TableID) bool {
	for _, spec := range s.specs {
		if spec.Concerns(t) && (spec.View != "" || spec.IncludeAllCells || len(spec.IncludeCells) > 0) {
			return true
		}
	}
	return false
}

// links loads the link cells that are not known of changed records. All are known of
// new ones, and of deleted ones.
func (s scribe) links(ctx context.Context, changes []models.RecordChange) error {
	missing := map[models.FieldID]*idList{}
	for _, c := range changes {
		if c.Old == nil || c.New == nil || !s.showsMore(c.Table.ID) {
			continue
		}
		for _, f := range c.Table.LinkFields() {
			if _, loaded := s.writing.links.after[end{f.ID, c.New.ID}]; !loaded {
				listIn(missing, f.ID).add([]models.RecordID{c.New.ID})
			}
		}
	}
	for _, field := range slices.Sorted(maps.Keys(missing)) {
		edges, err := s.tx.Edges(ctx, s.tenant(), []models.FieldID{field}, missing[field].ids)
		if err != nil {
			return err
		}
		targets := map[models.RecordID][]models.RecordID{}
		for _, e := range edges {
			targets[e.Record] = append(targets[e.Record], e.Target)
		}
		for _, c := range changes {
			if c.New != nil && missing[field].seen[c.New.ID] {
				c.Old.Links[field], c.New.Links[field] = targets[c.New.ID], targets[c.New.ID]
			}
		}
	}
	return nil
}

// titlesOf returns what the records are called that the changed ones link to, or
// linked to before.
func (s scribe) titlesOf(ctx context.Context, changes []models.RecordChange) (map[models.RecordID]string, error) {
	wanted := map[models.TableID]*idList{}
	for _, c := range changes {
		if c.New == nil {
			continue // of a deleted record no cell is shown
		}
		for _, f := range c.Table.LinkFields() {
			listIn(wanted, f.Options.LinkedTable).add(c.New.Links[f.ID])
			if c.Old != nil {
				listIn(wanted, f.Options.LinkedTable).add(c.Old.Links[f.ID])
			}
		}
	}
	titles := map[models.RecordID]string{}
	for _, table := range slices.Sorted(maps.Keys(wanted)) {
		t := s.base.Table(string(table))
		var recs []*models.Record
		var stored []models.RecordID
		for _, recID := range wanted[table].ids {
			d := s.drafts[draftKey{table, recID}]
			if d != nil && (d.gone || !t.PrimaryField().Type.Derived()) {
				recs = append(recs, d.rec)
			} else {
				stored = append(stored, recID)
			}
		}
		found, err := s.tx.RecordsByID(ctx, s.tenant(), table, stored)
		if err != nil {
			return nil, err
		}
		for _, recID := range slices.Sorted(maps.Keys(found)) {
			recs = append(recs, found[recID])
		}
		primary := t.PrimaryField()
		loaded, err := s.calc.load(ctx, t, recs, []*models.Field{primary}, true)
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			titles[r.ID] = primary.Text(loaded.shown(r, primary), models.Display{Zone: time.UTC})
		}
		if loaded.err != nil {
			return nil, loaded.err
		}
	}
	return titles, nil
}

// derived computes the derived fields that webhooks show of changed records. It
// returns what lookups show, which is more than a record holds.
func (s scribe) derived(ctx context.Context, changes []models.RecordChange) (map[models.FieldID]map[models.RecordID]any, error) {
	lookups := map[models.FieldID]map[models.RecordID]any{}
	for _, t := range s.base.Tables {
		var fields []*models.Field
		for _, f := range t.Fields {
			if f.Type.Derived() && s.includes(f) {
				fields = append(fields, f)
			}
		}
		recs := recordsIn(t, changes, func(c models.RecordChange) *models.Record {
			if c.Old == nil {
				return nil
			}
			return c.New
		})
		if len(fields) == 0 || len(recs) == 0 {
			continue
		}
		loaded, err := s.calc.load(ctx, t, recs, fields, false)
		if err != nil {
			return nil, err
		}
		for _, f := range fields {
			if c := f.Calculation(); f.Type == models.Lookup && c.Valid() {
				lookups[f.ID] = map[models.RecordID]any{}
				for _, r := range recs {
					lookups[f.ID][r.ID] = loaded.lookupByRecord(c, r)
				}
			}
		}
		if loaded.err != nil {
			return nil, loaded.err
		}
	}
	return lookups, nil
}

func (s scribe) includes(f *models.Field) bool {
	for _, spec := range s.specs {
		if spec.Concerns(f.Table) && spec.Includes(f.ID) {
			return true
		}
	}
	return false
}

// recordsIn picks a record of each change in the table; nil is none.
func recordsIn(t *models.Table, changes []models.RecordChange, pick func(models.RecordChange) *models.Record) []*models.Record {
	var out []*models.Record
	for _, c := range changes {
		if r := pick(c); c.Table.ID == t.ID && r != nil {
			out = append(out, r)
		}
	}
	return out
}

// lookupByRecord is a lookup's cell as webhooks show it; nil if it is empty.
func (s *sheet) lookupByRecord(c *models.Calculation, r *models.Record) any {
	values := map[models.RecordID][]any{}
	for _, recID := range r.Links[c.Via.ID] {
		if linked := s.rows[c.Target.Table][recID]; linked != nil {
			shown := []any{}
			for _, e := range s.entries(c.Target, linked) {
				if e.shown != nil {
					shown = append(shown, models.Linkless(e.shown))
				}
			}
			values[recID] = shown
		}
	}
	if len(values) == 0 {
		return nil
	}
	return map[string]any{"linkedRecordIds": r.Links[c.Via.ID], "valuesByLinkedRecordId": values}
}

// views finds out which of the watched views show the changed records, now and
// before. A view whose definition does not fit its table any more shows none.
func (s scribe) views(ctx context.Context, changes []models.RecordChange) error {
	for i := range changes {
		changes[i].Views = map[models.ViewID]models.Membership{}
	}
	done := map[models.ViewID]bool{}
	for _, spec := range s.specs {
		v, t := s.base.ViewByID(spec.View)
		if v == nil || done[v.ID] {
			continue
		}
		done[v.ID] = true
		before, err := s.shown(ctx, v, t, recordsIn(t, changes, func(c models.RecordChange) *models.Record { return c.Old }))
		if err != nil {
			return err
		}
		after, err := s.shown(ctx, v, t, recordsIn(t, changes, func(c models.RecordChange) *models.Record { return c.New }))
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Table.ID == t.ID {
				recID := recordOf(c)
				c.Views[v.ID] = models.Membership{Before: before[recID], After: after[recID]}
			}
		}
	}
	return nil
}

func recordOf(c models.RecordChange) models.RecordID {
	if c.New != nil {
		return c.New.ID
	}
	return c.Old.ID
}

// shown returns which of recs, as they are in memory, the view shows.
func (s scribe) shown(ctx context.Context, v *models.View, t *models.Table, recs []*models.Record) (map[models.RecordID]bool, error) {
	out := map[models.RecordID]bool{}
	f := &filter{now: s.now}
	if err := f.andWhole(s.base, t, v.Filter); err != nil || len(recs) == 0 {
		return out, nil
	}
	loaded, err := s.calc.load(ctx, t, recs, f.names, true)
	if err != nil {
		return nil, err
	}
	for _, r := range recs {
		out[r.ID] = f.passes(s.calc, loaded.env(r))
	}
	return out, loaded.err
}

// andWhole is andKept for records that are in memory alone: nothing is left to SQL.
func (f *filter) andWhole(base *models.Base, t *models.Table, text string) error {
	if text == "" {
		return nil
	}
	whole, err := formula.Compile(text, keptSchema(t), formula.Limits{})
	if err != nil {
		return models.InvalidFilter(formula.FilterMessage(err))
	}
	f.rest = append(f.rest, whole)
	for _, fieldID := range whole.Fields() {
		f.names = append(f.names, base.Field(models.FieldID(fieldID)))
	}
	return nil
}
