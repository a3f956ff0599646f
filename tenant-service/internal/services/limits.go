package services

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

// Limits are the plans, which tenant has which, and what is used of them.
type Limits struct {
	repo    *repository.Repository
	tenants *Tenants
}

// NewLimits returns the service on the repository.
func NewLimits(repo *repository.Repository, tenants *Tenants) *Limits { return &Limits{repo, tenants} }

// Show returns what the caller's tenant may, and what it uses of that.
func (s *Limits) Show(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.TenantPlan, []models.Counter, error) {
	_, role, err := s.tenants.enter(ctx, who, tenant)
	if err != nil {
		return models.TenantPlan{}, nil, err
	}
	if !models.SeesMembers(role) {
		who.Role = role
		if yes, err := s.tenants.rights.may(ctx, who, permissionapi.ReadBilling); err != nil || !yes {
			return models.TenantPlan{}, nil, cmp.Or(err, error(errs.ErrForbidden))
		}
	}
	return s.repo.Uses(ctx, tenant)
}

// Subscription returns that of the caller's tenant.
func (s *Limits) Subscription(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.Subscription, error) {
	if err := s.tenants.enterFor(ctx, who, tenant, permissionapi.ReadBilling); err != nil {
		return models.Subscription{}, err
	}
	return s.repo.Subscription(ctx, tenant)
}

// SetPlan makes or replaces a plan.
func (s *Limits) SetPlan(ctx context.Context, p models.Plan) (models.Plan, error) {
	if err := checkLimits(p.Limits); err != nil {
		return models.Plan{}, err
	}
	return s.repo.SetPlan(ctx, p)
}

// SetOverrides gives the tenant limits beside its plan's.
func (s *Limits) SetOverrides(ctx context.Context, tenant id.TenantID, limits map[string]int64) (models.TenantPlan, error) {
	if err := checkLimits(limits); err != nil {
		return models.TenantPlan{}, err
	}
	return s.repo.SetOverrides(ctx, tenant, limits)
}

// checkLimits refuses with tenantapi.ErrBadPlan, naming every faulty limit. There is
// nothing to be had of a tenant that may not have its owner.
func checkLimits(limits map[string]int64) error {
	var faults []errs.Field
	for name, n := range limits {
		switch {
		case !models.IsLimit(name):
			faults = append(faults, errs.Field{Pointer: "/limits/" + name, Detail: "is no limit"})
		case n < tenantapi.Unlimited:
			faults = append(faults, errs.Field{Pointer: "/limits/" + name, Detail: "must be -1 for none, 0 or more"})
		case n == 0 && name == tenantapi.LimitMembers:
			faults = append(faults, errs.Field{Pointer: "/limits/" + name, Detail: "must admit the owner"})
		}
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b errs.Field) int { return strings.Compare(a.Pointer, b.Pointer) })
		return tenantapi.ErrBadPlan.With(faults...)
	}
	return nil
}

// SetSubscription says which plan the tenant has.
func (s *Limits) SetSubscription(ctx context.Context, sub models.Subscription) (models.Subscription, error) {
	if !sub.PeriodEnd.IsZero() && !sub.PeriodEnd.After(sub.PeriodStart) {
		return models.Subscription{}, tenantapi.ErrBadPlan.With(errs.Field{Pointer: "/period_end", Detail: "must be after period_start"})
	}
	return s.repo.SetSubscription(ctx, sub)
}

// Reserve sets some of a limit aside, and says when its counting begins anew.
func (s *Limits) Reserve(ctx context.Context, tenant id.TenantID, o models.Order) (models.Reservation, time.Time, error) {
	if !models.Reserved(o.Limit) {
		return models.Reservation{}, time.Time{}, tenantapi.ErrBadLimit
	}
	return s.repo.Reserve(ctx, tenant, o)
}

// SetUse says how much of a limit is used. What is counted by the time, or here, cannot be
// set.
func (s *Limits) SetUse(ctx context.Context, tenant id.TenantID, u models.Use) (models.Counter, error) {
	if !models.Reserved(u.Limit) || models.Monthly(u.Limit) {
		return models.Counter{}, tenantapi.ErrBadLimit
	}
	return s.repo.SetUse(ctx, tenant, u)
}

// AnnounceWorker tells of a changed plan all tenants that have it.
type AnnounceWorker struct {
	river.WorkerDefaults[models.AnnouncePlan]
	Repo *repository.Repository
}

const (
	announceBatch = 500
	announceLimit = time.Hour
)

// Timeout implements river.Worker.
func (w *AnnounceWorker) Timeout(*river.Job[models.AnnouncePlan]) time.Duration { return announceLimit }

// Work implements river.Worker. Cut off, it begins again: to be told twice does no harm.
func (w *AnnounceWorker) Work(ctx context.Context, job *river.Job[models.AnnouncePlan]) error {
	var after id.TenantID
	for {
		list, err := w.Repo.TenantsOn(ctx, job.Args.Plan, after, announceBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, tenant := range list {
			if err := w.Repo.TellPlan(ctx, tenant); err != nil {
				return err
			}
			after = tenant
		}
	}
}

// SweepPeriodically is when reservations are swept, by one replica at a time.
func SweepPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
		func() (river.JobArgs, *river.InsertOpts) { return models.SweepReservations{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// SweepWorker works models.SweepReservations.
type SweepWorker struct {
	river.WorkerDefaults[models.SweepReservations]
	Repo *repository.Repository
}

// Work implements river.Worker.
func (w *SweepWorker) Work(ctx context.Context, _ *river.Job[models.SweepReservations]) error {
	return w.Repo.SweepReservations(ctx)
}
