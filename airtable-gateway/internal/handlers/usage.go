package handlers

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type usage struct{ service *services.Usage }

func (h usage) list(ctx context.Context, who auth.Principal, in airtableapi.UsageQuery) (out api.Page[airtableapi.Usage], err error) {
	if err := insider(who); err != nil {
		return out, err
	}
	filter, err := usageFilter(in)
	if err != nil {
		return out, err
	}
	bound := page.Filters("usage", who.TenantID, in.By, in.From, in.To, in.ConnectionID, in.BaseID)
	var after *string
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, bound, &after); err != nil {
			return out, err
		}
	}
	found, err := h.service.Sums(ctx, who.TenantID, in.By, filter, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		out.NextCursor = page.Encode(bound, found[in.Limit-1].Key)
	}
	out.Items = make([]airtableapi.Usage, 0, len(found))
	for _, s := range found {
		out.Items = append(out.Items, usageOf(in.By, s))
	}
	return out, nil
}

func usageFilter(in airtableapi.UsageQuery) (f repository.UsageFilter, err error) {
	f.Base = in.BaseID
	for pointer, day := range map[string]struct {
		text string
		to   *time.Time
	}{"/from": {in.From, &f.From}, "/to": {in.To, &f.To}} {
		if day.text == "" {
			continue
		}
		if *day.to, err = time.Parse(time.DateOnly, day.text); err != nil {
			return f, errs.ErrInvalid.With(errs.Field{Pointer: pointer, Detail: "is not a day"})
		}
	}
	if in.ConnectionID != "" {
		err = f.Connection.UnmarshalText([]byte(in.ConnectionID))
	}
	if err != nil {
		return f, errs.ErrInvalid.With(errs.Field{Pointer: "/connection_id", Detail: "is not an id"})
	}
	return f, nil
}

func usageOf(by string, s repository.UsageSum) airtableapi.Usage {
	out := airtableapi.Usage{
		Calls: s.Calls, Reads: s.Reads, Writes: s.Writes, Retries: s.Retry, Refreshes: s.Refresh,
		SavedByCache: s.SavedByCache, SavedByCoalescing: s.SavedByCoalescing,
	}
	switch by {
	case "base":
		out.BaseID = s.Key
	case "connection":
		out.ConnectionID = s.Key
	case "user":
		if s.Key != repository.Nobody {
			out.UserID = s.Key
		}
	default:
		out.Day = s.Key
	}
	return out
}

func (h usage) quota(ctx context.Context, who auth.Principal, in airtableapi.ConnectionPath) (out airtableapi.Quota, err error) {
	key, err := shownConnection(who, in)
	if err != nil {
		return out, err
	}
	f, err := h.service.Quota(ctx, who.TenantID, key)
	return quotaOf(f), err
}

func (h usage) setQuota(ctx context.Context, who auth.Principal, in airtableapi.QuotaUpdate) (out airtableapi.Quota, err error) {
	var key models.ConnectionID
	if !who.IsAdmin() {
		return out, airtableapi.ErrAdminsOnly
	}
	if key, err = connectionID(in.ConnectionPath); err != nil {
		return out, err
	}
	f, err := h.service.SetQuota(ctx, who, key, in.Body.MonthlyCalls)
	return quotaOf(f), err
}

func quotaOf(f services.Forecast) airtableapi.Quota {
	return airtableapi.Quota{
		Month: f.Month.Format("2006-01"), MonthlyCalls: f.Quota, UsedCalls: f.Used, Forecast: f.Calls, ExhaustedAt: f.ExhaustedAt,
	}
}
