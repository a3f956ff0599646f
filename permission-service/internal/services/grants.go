package services

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/formula"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Write changes grants and places, all or nothing, and returns the version that shows it.
func (d *Decisions) Write(ctx context.Context, tenant id.TenantID, w repository.Write) (int64, []models.Grant, error) {
	for i, g := range w.Grants {
		checked, err := d.valid(tenant, g)
		if err != nil {
			return 0, nil, err
		}
		w.Grants[i] = checked
	}
	for _, p := range w.Places {
		if !models.IsObject(tenant, p.Object) || p.Parent != "" && !models.MayLie(tenant, p.Object, p.Parent) {
			return 0, nil, permissionapi.ErrBadObject
		}
	}
	version, stored, err := d.repo.Write(ctx, tenant, w)
	if err != nil {
		return 0, nil, err
	}
	d.settleSoon(ctx, tenant)
	return version, stored, nil
}

// valid is the grant in the form in which it is stored.
func (d *Decisions) valid(tenant id.TenantID, g models.Grant) (models.Grant, error) {
	if !models.IsSubject(g.Subject) {
		return g, permissionapi.ErrBadSubject
	}
	if !models.IsObject(tenant, g.Object) {
		return g, permissionapi.ErrBadObject
	}
	ranges, ok := models.Ranges(g.IPRanges)
	if !ok {
		return g, permissionapi.ErrBadGrant.With(errs.Field{Pointer: "/ip_ranges", Detail: "want networks such as 192.0.2.0/24"})
	}
	if !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(d.now()) {
		return g, permissionapi.ErrBadGrant.With(errs.Field{Pointer: "/expires_at", Detail: "has passed"})
	}
	g.IPRanges = ranges
	g.ExpiresAt = g.ExpiresAt.UTC().Truncate(1000)
	return g, nil
}

// Grant gives for the caller, up to his own strength on the object, and for no longer than
// he has that: what he has for an hour does not become somebody's for good.
func (d *Decisions) Grant(ctx context.Context, who auth.Principal, g models.Grant) (int64, models.Grant, error) {
	last := forGood
	if !g.ExpiresAt.IsZero() {
		last = g.ExpiresAt.Add(-time.Microsecond)
	}
	if err := d.mayGive(ctx, who, g, last); err != nil {
		return 0, g, err
	}
	g.GrantedBy = who.UserID.String()
	version, stored, err := d.Write(ctx, who.TenantID, repository.Write{Grants: []models.Grant{g}, Actor: g.GrantedBy})
	if err != nil {
		return 0, g, err
	}
	return version, stored[0], nil
}

// Revoke takes a grant away for the caller, who needs what giving it needs. A grant that
// he may not see is not found.
func (d *Decisions) Revoke(ctx context.Context, who auth.Principal, grant models.GrantID) (int64, error) {
	g, err := d.repo.Grant(ctx, who.TenantID, grant)
	if err != nil {
		return 0, err
	}
	if err := d.mayGive(ctx, who, g, time.Time{}); err != nil {
		return 0, err
	}
	version, _, err := d.Write(ctx, who.TenantID, repository.Write{Revokes: []models.Grant{g}, Actor: who.UserID.String()})
	return version, err
}

// mayGive returns nil if the caller may give the grant, which holds until last, or may take
// it, for which last is zero.
func (d *Decisions) mayGive(ctx context.Context, who auth.Principal, g models.Grant, last time.Time) error {
	strength, err := d.strengthOf(ctx, who, g.Object)
	if err != nil {
		return err
	}
	actions, err := d.actions(ctx, who.TenantID, g.Role)
	if err != nil {
		return err
	}
	if g.Deny && strength < models.Strength(permissionapi.Manage) || models.Strongest(actions) > strength {
		return permissionapi.ErrTooStrong
	}
	switch err := d.MayAdminister(ctx, who); {
	case err == nil || !errors.Is(err, errs.ErrForbidden):
		return err
	case g.Deny:
		if err := d.spareAdmins(ctx, who, g); err != nil {
			return err
		}
	}
	if !last.IsZero() {
		if err := d.has(ctx, who, []models.Grant{{Object: g.Object, Actions: actions, Deny: g.Deny}}, last); err != nil {
			return err
		}
	}
	// How strong he is has been asked already.
	own := slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return !permissionapi.IsAdministration(a) })
	return d.mayHandOn(ctx, who, []models.Grant{{Object: g.Object, Actions: own}})
}

