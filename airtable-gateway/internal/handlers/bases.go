package handlers

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type bases struct{ gateway *services.Gateway }

// list pages through the bases by id: the one order that no renaming and no new
// connection disturbs.
func (h bases) list(ctx context.Context, who auth.Principal, in airtableapi.BasesQuery) (out api.Page[airtableapi.Base], err error) {
	all, err := h.gateway.Bases(ctx, who)
	if err != nil {
		return out, err
	}
	slices.SortFunc(all, func(a, b models.OfferedBase) int { return cmp.Compare(a.ID, b.ID) })
	found, next, err := cut(all, in.PageQuery, page.Filters("bases", who.TenantID), func(b models.OfferedBase) string { return b.ID })
	if err != nil {
		return out, err
	}
	out.Items, out.NextCursor = []airtableapi.Base{}, next
	for _, b := range found {
		out.Items = append(out.Items, baseOf(b))
	}
	return out, nil
}

func (h bases) base(ctx context.Context, who auth.Principal, in airtableapi.BasePath) (airtableapi.Base, error) {
	b, err := h.gateway.Base(ctx, who, in.BaseID)
	return baseOf(b), err
}

func (h bases) tables(ctx context.Context, who auth.Principal, in airtableapi.TablesQuery) (out api.Page[airtableapi.Table], err error) {
	all, err := h.schema(ctx, who, in.BaseID)
	if err != nil {
		return out, err
	}
	slices.SortFunc(all, func(a, b wireTable) int { return cmp.Compare(a.ID, b.ID) })
	found, next, err := cut(all, in.PageQuery, page.Filters("tables", in.BaseID), func(t wireTable) string { return t.ID })
	if err != nil {
		return out, err
	}
	out.Items, out.NextCursor = []airtableapi.Table{}, next
	for _, t := range found {
		out.Items = append(out.Items, t.table())
	}
	return out, nil
}

func (h bases) table(ctx context.Context, who auth.Principal, in airtableapi.TablePath) (airtableapi.Table, error) {
	all, err := h.schema(ctx, who, in.BaseID)
	if err != nil {
		return airtableapi.Table{}, err
	}
	for _, t := range all {
		if t.ID == in.TableID || t.Name == in.TableID {
			return t.table(), nil
		}
	}
	return airtableapi.Table{}, airtableapi.ErrTableNotFound
}

func (h bases) schema(ctx context.Context, who auth.Principal, base string) ([]wireTable, error) {
	c, ok := v0.Parse(http.MethodGet, "/v0/meta/bases/"+url.PathEscape(base)+"/tables")
	if !ok {
		return nil, airtableapi.ErrBaseNotFound
	}
	answer, err := h.gateway.Do(ctx, who, c)
	if err != nil {
		return nil, err
	}
	var s wireSchema
	return s.Tables, decode(c, answer, &s)
}

// cut takes the page that q asks for out of a list sorted by key.
func cut[T any](all []T, q api.PageQuery, filters string, key func(T) string) ([]T, string, error) {
	from := 0
	if q.Cursor != "" {
		var last string
		if err := page.Decode(q.Cursor, filters, &last); err != nil {
			return nil, "", err
		}
		from, _ = slices.BinarySearchFunc(all, last+"\x00", func(item T, k string) int { return cmp.Compare(key(item), k) })
	}
	all = all[from:]
	if len(all) <= q.Limit {
		return all, "", nil
	}
	all = all[:q.Limit]
	return all, page.Encode(filters, key(all[len(all)-1])), nil
}
