package airtableapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// The operations on what is spent at Airtable. No personal access token opens them.
var (
	ListUsage = api.Op[UsageQuery, api.Page[Usage]]{
		Name: "listAirtableUsage", Method: "GET", Path: base + "/usage",
		Summary: "Count the calls made to Airtable", Errors: []*errs.Error{ErrMembersOnly},
		Description: "By day (UTC), base, connection or user. Every call that reached Airtable counts, also one that it refused; " +
			"calls to the local base store do not. Beside them are the calls that were saved. Counts are up to a second behind.",
	}
	FetchQuota = api.Op[ConnectionPath, Quota]{
		Name: "getAirtableQuota", Method: "GET", Path: connections + "/{id}/quota",
		Summary: "Forecast the calls of the month against the connection's quota", Errors: []*errs.Error{ErrMembersOnly, ErrConnectionNotFound},
	}
	SetQuota = api.Op[QuotaUpdate, Quota]{
		Name: "setAirtableQuota", Method: "PUT", Path: connections + "/{id}/quota",
		Summary:     "Say how many calls a month the connection's Airtable plan has",
		Description: "The quota is for the forecast; Airtable enforces it.",
		Errors:      []*errs.Error{ErrAdminsOnly, ErrConnectionNotFound, ErrFixedKind},
	}
)

// ErrQuotaSpent is no matter of waiting: Airtable's plan has no calls left until the
// month is over.
var ErrQuotaSpent = errs.New(errs.TooMany, "airtable_quota_spent", "The calls of this month that the Airtable plan allows are used up.")

// UsageQuery asks for a page of sums, ascending.
type UsageQuery struct {
	api.PageQuery
	By           string `query:"by" enum:"day,base,connection,user" default:"day" doc:"What to add up by."`
	From         string `query:"from" format:"date" required:"false" doc:"First day (UTC), by default the first of this month."`
	To           string `query:"to" format:"date" required:"false" doc:"Last day (UTC), by default today."`
	ConnectionID string `query:"connection_id" format:"uuid" required:"false" doc:"Only this connection's calls."`
	BaseID       string `query:"base_id" maxLength:"64" required:"false" doc:"Only the calls for this base."`
}

// Usage is a sum of calls. Of day, base_id, connection_id and user_id it has the one
// that was asked for; that is absent for calls for no base, or on nobody's behalf.
type Usage struct {
	Day          string `json:"day,omitempty" format:"date"`
	BaseID       string `json:"base_id,omitempty"`
	ConnectionID string `json:"connection_id,omitempty" format:"uuid"`
	UserID       string `json:"user_id,omitempty" format:"uuid"`
	Calls        int64  `json:"calls"`
	Reads        int64  `json:"reads"`
	Writes       int64  `json:"writes"`
	Retries      int64  `json:"retries" doc:"Calls made again after a failure or a refusal, reads and writes."`
	Refreshes    int64  `json:"refreshes" doc:"Calls that nobody waited for: they renewed what is cached."`

	SavedByCache      int64 `json:"saved_by_cache" doc:"Calls that did not have to be made, since the answer was cached."`
	SavedByCoalescing int64 `json:"saved_by_coalescing" doc:"Calls that did not have to be made, since another caller's took this one along."`
}

// QuotaDraft sets a quota.
type QuotaDraft struct {
	MonthlyCalls int64 `json:"monthly_calls" minimum:"0" maximum:"1000000000000" doc:"0 takes the quota away."`
}

// QuotaUpdate sets a quota.
type QuotaUpdate struct {
	ConnectionPath
	Body QuotaDraft
}

// Quota is what a connection may call in a month, and will.
type Quota struct {
	Month        string    `json:"month" example:"2026-05" doc:"The calendar month (UTC)."`
	MonthlyCalls int64     `json:"monthly_calls,omitempty" doc:"Absent if nobody set it."`
	UsedCalls    int64     `json:"used_calls" doc:"So far this month."`
	Forecast     int64     `json:"forecast_calls" doc:"By the end of the month, at the rate of the last seven days."`
	ExhaustedAt  time.Time `json:"exhausted_at,omitzero" doc:"When the quota will be spent at that rate, or the time of the question if it is; absent if not this month."`
}

// UsageRecorded is said once a minute of a connection that called Airtable, or was saved
// a call. More than
// one about a minute add up. The subject is the connection's id.
var UsageRecorded = events.Type[UsageRecord]{Name: "com.pyairtable.usage.recorded.v1", Source: eventSource, Stream: eventStream}

// UsageRecord is what a connection spent in a minute.
type UsageRecord struct {
	ConnectionID string      `json:"connection_id"`
	Minute       time.Time   `json:"minute"`
	Calls        int64       `json:"calls"`
	Reads        int64       `json:"reads"`
	Writes       int64       `json:"writes"`
	Retries      int64       `json:"retries"`
	Refreshes    int64       `json:"refreshes"`
	Bases        []BaseCalls `json:"bases"`

	// Calls that were saved are in none of the sums above.
	SavedByCache      int64 `json:"saved_by_cache"`
	SavedByCoalescing int64 `json:"saved_by_coalescing"`
}

// BaseCalls are the calls for one base; its id is "" for those that are for none.
type BaseCalls struct {
	BaseID string `json:"base_id"`
	Calls  int64  `json:"calls"`
	Saved  int64  `json:"saved"`
}