// spareAdmins keeps the tenant's owners and admins from being locked out by others.
func (d *Decisions) spareAdmins(ctx context.Context, who auth.Principal, g models.Grant) error {
	users := []string{g.Subject}
	if kind, group := models.Split(g.Subject); kind == models.Group {
		var err error
		if users, err = d.repo.GroupUsers(ctx, who.TenantID, group); err != nil {
			return err
		}
	}
	for _, u := range users {
		f, err := d.repo.Facts(ctx, who.TenantID, u, []string{models.TenantObject(who.TenantID)}, "")
		if err != nil {
			return err
		}
		if models.IsAdmin(f.TenantRole) {
			return permissionapi.ErrOwnersOwner
		}
	}
	return nil
}

// actions are those of a role of the tenant, or permissionapi.ErrBadRole.
func (d *Decisions) actions(ctx context.Context, tenant id.TenantID, role string) ([]string, error) {
	if a, ok := models.BuiltIn(role); ok {
		return a, nil
	}
	var ref models.RoleID
	if ref.UnmarshalText([]byte(role)) != nil || ref.IsZero() {
		return nil, permissionapi.ErrBadRole
	}
	r, err := d.repo.Role(ctx, tenant, ref)
	if errs.From(err) != nil && errs.From(err).Kind == errs.NotFound {
		return nil, permissionapi.ErrBadRole
	}
	return r.Actions, err
}

// UpdateRole changes a role and what its holders may do.
func (d *Decisions) UpdateRole(ctx context.Context, who auth.Principal, role models.RoleID, match etag.Match, set func(*models.Role)) (models.Role, error) {
	r, err := d.repo.UpdateRole(ctx, who.TenantID, role, match, who.UserID.String(), set)
	if err == nil {
		d.settleSoon(ctx, who.TenantID)
	}
	return r, err
}

// sampleUser stands for $user when a row rule is checked.
const sampleUser = "usrSampleSubject1"

// maxRole bounds the name of a role.
const maxRole = 100

// maxRule bounds the nesting of a row rule, which runs for every record that is read.
const maxRule = 30

// ValidPolicy is the policy in the form in which it is stored. Fields of its row rule are
// named by their ids.
func ValidPolicy(p models.Policy) (models.Policy, error) {
	for _, s := range p.Subjects {
		role, isRole := strings.CutPrefix(s, "role:")
		if s != models.Everybody && !models.IsSubject(s) && (!isRole || role == "" || len(role) > maxRole) {
			return p, permissionapi.ErrBadSubject.With(errs.Field{Pointer: "/subjects", Detail: s})
		}
	}
	for pointer, list := range map[string][]string{"/hidden": p.Hidden, "/read_only": p.ReadOnly} {
		for _, f := range list {
			if !isField(f) {
				return p, permissionapi.ErrBadRule.With(errs.Field{Pointer: pointer, Detail: "want ids of fields: " + f})
			}
		}
	}
	if p.Rows != "" {
		if err := validRows(p.Rows); err != nil {
			return p, err
		}
	}
	if p.Rows == "" && len(p.Hidden)+len(p.ReadOnly) == 0 {
		return p, permissionapi.ErrBadRule.Saying("The policy says nothing.")
	}
	p.Hidden, p.ReadOnly = sorted(p.Hidden), sorted(p.ReadOnly)
	return p, nil
}

