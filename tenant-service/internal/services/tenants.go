// Package services decides what may be done with tenants and their members, and what it
// means.
package services

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/setting"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

// Tenants are the tenants and their members.
type Tenants struct {
	repo   *repository.Repository
	rights *Rights
	grace  time.Duration
	now    func() time.Time
}

// NewTenants returns the service on the repository. A deletion can be undone for grace.
func NewTenants(repo *repository.Repository, rights *Rights, grace time.Duration, now func() time.Time) *Tenants {
	return &Tenants{repo, rights, grace, now}
}

// Clock is the time as it is stored: UTC, in microseconds.
func Clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Create makes an organisation that the caller owns. Without a slug it gets one made of
// its name.
func (s *Tenants) Create(ctx context.Context, who auth.Principal, c Change) (models.Tenant, error) {
	chosen := c.Slug != nil && *c.Slug != ""
	if !chosen {
		c.Slug = nil
	}
	settings, err := c.apply(models.Settings{Locale: setting.DefaultLocale, TimeZone: setting.DefaultTimeZone})
	if err != nil {
		return models.Tenant{}, err
	}
	if !chosen {
		settings.Slug = slugOf(settings.Name)
	}
	if _, fault := parseSlug(settings.Slug); fault != "" { // made of a name without letters of ours
		settings.Slug = another("tenant")
	}
	for {
		t := models.Organisation(settings, who.UserID, s.now())
		owner := models.NewMember(t.ID, who.UserID, tenantapi.RoleOwner, t.CreatedAt)
		err := s.repo.CreateTenant(ctx, t, owner,
			repository.TenantEvent(ctx, tenantapi.TenantCreated, t, nil, who.UserID),
			repository.MemberEvent(ctx, tenantapi.MemberAdded, owner, who.UserID))
		if chosen || !errors.Is(err, tenantapi.ErrSlugTaken) {
			return t, err
		}
		settings.Slug = another(slugOf(settings.Name))
	}
}

// another is a slug like the given one that nobody has: it ends at random.
func another(slug string) string {
	const tail = 8
	return strings.Trim(slug[:min(len(slug), maxSlug-tail-1)], "-") + "-" + strings.ToLower(rand.Text()[:tail])
}

// Tenant returns the tenant, which has to be that of the caller's token.
func (s *Tenants) Tenant(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.Tenant, error) {
	t, _, err := s.enter(ctx, who, tenant)
	return t, err
}

// enter returns the tenant and the caller's role in it.
func (s *Tenants) enter(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.Tenant, string, error) {
	c, err := s.rights.caller(ctx, who, tenant)
	if err != nil {
		return models.Tenant{}, "", err
	}
	t, role, err := s.repo.Tenant(ctx, c)
	if err == nil && !t.Admits(role) {
		err = tenantapi.ErrTenantSuspended
	}
	return t, role, err
}

// Update changes the tenant's settings, if match holds.
func (s *Tenants) Update(ctx context.Context, who auth.Principal, tenant id.TenantID, match etag.Match, c Change) (models.Tenant, error) {
	return s.changeTenant(ctx, who, tenant, models.About{}, func(sc *models.Scene) error {
		next, err := c.apply(sc.Settings())
		if err != nil {
			return err
		}
		return sc.Reconfigure(next, match, s.now())
	}, permissionapi.ManageSettings)
}

// Suspend shuts the tenant to all but its owners.
func (s *Tenants) Suspend(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.Tenant, error) {
	return s.changeTenant(ctx, who, tenant, models.About{}, func(sc *models.Scene) error { return sc.Suspend(s.now()) })
}

// Resume ends a suspension.
func (s *Tenants) Resume(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.Tenant, error) {
	return s.changeTenant(ctx, who, tenant, models.About{}, func(sc *models.Scene) error { return sc.Resume(s.now()) })
}

// Delete begins the grace period of a deletion.
func (s *Tenants) Delete(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.Tenant, error) {
	return s.changeTenant(ctx, who, tenant, models.About{}, func(sc *models.Scene) error { return sc.Delete(s.grace, s.now()) })
}

// Keep undoes a deletion.
func (s *Tenants) Keep(ctx context.Context, who auth.Principal, tenant id.TenantID) (models.Tenant, error) {
	return s.changeTenant(ctx, who, tenant, models.About{}, func(sc *models.Scene) error { return sc.Keep(s.now()) })
}

// Transfer makes another member the one who answers for the tenant.
func (s *Tenants) Transfer(ctx context.Context, who auth.Principal, tenant id.TenantID, to id.UserID) (models.Tenant, error) {
	return s.changeTenant(ctx, who, tenant, models.About{User: to}, func(sc *models.Scene) error { return sc.Transfer(s.now()) })
}

func (s *Tenants) changeTenant(ctx context.Context, who auth.Principal, tenant id.TenantID, about models.About,
	rule func(*models.Scene) error, permissions ...string) (models.Tenant, error) {
	c, err := s.rights.caller(ctx, who, tenant, permissions...)
	if err != nil {
		return models.Tenant{}, err
	}
	sc, err := s.change(ctx, c, about, rule)
	if err != nil {
		return models.Tenant{}, err
	}
	return sc.Tenant, nil
}

