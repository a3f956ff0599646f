package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type records struct{ gateway *services.Gateway }

func (h records) list(ctx context.Context, who auth.Principal, in airtableapi.RecordsQuery) (out airtableapi.RecordsAnswer, err error) {
	filters := page.Filters("records", in.BaseID, in.TableID, in.View, in.Filter, in.Sort, in.Fields, in.ByID, in.MaxItems, in.Limit)
	query := listQuery(in)
	if in.Cursor != "" {
		var offset string
		if err := page.Decode(in.Cursor, filters, &offset); err != nil {
			return out, err
		}
		query.Set("offset", offset)
	}
	var found wireRecords
	if out.Status, out.Cached, err = h.read(ctx, who, in.TablePath, "", query, in.Reading, &found); err != nil {
		return out, err
	}
	out.Body.Items = make([]airtableapi.Record, 0, len(found.Records))
	for _, r := range found.Records {
		out.Body.Items = append(out.Body.Items, r.record())
	}
	if found.Offset != "" {
		out.Body.NextCursor = page.Encode(filters, found.Offset)
	}
	return out, nil
}

// listQuery writes the query as Airtable takes it.
func listQuery(in airtableapi.RecordsQuery) url.Values {
	q := url.Values{"pageSize": {strconv.Itoa(in.Limit)}}
	if in.View != "" {
		q.Set("view", in.View)
	}
	if in.Filter != "" {
		q.Set("filterByFormula", in.Filter)
	}
	if in.MaxItems > 0 {
		q.Set("maxRecords", strconv.Itoa(in.MaxItems))
	}
	for i, name := range list(in.Sort) {
		at := "sort[" + strconv.Itoa(i) + "]"
		if rest, ok := strings.CutPrefix(name, "-"); ok {
			name = rest
			q.Set(at+"[direction]", "desc")
		}
		q.Set(at+"[field]", name)
	}
	for _, name := range list(in.Fields) {
		q.Add("fields[]", name)
	}
	byID(q, in.ByID)
	return q
}

func list(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func byID(q url.Values, yes bool) {
	if yes {
		q.Set("returnFieldsByFieldId", "true")
	}
}

func (h records) create(ctx context.Context, who auth.Principal, in airtableapi.RecordCreate) (out airtableapi.RecordMade, err error) {
	var made wireRecord
	if err := h.do(ctx, who, http.MethodPost, in.TablePath, "", nil, &wireDraft{in.Body.Fields, in.Body.Typecast}, &made); err != nil {
		return out, err
	}
	out.Body = made.record()
	out.Location = "/api/v1/airtable/bases/" + url.PathEscape(in.BaseID) + "/tables/" + url.PathEscape(in.TableID) +
		"/records/" + url.PathEscape(made.ID)
	return out, nil
}

func (h records) record(ctx context.Context, who auth.Principal, in airtableapi.RecordQuery) (out airtableapi.RecordAnswer, err error) {
	var found wireRecord
	q := url.Values{}
	byID(q, in.ByID)
	out.Status, out.Cached, err = h.read(ctx, who, in.TablePath, in.RecordID, q, in.Reading, &found)
	if err == nil && out.Status == http.StatusOK {
		out.Body = found.record()
	}
	return out, err
}

func (h records) update(ctx context.Context, who auth.Principal, in airtableapi.RecordUpdate) (airtableapi.Record, error) {
	var found wireRecord
	err := h.do(ctx, who, http.MethodPatch, in.TablePath, in.RecordID, nil, &wireDraft{in.Body.Fields, in.Body.Typecast}, &found)
	return found.record(), err
}

func (h records) delete(ctx context.Context, who auth.Principal, in airtableapi.RecordPath) (struct{}, error) {
	return struct{}{}, h.do(ctx, who, http.MethodDelete, in.TablePath, in.RecordID, nil, nil, nil)
}

// do makes the Airtable call on a table, or on one record of it, and reads its
// answer into out.
func (h records) do(ctx context.Context, who auth.Principal, method string, at airtableapi.TablePath, record string, q url.Values, body *wireDraft, out any) error {
	c, err := recordCall(method, at, record)
	if err != nil {
		return err
	}
	c.RawQuery, c.Header = q.Encode(), http.Header{}
	if body != nil {
		if c.Body, err = json.Marshal(body); err != nil {
			return fmt.Errorf("write the record: %w", err)
		}
	}
	answer, err := h.gateway.Do(ctx, who, c)
	if err != nil {
		return err
	}
	return decode(c, answer, out)
}

// read is do for a read, of which it tells where the answer comes from. Nothing is read
// into out if the status is 304.
func (h records) read(ctx context.Context, who auth.Principal, at airtableapi.TablePath, record string, q url.Values, r airtableapi.Reading, out any) (int, airtableapi.Cached, error) {
	c, err := recordCall(http.MethodGet, at, record)
	if err != nil {
		return 0, airtableapi.Cached{}, err
	}
	c.RawQuery, c.Header = q.Encode(), http.Header{}
	for name, value := range map[string]string{"Cache-Control": r.CacheControl, "If-None-Match": r.IfNoneMatch} {
		if value != "" {
			c.Header.Set(name, value)
		}
	}
	answer, err := h.gateway.Do(ctx, who, c)
	if err != nil {
		return 0, airtableapi.Cached{}, err
	}
	if answer.Status == http.StatusNotModified {
		return answer.Status, cachedOf(answer), nil
	}
	return http.StatusOK, cachedOf(answer), decode(c, answer, out)
}

// cachedOf tells where the answer comes from. Its ETag is weak: it stands for what
// Airtable said, which is written otherwise here.
func cachedOf(a upstream.Answer) airtableapi.Cached {
	out := airtableapi.Cached{
		Age: a.Header.Get("Age"), XCache: a.Header.Get("X-Cache"), Vary: a.Header.Get("Vary"),
	}
	if etag := a.Header.Get("ETag"); etag != "" {
		out.ETag, out.CacheControl = "W/"+etag, a.Header.Get("Cache-Control")
	}
	return out
}

func recordCall(method string, at airtableapi.TablePath, record string) (upstream.Call, error) {
	path := "/v0/" + url.PathEscape(at.BaseID) + "/" + url.PathEscape(at.TableID)
	if record != "" {
		path += "/" + url.PathEscape(record)
	}
	c, ok := v0.Parse(method, path)
	switch {
	case !ok && record != "":
		return c, airtableapi.ErrRecordNotFound
	case !ok:
		return c, airtableapi.ErrTableNotFound
	}
	return c, nil
}