func validRows(rows string) error {
	bad := func(detail string) error {
		return permissionapi.ErrBadRule.With(errs.Field{Pointer: "/rows", Detail: detail})
	}
	f, err := formula.Parse(permissionapi.RowFormula(rows, sampleUser), formula.Limits{Depth: maxRule})
	if err != nil {
		return bad(err.Error())
	}
	detail := ""
	for _, field := range f.Names() {
		if !isField(field) {
			detail = "want ids of fields in braces: " + field
		}
	}
	if detail != "" {
		return bad(detail)
	}
	return nil
}

func isField(s string) bool { return len(s) > 3 && len(s) <= 40 && strings.HasPrefix(s, "fld") }

func sorted(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return slices.Compact(out)
}

// BasePolicy is what the policies come to for one subject in one base, which of its
// tables have grants of their own, and the version of the tenant that shows it.
type BasePolicy struct {
	Version int64
	Tables  []models.TablePolicy
	Granted []string
}

// Policy returns the subject's policy in the base. role is the subject's in the tenant, if
// the subject is not known.
func (d *Decisions) Policy(ctx context.Context, tenant id.TenantID, subject, role, base string) (BasePolicy, error) {
	for range tries {
		version, err := d.repo.Version(ctx, tenant)
		if err != nil {
			return BasePolicy{}, err
		}
		policies, err := d.repo.Policies(ctx, tenant, base, models.PolicyID{}, 0)
		if err != nil {
			return BasePolicy{}, err
		}
		var tables []models.TablePolicy
		if len(policies) > 0 {
			head, err := d.repo.Head(ctx, tenant, []string{models.BaseObject(tenant, base)}, nil, d.now())
			if err != nil {
				return BasePolicy{}, err
			}
			f, groups, err := d.ruled(ctx, tenant, head, Question{Subject: subject, Role: role}, base, policies)
			if err != nil {
				return BasePolicy{}, err
			}
			tables = models.Combine(policies, namesOf(f, groups, base, d.now()))
		}
		granted, err := d.repo.GrantedTables(ctx, tenant, base)
		if err != nil {
			return BasePolicy{}, err
		}
		now, err := d.repo.Version(ctx, tenant)
		if err != nil {
			return BasePolicy{}, err
		}
		if now == version {
			return BasePolicy{version, tables, granted}, nil
		}
	}
	return BasePolicy{}, errs.ErrUnavailable.Saying("Permissions change too fast.")
}

// ruled are the facts that decide which of the policies of a base hold for the subject:
// what he has on the base and what it lies in, and on each of the tables.
func (d *Decisions) ruled(ctx context.Context, t id.TenantID, head repository.Head, q Question, base string, policies []models.Policy) (models.Facts, []string, error) {
	var chain []string
	for _, p := range policies {
		if table := models.TableObject(t, base, p.TableID); !slices.Contains(chain, table) {
			chain = append(chain, table)
		}
	}
	chain = append(chain, models.Chain(t, models.BaseObject(t, base), head.Places, q.Parents)...)
	return d.repo.FactsAndGroups(ctx, t, q.Subject, chain, q.Role)
}

// namesOf are all that a policy of a table of the base may call the subject by: himself,
// his groups, his roles in the tenant, on the base and on the table. A grant counts
// whatever network it is for, since policies only ever take away.
func namesOf(f models.Facts, groups []string, base string, now time.Time) func(table string) []string {
	return func(table string) []string {
		names := append(slices.Clone(groups), f.Subject)
		if f.TenantRole != "" {
			names = append(names, models.RoleSubject(f.TenantRole))
		}
		for _, g := range f.Grants {
			kind, _ := models.Split(g.Object)
			here := kind != models.Table || g.Object == models.TableObject(f.Tenant, base, table)
			if here && !g.Deny && (g.ExpiresAt.IsZero() || now.Before(g.ExpiresAt)) {
				names = append(names, models.RoleSubject(g.Role))
			}
		}
		return names
	}
}
