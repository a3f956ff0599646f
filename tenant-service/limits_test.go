package tenantservice_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	tenantservice "github.com/pyairtable/pyairtable/tenant-service"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

// service calls this one with its own credentials, as operators do.
func (w *world) service() person {
	w.t.Helper()
	return person{Client: w.Client(auth.Principal{Token: w.issuer.Token(w.t, authtest.Service("tenant-service"))})}
}

// replica starts another process of the service, and returns who calls it so.
func (w *world) replica() person {
	w.t.Helper()
	r := apptest.Start(w.t, tenantservice.Service, w.env)
	return person{Client: r.Client(auth.Principal{Token: w.issuer.Token(w.t, authtest.Service("tenant-service"))})}
}

func (w *world) allow(of person, limits map[string]int64) {
	w.t.Helper()
	must(w, w.service(), tenantapi.SetLimitOverrides, tenantapi.OverridesUpdate{TenantRef: of.ref(), Body: tenantapi.Overrides{Limits: limits}})
}

func (w *world) use(of person, limit string) tenantapi.LimitUse {
	w.t.Helper()
	for _, u := range must(w, of, tenantapi.ShowLimits, of.ref()).Items {
		if u.Limit == limit {
			return u
		}
	}
	w.t.Fatalf("%s is not shown", limit)
	return tenantapi.LimitUse{}
}

func reserve(of person, key, limit string, amount int64) tenantapi.ReserveRequest {
	return tenantapi.ReserveRequest{TenantRef: of.ref(), Body: tenantapi.ReserveDraft{Key: key, Limit: limit, Amount: amount, Seconds: 60}}
}

func refOf(of person, key string) tenantapi.ReservationRef {
	return tenantapi.ReservationRef{TenantRef: of.ref(), Key: key}
}

// expire makes a reservation run out.
func (w *world) expire(of person, key string) {
	w.t.Helper()
	_, err := postgres.ForTenant(w.pool, of.tenant).Exec(w.t.Context(), `UPDATE reservations SET expires_at = now() WHERE tenant_id = $1 AND key = $2`, of.tenant, key)
	w.ok(err)
}

func TestPlans_HoldAtOnceAndAreTold(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, billing := w.organisation("Acme"), w.service()
	page := must(w, owner, tenantapi.ListPlans, api.PageQuery{Limit: 3})
	rest := must(w, owner, tenantapi.ListPlans, api.PageQuery{Limit: 3, Cursor: page.NextCursor})
	if len(page.Items) != 3 || len(rest.Items) != 1 || page.Items[0].Name != "business" || !page.Items[1].Default {
		t.Errorf("plans %+v and %+v", page, rest)
	}
	if got := must(w, owner, tenantapi.ShowSubscription, owner.ref()); got.Plan != "enterprise" || got.Status != "none" {
		t.Errorf("without a subscription: %+v", got)
	}
	month := tenantapi.SubscriptionDraft{Plan: "team", Status: "active", PeriodStart: time.Now(), PeriodEnd: time.Now().Add(time.Hour)}
	must(w, billing, tenantapi.SetSubscription, tenantapi.SubscriptionUpdate{TenantRef: owner.ref(), Body: month})
	if w.use(owner, "bases").Allowed != 50 || w.emitted("com.pyairtable.plan.changed.v1", owner.tenant.String()) != 1 {
		t.Error("the subscription does not hold, or was not told of")
	}
	must(w, billing, tenantapi.SetPlan, tenantapi.PlanUpdate{Plan: "team", Body: tenantapi.PlanDraft{Title: "Team", Limits: map[string]int64{"bases": 7}}})
	if u := w.use(owner, "bases"); u.Allowed != 7 || w.use(owner, "members").Allowed != tenantapi.Unlimited {
		t.Errorf("the changed plan does not hold: %+v", u)
	}
	await.True(t, "the tenant is told", func() bool { return w.emitted("com.pyairtable.plan.changed.v1", owner.tenant.String()) == 2 })
	w.allow(owner, map[string]int64{"bases": 9, "automations": 0})
	if w.use(owner, "bases").Allowed != 9 || w.use(owner, "automations").Allowed != 0 {
		t.Error("the tenant's own limits do not hold")
	}
	w.allow(owner, map[string]int64{})
	month.Status = "ended"
	must(w, billing, tenantapi.SetSubscription, tenantapi.SubscriptionUpdate{TenantRef: owner.ref(), Body: month})
	got := must(w, owner, tenantapi.ShowSubscription, owner.ref())
	if got.Plan != "enterprise" || got.Subscribed != "team" || w.use(owner, "bases").Allowed != tenantapi.Unlimited {
		t.Errorf("after its end: %+v", got)
	}
	// Another default plan, which is new, holds for who has no subscription.
	must(w, billing, tenantapi.SetPlan, tenantapi.PlanUpdate{Plan: "tiny", Body: tenantapi.PlanDraft{Title: "Tiny", Default: true, Limits: map[string]int64{"bases": 1}}})
	again := must(w, billing, tenantapi.SetPlan, tenantapi.PlanUpdate{Plan: "tiny", Body: tenantapi.PlanDraft{Title: "Tiny", Limits: map[string]int64{"bases": 2}}})
	read := must(w, billing, tenantapi.ReadLimits, owner.ref())
	if !again.Default || read.Plan != "tiny" || read.Limits["bases"] != 2 || read.Limits["members"] != tenantapi.Unlimited {
		t.Errorf("the default plan is %+v, the tenant has %+v", again, read)
	}
	if w.count(`SELECT count(*) FROM plans WHERE is_default`) != 1 {
		t.Error("there is not one default plan")
	}
}

