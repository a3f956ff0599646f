package services

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// Shares is what users and groups have been given on workspaces and bases, which
// permission-service keeps. It is asked with the caller's own token, and decides.
type Shares struct {
	tree *Tree
}

// NewShares returns the shares of the tree's objects.
func NewShares(t *Tree) *Shares { return &Shares{t} }

// Workspace is the object of a workspace that the caller may share.
func (s *Shares) Workspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID) (permit.Object, error) {
	object := workspaceObject(ref)
	if _, err := s.tree.Workspace(ctx, who, ref); err != nil {
		return object, err
	}
	return object, s.tree.rights.Check(ctx, who, permissionapi.Share, object)
}

// Base is the object of a base that the caller may share.
func (s *Shares) Base(ctx context.Context, who auth.Principal, ref string) (permit.Object, error) {
	return base(who.TenantID, ref), s.tree.mayWithBase(ctx, who, ref, permissionapi.Share)
}

// api is permission-service, asked as the caller.
func (s *Shares) api(who auth.Principal) (*rpc.Client, error) {
	if s.tree.rights.keeper == nil {
		return nil, workspaceapi.ErrOffline
	}
	return s.tree.rights.api.As(who), nil
}

// List is a page of what was given on the object.
func (s *Shares) List(ctx context.Context, who auth.Principal, object permit.Object, q api.PageQuery) (permissionapi.GrantPage, error) {
	c, err := s.api(who)
	if err != nil {
		return permissionapi.GrantPage{}, err
	}
	return rpc.Call(ctx, c, permissionapi.ListGrants, permissionapi.GrantQuery{PageQuery: q, Object: string(object)})
}

// Put gives the subject the role on the object, in the place of every other one. The new
// one is given first, so that he is never without.
func (s *Shares) Put(ctx context.Context, who auth.Principal, object permit.Object, subject, role string, expires time.Time) (permissionapi.GrantRecord, error) {
	c, err := s.api(who)
	if err != nil {
		return permissionapi.GrantRecord{}, err
	}
	if !expires.IsZero() && !expires.After(s.tree.now()) {
		return permissionapi.GrantRecord{}, workspaceapi.ErrExpiry
	}
	had, err := s.of(ctx, c, object, subject)
	if err != nil {
		return permissionapi.GrantRecord{}, err
	}
	had = slices.DeleteFunc(had, func(g permissionapi.GrantRecord) bool { return g.Deny })
	if err := s.mayTake(ctx, who, object, had); err != nil {
		return permissionapi.GrantRecord{}, err
	}
	if err := s.tree.repo.Supersede(ctx, who.TenantID, object, subject); err != nil {
		return permissionapi.GrantRecord{}, err
	}
	made, err := rpc.Call(ctx, c, permissionapi.CreateGrant, permissionapi.Grant{Subject: subject, Object: string(object), Role: role, ExpiresAt: expires})
	if err != nil {
		return permissionapi.GrantRecord{}, err
	}
	s.tree.rights.keeper.Saw(who.TenantID, made.Token)
	for _, g := range had {
		if g.ID == made.Body.ID {
			continue
		}
		if err := s.revoke(ctx, c, who, g.ID); err != nil {
			return permissionapi.GrantRecord{}, err
		}
	}
	return made.Body, nil
}

// mayTake refuses before anything is changed what permission-service would refuse halfway:
// only who may manage an object takes it from one of its owners.
func (s *Shares) mayTake(ctx context.Context, who auth.Principal, object permit.Object, grants []permissionapi.GrantRecord) error {
	if !slices.ContainsFunc(grants, func(g permissionapi.GrantRecord) bool { return g.Role == permissionapi.RoleOwner }) {
		return nil
	}
	err := s.tree.rights.Check(ctx, who, permissionapi.Manage, object)
	if errors.Is(err, errs.ErrForbidden) {
		return permissionapi.ErrTooStrong
	}
	return err
}

// Delete takes everything on the object from the subject.
func (s *Shares) Delete(ctx context.Context, who auth.Principal, object permit.Object, subject string) error {
	c, err := s.api(who)
	if err != nil {
		return err
	}
	had, err := s.of(ctx, c, object, subject)
	if err != nil {
		return err
	}
	if err := s.mayTake(ctx, who, object, had); err != nil {
		return err
	}
	if err := s.tree.repo.Supersede(ctx, who.TenantID, object, subject); err != nil {
		return err
	}
	for _, g := range had {
		if err := s.revoke(ctx, c, who, g.ID); err != nil {
			return err
		}
	}
	return nil
}

// revoke ends a grant; one that is gone is no error.
func (s *Shares) revoke(ctx context.Context, c *rpc.Client, who auth.Principal, grant string) error {
	gone, err := rpc.Call(ctx, c, permissionapi.RevokeGrant, permissionapi.GrantRef{ID: grant})
	if errors.Is(err, errs.ErrNotFound) {
		return nil
	}
	if err == nil {
		s.tree.rights.keeper.Saw(who.TenantID, gone.Token)
	}
	return err
}

// of is all that the subject was given on the object itself.
func (s *Shares) of(ctx context.Context, c *rpc.Client, object permit.Object, subject string) ([]permissionapi.GrantRecord, error) {
	var all []permissionapi.GrantRecord
	q := permissionapi.GrantQuery{Object: string(object), Subject: subject, PageQuery: api.PageQuery{Limit: scan}}
	for {
		page, err := rpc.Call(ctx, c, permissionapi.ListGrants, q)
		if err != nil {
			return nil, err
		}
		for _, g := range page.Items {
			if g.Subject == subject && g.Object == string(object) {
				all = append(all, g)
			}
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return all, nil
		}
	}
}
