package models

import (
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Scene is what a change of a tenant is decided on, under the tenant's lock: nothing of
// it changes meanwhile. A rule that refuses leaves it as it was; what one changes has a
// higher version than before.
type Scene struct {
	Tenant
	Role    string    // what the caller may act as: the weaker of his token's role and his membership's
	Actor   *Member   // the caller's membership; nil for a directory
	Target  *Member   // whom it is about; nil for nobody. The same as Actor if it is about himself
	Owners  []*Member // of the tenant, in the order in which they joined
	Removed bool      // Target's membership is over
	may     []string  // what the caller may beside that; see Caller
	handsOn []string
	// Changed names what of the tenant is new, as in tenantapi.TenantChanged.
	Changed []string

	members []*Member
	before  map[MemberID]int64 // versions
}

// Caller is who asks, as his token says.
type Caller struct {
	Tenant id.TenantID
	User   id.UserID
	Role   string
	// Directory is a directory that provisions the tenant: it has a role and no
	// membership.
	Directory bool
	// May is what of permissionapi.Administration his custom roles let him do, and HandsOn
	// the custom roles that he may give and take, and the groups that he may let people
	// into and take them out of. Owners and admins may all of that.
	May, HandsOn []string
}

// DirectoryOf is a caller who may what an admin of the tenant may.
func DirectoryOf(tenant id.TenantID) Caller {
	return Caller{Tenant: tenant, Role: tenantapi.RoleAdmin, Directory: true}
}

// NewScene returns a scene of the tenant with those members that matter: its owners, the
// caller, and whom it is about. It is false if the caller is not among them, or suspended.
func NewScene(t Tenant, members []Member, c Caller, about About) (*Scene, bool) {
	s := &Scene{Tenant: t, may: c.May, handsOn: c.HandsOn, before: map[MemberID]int64{}}
	for i := range members {
		m := &members[i]
		s.members = append(s.members, m)
		s.before[m.ID] = m.Version
		if m.Role == tenantapi.RoleOwner {
			s.Owners = append(s.Owners, m)
		}
		if m.User == c.User {
			s.Actor = m
		}
		if about.is(*m) {
			s.Target = m
		}
	}
	if c.Directory {
		s.Role = c.Role
		return s, true
	}
	if s.Actor == nil || s.Actor.Suspended() {
		return nil, false
	}
	s.Role = Weaker(c.Role, s.Actor.Role)
	return s, true
}

// ChangedMembers are the members that a rule has changed, but for one who was removed.
func (s *Scene) ChangedMembers() (list []Member) {
	for _, m := range s.members {
		if m.Version != s.before[m.ID] && !(s.Removed && m == s.Target) {
			list = append(list, *m)
		}
	}
	return list
}

func (s *Scene) change(now time.Time, fields ...string) {
	s.touch(now)
	s.Changed = append(s.Changed, fields...)
}

// mayManage refuses callers who have none of the permissions.
func (s *Scene) mayManage(permissions ...string) error {
	if IsAdmin(s.Role) || slices.ContainsFunc(permissions, func(p string) bool { return slices.Contains(s.may, p) }) {
		return nil
	}
	return tenantapi.ErrAdminsOnly
}

// MayHandOn refuses callers who may not give and take the custom roles, or what the groups
// have.
func (s *Scene) MayHandOn(things ...string) error {
	for _, t := range things {
		if !IsAdmin(s.Role) && !slices.Contains(s.handsOn, t) {
			return tenantapi.ErrTooStrong
		}
	}
	return nil
}

// mayManageTarget refuses callers who do not manage what Target is.
func (s *Scene) mayManageTarget() error {
	switch {
	case s.Target == nil:
		if err := s.mayManage(permissionapi.ManageMembers, permissionapi.ManageServiceAccounts); err != nil {
			return err
		}
		return tenantapi.ErrMemberNotFound
	case s.Target.Kind == tenantapi.MemberServiceAccount:
		return s.mayManage(permissionapi.ManageServiceAccounts)
	}
	return s.mayManage(permissionapi.ManageMembers)
}

// beneath refuses callers who are weaker than Target.
func (s *Scene) beneath() error {
	switch {
	case s.Target.Role == tenantapi.RoleOwner && s.Role != tenantapi.RoleOwner:
		return tenantapi.ErrOwnersOnly
	case rank(s.Target.Role) > rank(s.Role):
		return tenantapi.ErrTooStrong
	}
	return nil
}

// upTo refuses callers who are weaker than the role.
func (s *Scene) upTo(role string) error {
	if rank(role) > rank(s.Role) {
		return tenantapi.ErrTooStrong
	}
	return nil
}

func (s *Scene) mayOwn() error {
	if s.Role != tenantapi.RoleOwner {
		return tenantapi.ErrOwnersOnly
	}
	if s.Personal() {
		return tenantapi.ErrPersonalTenant
	}
	return nil
}

// Reconfigure edits the settings.
func (s *Scene) Reconfigure(next Settings, match etag.Match, now time.Time) error {
	if err := s.mayManage(permissionapi.ManageSettings); err != nil {
		return err
	}
	switch {
	case s.Status() == tenantapi.StatusDeleting:
		return tenantapi.ErrTenantDeleting
	case !match.Holds(s.Version):
		return errs.ErrPreconditionFailed
	case s.Personal() && !s.Security.equal(next.Security):
		return tenantapi.ErrPersonalTenant.Saying("Rules for signing in are for organisations.")
	}
	s.Changed = s.Edit(next, now)
	return nil
}

// Suspend shuts the tenant to all but its owners. Again changes nothing.
func (s *Scene) Suspend(now time.Time) error {
	if err := s.mayOwn(); err != nil {
		return err
	}
	switch s.Status() {
	case tenantapi.StatusDeleting:
		return tenantapi.ErrTenantDeleting
	case tenantapi.StatusActive:
		s.SuspendedAt = now
		s.change(now, "status")
	}
	return nil
}

// Resume ends a suspension. Again changes nothing.
func (s *Scene) Resume(now time.Time) error {
	if err := s.mayOwn(); err != nil {
		return err
	}
	switch s.Status() {
	case tenantapi.StatusDeleting:
		return tenantapi.ErrTenantDeleting
	case tenantapi.StatusSuspended:
		s.SuspendedAt = time.Time{}
		s.change(now, "status")
	}
	return nil
}

// Delete begins the grace period. Again changes nothing.
func (s *Scene) Delete(grace time.Duration, now time.Time) error {
	if err := s.mayOwn(); err != nil {
		return err
	}
	if s.DeleteAt.IsZero() {
		s.DeleteAt = now.Add(grace)
		s.change(now, "status", "delete_at")
	}
	return nil
}

// Keep undoes Delete; a suspension from before goes on.
func (s *Scene) Keep(now time.Time) error {
	if err := s.mayOwn(); err != nil {
		return err
	}
	if s.DeleteAt.IsZero() {
		return tenantapi.ErrNotDeleting
	}
	s.DeleteAt = time.Time{}
	s.change(now, "status", "delete_at")
	return nil
}

// Transfer makes Target the one who answers for the tenant. Who did until now becomes
// an admin.
func (s *Scene) Transfer(now time.Time) error {
	if err := s.mayOwn(); err != nil {
		return err
	}
	switch {
	case s.Status() == tenantapi.StatusDeleting:
		return tenantapi.ErrTenantDeleting
	case s.Target == nil:
		return tenantapi.ErrMemberNotFound
	case s.Target.Kind != tenantapi.MemberUser:
		return tenantapi.ErrBadRole.Saying("A service account cannot own a tenant.")
	case s.Target.Suspended():
		return tenantapi.ErrBadRole.Saying("Who is suspended cannot own a tenant.")
	case s.Target.User == s.Owner:
		return nil
	}
	for _, m := range s.Owners {
		if m.User == s.Owner {
			m.setRole(tenantapi.RoleAdmin, now)
		}
	}
	s.Target.setRole(tenantapi.RoleOwner, now)
	s.Owner = s.Target.User
	s.change(now, "owner_id")
	return nil
}

// SetRoles gives Target other roles; nil leaves them as they are.
func (s *Scene) SetRoles(role *string, custom *[]string, match etag.Match, now time.Time) error {
	if err := s.mayManageTarget(); err != nil {
		return err
	}
	switch {
	case s.Status() == tenantapi.StatusDeleting:
		return tenantapi.ErrTenantDeleting
	case !match.Holds(s.Target.Version):
		return errs.ErrPreconditionFailed
	}
	if role != nil && *role != s.Target.Role {
		if err := s.mayGive(*role); err != nil {
			return err
		}
	}
	if err := s.beneath(); err != nil {
		return err
	}
	if custom != nil {
		if err := s.MayHandOn(Differing(*custom, s.Target.CustomRoles)...); err != nil {
			return err
		}
	}
	if role != nil && *role != s.Target.Role {
		if s.Target.Role == tenantapi.RoleOwner {
			if err := s.handOn(now); err != nil {
				return err
			}
		}
		s.Target.setRole(*role, now)
	}
	if custom != nil && !slices.Equal(*custom, s.Target.CustomRoles) {
		s.Target.CustomRoles = *custom
		s.Target.touch(now)
	}
	return nil
}

func (s *Scene) mayGive(role string) error {
	switch {
	case rank(role) < 0:
		return tenantapi.ErrBadRole
	case role == tenantapi.RoleOwner && s.Role != tenantapi.RoleOwner:
		return tenantapi.ErrOwnersOnly
	case role == tenantapi.RoleOwner && s.Target.Kind != tenantapi.MemberUser:
		return tenantapi.ErrBadRole.Saying("A service account cannot own a tenant.")
	case role == tenantapi.RoleOwner && s.Target.Suspended():
		return tenantapi.ErrBadRole.Saying("Who is suspended cannot own a tenant.")
	}
	return s.upTo(role)
}

// Differing are those that are in one of the lists only.
func Differing(a, b []string) []string {
	var out []string
	for _, s := range slices.Concat(a, b) {
		if slices.Contains(a, s) != slices.Contains(b, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// SuspendMember shuts Target out of the tenant, or lets him in again. Again changes nothing.
// Who may do so has been decided by SetRoles.
func (s *Scene) SuspendMember(suspend bool, now time.Time) error {
	switch {
	case s.Target.Suspended() == suspend:
		return nil
	case suspend && s.Target.Role == tenantapi.RoleOwner:
		return tenantapi.ErrOwnerSuspended
	}
	s.Target.SuspendedAt = time.Time{}
	if suspend {
		s.Target.SuspendedAt = now
	}
	s.Target.touch(now)
	return nil
}

// RenameMember gives Target, who has to be a service account, another name. Who may do so
// has been decided by SetRoles.
func (s *Scene) RenameMember(name string, now time.Time) error {
	if s.Target.Kind != tenantapi.MemberServiceAccount {
		return errs.ErrInvalid.With(errs.Field{Pointer: "/name", Detail: "is for service accounts; users name themselves"})
	}
	if name != s.Target.Name {
		s.Target.Name = name
		s.Target.touch(now)
	}
	return nil
}

// Remove ends Target's membership.
func (s *Scene) Remove(now time.Time) error {
	if err := s.mayManageTarget(); err != nil {
		return err
	}
	if err := s.beneath(); err != nil {
		return err
	}
	return s.end(now)
}

// Leave ends the caller's own membership, who has to be Target.
func (s *Scene) Leave(now time.Time) error { return s.end(now) }

func (s *Scene) end(now time.Time) error {
	if s.Personal() {
		return tenantapi.ErrPersonalTenant
	}
	if s.Target.Role == tenantapi.RoleOwner {
		if err := s.handOn(now); err != nil {
			return err
		}
	}
	s.Target.touch(now)
	s.Removed = true
	return nil
}

// handOn lets Target cease to be an owner: there has to be another one. If Target
// answered for the tenant, the one who joined first does from now on.
func (s *Scene) handOn(now time.Time) error {
	heir := slices.IndexFunc(s.Owners, func(m *Member) bool { return m != s.Target })
	if heir < 0 {
		return tenantapi.ErrLastOwner
	}
	if s.Owner == s.Target.User {
		s.Owner = s.Owners[heir].User
		s.change(now, "owner_id")
	}
	return nil
}

func (m *Member) setRole(role string, now time.Time) {
	m.Role = role
	m.touch(now)
}

func (m *Member) touch(now time.Time) {
	m.Version++
	m.UpdatedAt = now
}

// About says which member a scene is about: by his membership, or by his user's id. The
// zero value is nobody.
type About struct {
	Member MemberID
	User   id.UserID
}

func (a About) is(m Member) bool {
	return !a.Member.IsZero() && a.Member == m.ID || !a.User.IsZero() && a.User == m.User
}
