package models

import (
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// GroupKind names the ids of groups.
type GroupKind struct{}

// GroupID identifies a group.
type GroupID = id.ID[GroupKind]

// Group is a set of a tenant's members.
type Group struct {
	ID                   GroupID
	Tenant               id.TenantID
	Name                 string
	ExternalID           string // what a directory calls it; "" for none
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// NewGroup returns a group that nobody is in yet.
func NewGroup(tenant id.TenantID, name, externalID string, now time.Time) Group {
	return Group{ID: id.New[GroupKind](), Tenant: tenant, Name: name, ExternalID: externalID, Version: 1, CreatedAt: now, UpdatedAt: now}
}

// Touch notes a change.
func (g *Group) Touch(now time.Time) {
	g.Version++
	g.UpdatedAt = now
}

// NameKey is what makes two spellings of a name the same.
func NameKey(name string) string { return strings.ToLower(name) }

// GroupEdit is a group as it is to be: its name, and who comes into it and leaves it. Who
// does both comes in.
type GroupEdit struct {
	Name, ExternalID string
	Add, Remove      []MemberID
	Gone             bool // it is deleted
}

// MayOrganise refuses callers who have none of the permissions, and tenants that have
// neither groups nor service accounts.
func (s *Scene) MayOrganise(permissions ...string) error {
	if err := s.mayManage(permissions...); err != nil {
		return err
	}
	switch {
	case s.Personal():
		return tenantapi.ErrPersonalTenant
	case s.Status() == tenantapi.StatusDeleting:
		return tenantapi.ErrTenantDeleting
	}
	return nil
}

// MayAddServiceAccount refuses callers who do not manage service accounts, or would make
// one that is stronger than they are.
func (s *Scene) MayAddServiceAccount(m Member) error {
	if err := s.MayOrganise(permissionapi.ManageServiceAccounts); err != nil {
		return err
	}
	if err := s.upTo(m.Role); err != nil {
		return err
	}
	return s.MayHandOn(m.CustomRoles...)
}

// MayRevokeTokens refuses callers who do not manage directories.
func (s *Scene) MayRevokeTokens() error { return s.mayManage(permissionapi.ManageDirectories) }
