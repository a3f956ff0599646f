package local

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// job is one write of records of one table.
type job struct {
	caller   upstream.Caller
	base     *models.Base
	table    *models.Table
	items    []item
	typecast bool
	imports  bool            // what Airtable alone writes comes with the records
	replace  bool            // cells that are not listed are cleared
	mergeOn  []*models.Field // upsert
	single   bool
	show     *models.Output // how the answer shows the records; nil: it does not
	printer  *printer
	watch    watch
	fetched  map[models.FileRef]fetched // the files that the items name by URL
}

// item is one record of a job. One without an id is created, or matched first if
// the job is an upsert.
type item struct {
	id      models.RecordID
	create  bool
	chosen  seed
	input   map[string]any
	writes  []models.CellWrite
	outcome *draft
}

func (s *Store) createRecords(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, table, err := s.table(ctx, c)
	if err != nil {
		return nil, err
	}
	req, err := models.ParseCreate(c.Body)
	if err != nil {
		return nil, err
	}
	j, err := newJob(c, base, table, req)
	if err != nil {
		return nil, err
	}
	for i := range j.items {
		j.items[i].create = true
	}
	if err := s.run(ctx, j); err != nil {
		return nil, err
	}
	return j.answer(req)
}

func (s *Store) updateRecords(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, table, err := s.table(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Record != "" && !models.IsID("rec", c.Record) {
		return nil, models.ErrNoRoute
	}
	req, err := models.ParseUpdate(c.Body, models.RecordID(c.Record))
	if err != nil {
		return nil, err
	}
	j, err := newJob(c, base, table, req)
	if err != nil {
		return nil, err
	}
	j.replace = c.Method == http.MethodPut
	if req.Upsert {
		if j.mergeOn, err = models.MergeFields(table, req.MergeOn); err != nil {
			return nil, err
		}
	}
	if err := s.run(ctx, j); err != nil {
		return nil, err
	}
	return j.answer(req)
}

// newJob checks the names of fields; values are looked at later.
func newJob(c upstream.Call, base *models.Base, table *models.Table, req models.WriteRequest) (*job, error) {
	if err := models.CheckFields(table, req.Items); err != nil {
		return nil, err
	}
	j := &job{caller: c.Caller, base: base, table: table, typecast: req.Typecast, single: req.Single, show: &req.Output}
	for _, in := range req.Items {
		j.items = append(j.items, item{id: in.ID, input: in.Fields})
	}
	return j, nil
}

// run does the job in one transaction.
func (s *Store) run(ctx context.Context, j *job) error {
	if err := j.readValues(); err != nil {
		// A record that does not exist is reported before a bad value.
		if missing := s.checkExist(ctx, j); missing != nil {
			return missing
		}
		return err
	}
	if err := s.fetchFiles(ctx, j); err != nil {
		return err
	}
	return s.commit(ctx, j)
}

// commit writes what readValues and fetchFiles prepared.
func (s *Store) commit(ctx context.Context, j *job) error {
	var done job
	err := s.repo.Write(ctx, j.tenant(), func(tx *repository.Tx) error {
		// A second try must not see choices that the first one's rollback took away.
		done = *j
		done.items, done.mergeOn = slices.Clone(j.items), slices.Clone(j.mergeOn)
		if err := s.makeChoices(ctx, tx, &done); err != nil {
			return err
		}
		w := s.newWriting(tx, &done)
		if err := w.run(ctx); err != nil {
			return err
		}
		if err := s.prepareAnswer(ctx, tx, &done); err != nil {
			return err
		}
		return w.tellWatchers(ctx)
	})
	if err == nil {
		*j = done
		s.spread(done.watch)
	}
	return err
}

// readValues turns the input of every item into cells, by the job's schema.
func (j *job) readValues() error {
	read := models.WriteCells
	if j.imports {
		read = models.ImportCells
	}
	for i := range j.items {
		it := &j.items[i]
		var err error
		if it.writes, err = read(j.table, it.input, j.typecast); err != nil {
			return err
		}
		if j.mergeOn != nil && it.id == "" && !it.names(j.mergeOn) {
			return models.BadRequest("Invalid request: every record without an id needs a value for each field of fieldsToMergeOn.")
		}
	}
	return nil
}

// names reports whether the item says something about each of the fields.
func (it *item) names(fields []*models.Field) bool {
	for _, f := range fields {
		if _, ok := it.write(f); !ok {
			return false
		}
	}
	return true
}

func (it *item) write(f *models.Field) (models.CellWrite, bool) {
	for _, w := range it.writes {
		if w.Field.ID == f.ID {
			return w, true
		}
	}
	return models.CellWrite{}, false
}

func (s *Store) checkExist(ctx context.Context, j *job) error {
	found, err := s.repo.RecordsByID(ctx, j.caller.Tenant, j.table.ID, j.ids())
	if err != nil {
		return err
	}
	return j.refuseMissing(found)
}

func (j *job) ids() []models.RecordID {
	var ids []models.RecordID
	seen := map[models.RecordID]bool{}
	for _, it := range j.items {
		if it.id != "" && !it.create && !seen[it.id] {
			ids = append(ids, it.id)
			seen[it.id] = true
		}
	}
	return ids
}

func (j *job) refuseMissing(found map[models.RecordID]*models.Record) error {
	for _, it := range j.items {
		switch {
		case it.id == "" || it.create || found[it.id] != nil:
		case j.single:
			return models.ErrRecordNotFound
		default:
			return models.NoSuchRow(it.id)
		}
	}
	return nil
}

// makeChoices creates the choices that typecast asks for, under the base's lock,
// and reads the values again by the schema that has them.
func (s *Store) makeChoices(ctx context.Context, tx *repository.Tx, j *job) error {
	wanted := map[models.FieldID][]string{}
	for _, it := range j.items {
		for _, w := range it.writes {
			if len(w.NewChoices) > 0 {
				wanted[w.Field.ID] = append(wanted[w.Field.ID], w.NewChoices...)
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	tenant := j.caller.Tenant
	base, err := tx.LockBase(ctx, tenant, j.base.ID)
	if err != nil {
		return missing(err)
	}
	j.watch.before = base.Snapshot()
	for _, fieldID := range slices.Sorted(maps.Keys(wanted)) {
		f := base.Field(fieldID)
		options, err := f.Options.AddChoices(wanted[fieldID], s.ids)
		if err != nil {
			return err
		}
		if len(options.Choices) == len(f.Options.Choices) {
			continue // another writer made them meanwhile
		}
		f.Options = options
		if err := tx.UpdateField(ctx, tenant, f); err != nil {
			return err
		}
	}
	if err := tx.BumpSchema(ctx, tenant, base.ID); err != nil {
		return err
	}
	j.base, j.table = base, base.Table(string(j.table.ID))
	for i, f := range j.mergeOn {
		j.mergeOn[i] = base.Field(f.ID)
	}
	return j.readValues()
}

// prepareAnswer computes the derived fields of what was written, while nothing can
// have come between, and while a fault still takes the write back.
func (s *Store) prepareAnswer(ctx context.Context, tx *repository.Tx, j *job) error {
	if j.show == nil {
		return nil
	}
	calc := s.calculator(tx.Reader, j.tenant(), j.base)
	var err error
	j.printer, err = calc.printer(ctx, j.table, j.table.Fields, *j.show, j.outcomeRecords())
	return err
}

func (j *job) outcomeRecords() []*models.Record {
	recs := make([]*models.Record, len(j.items))
	for i, it := range j.items {
		recs[i] = it.outcome.rec
	}
	return recs
}

// answer writes what the client hears, in the order of its request.
func (j *job) answer(req models.WriteRequest) ([]byte, error) {
	if req.Single {
		out, err := j.printer.record(nil, j.items[0].outcome.rec)
		if err != nil || !j.partial() {
			return out, err
		}
		return append(j.appendDetails(out[:len(out)-1]), '}'), nil
	}
	out, err := j.printer.records(nil, j.outcomeRecords())
	if err != nil {
		return nil, err
	}
	if req.Upsert {
		out = appendValue(append(out, `,"createdRecords":`...), j.outcomes(true))
		out = appendValue(append(out, `,"updatedRecords":`...), j.outcomes(false))
	}
	return append(j.appendDetails(out), '}'), nil
}

// appendDetails tells of files that could not be fetched, if there are any.
func (j *job) appendDetails(out []byte) []byte {
	if j.partial() {
		out = append(append(out, `,"details":`...), models.PartialSuccess...)
	}
	return out
}

// outcomes returns the ids of created or of updated records, each once.
func (j *job) outcomes(created bool) []string {
	out := []string{}
	seen := map[models.RecordID]bool{}
	for _, it := range j.items {
		d := it.outcome
		if (d.old == nil) == created && !seen[d.rec.ID] {
			out = append(out, string(d.rec.ID))
			seen[d.rec.ID] = true
		}
	}
	return out
}

func (s *Store) deleteRecords(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, table, err := s.table(ctx, c)
	if err != nil {
		return nil, err
	}
	var ids []models.RecordID
	if c.Record == "" {
		ids, err = models.ParseDelete(c.RawQuery)
	} else if models.IsID("rec", c.Record) {
		ids = []models.RecordID{models.RecordID(c.Record)}
	} else {
		err = models.ErrNoRoute
	}
	if err != nil {
		return nil, err
	}
	j := &job{caller: c.Caller, base: base, table: table, single: c.Record != ""}
	for _, recID := range ids {
		j.items = append(j.items, item{id: recID})
	}
	err = s.repo.Write(ctx, c.Caller.Tenant, func(tx *repository.Tx) error {
		j.watch = watch{}
		return s.newWriting(tx, j).remove(ctx)
	})
	if err != nil {
		return nil, err
	}
	s.spread(j.watch)
	type deleted struct {
		ID      models.RecordID `json:"id"`
		Deleted bool            `json:"deleted"`
	}
	if j.single {
		return models.Marshal(deleted{ids[0], true}), nil
	}
	out := make([]deleted, len(ids))
	for i, recID := range ids {
		out[i] = deleted{recID, true}
	}
	return models.Marshal(map[string][]deleted{"records": out}), nil
}

// tenant names whose records the job is about.
func (j *job) tenant() id.TenantID { return j.caller.Tenant }