// change has the rule decide under the tenant's lock and says what it has changed.
func (s *Tenants) change(ctx context.Context, c models.Caller, about models.About, rule func(*models.Scene) error) (*models.Scene, error) {
	return s.repo.ChangeTenant(ctx, c, about, func(sc *models.Scene) ([]events.Event, error) {
		if !sc.Admits(sc.Role) {
			return nil, tenantapi.ErrTenantSuspended
		}
		if err := rule(sc); err != nil {
			return nil, err
		}
		var evs []events.Event
		for _, m := range sc.ChangedMembers() {
			evs = append(evs, repository.MemberEvent(ctx, tenantapi.MemberUpdated, m, c.User))
		}
		if sc.Removed {
			evs = append(evs, repository.MemberEvent(ctx, tenantapi.MemberRemoved, *sc.Target, c.User))
		}
		if len(sc.Changed) > 0 {
			evs = append(evs, repository.TenantEvent(ctx, tenantapi.TenantUpdated, sc.Tenant, sc.Changed, c.User))
		}
		return evs, nil
	})
}

// Memberships are the tenants that the caller is a member of.
func (s *Tenants) Memberships(ctx context.Context, who auth.Principal, after id.TenantID, limit int) ([]repository.Membership, error) {
	return s.repo.Memberships(ctx, who.UserID, after, limit)
}

// Members are the tenant's members, of the kind unless it is ""; for a guest himself
// alone.
func (s *Tenants) Members(ctx context.Context, who auth.Principal, tenant id.TenantID, kind string, after models.MemberID, limit int) ([]models.Member, error) {
	_, role, err := s.enter(ctx, who, tenant)
	if err != nil {
		return nil, err
	}
	all, err := s.seesMembers(ctx, who, role)
	if err != nil {
		return nil, err
	}
	var only id.UserID
	if !all {
		only = who.UserID
	}
	return s.repo.Members(ctx, tenant, only, kind, after, limit)
}

// Member is one of the tenant's members whom the caller sees.
func (s *Tenants) Member(ctx context.Context, who auth.Principal, tenant id.TenantID, member models.MemberID) (models.Member, error) {
	_, role, err := s.enter(ctx, who, tenant)
	if err != nil {
		return models.Member{}, err
	}
	m, err := s.repo.Member(ctx, tenant, member)
	if err != nil || m.User == who.UserID {
		return m, err
	}
	all, err := s.seesMembers(ctx, who, role)
	if err == nil && !all {
		err = tenantapi.ErrMemberNotFound
	}
	if err != nil {
		return models.Member{}, err
	}
	return m, nil
}

// MemberChange is what of a member is to be another; nil leaves it as it is.
type MemberChange struct {
	Role        *string
	CustomRoles *[]string
	Suspended   *bool
	Name        *string // of a service account
}

// ChangeMember changes a member, if match holds.
func (s *Tenants) ChangeMember(ctx context.Context, who auth.Principal, tenant id.TenantID, member models.MemberID, match etag.Match,
	c MemberChange) (models.Member, error) {
	if c.CustomRoles != nil {
		custom, err := customRoles(*c.CustomRoles)
		if err != nil {
			return models.Member{}, err
		}
		c.CustomRoles = &custom
	}
	if c.Name != nil {
		name, err := accountName(*c.Name)
		if err != nil {
			return models.Member{}, err
		}
		c.Name = &name
	}
	by, err := s.rights.caller(ctx, who, tenant, permissionapi.ManageMembers, permissionapi.ManageServiceAccounts)
	if err != nil {
		return models.Member{}, err
	}
	if err := s.noteRoles(ctx, &by, member, c.CustomRoles); err != nil {
		return models.Member{}, err
	}
	sc, err := s.change(ctx, by, models.About{Member: member}, func(sc *models.Scene) error {
		now := s.now()
		err := sc.SetRoles(c.Role, c.CustomRoles, match, now)
		if err == nil && c.Suspended != nil {
			err = sc.SuspendMember(*c.Suspended, now)
		}
		if err == nil && c.Name != nil {
			err = sc.RenameMember(*c.Name, now)
		}
		return err
	})
	if err != nil {
		return models.Member{}, err
	}
	return *sc.Target, nil
}

// noteRoles notes whether the caller may hand on the custom roles that the member is to be
// given, or to lose. What they are is looked at again under the lock.
func (s *Tenants) noteRoles(ctx context.Context, by *models.Caller, member models.MemberID, custom *[]string) error {
	if custom == nil || len(by.May) == 0 || models.IsAdmin(by.Role) {
		return nil
	}
	m, err := s.repo.Member(ctx, by.Tenant, member)
	if errors.Is(err, tenantapi.ErrMemberNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.rights.noteHandOn(ctx, by, models.Differing(*custom, m.CustomRoles), nil)
}

// Remove ends a membership.
func (s *Tenants) Remove(ctx context.Context, who auth.Principal, tenant id.TenantID, member models.MemberID) error {
	by, err := s.rights.caller(ctx, who, tenant, permissionapi.ManageMembers, permissionapi.ManageServiceAccounts)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, by, models.About{Member: member}, func(sc *models.Scene) error { return sc.Remove(s.now()) })
	return err
}

// Leave ends the caller's own membership.
func (s *Tenants) Leave(ctx context.Context, who auth.Principal, tenant id.TenantID) error {
	by, err := s.rights.caller(ctx, who, tenant)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, by, models.About{User: who.UserID}, func(sc *models.Scene) error { return sc.Leave(s.now()) })
	return err
}

// EndWorker erases tenants whose grace period is over.
type EndWorker struct {
	river.WorkerDefaults[models.EndTenant]
	Repo *repository.Repository
	Now  func() time.Time
}

// Work implements river.Worker.
func (w *EndWorker) Work(ctx context.Context, job *river.Job[models.EndTenant]) error {
	return w.Repo.DeleteTenant(ctx, job.Args.Tenant, w.Now(), func(t models.Tenant) events.Event {
		t.Version++
		return repository.TenantEvent(ctx, tenantapi.TenantDeleted, t, []string{"status"}, id.UserID{})
	})
}
