package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/formula"
	"github.com/pyairtable/pyairtable/pkg/formula/sqlgen"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// calculator computes derived fields for one call, all as of one moment. It reads
// what the call reads: the store, or a transaction.
//
// How much it does is bounded for the whole call. When that is used up it is spent:
// what is still to be computed becomes an error value, and callers that can refuse
// the call instead do so.
type calculator struct {
	read    repository.Reader
	tenant  id.TenantID
	base    *models.Base
	now     time.Time // NOW()
	work    int       // that may still be done
	spent   bool
	columns map[models.FieldID]*sqlgen.Column
	files   *files.Keeper // makes the links of attachments that are shown
}

// callWork is what computing may cost in one call, in times of what one evaluation of
// a formula may. Honest formulas look at some hundred bytes of a record.
const callWork = 32

// What derived fields of the records of a sheet may take in memory.
const (
	maxFollowed = 500_000  // links
	maxExcerpts = 32 << 20 // bytes of other records' cells
	maxKept     = 64 << 20 // bytes of results
)

func newCalculator(read repository.Reader, tenant id.TenantID, base *models.Base, now time.Time) *calculator {
	return &calculator{
		read: read, tenant: tenant, base: base, now: now,
		work: callWork * formula.DefaultLimits.Work, columns: map[models.FieldID]*sqlgen.Column{},
	}
}

// calculator returns one whose printers show attachments with links.
func (s *Store) calculator(read repository.Reader, tenant id.TenantID, base *models.Base) *calculator {
	c := newCalculator(read, tenant, base, s.now())
	c.files = s.files
	return c
}

// sheet holds records of the base in memory while derived fields are computed. First
// it finds out, from the fields that need others down to those that need none, which
// cells of which records matter, following links for all records at once; then it
// reads these cells, and computes in the other direction. The number of queries
// depends on the schema alone.
type sheet struct {
	*calculator
	rows    map[models.TableID]map[models.RecordID]*models.Record
	asked   map[models.TableID]*idList                 // records to be read
	cells   map[models.TableID]map[models.FieldID]bool // of these records
	wanted  map[models.FieldID]*idList                 // records that a derived field is computed for
	levels  map[int][]*models.Field                    // derived fields that are wanted, by height
	links   map[models.FieldID]map[models.RecordID][]models.RecordID
	steps   []step
	named   map[models.TableID]*idList // records whose titles are needed
	titles  map[models.TableID]map[models.RecordID]string
	kept    int // bytes of results
	tooMuch bool
	err     error // the first, while evaluating
}

// step is a link field to be followed, from records to what is taken of the records
// at its other end; nil takes nothing, and is not counted if it is merely shown.
type step struct {
	link  *models.Field
	from  []models.RecordID
	take  *models.Field
	shown bool
}

// idList is a set that keeps its order.
type idList struct {
	ids  []models.RecordID
	seen map[models.RecordID]bool
}

func (l *idList) add(ids []models.RecordID) {
	for _, recID := range ids {
		if !l.seen[recID] {
			l.seen[recID] = true
			l.ids = append(l.ids, recID)
		}
	}
}

// listIn returns the list of a key, which it makes if there is none.
func listIn[K comparable](lists map[K]*idList, key K) *idList {
	if lists[key] == nil {
		lists[key] = &idList{seen: map[models.RecordID]bool{}}
	}
	return lists[key]
}

// load reads what the fields of recs, which are records of the table, take beside the
// records: links, and whatever derived fields are computed from. It fills the records'
// Links and Computed. titled says that the texts of links will be asked for.
func (c *calculator) load(ctx context.Context, t *models.Table, recs []*models.Record, fields []*models.Field, titled bool) (*sheet, error) {
	s := &sheet{
		calculator: c,
		rows:       map[models.TableID]map[models.RecordID]*models.Record{t.ID: {}},
		asked:      map[models.TableID]*idList{}, cells: map[models.TableID]map[models.FieldID]bool{},
		wanted: map[models.FieldID]*idList{}, levels: map[int][]*models.Field{},
		links: map[models.FieldID]map[models.RecordID][]models.RecordID{},
		named: map[models.TableID]*idList{}, titles: map[models.TableID]map[models.RecordID]string{},
	}
	ids := make([]models.RecordID, len(recs))
	for i, r := range recs {
		ids[i], s.rows[t.ID][r.ID] = r.ID, r
		for field, targets := range r.Links {
			s.known(field)[r.ID] = targets
		}
	}
	if len(recs) == 0 {
		return s, nil
	}
	for _, f := range fields {
		if f.Type == models.MultipleRecordLinks && !titled {
			s.steps = append(s.steps, step{link: f, from: ids, shown: true})
			continue
		}
		s.need(f, ids)
	}
	if err := s.gather(ctx); err != nil {
		return nil, err
	}
	return s, s.compute(ctx)
}

