package tenantapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// The limits of a plan.
const (
	LimitMembers     = "members"       // users in the tenant; service accounts do not count
	LimitBases       = "bases"         // in the local store
	LimitAPICalls    = "api_calls"     // in a calendar month, in UTC
	LimitStorage     = "storage_bytes" // of files
	LimitAutomations = "automations"   // that are switched on
)

// Limits are all there are, in the order in which they are shown.
var Limits = []string{LimitMembers, LimitBases, LimitAPICalls, LimitStorage, LimitAutomations}

// Unlimited is the value of a limit that is none.
const Unlimited int64 = -1

// Plans that come with the service; others can be added, and these changed, at any time.
const (
	PlanFree       = "free"
	PlanTeam       = "team"
	PlanBusiness   = "business"
	PlanEnterprise = "enterprise" // no limits; at first what tenants without a subscription have
)

// States of a subscription.
const (
	SubscriptionActive   = "active"
	SubscriptionTrialing = "trialing"
	SubscriptionPastDue  = "past_due" // the plan holds on; ending it is billing's decision
	SubscriptionEnded    = "ended"    // the default plan holds
)

// Errors of plans and limits.
var (
	ErrPlanNotFound = errs.New(errs.NotFound, "plan_not_found", "There is no such plan.")
	// ErrBadPlan names the faulty limits.
	ErrBadPlan  = errs.New(errs.Invalid, "bad_plan", "A plan cannot be like this.")
	ErrBadLimit = errs.New(errs.Invalid, "bad_limit", "There is no such limit, or it is not counted like this.")
	// ErrLimitReached is the answer to one more than the tenant's plan allows.
	ErrLimitReached = errs.New(errs.Conflict, "limit_reached", "The tenant's plan does not allow more.")
	// ErrQuotaExceeded is the same for what is counted by the month.
	ErrQuotaExceeded = errs.New(errs.TooMany, "quota_exceeded", "The tenant has used what its plan allows in this period.")
	// ErrReservationGone says that a reservation is unknown, was given back, or ran out.
	ErrReservationGone = errs.New(errs.NotFound, "reservation_gone", "There is no such reservation any more.")
	// ErrKeyReused says that the key belongs to a reservation of something else.
	ErrKeyReused = errs.New(errs.Conflict, "reservation_key_reused", "The key belongs to another reservation.")
)

const (
	internalTenant = "/internal/v1/tenants/{tenant_id}"
	reservation    = internalTenant + "/reservations/{key}"
)

// Plans, subscriptions and limits, as people see them.
var (
	ListPlans = api.Op[api.PageQuery, PlanPage]{
		Name: "listPlans", Method: http.MethodGet, Path: "/api/v1/plans",
		Summary: "List the plans", Description: "In the order of their names. A limit of -1 is none.",
	}
	ShowLimits = api.Op[TenantRef, TenantLimits]{
		Name: "showLimits", Method: http.MethodGet, Path: tenant + "/limits",
		Summary: "Show what a tenant's plan allows, and what is used of it", Description: "For all members but guests who do not have billing.read.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrTenantSuspended, errs.ErrForbidden},
	}
	ShowSubscription = api.Op[TenantRef, Subscription]{
		Name: "showSubscription", Method: http.MethodGet, Path: tenant + "/subscription",
		Summary: "Show a tenant's plan and until when it is paid", Description: "For owners, admins and who has billing.read.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrTenantSuspended, ErrAdminsOnly},
	}
)

