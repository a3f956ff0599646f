package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/watch"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type watches struct{ service *services.Connections }

func (h watches) list(ctx context.Context, who auth.Principal, in airtableapi.WatchesQuery) (out api.Page[airtableapi.Watch], err error) {
	key, err := shownConnection(who, in.ConnectionPath)
	if err != nil {
		return out, err
	}
	filters := page.Filters("watches", who.TenantID, in.ID)
	var after string
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	found, err := h.service.Watches(ctx, who.TenantID, key, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		out.NextCursor = page.Encode(filters, found[in.Limit-1].Base)
	}
	out.Items = make([]airtableapi.Watch, 0, len(found))
	for _, w := range found {
		out.Items = append(out.Items, watchOf(w))
	}
	return out, nil
}

func watchOf(w models.Watch) airtableapi.Watch {
	out := airtableapi.Watch{
		BaseID: w.Base, State: airtableapi.WatchWaiting, Reason: w.Refused, WebhookID: string(w.Webhook),
		ExpiresAt: w.ExpiresAt, HeardAt: w.PingedAt, UsedAt: w.UsedAt,
	}
	switch {
	case w.Refused != "":
		out.State = airtableapi.WatchRefused
	case w.Webhook != "":
		out.State = airtableapi.WatchListening
	}
	return out
}

// pings hears Airtable. It is no Op: its MAC is over the bytes of the body.
type pings struct{ watcher *watch.Watcher }

func (h pings) serve(c *gin.Context) {
	rest, ok := strings.CutPrefix(c.Request.URL.Path, airtableapi.Pings.Prefix)
	if !ok || c.Request.Method != http.MethodPost {
		httpx.Fail(c, errs.ErrNotFound)
		return
	}
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		httpx.Fail(c, errs.New(errs.Malformed, "body_broken", "The body could not be read.").Because(err))
		return
	}
	switch err := h.watcher.Ping(c.Request.Context(), rest, body, c.GetHeader(watch.MACHeader)); {
	case errors.Is(err, watch.ErrForged):
		httpx.Fail(c, errs.ErrForbidden.Because(err))
	case err != nil:
		httpx.Fail(c, err)
	default:
		c.Status(http.StatusNoContent)
		c.Writer.WriteHeaderNow()
	}
}
