package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// walk is one list call, its names resolved.
type walk struct {
	tenant id.TenantID
	base   *models.Base
	table  *models.Table
	params models.ListParams
	hash   string
	place  models.Offset // zero on the first page
	filter *filter
	calc   *calculator
	sort   []repository.SortKey
	fields []*models.Field
}

func (s *Store) listRecords(ctx context.Context, c upstream.Call) ([]byte, error) {
	w, err := s.newWalk(ctx, c)
	if err != nil {
		return nil, err
	}
	var recs []*models.Record
	var next string
	if len(w.sort) > 0 {
		recs, next, err = s.sortedPage(ctx, w)
	} else {
		recs, next, err = s.plainPage(ctx, w)
	}
	if err != nil {
		return nil, err
	}
	return s.showPage(ctx, w, recs, next)
}

func (s *Store) newWalk(ctx context.Context, c upstream.Call) (*walk, error) {
	base, table, err := s.table(ctx, c)
	if err != nil {
		return nil, err
	}
	var body []byte
	if c.Method == http.MethodPost {
		if body = c.Body; len(body) == 0 {
			body = []byte("{}")
		}
	}
	calc := s.calculator(s.repo.Reader, c.Caller.Tenant, base)
	w := &walk{tenant: c.Caller.Tenant, base: base, table: table, calc: calc, filter: &filter{now: calc.now}}
	if w.params, err = models.ParseList(c.RawQuery, body); err != nil {
		return nil, err
	}
	var view models.View
	if w.params.View != "" {
		if view, err = base.View(table, w.params.View); err != nil {
			return nil, err
		}
	}
	if err = w.orderBy(view); err != nil {
		return nil, err
	}
	if w.fields, err = chosen(table, w.params.Fields); err != nil {
		return nil, err
	}
	if err = w.filter.andKept(base, table, view.Filter); err != nil {
		return nil, brokenView(view, err)
	}
	if err = w.filter.and(base, table, w.params.Formula); err != nil {
		return nil, err
	}
	w.hash = w.params.Hash(base.ID, table.ID, view.ID, w.meaning())
	if w.params.Offset != "" {
		w.place, err = models.ParseOffset(w.params.Offset, w.hash, w.filter.now)
	}
	return w, err
}

// orderBy takes the order from the call, or else from its view.
func (w *walk) orderBy(view models.View) error {
	by := w.params.Sort
	if len(by) == 0 {
		by = view.Sort
	}
	for _, key := range by {
		f := w.table.Field(key.Field)
		switch {
		case f != nil:
			w.sort = append(w.sort, repository.SortKey{Field: f, Desc: key.Desc})
		case len(w.params.Sort) > 0:
			return models.UnknownField(key.Field)
		default:
			return brokenView(view, models.UnknownField(key.Field))
		}
	}
	return nil
}

// meaning is what the call's names stand for. A walk does not go on once one of them
// has come to mean another field, or its view another filter or order.
func (w *walk) meaning() []string {
	out := append([]string{}, w.filter.meaning...)
	for _, key := range w.sort {
		out = append(out, fmt.Sprintf("%s %t", key.Field.ID, key.Desc))
	}
	if len(w.params.Fields) > 0 {
		for _, f := range w.fields {
			out = append(out, string(f.ID))
		}
	}
	return out
}

// chosen returns the fields to show, in the table's order; nil names mean all.
func chosen(t *models.Table, names []string) ([]*models.Field, error) {
	if len(names) == 0 {
		return t.Fields, nil
	}
	want := map[models.FieldID]bool{}
	for _, name := range names {
		f := t.Field(name)
		if f == nil {
			return nil, models.UnknownField(name)
		}
		want[f.ID] = true
	}
	var out []*models.Field
	for _, f := range t.Fields {
		if want[f.ID] {
			out = append(out, f)
		}
	}
	return out, nil
}

// plainPage reads a page in the table's order. Without a filter its cost does not
// grow with the table.
func (s *Store) plainPage(ctx context.Context, w *walk) ([]*models.Record, string, error) {
	if w.place.Iterator != "" {
		return nil, "", models.ErrIteratorGone
	}
	size := w.size()
	next := models.Offset{Sent: w.place.Sent + int64(size), Expires: s.now().Add(s.life)}
	if w.params.MaxRecords > 0 && next.Sent >= int64(w.params.MaxRecords) {
		recs, err := s.passingAfter(ctx, w, size)
		return recs, "", err
	}
	recs, err := s.passingAfter(ctx, w, size+1)
	if err != nil || len(recs) <= size {
		return recs, "", err
	}
	next.After = recs[size-1].Number
	return recs[:size], next.String(w.hash), nil
}

// size is how many records the page may hold.
func (w *walk) size() int {
	size := w.params.PageSize
	if w.params.MaxRecords > 0 {
		size = min(size, w.params.MaxRecords-int(w.place.Sent))
	}
	return max(size, 0)
}