// Plans, subscriptions and limits, as services set and count them.
var (
	operators = []string{"tenant-service"} // until there is a service that bills
	counters  = []string{api.AnyService}   // each counts what it has

	SetPlan = api.Op[PlanUpdate, Plan]{
		Name: "setPlan", Method: http.MethodPut, Path: "/internal/v1/plans/{plan}", Access: api.Internal, Callers: operators,
		Summary: "Make or replace a plan", Description: "It holds at once. Every tenant that has it is told of in a PlanChanged.",
		Errors: []*errs.Error{ErrBadPlan},
	}
	SetSubscription = api.Op[SubscriptionUpdate, Subscription]{
		Name: "setSubscription", Method: http.MethodPut, Path: internalTenant + "/subscription", Access: api.Internal, Callers: operators,
		Summary: "Say which plan a tenant has", Errors: []*errs.Error{ErrTenantNotFound, ErrPlanNotFound, ErrBadPlan},
	}
	SetLimitOverrides = api.Op[OverridesUpdate, TenantPlan]{
		Name: "setLimitOverrides", Method: http.MethodPut, Path: internalTenant + "/limits", Access: api.Internal, Callers: operators,
		Summary: "Give a tenant limits beside its plan's", Description: "They replace those from before, all of them.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrBadPlan},
	}
	ReadLimits = api.Op[TenantRef, TenantPlan]{
		Name: "readLimits", Method: http.MethodGet, Path: internalTenant + "/limits", Access: api.Internal, Callers: counters,
		Summary: "What a tenant's plan allows", Timeout: 5 * time.Second, Errors: []*errs.Error{ErrTenantNotFound},
	}
	Reserve = api.Op[ReserveRequest, Reservation]{
		Name: "reserve", Method: http.MethodPost, Path: internalTenant + "/reservations", Access: api.Internal, Callers: counters,
		Summary: "Set some of a limit aside", Timeout: 5 * time.Second,
		Description: "What is not committed before expires_at is given back. With the key of an open reservation the time begins anew; " +
			"with that of a committed one nothing happens. What is used already is committed first, in the same transaction (settle).",
		Errors: []*errs.Error{ErrTenantNotFound, ErrBadLimit, ErrLimitReached, ErrQuotaExceeded, ErrKeyReused},
	}
	CommitReservation = api.Op[CommitRequest, Reservation]{
		Name: "commitReservation", Method: http.MethodPost, Path: reservation + "/commit", Access: api.Internal, Callers: counters,
		Summary: "Count what was set aside as used", Timeout: 5 * time.Second,
		Description: "The rest is given back. Again changes nothing. One that ran out is committed if there is still room for it.",
		Errors:      []*errs.Error{ErrTenantNotFound, ErrReservationGone, ErrLimitReached, ErrBadLimit},
	}
	ReleaseReservation = api.Op[ReservationRef, Reservation]{
		Name: "releaseReservation", Method: http.MethodPost, Path: reservation + "/release", Access: api.Internal, Callers: counters,
		Summary: "Give back what was set aside", Timeout: 5 * time.Second, Description: "Again, or of what is unknown, changes nothing. What was committed stays so.",
		Errors: []*errs.Error{ErrTenantNotFound},
	}
	SetUse = api.Op[UseUpdate, LimitUse]{
		Name: "setUse", Method: http.MethodPut, Path: internalTenant + "/uses/{limit}", Access: api.Internal, Callers: counters,
		Summary: "Say how much of a limit is used", Timeout: 5 * time.Second,
		Description: "By the service that has what is counted, whenever that changed. What is reserved stays so, but for what is settled. " +
			"It may be more than the limit. Without a version the counter is mended, and versions begin anew. api_calls and members cannot be set.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrBadLimit},
	}
)

var limitOps = []api.Spec{
	ListPlans.Spec(), ShowLimits.Spec(), ShowSubscription.Spec(), SetPlan.Spec(), SetSubscription.Spec(), SetLimitOverrides.Spec(),
	ReadLimits.Spec(), Reserve.Spec(), CommitReservation.Spec(), ReleaseReservation.Spec(), SetUse.Spec(),
}

// Plan is what tenants may have.
type Plan struct {
	Name    string           `json:"name"`
	Title   string           `json:"title"`
	Limits  map[string]int64 `json:"limits" doc:"-1 for none."`
	Default bool             `json:"default" doc:"Tenants without a subscription have it."`
}

// PlanPage is the answer of ListPlans.
type PlanPage = api.Page[Plan]