func TestPlans_RefuseWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, billing := w.organisation("Acme"), w.service()
	for _, bad := range []map[string]int64{{"bases": -2}, {"unicorns": 1}, {"members": 0}} {
		refuse(w, tenantapi.ErrBadPlan, billing, tenantapi.SetPlan, tenantapi.PlanUpdate{Plan: "x", Body: tenantapi.PlanDraft{Title: "X", Limits: bad}})
		refuse(w, tenantapi.ErrBadPlan, billing, tenantapi.SetLimitOverrides, tenantapi.OverridesUpdate{TenantRef: owner.ref(), Body: tenantapi.Overrides{Limits: bad}})
	}
	sub := func(plan string, end time.Time) tenantapi.SubscriptionUpdate {
		return tenantapi.SubscriptionUpdate{TenantRef: owner.ref(), Body: tenantapi.SubscriptionDraft{Plan: plan, Status: "active", PeriodStart: time.Now(), PeriodEnd: end}}
	}
	refuse(w, tenantapi.ErrPlanNotFound, billing, tenantapi.SetSubscription, sub("gold", time.Time{}))
	refuse(w, tenantapi.ErrBadPlan, billing, tenantapi.SetSubscription, sub("team", time.Now().Add(-time.Hour)))
	nobody := w.stranger()
	refuse(w, tenantapi.ErrTenantNotFound, billing, tenantapi.ReadLimits, nobody.ref())
	refuse(w, tenantapi.ErrTenantNotFound, billing, tenantapi.SetLimitOverrides, tenantapi.OverridesUpdate{
		TenantRef: nobody.ref(), Body: tenantapi.Overrides{Limits: map[string]int64{}},
	})
	refuse(w, tenantapi.ErrTenantNotFound, billing, tenantapi.SetSubscription, tenantapi.SubscriptionUpdate{
		TenantRef: nobody.ref(), Body: tenantapi.SubscriptionDraft{Plan: "team", Status: "active"},
	})
}

func TestLimits_AreShownToMembersButGuests(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	stranger, member, guest := w.stranger(), w.join(owner, "member"), w.join(owner, "guest")
	refuse(w, tenantapi.ErrTenantNotFound, stranger, tenantapi.ShowLimits, owner.ref())
	refuse(w, tenantapi.ErrTenantNotFound, stranger, tenantapi.ShowSubscription, owner.ref())
	refuse(w, errs.ErrForbidden, guest, tenantapi.ShowLimits, owner.ref())
	refuse(w, tenantapi.ErrAdminsOnly, member, tenantapi.ShowSubscription, owner.ref())
	if u := w.use(member, "members"); u.Used != 3 || u.Allowed != tenantapi.Unlimited {
		t.Errorf("members: %+v", u)
	}
}