func (s *sheet) known(link models.FieldID) map[models.RecordID][]models.RecordID {
	if s.links[link] == nil {
		s.links[link] = map[models.RecordID][]models.RecordID{}
	}
	return s.links[link]
}

// need asks for the values of a field: of a link, what the linked records are called.
func (s *sheet) need(f *models.Field, ids []models.RecordID) {
	listIn(s.asked, f.Table).add(ids)
	switch {
	case f.Type.Derived():
		if !f.Calculation().Valid() {
			return
		}
		if height := f.Calculation().Height; s.wanted[f.ID] == nil {
			s.levels[height] = append(s.levels[height], f)
		}
		listIn(s.wanted, f.ID).add(ids)
	case f.Type == models.MultipleRecordLinks:
		if linked := s.base.Linked(f); linked != nil {
			s.steps = append(s.steps, step{link: f, from: ids, take: linked.PrimaryField()})
		}
	default:
		if s.cells[f.Table] == nil {
			s.cells[f.Table] = map[models.FieldID]bool{}
		}
		s.cells[f.Table][f.ID] = true
	}
}

// gather finds out which cells matter and reads them.
func (s *sheet) gather(ctx context.Context) error {
	if err := s.follow(ctx); err != nil {
		return err
	}
	for height := s.highest(); height > 0; height-- {
		for _, f := range s.levels[height] {
			ids, c := s.wanted[f.ID].ids, f.Calculation()
			for _, ref := range c.Refs {
				s.need(ref, ids)
			}
			if c.Via != nil {
				s.steps = append(s.steps, step{link: c.Via, from: ids, take: c.Target})
			}
		}
		if err := s.follow(ctx); err != nil {
			return err
		}
	}
	if err := s.excerpts(ctx); err != nil {
		return err
	}
	return s.people(ctx)
}

// people makes the records know the people whom the fields that were asked for name.
func (s *sheet) people(ctx context.Context) error {
	var ids []models.PersonID
	var users []id.UserID
	var naming []*models.Record
	for _, t := range s.base.Tables {
		var fields []*models.Field
		for _, f := range t.Fields {
			if s.cells[t.ID][f.ID] && f.Type.NamesPeople() {
				fields = append(fields, f)
			}
		}
		if len(fields) == 0 {
			continue
		}
		recs := slices.Collect(maps.Values(s.rows[t.ID]))
		someIDs, someUsers := models.PeopleOf(fields, recs)
		ids, users, naming = append(ids, someIDs...), append(users, someUsers...), append(naming, recs...)
	}
	if len(naming) == 0 {
		return nil
	}
	people, err := s.read.People(ctx, s.tenant, ids, users)
	for _, r := range naming {
		r.People = people
	}
	return err
}

func (s *sheet) highest() int {
	most := 0
	for height := range s.levels {
		most = max(most, height)
	}
	return most
}

// follow takes all steps, and those that follow from them at once.
func (s *sheet) follow(ctx context.Context) error {
	for len(s.steps) > 0 {
		steps := s.steps
		s.steps = nil
		if err := s.readLinks(ctx, steps); err != nil {
			return err
		}
		for _, st := range steps {
			if st.take == nil {
				continue
			}
			targets := &idList{seen: map[models.RecordID]bool{}}
			for _, recID := range st.from {
				targets.add(s.links[st.link.ID][recID])
			}
			s.need(st.take, targets.ids)
			if linked := s.base.Linked(st.link); linked.Primary == st.take.ID {
				listIn(s.named, linked.ID).add(targets.ids)
			}
		}
	}
	return nil
}

