package handlers

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type views struct{ service *services.Views }

func (h views) list(ctx context.Context, who auth.Principal, in airtableapi.ViewsQuery) (out api.Page[airtableapi.View], err error) {
	t, err := h.service.Of(ctx, who, in.BaseID, in.TableID)
	if err != nil {
		return out, err
	}
	key := func(v models.View) string { return fmt.Sprintf("%010d%s", v.Position, v.ID) }
	found, next, err := cut(t.Views, in.PageQuery, page.Filters("views", in.BaseID, t.ID), key)
	if err != nil {
		return out, err
	}
	out.Items, out.NextCursor = []airtableapi.View{}, next
	for _, v := range found {
		out.Items = append(out.Items, viewOf(v, t))
	}
	return out, nil
}

func (h views) create(ctx context.Context, who auth.Principal, in airtableapi.ViewCreate) (out airtableapi.ViewMade, err error) {
	b := in.Body
	v, t, err := h.service.Create(ctx, who, local.ViewAt{Base: models.BaseID(in.BaseID), Table: in.TableID}, local.ViewDraft{
		Type: models.ViewType(b.Type), Name: b.Name, ViewPatch: local.ViewPatch{
			Description: &b.Description, Filter: &b.Filter, Sort: sortOf(b.Sort), Order: b.FieldOrder, Hidden: b.HiddenFields,
		},
	})
	if err != nil {
		return out, err
	}
	return airtableapi.ViewMade{
		Location: "/api/v1/airtable/bases/" + url.PathEscape(in.BaseID) + "/tables/" + url.PathEscape(in.TableID) + "/views/" + string(v.ID),
		ETag:     tag(v.Version), Body: viewOf(v, t),
	}, nil
}

func (h views) view(ctx context.Context, who auth.Principal, in airtableapi.ViewPath) (out airtableapi.ViewAnswer, err error) {
	v, t, err := h.service.View(ctx, who, viewAt(in))
	if err != nil {
		return out, err
	}
	return airtableapi.ViewAnswer{ETag: tag(v.Version), Body: viewOf(v, t)}, nil
}

func (h views) update(ctx context.Context, who auth.Principal, in airtableapi.ViewUpdate) (out airtableapi.ViewAnswer, err error) {
	version, err := ifMatch(in.IfMatch)
	if err != nil {
		return out, err
	}
	b := in.Body
	v, t, err := h.service.Update(ctx, who, viewAt(in.ViewPath), version, local.ViewPatch{
		Name: b.Name, Description: b.Description, Filter: b.Filter, Sort: sortOf(b.Sort), Order: b.FieldOrder, Hidden: b.HiddenFields,
	})
	if err != nil {
		return out, err
	}
	return airtableapi.ViewAnswer{ETag: tag(v.Version), Body: viewOf(v, t)}, nil
}

func (h views) delete(ctx context.Context, who auth.Principal, in airtableapi.ViewDelete) (struct{}, error) {
	version, err := ifMatch(in.IfMatch)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.service.Delete(ctx, who, viewAt(in.ViewPath), version)
}

func viewAt(in airtableapi.ViewPath) local.ViewAt {
	return local.ViewAt{Base: models.BaseID(in.BaseID), Table: in.TableID, View: in.ViewID}
}

func sortOf(in []airtableapi.ViewSort) []models.SortBy {
	if in == nil {
		return nil
	}
	out := make([]models.SortBy, len(in))
	for i, by := range in {
		out[i] = models.SortBy{Field: by.Field, Desc: by.Desc}
	}
	return out
}

func viewOf(v models.View, t *models.Table) airtableapi.View {
	out := airtableapi.View{
		ID: string(v.ID), Name: v.Name, Type: string(v.Type), Description: v.Description, Filter: v.Filter, Sort: []airtableapi.ViewSort{},
		FieldOrder: models.Texts(v.Order), HiddenFieldIDs: models.Texts(v.Hidden), VisibleFieldIDs: models.Texts(v.Visible(t)),
	}
	for _, by := range v.Sort {
		out.Sort = append(out.Sort, airtableapi.ViewSort{Field: by.Field, Desc: by.Desc})
	}
	return out
}

// ifMatch is the version that a thing must have, 0 for any.
func ifMatch(header string) (int64, error) {
	if header == "" || header == "*" {
		return 0, nil
	}
	version, err := strconv.ParseInt(strings.Trim(header, `"`), 10, 64)
	if err != nil || version <= 0 {
		return 0, errs.ErrPreconditionFailed
	}
	return version, nil
}

func tag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }
