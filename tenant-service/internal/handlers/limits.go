package handlers

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

type limits struct {
	s *services.Limits
	r *repository.Repository
}

// RegisterLimits serves what of tenantapi is about plans, subscriptions and limits.
func RegisterLimits(a *httpx.API, s *services.Limits, r *repository.Repository) {
	l := limits{s, r}
	httpx.Handle(a, tenantapi.ListPlans, l.plans)
	httpx.Handle(a, tenantapi.ShowLimits, l.show)
	httpx.Handle(a, tenantapi.ShowSubscription, l.subscription)
	httpx.Handle(a, tenantapi.SetPlan, l.setPlan)
	httpx.Handle(a, tenantapi.SetSubscription, l.subscribe)
	httpx.Handle(a, tenantapi.SetLimitOverrides, l.override)
	httpx.Handle(a, tenantapi.ReadLimits, l.read)
	httpx.Handle(a, tenantapi.Reserve, l.reserve)
	httpx.Handle(a, tenantapi.CommitReservation, l.commit)
	httpx.Handle(a, tenantapi.ReleaseReservation, l.release)
	httpx.Handle(a, tenantapi.SetUse, l.setUse)
}

func (h limits) plans(ctx context.Context, _ auth.Principal, in api.PageQuery) (tenantapi.PlanPage, error) {
	return page.List(in, []any{"plans"},
		func(after string, limit int) ([]models.Plan, error) { return h.r.Plans(ctx, after, limit) },
		func(p models.Plan) string { return p.Name }, plan)
}

func (h limits) show(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (tenantapi.TenantLimits, error) {
	ref, err := tenantID(in)
	if err != nil {
		return tenantapi.TenantLimits{}, err
	}
	p, counters, err := h.s.Show(ctx, who, ref)
	out := tenantapi.TenantLimits{Plan: p.Plan, Items: []tenantapi.LimitUse{}}
	for _, c := range counters {
		out.Items = append(out.Items, use(c))
	}
	return out, err
}

func (h limits) subscription(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (tenantapi.Subscription, error) {
	ref, err := tenantID(in)
	if err != nil {
		return tenantapi.Subscription{}, err
	}
	s, err := h.s.Subscription(ctx, who, ref)
	return subscription(s), err
}

func (h limits) setPlan(ctx context.Context, _ auth.Principal, in tenantapi.PlanUpdate) (tenantapi.Plan, error) {
	p, err := h.s.SetPlan(ctx, models.Plan{Name: in.Plan, Title: in.Body.Title, Limits: in.Body.Limits, Default: in.Body.Default})
	return plan(p), err
}

func (h limits) subscribe(ctx context.Context, _ auth.Principal, in tenantapi.SubscriptionUpdate) (tenantapi.Subscription, error) {
	ref, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.Subscription{}, err
	}
	s, err := h.s.SetSubscription(ctx, models.Subscription{
		Tenant: ref, Plan: in.Body.Plan, Status: in.Body.Status, PeriodStart: in.Body.PeriodStart, PeriodEnd: in.Body.PeriodEnd,
	})
	return subscription(s), err
}

func (h limits) override(ctx context.Context, _ auth.Principal, in tenantapi.OverridesUpdate) (tenantapi.TenantPlan, error) {
	ref, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.TenantPlan{}, err
	}
	p, err := h.s.SetOverrides(ctx, ref, in.Body.Limits)
	return tenantPlan(p), err
}

func (h limits) read(ctx context.Context, _ auth.Principal, in tenantapi.TenantRef) (tenantapi.TenantPlan, error) {
	ref, err := tenantID(in)
	if err != nil {
		return tenantapi.TenantPlan{}, err
	}
	p, err := h.r.TenantPlan(ctx, ref)
	return tenantPlan(p), err
}

func (h limits) reserve(ctx context.Context, _ auth.Principal, in tenantapi.ReserveRequest) (tenantapi.Reservation, error) {
	ref, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.Reservation{}, err
	}
	o := models.Order{
		Key: in.Body.Key, Limit: in.Body.Limit, Amount: in.Body.Amount, Partial: in.Body.Partial,
		For: time.Duration(in.Body.Seconds) * time.Second, Settle: map[string]int64{},
	}
	for _, s := range in.Body.Settle {
		o.Settle[s.Key] = s.Used
	}
	res, resets, err := h.s.Reserve(ctx, ref, o)
	out := reservation(res)
	out.ResetsAt = resets
	return out, err
}

func (h limits) commit(ctx context.Context, _ auth.Principal, in tenantapi.CommitRequest) (tenantapi.Reservation, error) {
	return onReservation(in.ReservationRef, func(t id.TenantID) (models.Reservation, error) { return h.r.Commit(ctx, t, in.Key, in.Body.Used) })
}

func (h limits) release(ctx context.Context, _ auth.Principal, in tenantapi.ReservationRef) (tenantapi.Reservation, error) {
	return onReservation(in, func(t id.TenantID) (models.Reservation, error) { return h.r.Release(ctx, t, in.Key) })
}

func onReservation(ref tenantapi.ReservationRef, do func(id.TenantID) (models.Reservation, error)) (tenantapi.Reservation, error) {
	t, err := tenantID(ref.TenantRef)
	if err != nil {
		return tenantapi.Reservation{}, err
	}
	res, err := do(t)
	return reservation(res), err
}

func (h limits) setUse(ctx context.Context, _ auth.Principal, in tenantapi.UseUpdate) (tenantapi.LimitUse, error) {
	ref, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.LimitUse{}, err
	}
	c, err := h.s.SetUse(ctx, ref, models.Use{Limit: in.Limit, Used: in.Body.Used, Version: in.Body.Version, Settle: in.Body.Settle})
	return use(c), err
}

func plan(p models.Plan) tenantapi.Plan {
	return tenantapi.Plan{Name: p.Name, Title: p.Title, Limits: p.Limits, Default: p.Default}
}

func tenantPlan(p models.TenantPlan) tenantapi.TenantPlan {
	return tenantapi.TenantPlan{TenantID: p.Tenant.String(), Plan: p.Plan, Limits: p.Limits}
}

func subscription(s models.Subscription) tenantapi.Subscription {
	out := tenantapi.Subscription{TenantID: s.Tenant.String(), Plan: s.Holds, Status: s.Status, PeriodStart: s.PeriodStart, PeriodEnd: s.PeriodEnd}
	if s.Status == "" {
		out.Status = "none"
	}
	if s.Plan != s.Holds {
		out.Subscribed = s.Plan
	}
	return out
}

func use(c models.Counter) tenantapi.LimitUse {
	return tenantapi.LimitUse{Limit: c.Limit, Allowed: c.Allowed, Used: c.Used, Reserved: c.Held, ResetsAt: c.Resets}
}

func reservation(r models.Reservation) tenantapi.Reservation {
	return tenantapi.Reservation{Key: r.Key, Limit: r.Limit, Amount: r.Amount, Status: r.Status, ExpiresAt: r.ExpiresAt}
}
