package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/marker"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/formula"
)

// formula is the caller's filter with fields by id. What he does not see is unknown to
// it; a text that is no formula of its own could end the one that it is joined to.
func (v *seer) formula(t *seenTable, text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", nil
	}
	known := formula.Schema{}
	for _, f := range t.fields {
		if !t.hidden[f.id] && !v.sight.limits(f) {
			known.Fields = append(known.Fields, formula.Field{ID: f.id, Name: f.name})
		}
	}
	compiled, err := formula.Compile(text, known, formula.Limits{})
	if err != nil {
		return "", models.InvalidFilter(formula.FilterMessage(err))
	}
	if timeOfAll.MatchString(text) && slices.ContainsFunc(t.fields, func(f *field) bool { return t.hidden[f.id] }) {
		return "", models.InvalidFilter("The formula for filtering records is invalid: where fields are masked, LAST_MODIFIED_TIME takes fields.")
	}
	if !v.local && strings.Contains(text, `\`) {
		// Where a text ends must not depend on who reads it.
		return "", models.InvalidFilter("The formula for filtering records is invalid: a backslash is not allowed where row rules or field masks hold.")
	}
	if t.shadowed {
		return nothing, nil
	}
	return source(compiled), nil
}

// oneOf is true of the records.
func oneOf(ids []string) string {
	terms := make([]string, len(ids))
	for i, id := range ids {
		terms[i] = `RECORD_ID()="` + id + `"`
	}
	if len(terms) == 1 {
		return terms[0]
	}
	return "OR(" + strings.Join(terms, ",") + ")"
}

// visible finds out which of the records of t the caller sees. now is for those that are
// about to be written: what is kept does not count.
func (v *seer) visible(ctx context.Context, c upstream.Call, t *seenTable, ids []string, now bool) (map[string]bool, error) {
	out := map[string]bool{}
	err := v.read(ctx, c, t, all(t.rule), ids, []string{t.primary}, now, func(id string, _ map[string]json.RawMessage) { out[id] = true })
	return out, err
}

// read reads fields of the records of t that pass the rule, some at a time.
func (v *seer) read(ctx context.Context, c upstream.Call, t *seenTable, rule string, ids, fields []string, now bool, each func(id string, cells map[string]json.RawMessage)) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	c.Header = c.Header.Clone()
	c.Header.Del(marker.Header)
	if now {
		c.Header.Set("Cache-Control", "no-cache")
	}
	for some := range slices.Chunk(ids, models.MaxPage) {
		answer, err := v.up.Do(ctx, listCall(c, t, models.ListParams{
			PageSize: models.MaxPage, Formula: all(rule, oneOf(some)), Fields: fields,
		}))
		if err != nil {
			return fmt.Errorf("look at records: %w", err)
		}
		if answer.Status != http.StatusOK {
			return passOn(answer)
		}
		var page struct {
			Records []struct {
				ID     string                     `json:"id"`
				Fields map[string]json.RawMessage `json:"fields"`
			} `json:"records"`
		}
		if err := json.Unmarshal(answer.Body, &page); err != nil {
			return broken(err)
		}
		for _, r := range page.Records {
			each(r.ID, r.Fields)
		}
	}
	return nil
}
