package models

import (
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// builtIn are the roles that every tenant has, with their strongest action.
var builtIn = map[string]string{"viewer": "read", "commenter": "comment", "editor": "edit", "creator": "share", "owner": "manage"}

// Strength is the place of an action among permissionapi.Actions, and -1 for what is none.
func Strength(action string) int { return slices.Index(permissionapi.Actions, action) }

// BuiltIn returns the actions of a built-in role.
func BuiltIn(role string) ([]string, bool) {
	strongest, ok := builtIn[role]
	if !ok {
		return nil, false
	}
	return permissionapi.Actions[:Strength(strongest)+1], true
}

// Covers reports whether a grant of a role with these actions speaks about the action: it
// allows the strongest of them and all before; it denies the weakest and all after, for
// those include it. What is done with a tenant itself is covered by its name alone.
func Covers(actions []string, deny bool, action string) bool {
	if permissionapi.IsAdministration(action) {
		return slices.Contains(actions, action)
	}
	at := Strength(action)
	for _, a := range actions {
		if s := Strength(a); s >= 0 && (deny && s <= at || !deny && s >= at) {
			return true
		}
	}
	return false
}

// The kinds of ids.
type (
	grantKind  struct{}
	roleKind   struct{}
	policyKind struct{}
)

// Ids.
type (
	GrantID  = id.ID[grantKind]
	RoleID   = id.ID[roleKind]
	PolicyID = id.ID[policyKind]
)

// NewGrantID returns a new grant's id.
func NewGrantID() GrantID { return id.New[grantKind]() }

// Role is a role of a tenant's own.
type Role struct {
	ID          RoleID
	Name        string
	Description string
	Actions     []string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Version     int64
}

// NewRole returns a role that is made now.
func NewRole(name, description string, actions []string, now time.Time) Role {
	return Role{id.New[roleKind](), name, description, Ordered(actions), now, now, 1}
}

// Ordered are the actions by strength, each once, and after them those that have none.
func Ordered(actions []string) []string {
	return slices.DeleteFunc(ActionsOn(Tenant), func(a string) bool { return !slices.Contains(actions, a) })
}

// Roles of members in their tenant.
const (
	TenantOwner  = "owner"
	TenantAdmin  = "admin"
	TenantMember = "member"
	TenantGuest  = "guest"
)

// IsAdmin reports whether a tenant's role owns all of the tenant's objects.
func IsAdmin(role string) bool { return role == TenantOwner || role == TenantAdmin }

// Policy takes fields and records of a table out of what some subjects see and write.
type Policy struct {
	ID        PolicyID
	Name      string
	Subjects  []string
	BaseID    string
	TableID   string
	Hidden    []string
	ReadOnly  []string
	Rows      string
	CreatedAt time.Time
	UpdatedAt time.Time
	Version   int64
}

// NewPolicyID returns a new policy's id.
func NewPolicyID() PolicyID { return id.New[policyKind]() }

// Everybody stands for all subjects of a policy.
const Everybody = "*"

// RoleSubject names the holders of a role in a policy.
func RoleSubject(role string) string { return "role:" + role }

// TablePolicy is what the policies of one table come to.
type TablePolicy struct {
	TableID  string
	Hidden   []string
	ReadOnly []string
	Rows     []string
}

// Combine adds up the policies that name one of the subjects that somebody goes by in
// their tables: a field is masked if one masks it, and all row rules hold. Tables are in
// the order of their ids.
func Combine(policies []Policy, subjects func(table string) []string) []TablePolicy {
	tables := map[string]*TablePolicy{}
	var order []string
	for _, p := range policies {
		names := subjects(p.TableID)
		if !slices.ContainsFunc(p.Subjects, func(s string) bool { return s == Everybody || slices.Contains(names, s) }) {
			continue
		}
		t := tables[p.TableID]
		if t == nil {
			t = &TablePolicy{TableID: p.TableID}
			tables[p.TableID] = t
			order = append(order, p.TableID)
		}
		t.Hidden = append(t.Hidden, p.Hidden...)
		t.ReadOnly = append(t.ReadOnly, p.ReadOnly...)
		if p.Rows != "" && !slices.Contains(t.Rows, p.Rows) {
			t.Rows = append(t.Rows, p.Rows)
		}
	}
	slices.Sort(order)
	out := make([]TablePolicy, 0, len(order))
	for _, name := range order {
		t := *tables[name]
		slices.Sort(t.Hidden)
		t.Hidden = slices.Compact(t.Hidden)
		slices.Sort(t.ReadOnly)
		t.ReadOnly = slices.DeleteFunc(slices.Compact(t.ReadOnly), func(f string) bool { return slices.Contains(t.Hidden, f) })
		out = append(out, t)
	}
	return out
}