func TestReserve_IsIdempotentByKey(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, gateway := w.organisation("Acme"), w.service()
	w.allow(owner, map[string]int64{"bases": 3})
	commit := func(key string, used *int64) tenantapi.CommitRequest {
		return tenantapi.CommitRequest{ReservationRef: refOf(owner, key), Body: tenantapi.Commit{Used: used}}
	}
	for range 2 {
		must(w, gateway, tenantapi.Reserve, reserve(owner, "a", "bases", 2))
	}
	if u := w.use(owner, "bases"); u.Reserved != 2 || u.Used != 0 {
		t.Errorf("reserved twice: %+v", u)
	}
	refuse(w, tenantapi.ErrKeyReused, gateway, tenantapi.Reserve, reserve(owner, "a", "bases", 1))
	refuse(w, tenantapi.ErrKeyReused, gateway, tenantapi.Reserve, reserve(owner, "a", "automations", 2))
	refuse(w, tenantapi.ErrLimitReached, gateway, tenantapi.Reserve, reserve(owner, "b", "bases", 2))
	refuse(w, tenantapi.ErrBadLimit, gateway, tenantapi.CommitReservation, commit("a", ptr(int64(3))))
	for range 2 {
		must(w, gateway, tenantapi.CommitReservation, commit("a", ptr(int64(1))))
	}
	if u := w.use(owner, "bases"); u.Reserved != 0 || u.Used != 1 {
		t.Errorf("committed twice: %+v", u)
	}
	if got := must(w, gateway, tenantapi.Reserve, reserve(owner, "a", "bases", 2)); got.Status != "committed" {
		t.Errorf("reserved when it was committed: %+v", got)
	}
	must(w, gateway, tenantapi.ReleaseReservation, refOf(owner, "a"))
	must(w, gateway, tenantapi.Reserve, reserve(owner, "b", "bases", 2))
	for range 2 {
		must(w, gateway, tenantapi.ReleaseReservation, refOf(owner, "b"))
	}
	refuse(w, tenantapi.ErrReservationGone, gateway, tenantapi.CommitReservation, commit("b", nil))
	refuse(w, tenantapi.ErrReservationGone, gateway, tenantapi.CommitReservation, commit("unknown", nil))
	if got := must(w, gateway, tenantapi.ReleaseReservation, refOf(owner, "unknown")); got.Status != "released" {
		t.Errorf("released what there is not: %+v", got)
	}
	if u := w.use(owner, "bases"); u.Reserved != 0 || u.Used != 1 {
		t.Errorf("in the end: %+v", u)
	}
	must(w, gateway, tenantapi.SetUse, tenantapi.UseUpdate{TenantRef: owner.ref(), Limit: "bases", Body: tenantapi.Use{Used: 4}})
	refuse(w, tenantapi.ErrLimitReached, gateway, tenantapi.Reserve, reserve(owner, "c", "bases", 1))
	for _, bad := range []string{"members", "unicorns"} {
		refuse(w, tenantapi.ErrBadLimit, gateway, tenantapi.Reserve, reserve(owner, "d", bad, 1))
	}
	refuse(w, tenantapi.ErrBadLimit, gateway, tenantapi.SetUse, tenantapi.UseUpdate{TenantRef: owner.ref(), Limit: "api_calls"})
	refuse(w, tenantapi.ErrTenantNotFound, gateway, tenantapi.Reserve, reserve(w.stranger(), "a", "bases", 1))
}

// Reports of the service that counts may be lost, repeated and overtaken: what it said of the
// latest version holds, and what that contains is set aside no more.
func TestSetUse_TheHighestVersionHoldsAndGivesBackWhatItContains(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, gateway := w.organisation("Acme"), w.service()
	w.allow(owner, map[string]int64{"bases": 2})
	report := func(used, version int64, settle ...string) tenantapi.LimitUse {
		t.Helper()
		return must(w, gateway, tenantapi.SetUse, tenantapi.UseUpdate{
			TenantRef: owner.ref(), Limit: "bases", Body: tenantapi.Use{Used: used, Version: version, Settle: settle},
		})
	}
	must(w, gateway, tenantapi.Reserve, reserve(owner, "a", "bases", 1))
	must(w, gateway, tenantapi.Reserve, reserve(owner, "b", "bases", 1))
	must(w, gateway, tenantapi.Reserve, reserve(owner, "file", "storage_bytes", 9))
	if u := report(2, 2, "b"); u.Used != 2 || u.Reserved != 1 {
		t.Errorf("the second, first: %+v", u)
	}
	for range 2 {
		if u := report(1, 1, "a", "unknown", "file"); u.Used != 2 || u.Reserved != 0 {
			t.Errorf("the first one, late: %+v", u)
		}
	}
	if u := w.use(owner, "storage_bytes"); u.Reserved != 9 {
		t.Errorf("another limit's reservation is given back: %+v", u)
	}
	_, err := call(w, gateway, tenantapi.Reserve, reserve(owner, "c", "bases", 1))
	if e := errs.From(err); e == nil || e.Message != "The plan enterprise allows 2 bases." {
		t.Errorf("the refusal is %v", err)
	}
	if u := report(0, 3); u.Used != 0 {
		t.Errorf("all gone: %+v", u)
	}
	report(5, 0)
	if u := report(1, 1); u.Used != 1 {
		t.Errorf("mended, and counted anew: %+v", u)
	}
	refuse(w, errs.ErrInvalid, gateway, tenantapi.SetUse, tenantapi.UseUpdate{TenantRef: owner.ref(), Limit: "bases", Body: tenantapi.Use{Version: -1}})
}