// sortedPage gives the first page of a sorted walk, and remembers what it gave: the
// order of the others is found when the second page is asked for, which many clients
// never do. From then on it stands, so that a record that moves within it during the
// walk is still met once.
func (s *Store) sortedPage(ctx context.Context, w *walk) ([]*models.Record, string, error) {
	if w.params.Offset != "" {
		return s.nextSortedPage(ctx, w)
	}
	size := w.params.PageSize
	numbers, all, err := s.passingNumbers(ctx, w, size+1)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(numbers) > size {
		known := numbers
		if !all {
			known = numbers[:size]
		}
		place := models.Offset{Iterator: s.ids.New("itr"), Sent: int64(size)}
		now := s.now()
		err := s.repo.CreateIterator(ctx, w.tenant, place.Iterator, w.hash, known, all, now, now.Add(s.life))
		if err != nil {
			return nil, "", err
		}
		numbers, next = numbers[:size], place.String(w.hash)
	}
	recs, err := s.repo.RecordsByNumber(ctx, w.tenant, w.table.ID, numbers)
	return recs, next, err
}

func (s *Store) nextSortedPage(ctx context.Context, w *walk) ([]*models.Record, string, error) {
	if w.place.Iterator == "" {
		return nil, "", models.ErrIteratorGone
	}
	now := s.now()
	numbers, total, err := s.repo.Iterate(ctx, w.tenant, w.place.Iterator, w.hash,
		w.place.Sent, w.params.PageSize, now, now.Add(s.life))
	if errors.Is(err, repository.ErrIteratorBegun) {
		if err = s.completeIterator(ctx, w); err == nil {
			numbers, total, err = s.repo.Iterate(ctx, w.tenant, w.place.Iterator, w.hash,
				w.place.Sent, w.params.PageSize, now, now.Add(s.life))
		}
	}
	if errors.Is(err, errs.ErrNotFound) {
		return nil, "", models.ErrIteratorGone
	}
	if err != nil {
		return nil, "", err
	}
	recs, err := s.repo.RecordsByNumber(ctx, w.tenant, w.table.ID, numbers)
	if err != nil {
		return nil, "", err
	}
	sent := w.place.Sent + int64(len(numbers))
	if sent >= total {
		return recs, "", nil
	}
	return recs, models.Offset{Iterator: w.place.Iterator, Sent: sent}.String(w.hash), nil
}

// completeIterator finds the order of all that the first page did not give. No
// connection is held meanwhile but the one that sorts.
func (s *Store) completeIterator(ctx context.Context, w *walk) error {
	first, err := s.repo.FirstPage(ctx, w.tenant, w.place.Iterator)
	if err != nil {
		return err
	}
	all, _, err := s.passingNumbers(ctx, w, 0)
	if err != nil {
		return err
	}
	gave := make(map[int64]bool, len(first))
	for _, n := range first {
		gave[n] = true
	}
	numbers := append(first, slices.DeleteFunc(all, func(n int64) bool { return gave[n] })...)
	if most := w.params.MaxRecords; most > 0 {
		numbers = numbers[:min(most, len(numbers))]
	}
	return s.repo.CompleteIterator(ctx, w.tenant, w.place.Iterator, numbers)
}

func (s *Store) getRecord(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, table, err := s.table(ctx, c)
	if err != nil {
		return nil, err
	}
	if !models.IsID("rec", c.Record) {
		return nil, models.ErrNoRoute
	}
	output, err := models.ParseOutput(c.RawQuery)
	if err != nil {
		return nil, err
	}
	recID := models.RecordID(c.Record)
	found, err := s.repo.RecordsByID(ctx, c.Caller.Tenant, table.ID, []models.RecordID{recID})
	if err != nil {
		return nil, err
	}
	rec := found[recID]
	if rec == nil {
		return nil, models.ErrRecordNotFound
	}
	recs := []*models.Record{rec}
	calc := s.calculator(s.repo.Reader, c.Caller.Tenant, base)
	p, err := calc.printer(ctx, table, table.Fields, output, recs)
	if err != nil {
		return nil, err
	}
	if err := s.countComments(ctx, c.Caller.Tenant, table, output, recs); err != nil {
		return nil, err
	}
	return p.record(nil, rec)
}

func (s *Store) showPage(ctx context.Context, w *walk, recs []*models.Record, next string) ([]byte, error) {
	p, err := w.calc.printer(ctx, w.table, w.fields, w.params.Output, recs)
	if err != nil {
		return nil, err
	}
	if w.calc.spent {
		return nil, models.ErrTooDear
	}
	if err := s.countComments(ctx, w.tenant, w.table, w.params.Output, recs); err != nil {
		return nil, err
	}
	out, err := p.records(nil, recs)
	if err != nil {
		return nil, err
	}
	if next != "" {
		out = append(out, `,"offset":`...)
		out = appendString(out, next)
	}
	return append(out, '}'), nil
}
