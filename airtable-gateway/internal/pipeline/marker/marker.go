// Package marker makes creates safe to repeat. Airtable has no idempotency key: a
// create whose answer was lost may have been executed, and to repeat it may double
// the record.
//
// A client that names a text field of the table in the header
// X-PyAirtable-Marker-Field (by name or id) has a random token written into that
// field of each record that it creates. The create travels as an upsert that is
// matched by this token: however often it is executed and whenever, the token's
// record is made once, and it can be repeated like an update. The caller gets the
// answer of a create.
//
// The price: until the answer is there, a repetition writes the sent cells again,
// over what an automation made of them in that moment. The field must be one that an
// upsert can match by; Airtable's refusal says so otherwise.
//
// A record into whose marker field the client writes a value of its own is created
// plainly. So is everything without the header, and then an unknown outcome stays unknown:
// a record with the sent cells that appeared since may be another client's, and
// one that did not appear may still do so. No look-up can prove either, so none is made.
package marker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// Header names the field that takes the token.
const Header = "X-PyAirtable-Marker-Field"

// Of puts markers in front of up, which repeats calls that are Keyed.
func Of(up upstream.Upstream) upstream.Upstream { return marked{up} }

type marked struct{ next upstream.Upstream }

func (m marked) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	field := c.Header.Get(Header)
	if c.Op != upstream.CreateRecords || field == "" {
		return m.next.Do(ctx, c)
	}
	plain, ok := v0.ReadWrite(c)
	if !ok {
		return m.next.Do(ctx, c)
	}
	keyed, tokens, ok := key(plain, field)
	if !ok {
		return m.next.Do(ctx, c)
	}
	call := c
	call.Op, call.Method, call.Keyed = upstream.UpdateRecords, http.MethodPatch, true
	answer, err := m.next.Do(ctx, keyed.Batch(call))
	switch {
	case err == nil && answer.Status == http.StatusOK:
		return created(plain, keyed, answer)
	case errors.Is(err, upstream.ErrNotSent) || err == nil && answer.Status != http.StatusInternalServerError:
		return answer, err
	}
	if found, ok := m.find(ctx, c, plain, field, tokens); ok {
		return found, nil
	}
	return answer, err
}

// key gives every item a token. It is not ok if an item has a value of its own in the
// field, or may have one under the field's other spelling.
func key(w v0.Write, field string) (keyed v0.Write, tokens []string, ok bool) {
	keyed = w
	keyed.Single, keyed.MergeOn, keyed.Items = false, []string{field}, nil
	byID := models.IsID("fld", field)
	for _, it := range w.Items {
		members, err := v0.Members(it.Fields)
		if err != nil {
			return keyed, nil, false
		}
		for _, m := range members {
			if m.Name == field || models.IsID("fld", m.Name) != byID {
				return keyed, nil, false
			}
		}
		token := rand.Text()
		tokens = append(tokens, token)
		members = append(members, v0.Member{Name: field, Value: models.Marshal(token)})
		keyed.Items = append(keyed.Items, v0.Item{Raw: v0.Object(v0.Member{Name: "fields", Value: v0.Object(members...)})})
	}
	return keyed, tokens, true
}

var errUnreadable = errors.New("the answer to a keyed create does not name its records")

// created is the answer to an upsert as the create's.
func created(plain, keyed v0.Write, a upstream.Answer) (upstream.Answer, error) {
	written, ok := v0.ReadWritten(keyed, a)
	if !ok {
		return upstream.Answer{}, errUnreadable
	}
	body := written.Drop("createdRecords", "updatedRecords").Part(plain.Single, 0, len(plain.Items))
	return upstream.Answer{Status: a.Status, Header: v0.Headers(a.Header, body), Body: body}, nil
}

// find looks for the records of the tokens. A call is executed whole or not at all.
func (m marked) find(ctx context.Context, c upstream.Call, w v0.Write, field string, tokens []string) (upstream.Answer, bool) {
	name := "{" + strings.ReplaceAll(field, "}", `\}`) + "}"
	terms := make([]string, len(tokens))
	for i, token := range tokens {
		terms[i] = name + "='" + token + "'"
	}
	query := map[string]any{"filterByFormula": "OR(" + strings.Join(terms, ",") + ")", "pageSize": 100}
	if w.ByFieldID {
		query["returnFieldsByFieldId"] = true
	}
	call := c
	call.Op, call.Method, call.Path, call.Body = upstream.ListRecords, http.MethodPost, v0.TablePath(c)+"/listRecords", models.Marshal(query)
	answer, err := m.next.Do(ctx, call)
	if err != nil || answer.Status != http.StatusOK {
		return answer, false
	}
	var page struct{ Records []json.RawMessage }
	if json.Unmarshal(answer.Body, &page) != nil || len(page.Records) != len(tokens) {
		return answer, false
	}
	records := make([]json.RawMessage, len(tokens))
	for _, raw := range page.Records {
		i := slices.IndexFunc(tokens, func(token string) bool { return strings.Contains(string(raw), `"`+token+`"`) })
		if i < 0 || records[i] != nil {
			return answer, false
		}
		records[i] = raw
	}
	body := []byte(records[0])
	if !w.Single {
		body = v0.Object(v0.Member{Name: "records", Value: v0.List(records)})
	}
	return upstream.Answer{Status: http.StatusOK, Header: v0.Headers(answer.Header, body), Body: body}, true
}
