package services

import (
	"context"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

// Groups are the groups of tenants, and their service accounts.
type Groups struct {
	repo    *repository.Repository
	tenants *Tenants
	now     func() time.Time
}

// NewGroups returns the service on the repository.
func NewGroups(repo *repository.Repository, tenants *Tenants, now func() time.Time) *Groups {
	return &Groups{repo, tenants, now}
}

// Create makes a group with its first members.
func (s *Groups) Create(ctx context.Context, who auth.Principal, tenant id.TenantID, name string, first []models.MemberID) (models.Group, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant, permissionapi.ManageGroups)
	if err != nil {
		return models.Group{}, err
	}
	if name, err = groupName(name); err != nil {
		return models.Group{}, err
	}
	g := models.NewGroup(tenant, name, "", s.now())
	return g, s.repo.CreateGroup(ctx, c, g, first, mayGroup)
}

// mayOrganise is models.Scene.MayOrganise for owners and admins, in a tenant that admits
// the caller.
func mayOrganise(sc *models.Scene) error { return admitted(sc, sc.MayOrganise()) }

// mayGroup is mayOrganise for those who manage groups.
func mayGroup(sc *models.Scene) error {
	return admitted(sc, sc.MayOrganise(permissionapi.ManageGroups))
}

// admitted is the rule's answer in a tenant that admits the caller.
func admitted(sc *models.Scene, rule error) error {
	if !sc.Admits(sc.Role) {
		return tenantapi.ErrTenantSuspended
	}
	return rule
}

func groupName(name string) (string, error) {
	name, fault := parseName(name)
	if fault != "" {
		return "", tenantapi.ErrBadGroup.With(errs.Field{Pointer: "/name", Detail: fault})
	}
	return name, nil
}

// Rename gives the group another name, unless it is nil.
func (s *Groups) Rename(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.GroupID, match etag.Match, name *string) (models.Group, error) {
	return s.change(ctx, who, tenant, ref, match, false, func(g *models.GroupEdit) (err error) {
		if name != nil {
			g.Name, err = groupName(*name)
		}
		return err
	})
}

// ChangeMembers takes members into the group and out of it: the caller may hand on what it
// has.
func (s *Groups) ChangeMembers(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.GroupID, match etag.Match,
	add, remove []models.MemberID) (models.Group, error) {
	return s.change(ctx, who, tenant, ref, match, true, func(g *models.GroupEdit) error {
		g.Add, g.Remove = add, remove
		return nil
	})
}

// Delete ends the group, with what was given to it and denied to it: the caller may hand
// that on.
func (s *Groups) Delete(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.GroupID) error {
	_, err := s.change(ctx, who, tenant, ref, etag.Match{}, true, func(g *models.GroupEdit) error {
		g.Gone = true
		return nil
	})
	return err
}

func (s *Groups) change(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.GroupID, match etag.Match, handsOn bool,
	edit func(*models.GroupEdit) error) (models.Group, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant, permissionapi.ManageGroups)
	if err != nil {
		return models.Group{}, err
	}
	if handsOn {
		if err := s.tenants.rights.noteHandOn(ctx, &c, nil, []string{ref.String()}); err != nil {
			return models.Group{}, err
		}
	}
	return s.repo.ChangeGroup(ctx, c, ref, func(sc *models.Scene, g *models.Group) (models.GroupEdit, error) {
		if err := mayGroup(sc); err != nil {
			return models.GroupEdit{}, err
		}
		if g == nil {
			return models.GroupEdit{}, tenantapi.ErrGroupNotFound
		}
		if handsOn {
			if err := sc.MayHandOn(ref.String()); err != nil {
				return models.GroupEdit{}, err
			}
		}
		if !match.Holds(g.Version) {
			return models.GroupEdit{}, errs.ErrPreconditionFailed
		}
		next := models.GroupEdit{Name: g.Name, ExternalID: g.ExternalID}
		err := edit(&next)
		return next, err
	})
}

// List returns the groups that the caller sees: all of them, or as a guest his own.
func (s *Groups) List(ctx context.Context, who auth.Principal, tenant id.TenantID, after models.GroupID, limit int) ([]models.Group, error) {
	only, err := s.sees(ctx, who, tenant)
	if err != nil {
		return nil, err
	}
	return s.repo.Groups(ctx, tenant, only, after, limit)
}

// sees returns the user whose groups alone the caller sees; zero for everybody's.
func (s *Groups) sees(ctx context.Context, who auth.Principal, tenant id.TenantID) (id.UserID, error) {
	_, role, err := s.tenants.enter(ctx, who, tenant)
	if err != nil {
		return id.UserID{}, err
	}
	if all, err := s.tenants.seesMembers(ctx, who, role); all || err != nil {
		return id.UserID{}, err
	}
	return who.UserID, nil
}

// Group is one of the groups that the caller sees.
func (s *Groups) Group(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.GroupID) (models.Group, error) {
	only, err := s.sees(ctx, who, tenant)
	if err != nil {
		return models.Group{}, err
	}
	return s.repo.Group(ctx, tenant, only, ref)
}

// Members are those in a group that the caller sees; for a guest himself alone.
func (s *Groups) Members(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.GroupID, after models.MemberID, limit int) ([]models.Member, error) {
	only, err := s.sees(ctx, who, tenant)
	if err != nil {
		return nil, err
	}
	if _, err := s.repo.Group(ctx, tenant, only, ref); err != nil {
		return nil, err
	}
	return s.repo.GroupMembers(ctx, tenant, ref, only, after, limit)
}

// AddServiceAccount makes a member that is a program.
func (s *Groups) AddServiceAccount(ctx context.Context, who auth.Principal, tenant id.TenantID, name, role string, custom []string) (models.Member, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant, permissionapi.ManageServiceAccounts)
	if err != nil {
		return models.Member{}, err
	}
	if name, err = accountName(name); err != nil {
		return models.Member{}, err
	}
	if custom, err = customRoles(custom); err != nil {
		return models.Member{}, err
	}
	m := models.NewServiceAccount(tenant, name, role, custom, s.now())
	if err := s.tenants.rights.noteHandOn(ctx, &c, custom, nil); err != nil {
		return models.Member{}, err
	}
	return m, s.repo.AddServiceAccount(ctx, c, m, func(sc *models.Scene) error { return admitted(sc, sc.MayAddServiceAccount(m)) })
}

func accountName(name string) (string, error) {
	name, fault := parseName(name)
	if fault != "" {
		return "", errs.ErrInvalid.With(errs.Field{Pointer: "/name", Detail: fault})
	}
	return name, nil
}

// customRoles are ids of permission-service's, which alone knows which of them exist;
// without those that come twice.
func customRoles(given []string) ([]string, error) {
	out := []string{}
	seen := map[string]bool{}
	for _, text := range given {
		if strings.TrimSpace(text) != text || text == "" || len(text) > maxName {
			return nil, errs.ErrInvalid.With(errs.Field{Pointer: "/custom_roles", Detail: "has to hold ids of roles"})
		}
		if !seen[text] {
			seen[text] = true
			out = append(out, text)
		}
	}
	return out, nil
}
