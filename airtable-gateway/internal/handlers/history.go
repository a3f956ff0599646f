package handlers

import (
	"context"
	"encoding/json"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type history struct{ service *services.History }

func (h history) list(ctx context.Context, who auth.Principal, in airtableapi.HistoryQuery) (out api.Page[airtableapi.Revision], err error) {
	filters := page.Filters("history", who.TenantID, in.BaseID, in.TableID, in.RecordID, in.Field)
	var before int64
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &before); err != nil {
			return out, err
		}
	}
	of := local.HistoryOf{Base: models.BaseID(in.BaseID), Table: in.TableID, Record: in.RecordID, Field: in.Field}
	found, err := h.service.Of(ctx, who, of, before, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		out.NextCursor = page.Encode(filters, found[in.Limit-1].Seq)
	}
	out.Items = make([]airtableapi.Revision, 0, len(found))
	for _, r := range found {
		out.Items = append(out.Items, revisionOf(r))
	}
	return out, nil
}

func revisionOf(r repository.Revision) airtableapi.Revision {
	out := airtableapi.Revision{Kind: r.Kind, Version: r.Version, At: r.At.UTC(), Cells: map[string]airtableapi.CellChange{}}
	if !r.By.IsZero() {
		out.ActorID = r.By.String()
	}
	put := func(cells map[string]json.RawMessage, side func(*airtableapi.CellChange) *json.RawMessage) {
		for field, v := range cells {
			c := out.Cells[field]
			*side(&c) = v
			out.Cells[field] = c
		}
	}
	put(r.Old, func(c *airtableapi.CellChange) *json.RawMessage { return &c.Old })
	put(r.New, func(c *airtableapi.CellChange) *json.RawMessage { return &c.New })
	return out
}