// What nobody renews or commits, since its holder is gone, is given back; a late commit
// counts if there is still room.
func TestReserve_WhatRunsOutIsGivenBack(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, gateway := w.organisation("Acme"), w.service()
	w.allow(owner, map[string]int64{"bases": 1})
	must(w, gateway, tenantapi.Reserve, reserve(owner, "lost", "bases", 1))
	refuse(w, tenantapi.ErrLimitReached, gateway, tenantapi.Reserve, reserve(owner, "next", "bases", 1))
	w.expire(owner, "lost")
	must(w, gateway, tenantapi.Reserve, reserve(owner, "next", "bases", 1))
	late := tenantapi.CommitRequest{ReservationRef: refOf(owner, "lost")}
	refuse(w, tenantapi.ErrLimitReached, gateway, tenantapi.CommitReservation, late)
	must(w, gateway, tenantapi.ReleaseReservation, refOf(owner, "next"))
	must(w, gateway, tenantapi.CommitReservation, late)
	if u := w.use(owner, "bases"); u.Used != 1 || u.Reserved != 0 {
		t.Errorf("in the end: %+v", u)
	}
}

func TestReserve_ReplicasNeverOvershoot(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	replicas := []person{w.service(), w.replica()}
	const limit = 20
	w.allow(owner, map[string]int64{"bases": limit})
	var got, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 2 * limit {
		all.Go(func() {
			by, key := replicas[i%2], fmt.Sprint("base-", i)
			switch _, err := call(w, by, tenantapi.Reserve, reserve(owner, key, "bases", 1)); {
			case err == nil && i%5 == 0:
				must(w, replicas[(i+1)%2], tenantapi.ReleaseReservation, refOf(owner, key))
			case err == nil:
				got.Add(1)
				must(w, by, tenantapi.CommitReservation, tenantapi.CommitRequest{ReservationRef: refOf(owner, key)})
			case errors.Is(err, tenantapi.ErrLimitReached):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if u := w.use(owner, "bases"); u.Used != got.Load() || u.Used > limit || u.Reserved != 0 || refused.Load() == 0 {
		t.Errorf("%d have one, %d were refused, counted are %+v", got.Load(), refused.Load(), u)
	}
}

// Leases of what is counted by the month: in parts, settled with the next one.
func TestReserve_LeasesInPartAndSettles(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, gateway := w.organisation("Acme"), w.service()
	w.allow(owner, map[string]int64{"api_calls": 100})
	lease := func(key string, amount int64, settle ...tenantapi.Spent) (tenantapi.Reservation, error) {
		in := reserve(owner, key, "api_calls", amount)
		in.Body.Partial, in.Body.Settle = true, settle
		return call(w, gateway, tenantapi.Reserve, in)
	}
	first, err := lease("1", 1000)
	w.ok(err)
	if first.Amount != 25 || first.ResetsAt.IsZero() || first.ResetsAt.UTC().Day() != 1 {
		t.Errorf("of 100: %+v", first)
	}
	second, err := lease("2", 10, tenantapi.Spent{Key: "1", Used: 20}, tenantapi.Spent{Key: "unknown", Used: 9})
	w.ok(err)
	if u := w.use(owner, "api_calls"); second.Amount != 10 || u.Used != 20 || u.Reserved != 10 || u.ResetsAt.IsZero() {
		t.Errorf("settled: %+v, %+v", second, u)
	}
	// Settled again, nothing happens; more than was leased does not count.
	_, err = lease("3", 1, tenantapi.Spent{Key: "1", Used: 20}, tenantapi.Spent{Key: "2", Used: 11})
	w.ok(err)
	if u := w.use(owner, "api_calls"); u.Used != 30 || u.Reserved != 1 {
		t.Errorf("settled again: %+v", u)
	}
	// A lease that ran out counts as far as there is room.
	w.expire(owner, "3")
	w.allow(owner, map[string]int64{"api_calls": 30})
	_, err = lease("4", 1, tenantapi.Spent{Key: "3", Used: 1})
	if e := errs.From(err); e == nil || e.Code != tenantapi.ErrQuotaExceeded.Code || e.RetryAfter <= 0 {
		t.Errorf("with nothing left: %v", err)
	}
	if u := w.use(owner, "api_calls"); u.Used != 30 || u.Reserved != 0 {
		t.Errorf("in the end: %+v", u)
	}
}

func TestReserve_WhatIsOverIsSweptAfterADay(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, gateway := w.organisation("Acme"), w.service()
	must(w, gateway, tenantapi.Reserve, reserve(owner, "old", "bases", 1))
	must(w, gateway, tenantapi.CommitReservation, tenantapi.CommitRequest{ReservationRef: refOf(owner, "old")})
	must(w, gateway, tenantapi.Reserve, reserve(owner, "new", "bases", 1))
	scoped := postgres.ForTenant(w.pool, owner.tenant)
	_, err := scoped.Exec(t.Context(), `UPDATE reservations SET expires_at = now() - interval '25 hours' WHERE tenant_id = $1 AND key = 'old'`, owner.tenant)
	w.ok(err)
	_, err = scoped.Exec(t.Context(), `INSERT INTO limit_uses (tenant_id, name, period, used) VALUES ($1, 'api_calls', '2020-01', 5)`, owner.tenant)
	w.ok(err)
	w.ok(repository.New(w.pool, nil, nil, time.Now).SweepReservations(t.Context()))
	if u := w.use(owner, "bases"); u.Used != 1 || u.Reserved != 1 || w.count(`SELECT count(*) FROM reservations`) != 1 ||
		w.count(`SELECT count(*) FROM limit_uses WHERE period = '2020-01'`) != 0 {
		t.Errorf("after the sweep: %+v", u)
	}
}

// Many are invited to the few places that are left, and accept at two replicas at a time.
func TestMembers_ReplicasNeverOvershoot(t *testing.T) {
	t.Parallel()
	w := start(t, inbox())
	owner := w.organisation("Acme")
	other := apptest.Start(t, tenantservice.Service, w.env)
	const places, invited = 4, 10
	w.allow(owner, map[string]int64{"members": 1 + places})
	people, tokens := make([]person, invited), make([]string, invited)
	for i := range invited {
		email := fmt.Sprintf("p%d@example.com", i)
		must(w, owner, tenantapi.CreateInvitation, invite(owner, email, "member"))
		people[i], tokens[i] = w.registered(email), w.token(email)
		if i%2 == 1 {
			people[i].Client = other.Client(auth.Principal{Token: w.issuer.Token(t, authtest.User(people[i].tenant, people[i].user, "owner"))})
		}
	}
	var joined, refused atomic.Int64
	var all sync.WaitGroup
	for i := range invited {
		all.Go(func() {
			switch _, err := call(w, people[i], tenantapi.AcceptInvitation, tenantapi.Acceptance{Token: tokens[i]}); {
			case err == nil:
				joined.Add(1)
			case errors.Is(err, tenantapi.ErrLimitReached):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if u := w.use(owner, "members"); u.Used != 1+places || joined.Load() != places || refused.Load() != invited-places {
		t.Errorf("%d joined, %d were refused, counted are %+v", joined.Load(), refused.Load(), u)
	}
	// A refusal spends no invitation; who leaves makes room; service accounts take none.
	_, err := postgres.ForTenant(w.pool, owner.tenant).Exec(t.Context(), `UPDATE members SET kind = 'service_account' WHERE tenant_id = $1 AND id = (
		SELECT max(id::text)::uuid FROM members WHERE tenant_id = $1 AND role = 'member')`, owner.tenant)
	w.ok(err)
	again := 0
	for i := range invited {
		if _, err := call(w, people[i], tenantapi.AcceptInvitation, tenantapi.Acceptance{Token: tokens[i]}); err == nil {
			again++
		}
	}
	if again != 1 {
		t.Errorf("one place was free, %d took it", again)
	}
}

func TestLimits_NoTenantSeesAnothersCounters(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	a, b, gateway := w.organisation("A"), w.organisation("B"), w.service()
	w.allow(a, map[string]int64{"bases": 1})
	must(w, gateway, tenantapi.SetSubscription, tenantapi.SubscriptionUpdate{TenantRef: a.ref(), Body: tenantapi.SubscriptionDraft{Plan: "free", Status: "active"}})
	must(w, gateway, tenantapi.Reserve, reserve(a, "same", "bases", 1))
	must(w, gateway, tenantapi.Reserve, reserve(b, "same", "bases", 5))
	if w.use(a, "bases").Reserved != 1 || w.use(b, "bases").Reserved != 5 || w.use(b, "bases").Allowed != tenantapi.Unlimited {
		t.Error("tenants share a counter")
	}
	for _, table := range []string{"subscriptions", "limit_overrides", "limit_uses", "reservations"} {
		var none, others int
		w.ok(w.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&none))
		w.ok(postgres.ForTenant(w.pool, id.New[id.Tenant]()).QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&others))
		if none+others != 0 {
			t.Errorf("%s: %d rows without a tenant, %d for another", table, none, others)
		}
	}
}

// What is for other services only.
var internalOps = map[string]func(ctx context.Context, c *rpc.Client, of person) error{
	"setPlan": does(tenantapi.SetPlan, func(person) tenantapi.PlanUpdate {
		return tenantapi.PlanUpdate{Plan: "x", Body: tenantapi.PlanDraft{Title: "X", Limits: map[string]int64{}}}
	}),
	"setSubscription": does(tenantapi.SetSubscription, func(p person) tenantapi.SubscriptionUpdate {
		return tenantapi.SubscriptionUpdate{TenantRef: p.ref(), Body: tenantapi.SubscriptionDraft{Plan: "team", Status: "active"}}
	}),
	"setLimitOverrides": does(tenantapi.SetLimitOverrides, func(p person) tenantapi.OverridesUpdate {
		return tenantapi.OverridesUpdate{TenantRef: p.ref(), Body: tenantapi.Overrides{Limits: map[string]int64{}}}
	}),
	"readLimits": does(tenantapi.ReadLimits, person.ref),
	"reserve":    does(tenantapi.Reserve, func(p person) tenantapi.ReserveRequest { return reserve(p, "k", "bases", 1) }),
	"commitReservation": does(tenantapi.CommitReservation, func(p person) tenantapi.CommitRequest {
		return tenantapi.CommitRequest{ReservationRef: refOf(p, "k")}
	}),
	"releaseReservation": does(tenantapi.ReleaseReservation, func(p person) tenantapi.ReservationRef { return refOf(p, "k") }),
	"setUse":             does(tenantapi.SetUse, func(p person) tenantapi.UseUpdate { return tenantapi.UseUpdate{TenantRef: p.ref(), Limit: "bases"} }),
}

func TestAccess_InternalOperationsAreForServicesOnly(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	callers := map[*rpc.Client]errs.Kind{
		w.Client(auth.Principal{}): errs.Unauthenticated,
		owner.Client:               errs.Forbidden,
		w.Client(auth.Principal{Token: w.issuer.Token(t, authtest.PAT(owner.tenant, owner.user, "owner", "*", "*"))}): errs.Forbidden,
	}
	for _, op := range tenantapi.Service.Ops {
		if op.Access != api.Internal {
			continue
		}
		try, ok := internalOps[op.Name]
		if !ok {
			t.Errorf("%s is not tried", op.Name)
			continue
		}
		if other := w.Client(auth.Principal{Token: w.issuer.Token(t, authtest.Service("audit-service"))}); !op.Admits("audit-service") {
			if err := try(t.Context(), other, owner); err == nil || errs.From(err).Kind != errs.Forbidden {
				t.Errorf("%s by a service that is none of its callers: %v", op.Name, err)
			}
		}
		for c, want := range callers {
			if err := try(t.Context(), c, owner); err == nil || errs.From(err).Kind != want {
				t.Errorf("%s: %v", op.Name, err)
			}
		}
	}
}
