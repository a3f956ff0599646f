package models

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Grant is the record of who gave what to whom until when.
type Grant struct {
	ID        GrantID
	Subject   string
	Object    string
	Role      string
	Deny      bool
	ExpiresAt time.Time // zero: never
	IPRanges  []string  // none: anywhere
	GrantedBy string
	CreatedAt time.Time
	UpdatedAt time.Time
	Actions   []string // of the role, when read
}

// Key is what a tenant has once.
func (g Grant) Key() Grant {
	return Grant{Subject: g.Subject, Object: g.Object, Role: g.Role, Deny: g.Deny}
}

// SameKey reports whether both are the same grant, whatever their conditions.
func (g Grant) SameKey(o Grant) bool {
	return g.Subject == o.Subject && g.Object == o.Object && g.Role == o.Role && g.Deny == o.Deny
}

// Ranges are the networks that the texts name, each in its canonical form, or false if
// one names none.
func Ranges(texts []string) ([]string, bool) {
	out := []string{}
	for _, s := range texts {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Zone() != "" || p.Addr().Is4In6() {
			return nil, false
		}
		out = append(out, p.Masked().String())
	}
	slices.Sort(out)
	return slices.Compact(out), true
}

// Moment is what conditions look at. An address that is not known is in no network for
// what is granted, and in every one for what is denied.
type Moment struct {
	Now time.Time
	IP  netip.Addr // zero: not known
}

// IPText is the address, "" if it is not known.
func (m Moment) IPText() string {
	if !m.IP.IsValid() {
		return ""
	}
	return m.IP.String()
}

// fails says which of the grant's conditions is not met, "" if none.
func (g Grant) fails(m Moment) string {
	if !g.ExpiresAt.IsZero() && !m.Now.Before(g.ExpiresAt) {
		return "expired"
	}
	if len(g.IPRanges) == 0 || g.Deny && !m.IP.IsValid() {
		return ""
	}
	for _, r := range g.IPRanges {
		if p, err := netip.ParsePrefix(r); err == nil && m.IP.IsValid() && p.Contains(m.IP) {
			return ""
		}
	}
	return "address"
}

// Facts are all that an answer about one subject and one object follows from.
type Facts struct {
	Tenant     id.TenantID
	Subject    string
	Chain      []string // the object and what it lies in
	TenantRole string   // in the tenant, "" if none is known
	Standing   Standing // whether he is shut out
	Grants     []Grant  // of the subject and his groups on the chain, with their actions
}

// Step is one thing that was looked at.
type Step struct {
	Kind    string // one of the kinds below
	Object  string
	Subject string
	Role    string
	GrantID GrantID
	Holds   bool
	Why     string
	Decides bool
}

// The kinds of steps.
const (
	StepTenantRole = "tenant_role"
	StepGrant      = "grant"
	StepDenial     = "denial"
	// These shut somebody out, whatever he has.
	StepMemberSuspended = "member_suspended"
	StepTenantSuspended = "tenant_suspended"
	StepTenantDeleting  = "tenant_deleting"
)

// Decide tells whether the subject may do the action, and by what: that he is shut out,
// or else every denial that holds, or else everything that allows it. It is the engine's
// model in a few lines. Administration is of the tenant alone, and denied to none of its
// owners and admins.
func Decide(f Facts, action string, m Moment) (bool, []Step) {
	steps, allowed, denied := []Step{}, false, false
	shut := f.Standing.Shut()
	if shut != "" {
		steps = append(steps, Step{Kind: shut, Object: TenantObject(f.Tenant), Subject: f.Subject, Role: f.Standing.Role, Holds: true, Decides: true})
	}
	administration := permissionapi.IsAdministration(action)
	if administration && f.Chain[0] != TenantObject(f.Tenant) {
		return false, steps
	}
	if step, ok := tenantStep(f, action); ok {
		steps, allowed = append(steps, step), step.Holds
	}
	for _, g := range f.Grants {
		s := Step{Kind: StepGrant, Object: g.Object, Subject: g.Subject, Role: g.Role, GrantID: g.ID, Why: g.fails(m)}
		if g.Deny {
			s.Kind = StepDenial
		}
		if !Covers(g.Actions, g.Deny, action) {
			s.Why = "action"
		}
		s.Holds = s.Why == ""
		allowed = allowed || s.Holds && !g.Deny
		denied = denied || s.Holds && g.Deny && !(administration && IsAdmin(f.TenantRole))
		steps = append(steps, s)
	}
	for i := range steps {
		if shut != "" {
			steps[i].Decides = i == 0
			continue
		}
		steps[i].Decides = steps[i].Holds && (steps[i].Kind == StepDenial) == denied
	}
	return allowed && !denied && shut == "", steps
}

// tenantStep is what the role in the tenant gives. Owners and admins own everything in
// the tenant's tree; members see the tenant itself and may create in it: workspaces.
func tenantStep(f Facts, action string) (Step, bool) {
	top := TenantObject(f.Tenant)
	if f.TenantRole == "" || f.Chain[len(f.Chain)-1] != top {
		return Step{}, false
	}
	s := Step{Kind: StepTenantRole, Object: top, Subject: f.Subject, Role: f.TenantRole}
	s.Holds = IsAdmin(f.TenantRole) || f.TenantRole == TenantMember && f.Chain[0] == top && MemberMay(action)
	if !s.Holds {
		s.Why = "action"
	}
	return s, true
}

// MemberMay reports whether every member may do the action on the tenant itself.
func MemberMay(action string) bool { return action == "read" || action == "create" }
