package local

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
)

// resolveComputedTitles finds the records that typecast names by a primary value that
// the store computes. No record can be made to have such a value: a text that none
// has is refused.
//
// Unconfirmed: in which words Airtable refuses it.
func (w *writing) resolveComputedTitles(ctx context.Context) error {
	wanted := map[models.TableID]map[string]*models.Field{}
	for _, it := range w.items {
		for _, c := range it.writes {
			linked := c.Field.Options.LinkedTable
			for _, ref := range c.Links {
				if ref.ID != "" || !w.base.Linked(c.Field).PrimaryField().Type.Computed() {
					continue
				}
				if wanted[linked] == nil {
					wanted[linked] = map[string]*models.Field{}
				}
				wanted[linked][ref.Text] = c.Field
			}
		}
	}
	for _, table := range slices.Sorted(maps.Keys(wanted)) {
		if err := w.findTitles(ctx, w.base.Table(string(table)), slices.Sorted(maps.Keys(wanted[table]))); err != nil {
			return err
		}
		for _, text := range slices.Sorted(maps.Keys(wanted[table])) {
			if w.titles[titleKey{table, text}] == "" {
				return models.Unparsable(text, wanted[table][text].Name)
			}
		}
	}
	return nil
}

// findTitles remembers, for each of texts, the oldest record of the table whose
// primary value it is. That is looked for among all records, unless SQL can tell.
func (w *writing) findTitles(ctx context.Context, t *models.Table, texts []string) error {
	primary, calc := t.PrimaryField(), newCalculator(w.tx.Reader, w.tenant(), w.base, w.now)
	open := map[string]bool{}
	for _, text := range texts {
		open[text] = true
	}
	where := w.titledOneOf(t, primary, texts)
	for after := int64(0); len(open) > 0; {
		recs, err := w.tx.RecordsAfter(ctx, w.tenant(), t.ID, where, after, maxLook)
		if err != nil {
			return err
		}
		loaded, err := calc.load(ctx, t, recs, []*models.Field{primary}, true)
		if err != nil {
			return err
		}
		if calc.spent {
			return models.ErrTooDear
		}
		for _, r := range recs {
			after = r.Number
			for _, text := range []string{primary.Text(loaded.shown(r, primary), models.Display{Zone: time.UTC}), loaded.value(r, primary).String()} {
				if open[text] {
					w.titles[titleKey{t.ID, text}] = r.ID
					delete(open, text)
				}
			}
		}
		if loaded.err != nil {
			return loaded.err
		}
		if len(recs) < maxLook {
			return nil
		}
	}
	return nil
}

// titledOneOf is a condition that records called one of texts meet, beside others.
func (w *writing) titledOneOf(t *models.Table, primary *models.Field, texts []string) repository.Where {
	if sortsAsNumber(primary) {
		return repository.Where{} // people write numbers and dates in many ways
	}
	terms := make([]string, len(texts))
	for i, text := range texts {
		terms[i] = `{` + string(primary.ID) + `}="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	f := &filter{now: w.now}
	if err := f.andKept(w.base, t, "OR("+strings.Join(terms, ",")+")"); err != nil { // texts that are too long for a formula
		return repository.Where{}
	}
	return f.where
}
