package handlers

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type entries struct {
	reader *services.Reader
	by     readers
}

func (h entries) list(ctx context.Context, who auth.Principal, in auditapi.EntryQuery) (auditapi.EntryPage, error) {
	if err := h.by.admit(ctx, who); err != nil {
		return auditapi.EntryPage{}, err
	}
	return h.search(ctx, models.LogOf(who.TenantID), in)
}

func (h entries) unowned(ctx context.Context, _ auth.Principal, in auditapi.EntryQuery) (auditapi.EntryPage, error) {
	return h.search(ctx, models.Unowned, in)
}

func (h entries) search(ctx context.Context, log string, in auditapi.EntryQuery) (auditapi.EntryPage, error) {
	q := repository.Query{
		User: in.User, Action: in.Action, Object: in.Object, Base: in.BaseID, Record: in.RecordID, Result: in.Result,
		From: in.From, To: in.To,
	}
	if prefix, ok := strings.CutSuffix(in.Action, "*"); ok {
		q.Action, q.ActionPrefix = "", prefix
	}
	return h.page(ctx, log, q, in.Text, in.PageQuery, nil)
}

func (h entries) history(ctx context.Context, who auth.Principal, in auditapi.HistoryQuery) (auditapi.EntryPage, error) {
	if err := h.by.admit(ctx, who); err != nil {
		return auditapi.EntryPage{}, err
	}
	q := repository.Query{Base: in.BaseID, Record: in.RecordID, Field: in.FieldID}
	return h.page(ctx, models.LogOf(who.TenantID), q, "", in.PageQuery, func(e *models.Event) {
		if in.FieldID != "" {
			c := models.Change{Before: e.Before, After: e.After}.Cell(in.FieldID)
			e.Before, e.After = c.Before, c.After
		}
	})
}

func (h entries) page(ctx context.Context, log string, q repository.Query, text string, in api.PageQuery, narrow func(*models.Event)) (auditapi.EntryPage, error) {
	out := auditapi.EntryPage{Items: []auditapi.Entry{}}
	filters := page.Filters(log, q, text)
	var before int64
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &before); err != nil {
			return out, err
		}
	}
	found, err := h.reader.Search(ctx, log, q, text, before, in.Limit)
	if err != nil {
		return out, err
	}
	for i := range found.Events {
		if narrow != nil {
			narrow(&found.Events[i])
		}
		out.Items = append(out.Items, entry(found.Events[i]))
	}
	if found.Next > 0 {
		out.NextCursor = page.Encode(filters, found.Next)
	}
	return out, nil
}

func (h entries) entry(ctx context.Context, who auth.Principal, in auditapi.EntryRef) (auditapi.Entry, error) {
	if err := h.by.admit(ctx, who); err != nil {
		return auditapi.Entry{}, err
	}
	e, err := h.reader.Entry(ctx, models.LogOf(who.TenantID), in.Seq)
	if err != nil {
		return auditapi.Entry{}, err
	}
	return entry(e), nil
}

func entry(e models.Event) auditapi.Entry {
	return auditapi.Entry{
		Seq: e.Seq, EventID: e.EventID, At: e.At, RecordedAt: e.RecordedAt, Action: e.Action, Source: e.Source, Object: e.Object,
		Version: e.Version, Result: e.Result, UserID: e.User, Actor: e.Actor, SessionID: e.Session, TokenID: e.Token,
		IP: e.IP, Agent: e.Agent, RequestID: e.Request, Facts: json.RawMessage(e.Facts), Data: e.Data,
		Before: e.Before, After: e.After, Erased: e.Erased, Leaf: e.Leaf[:],
	}
}
