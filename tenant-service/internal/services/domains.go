package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

// Domains let people join a tenant that has proved that the domain of their addresses is
// its own.
type Domains struct {
	repo    *repository.Repository
	tenants *Tenants
	dns     *net.Resolver
	now     func() time.Time
}

// NewDomains returns the service; records are looked for with dns.
func NewDomains(repo *repository.Repository, tenants *Tenants, dns *net.Resolver, now func() time.Time) *Domains {
	return &Domains{repo, tenants, dns, now}
}

// Resolver asks the DNS server at that address (host:port); for "" the machine's.
func Resolver(address string) *net.Resolver {
	if address == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
}

// Add names a domain that is to be proved.
func (s *Domains) Add(ctx context.Context, who auth.Principal, tenant id.TenantID, name, role string, autoJoin bool) (models.Domain, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant)
	if err != nil {
		return models.Domain{}, err
	}
	name, fault := parseDomain(name)
	if fault == "" && len(name) > maxDomain-len("_pyairtable.") {
		fault = "is too long"
	}
	if fault != "" {
		return models.Domain{}, tenantapi.ErrBadTenant.With(errs.Field{Pointer: "/domain", Detail: fault})
	}
	d := models.NewDomain(tenant, name, role, autoJoin, s.now())
	return d, s.repo.AddDomain(ctx, c, d, mayManageDomains)
}

func mayManageDomains(sc *models.Scene) error {
	if !sc.Admits(sc.Role) {
		return tenantapi.ErrTenantSuspended
	}
	return sc.MayManageDomains()
}

// List returns the tenant's domains, oldest first.
func (s *Domains) List(ctx context.Context, who auth.Principal, tenant id.TenantID, after models.DomainID, limit int) ([]models.Domain, error) {
	if err := s.tenants.enterFor(ctx, who, tenant, permissionapi.ManageSettings); err != nil {
		return nil, err
	}
	return s.repo.Domains(ctx, tenant, after, limit)
}

// Verify looks for the domain's record, which makes it the tenant's.
func (s *Domains) Verify(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.DomainID) (models.Domain, error) {
	_, role, err := s.tenants.enter(ctx, who, tenant)
	if err != nil {
		return models.Domain{}, err
	}
	if role != tenantapi.RoleOwner { // asked again under the lock; nobody else makes us look
		return models.Domain{}, tenantapi.ErrOwnersOnly
	}
	d, err := s.repo.Domain(ctx, tenant, ref)
	if err != nil {
		return d, err
	}
	proved, err := proves(ctx, s.dns, d)
	if err != nil {
		return d, errs.ErrUnavailable.Saying("The domain's DNS does not answer at the moment.").Because(err)
	}
	if !proved {
		return d, tenantapi.ErrDomainUnproved
	}
	return s.change(ctx, who, tenant, ref, func(d *models.Domain) bool { d.Verify(s.now()); return false })
}

const lookupLimit = 5 * time.Second

// proves reports whether the domain's record is there. An error says that it cannot be
// found out now; a domain that does not exist has no record.
func proves(ctx context.Context, dns *net.Resolver, d models.Domain) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	name, _ := d.Record()
	found, err := dns.LookupTXT(ctx, name+".")
	var failure *net.DNSError
	if errors.As(err, &failure) && failure.IsNotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", name, err)
	}
	return d.Proved(found), nil
}

// Update says as what, and how, people join; nil leaves it as it is.
func (s *Domains) Update(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.DomainID, role *string, autoJoin *bool) (models.Domain, error) {
	return s.change(ctx, who, tenant, ref, func(d *models.Domain) bool {
		if role != nil {
			d.Role = *role
		}
		if autoJoin != nil {
			d.AutoJoin = *autoJoin
		}
		d.Version++
		return false
	})
}

// Remove gives the domain up.
func (s *Domains) Remove(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.DomainID) error {
	_, err := s.change(ctx, who, tenant, ref, func(d *models.Domain) bool { d.Version++; return true })
	return err
}

func (s *Domains) change(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.DomainID, change func(*models.Domain) (removed bool)) (models.Domain, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant)
	if err != nil {
		return models.Domain{}, err
	}
	return s.repo.ChangeDomain(ctx, c, ref, func(sc *models.Scene, d *models.Domain) (bool, error) {
		if err := mayManageDomains(sc); err != nil {
			return false, err
		}
		return change(d), nil
	})
}

// Joinable are the tenants that the caller may join by himself.
func (s *Domains) Joinable(ctx context.Context, who auth.Principal) ([]models.Admission, error) {
	list, err := s.repo.Admissions(ctx, who.UserID)
	if err != nil {
		return nil, err
	}
	var open []models.Admission
	for _, a := range list {
		if _, err := a.Admit(who.UserID, s.now()); err == nil {
			open = append(open, a)
		}
	}
	return open, nil
}

// Join makes the caller a member of a tenant that is joinable to him.
func (s *Domains) Join(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.Member, error) {
	return s.repo.Join(ctx, who.UserID, tenant)
}

// CheckDomainsPeriodically is when verified domains are looked at, by one replica at a time.
func CheckDomainsPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
		func() (river.JobArgs, *river.InsertOpts) { return models.CheckDomains{}, nil }, nil)
}

// CheckDomainsWorker looks whether verified domains still have their records.
type CheckDomainsWorker struct {
	river.WorkerDefaults[models.CheckDomains]
	Repo *repository.Repository
	DNS  *net.Resolver
}

const (
	checkBatch = 100
	checkLimit = 50 * time.Minute
)

// Timeout implements river.Worker.
func (w *CheckDomainsWorker) Timeout(*river.Job[models.CheckDomains]) time.Duration {
	return checkLimit
}

// Work implements river.Worker. A domain whose DNS does not answer is looked at next time.
func (w *CheckDomainsWorker) Work(ctx context.Context, _ *river.Job[models.CheckDomains]) error {
	after := ""
	for {
		list, err := w.Repo.VerifiedDomains(ctx, after, checkBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, d := range list {
			after = d.Domain
			proved, err := proves(ctx, w.DNS, d)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				logging.From(ctx).Info("a domain cannot be looked at", zap.String("domain", d.Domain), zap.Error(err))
				continue
			}
			if err := w.Repo.CheckDomain(ctx, d, proved); err != nil {
				return err
			}
		}
	}
}