// PlanUpdate makes or replaces a plan.
type PlanUpdate struct {
	Plan string `path:"plan" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Body PlanDraft
}

// PlanDraft is a plan without its name. Limits that are absent are none. A plan that is
// made the default takes that from the one before; none can just cease to be it.
type PlanDraft struct {
	Title   string           `json:"title" minLength:"1" maxLength:"200"`
	Limits  map[string]int64 `json:"limits"`
	Default bool             `json:"default,omitempty"`
}

// Subscription is which plan a tenant has, and until when.
type Subscription struct {
	TenantID    string    `json:"tenant_id" format:"uuid"`
	Plan        string    `json:"plan" doc:"That holds: the default plan if there is no subscription or it has ended."`
	Status      string    `json:"status" enum:"none,active,trialing,past_due,ended"`
	Subscribed  string    `json:"subscribed_plan,omitempty" doc:"That was subscribed to, if it does not hold any more."`
	PeriodStart time.Time `json:"period_start,omitzero"`
	PeriodEnd   time.Time `json:"period_end,omitzero"`
}

// SubscriptionUpdate says which plan a tenant has.
type SubscriptionUpdate struct {
	TenantRef
	Body SubscriptionDraft
}

// SubscriptionDraft replaces a tenant's subscription.
type SubscriptionDraft struct {
	Plan        string    `json:"plan" maxLength:"63"`
	Status      string    `json:"status" enum:"active,trialing,past_due,ended"`
	PeriodStart time.Time `json:"period_start,omitzero"`
	PeriodEnd   time.Time `json:"period_end,omitzero" doc:"After period_start. It is told, and ends nothing by itself."`
}

// OverridesUpdate gives a tenant limits of its own.
type OverridesUpdate struct {
	TenantRef
	Body Overrides
}

// Overrides are limits that hold instead of the plan's.
type Overrides struct {
	Limits map[string]int64 `json:"limits" doc:"-1 for none; those that are absent are the plan's."`
}

// TenantPlan is what a tenant may.
type TenantPlan struct {
	TenantID string           `json:"tenant_id" format:"uuid"`
	Plan     string           `json:"plan"`
	Limits   map[string]int64 `json:"limits"`
}

// TenantLimits is the answer of ShowLimits.
type TenantLimits struct {
	Plan  string     `json:"plan"`
	Items []LimitUse `json:"items" nullable:"false"`
}

// LimitUse is a limit and what is used of it.
type LimitUse struct {
	Limit    string    `json:"limit"`
	Allowed  int64     `json:"allowed" doc:"-1 for any number."`
	Used     int64     `json:"used"`
	Reserved int64     `json:"reserved" doc:"Set aside, and maybe given back."`
	ResetsAt time.Time `json:"resets_at,omitzero" doc:"When counting begins anew; absent for what is not counted by the month."`
}

// ReserveRequest sets some of a limit aside.
type ReserveRequest struct {
	TenantRef
	Body ReserveDraft
}

// ReserveDraft says what is to be set aside, for how long.
type ReserveDraft struct {
	Key     string  `json:"key" minLength:"1" maxLength:"200" pattern:"^[A-Za-z0-9:._-]+$" doc:"The caller's own; the same again is the same reservation."`
	Limit   string  `json:"limit"`
	Amount  int64   `json:"amount" minimum:"1" maximum:"1000000000000000"`
	Partial bool    `json:"partial,omitempty" doc:"Take less if there is less, and leave some to others."`
	Seconds int     `json:"seconds" minimum:"1" maximum:"3600"`
	Settle  []Spent `json:"settle,omitempty" maxItems:"20" doc:"Reservations of the same limit that are over. Those that ran out count only as far as there is room."`
}

// Spent says how much of a reservation was used.
type Spent struct {
	Key  string `json:"key" maxLength:"200"`
	Used int64  `json:"used" minimum:"0" maximum:"1000000000000000"`
}

// Reservation is some of a limit set aside.
type Reservation struct {
	Key       string    `json:"key"`
	Limit     string    `json:"limit"`
	Amount    int64     `json:"amount"`
	Status    string    `json:"status" enum:"open,committed,released"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	ResetsAt  time.Time `json:"resets_at,omitzero" doc:"When counting begins anew."`
}

// States of a reservation.
const (
	ReservationOpen      = "open"
	ReservationCommitted = "committed"
	ReservationReleased  = "released"
)

// ReservationRef names a reservation.
type ReservationRef struct {
	TenantRef
	Key string `path:"key" maxLength:"200"`
}

// CommitRequest counts a reservation as used.
type CommitRequest struct {
	ReservationRef
	Body Commit
}

// Commit says how much of it was used.
type Commit struct {
	Used *int64 `json:"used,omitempty" minimum:"0" maximum:"1000000000000000" doc:"All of it, unless said otherwise."`
}

// UseUpdate says how much of a limit is used.
type UseUpdate struct {
	TenantRef
	Limit string `path:"limit" maxLength:"63"`
	Body  Use
}

// Use is how much there is.
type Use struct {
	Used    int64    `json:"used" minimum:"0" maximum:"1000000000000000"`
	Version int64    `json:"version,omitempty" minimum:"0" doc:"Of what was counted. What was said with a higher one stands."`
	Settle  []string `json:"settle,omitempty" maxItems:"1000" doc:"Keys of reservations that used contains; they are given back, whatever the version."`
}
