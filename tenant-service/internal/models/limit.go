package models

import (
	"math"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Plan is what tenants may have.
type Plan struct {
	Name, Title string
	Limits      map[string]int64
	Default     bool // of tenants without a subscription
}

// Subscription is which plan a tenant has, and until when.
type Subscription struct {
	Tenant                 id.TenantID
	Plan                   string // that was subscribed to
	Holds                  string // the plan that the tenant has
	Status                 string
	PeriodStart, PeriodEnd time.Time
}

// TenantPlan is what a tenant may.
type TenantPlan struct {
	Tenant id.TenantID
	Plan   string
	Limits map[string]int64 // of the plan, and the tenant's own
}

// Allowed is the limit, or tenantapi.Unlimited.
func (p TenantPlan) Allowed(limit string) int64 {
	if n, ok := p.Limits[limit]; ok {
		return n
	}
	return tenantapi.Unlimited
}

// Counter is a limit and what is used of it.
type Counter struct {
	Limit   string
	Allowed int64
	Used    int64
	Held    int64 // by open reservations
	Resets  time.Time
}

// Left is how much more there may be.
func (c Counter) Left() int64 {
	if c.Allowed == tenantapi.Unlimited {
		return math.MaxInt64
	}
	return max(0, c.Allowed-c.Used-c.Held)
}

// Share is the part of what is left that one may have who takes what he gets, so that
// some is left to others.
const Share = 4

// Exceeded is the error for one more than there may be by the plan.
func (c Counter) Exceeded(plan string, now time.Time) error {
	if c.Resets.IsZero() {
		return tenantapi.ErrLimitReached.Saying("The plan %s allows %d %s.", plan, c.Allowed, nouns[c.Limit])
	}
	return tenantapi.ErrQuotaExceeded.Saying("The plan %s allows %d %s a month.", plan, c.Allowed, nouns[c.Limit]).
		After(max(time.Second, c.Resets.Sub(now)))
}

// nouns are what the limits count, for people.
var nouns = map[string]string{
	tenantapi.LimitMembers: "members", tenantapi.LimitBases: "bases", tenantapi.LimitAPICalls: "API calls",
	tenantapi.LimitStorage: "bytes of files", tenantapi.LimitAutomations: "automations",
}

// Period is the name of the time in which now lies, for what the limit counts, and when
// the next one begins: a calendar month in UTC for API calls. What is not counted by the
// time has one period without a name or an end.
func Period(limit string, now time.Time) (name string, ends time.Time) {
	if !Monthly(limit) {
		return "", time.Time{}
	}
	now = now.UTC()
	return now.Format("2006-01"), time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
}

// Monthly reports whether the limit is of a calendar month.
func Monthly(limit string) bool { return limit == tenantapi.LimitAPICalls }

// IsLimit reports whether there is a limit of that name.
func IsLimit(name string) bool { return slices.Contains(tenantapi.Limits, name) }

// Reserved reports whether others count what the limit is about, and reserve it here. Members
// are counted where they are kept.
func Reserved(limit string) bool { return IsLimit(limit) && limit != tenantapi.LimitMembers }

// Reservation is some of a limit set aside.
type Reservation struct {
	Key       string
	Limit     string
	Period    string
	Amount    int64
	Status    string
	ExpiresAt time.Time
}

// Order is what somebody wants set aside.
type Order struct {
	Key, Limit string
	Amount     int64
	Partial    bool
	For        time.Duration
	Settle     map[string]int64 // how much was used of reservations that are over, by key
}

// Use is what the service that has what is counted says of it.
type Use struct {
	Limit   string
	Used    int64
	Version int64    // of two that are not 0 the higher one holds
	Settle  []string // keys of reservations that Used contains
}

// AnnouncePlan is the job that tells of a changed plan all tenants that have it.
type AnnouncePlan struct {
	Plan string `json:"plan"`
}

// Kind implements river.JobArgs.
func (AnnouncePlan) Kind() string { return "announce_plan" }

// SweepReservations is the job that deletes reservations that are over.
type SweepReservations struct{}

// Kind implements river.JobArgs.
func (SweepReservations) Kind() string { return "sweep_reservations" }

// ReservationKept is how long a reservation that is over is remembered, so that who asks
// again gets the same answer.
const ReservationKept = 24 * time.Hour