// readLinks reads the link cells of steps that are not known yet.
func (s *sheet) readLinks(ctx context.Context, steps []step) error {
	missing, free := map[models.FieldID]*idList{}, map[models.FieldID]bool{}
	var order []models.FieldID
	for _, st := range steps {
		known := s.known(st.link.ID)
		var ids []models.RecordID
		for _, recID := range st.from {
			if _, ok := known[recID]; !ok {
				ids = append(ids, recID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		if missing[st.link.ID] == nil {
			order = append(order, st.link.ID)
			free[st.link.ID] = true
		}
		free[st.link.ID] = free[st.link.ID] && st.shown
		listIn(missing, st.link.ID).add(ids)
	}
	var ends []repository.Ends
	for _, link := range order {
		if free[link] || !s.tooMuch {
			ends = append(ends, repository.Ends{Field: link, Records: missing[link].ids, Free: free[link]})
		}
	}
	if len(ends) == 0 {
		return nil
	}
	found, err := s.read.Follow(ctx, s.tenant, ends, maxFollowed)
	if errors.Is(err, repository.ErrTooMuch) {
		s.giveUp()
		return s.readLinks(ctx, steps) // what is merely shown
	}
	if err != nil {
		return err
	}
	for i, e := range ends {
		known := s.known(e.Field)
		for _, recID := range e.Records {
			known[recID] = found[i][recID]
		}
	}
	return nil
}

// giveUp says that this is more than the call may read.
func (s *sheet) giveUp() { s.tooMuch, s.spent = true, true }

// excerpts reads the cells that were asked for of records that are not in memory, and
// puts the links into all.
func (s *sheet) excerpts(ctx context.Context) error {
	var wanted []repository.Cells
	for _, t := range s.base.Tables {
		asked := s.asked[t.ID]
		if asked == nil || s.tooMuch {
			continue
		}
		w := repository.Cells{Table: t.ID}
		for _, recID := range asked.ids {
			if s.rows[t.ID][recID] == nil {
				w.Records = append(w.Records, recID)
			}
		}
		for _, f := range t.Fields {
			if s.cells[t.ID][f.ID] {
				w.Fields = append(w.Fields, f.ID)
			}
		}
		if len(w.Records) > 0 {
			wanted = append(wanted, w)
		}
	}
	if len(wanted) > 0 {
		found, err := s.read.Excerpts(ctx, s.tenant, wanted, maxExcerpts)
		switch {
		case errors.Is(err, repository.ErrTooMuch):
			s.giveUp()
		case err != nil:
			return err
		}
		for i, rows := range found {
			if s.rows[wanted[i].Table] == nil {
				s.rows[wanted[i].Table] = map[models.RecordID]*models.Record{}
			}
			for recID, r := range rows {
				s.rows[wanted[i].Table][recID] = r
			}
		}
	}
	for link, cells := range s.links {
		rows := s.rows[s.base.Field(link).Table]
		for recID, targets := range cells {
			if r := rows[recID]; r != nil {
				if r.Links == nil {
					r.Links = map[models.FieldID][]models.RecordID{}
				}
				r.Links[link] = targets
			}
		}
	}
	return nil
}

// compute fills Computed of all records that derived fields are wanted for.
func (s *sheet) compute(ctx context.Context) error {
	for height := 1; height <= s.highest(); height++ {
		for _, f := range s.levels[height] {
			rows := s.rows[f.Table]
			for _, recID := range s.wanted[f.ID].ids {
				r := rows[recID]
				if r == nil {
					continue // deleted while its links were followed
				}
				if err := ctx.Err(); err != nil { // an evaluation may take long, many may take ages
					return fmt.Errorf("compute %s: %w", f.ID, err)
				}
				if r.Computed == nil {
					r.Computed = map[models.FieldID]models.Computed{}
				}
				r.Computed[f.ID] = s.keep(s.computed(f, r))
				if s.err != nil {
					return fmt.Errorf("compute %s of record %s: %w", f.ID, recID, s.err)
				}
			}
		}
	}
	return nil
}

// keep counts what a result takes.
func (s *sheet) keep(c models.Computed) models.Computed {
	s.kept += sizeOf(c.Value)
	for _, v := range c.Value.Items() {
		s.kept += sizeOf(v)
	}
	if s.kept > maxKept {
		s.giveUp()
		return models.TooDear()
	}
	return c
}

func sizeOf(v formula.Value) int {
	const value = 100 // with its place in a map or list
	if v.Kind() == formula.KindText {
		return value + len(v.String())
	}
	return value
}

func (s *sheet) computed(f *models.Field, r *models.Record) models.Computed {
	if s.tooMuch {
		return models.TooDear()
	}
	c := f.Calculation()
	env := s.env(r)
	switch f.Type {
	case models.Lookup:
		return s.lookup(c, r)
	case models.Count:
		n := float64(len(r.Links[c.Via.ID]))
		return models.Computed{Value: formula.Number(n), Shown: n}
	case models.Rollup:
		for _, recID := range r.Links[c.Via.ID] {
			if linked := s.rows[c.Target.Table][recID]; linked != nil {
				env.Values = append(env.Values, s.rolledUp(c.Target, linked))
			}
		}
	}
	v := c.Formula.Result(s.evaluate(c.Formula, env))
	return models.Computed{Value: v, Shown: c.Show(v)}
}

// evaluate takes the work from what the call may do.
func (c *calculator) evaluate(f *formula.Formula, env *formula.Env) formula.Value {
	limit := f.Limits().Work
	granted := min(c.work, limit)
	left := granted
	v := f.EvalWithin(env, &left)
	c.spent = c.spent || left < 0 && granted < limit
	c.work -= granted - max(left, 0)
	return v
}

// charge takes work that is not a formula's.
func (c *calculator) charge(n int) {
	if c.work -= n; c.work < 0 {
		c.work, c.spent = 0, true
	}
}

// env is what formulas see of a record.
func (s *sheet) env(r *models.Record) *formula.Env {
	return &formula.Env{
		Now: s.now, RecordID: string(r.ID), Created: r.CreatedAt,
		Modified: func(fields []string) time.Time {
			if len(fields) == 0 {
				return r.ModifiedAt
			}
			ids := make([]models.FieldID, len(fields))
			for i, fieldID := range fields {
				ids[i] = models.FieldID(fieldID)
			}
			return r.LastTouch(ids).At
		},
		Cell: func(fieldID string) formula.Value { return s.value(r, s.base.Field(models.FieldID(fieldID))) },
	}
}

// value is what formulas see of a cell.
func (s *sheet) value(r *models.Record, f *models.Field) formula.Value {
	if f.Type.Derived() {
		return f.Computed(r).Value
	}
	if column := s.column(f); column.Storage != sqlgen.Elsewhere {
		row := sqlgen.Row{Number: r.Number, Created: r.CreatedAt, Modified: r.ModifiedAt}
		return column.Value(&row, r.Cells[f.ID])
	}
	shown := s.shown(r, f)
	switch f.Type {
	case models.MultipleRecordLinks:
		shown = f.Text(shown, models.Display{Zone: time.UTC, Titles: s.titlesOf(s.base.Linked(f))})
	case models.MultipleAttachments:
		shown = f.Text(shown, models.Display{})
	}
	return formula.FromCell(f.Yields(), shown).In(s.column(f).Zone)
}

// shown is what clients see of a cell.
func (s *sheet) shown(r *models.Record, f *models.Field) any {
	v, err := f.Read(r)
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("field %s of record %s: %w", f.ID, r.ID, err)
	}
	return v
}

func (c *calculator) column(f *models.Field) *sqlgen.Column {
	if c.columns[f.ID] == nil {
		column := formulaColumn(f)
		c.columns[f.ID] = &column
	}
	return c.columns[f.ID]
}

// titlesOf are the titles, as formulas see them, of a table's records: as
// cellFormat=string shows them, but on nobody's clock.
func (s *sheet) titlesOf(t *models.Table) map[models.RecordID]string {
	if t == nil {
		return nil
	}
	if s.titles[t.ID] == nil {
		s.titles[t.ID] = s.titlesAs(t, models.Display{Zone: time.UTC})
	}
	return s.titles[t.ID]
}

// titlesAs are the titles of those of the table's records that links asked for.
func (s *sheet) titlesAs(t *models.Table, d models.Display) map[models.RecordID]string {
	named := s.named[t.ID]
	if named == nil {
		return map[models.RecordID]string{}
	}
	out := make(map[models.RecordID]string, len(named.ids))
	primary := t.PrimaryField()
	for _, recID := range named.ids {
		if r := s.rows[t.ID][recID]; r != nil {
			out[recID] = primary.Text(s.shown(r, primary), d)
		}
	}
	return out
}

// entry is one value that a lookup takes.
type entry struct {
	value formula.Value
	shown any
}

// entries are what a field of a linked record adds to a lookup of it.
func (s *sheet) entries(f *models.Field, r *models.Record) []entry {
	if f.Type.Derived() {
		c := f.Computed(r)
		list, isList := c.Shown.([]any)
		switch {
		case !isList && listed(f) && c.Shown == nil:
			return nil
		case !isList:
			return []entry{{c.Value, c.Shown}}
		}
		out := make([]entry, len(list))
		for i, v := range c.Value.Items() {
			out[i] = entry{v, list[i]}
		}
		return out
	}
	var items []any
	switch v := s.shown(r, f).(type) {
	case []string:
		for _, text := range v {
			items = append(items, text)
		}
	case []models.Attachment:
		out := make([]entry, len(v))
		for i, a := range v {
			out[i] = entry{formula.Text(a.Filename), a}
		}
		return out
	case []any:
		items = v
	case nil:
		if listed(f) {
			return nil
		}
		return []entry{{s.value(r, f), nil}}
	default:
		return []entry{{s.value(r, f), v}}
	}
	out := make([]entry, len(items))
	for i, item := range items {
		out[i] = entry{formula.FromCell(f.Yields(), item), item}
		if f.Type == models.MultipleRecordLinks {
			recID, _ := item.(string)
			out[i].value = formula.Text(s.titlesOf(s.base.Linked(f))[models.RecordID(recID)])
		}
	}
	return out
}

// lookup takes the linked records' cells in the order of the links. Lists are taken
// apart, and empty cells left out.
//
// Unconfirmed: an unchecked box is not left out, but null.
func (s *sheet) lookup(c *models.Calculation, r *models.Record) models.Computed {
	var values []formula.Value
	var shown []any
	for _, recID := range r.Links[c.Via.ID] {
		linked := s.rows[c.Target.Table][recID]
		if linked == nil {
			continue
		}
		for _, e := range s.entries(c.Target, linked) {
			s.charge(1 + len(e.value.String()))
			if s.spent {
				return models.TooDear()
			}
			if e.shown != nil || c.Target.Type == models.Checkbox {
				values, shown = append(values, e.value), append(shown, e.shown)
			}
		}
	}
	if len(values) == 0 {
		return models.Computed{}
	}
	return models.Computed{Value: formula.List(values...), Shown: shown}
}

// rolledUp is what a field of a linked record is among a rollup's values: blank if
// the cell is empty, and a list if it holds one.
func (s *sheet) rolledUp(f *models.Field, r *models.Record) formula.Value {
	entries := s.entries(f, r)
	if !listed(f) {
		if len(entries) == 0 {
			return formula.Blank()
		}
		return entries[0].value
	}
	values := make([]formula.Value, len(entries))
	for i, e := range entries {
		values[i] = e.value
		s.charge(1)
	}
	return formula.List(values...)
}

// listed reports whether a cell of the field holds a list of values.
func listed(f *models.Field) bool {
	if f.Type.Derived() {
		return f.Yields().Kind == formula.KindList
	}
	switch f.Type {
	case models.MultipleSelects, models.MultipleRecordLinks, models.MultipleCollaborators, models.MultipleAttachments:
		return true
	}
	return false
}

// byComputation reports whether only the calculator knows how records sort by the
// field.
func (c *calculator) byComputation(f *models.Field) bool {
	if f.Type == models.MultipleRecordLinks {
		linked := c.base.Linked(f)
		return linked != nil && linked.PrimaryField().Type.Derived()
	}
	return f.Type.Derived()
}

// sortKeys adds the values of recs to the keys that only the calculator knows.
func (c *calculator) sortKeys(ctx context.Context, t *models.Table, recs []*models.Record, keys []repository.SortKey) error {
	var fields []*models.Field
	for _, k := range keys {
		if c.byComputation(k.Field) {
			fields = append(fields, k.Field)
		}
	}
	s, err := c.load(ctx, t, recs, fields, true)
	if err != nil {
		return err
	}
	for i := range keys {
		k := &keys[i]
		if !slices.Contains(fields, k.Field) {
			continue
		}
		for _, r := range recs {
			if v := s.value(r, k.Field); sortsAsNumber(k.Field) {
				k.Numbers = append(k.Numbers, sortNumber(v))
			} else {
				k.Texts = append(k.Texts, sortText(v))
			}
		}
	}
	return s.err
}

func sortsAsNumber(f *models.Field) bool {
	switch f.Yields().Kind {
	case formula.KindNumber, formula.KindBool, formula.KindDate:
		return true
	}
	return false
}

// sortNumber is nil for what is no number and no date. Unconfirmed: errors sort as
// blanks.
func sortNumber(v formula.Value) *float64 {
	var n float64
	switch v.Kind() {
	case formula.KindNumber, formula.KindBool:
		n = v.Float()
	case formula.KindDate:
		n = float64(v.Time().UnixMilli())
	default:
		return nil
	}
	return &n
}

// maxSortText bounds the text that records are sorted by, in bytes: those of the whole
// table are held at once.
const maxSortText = 1_000

func sortText(v formula.Value) *string {
	text := v.String()
	if len(text) > maxSortText {
		text = strings.ToValidUTF8(text[:maxSortText], "")
	}
	if v.Kind() == formula.KindError || text == "" {
		return nil
	}
	return &text
}
