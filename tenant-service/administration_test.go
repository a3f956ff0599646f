package tenantservice_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// office is an organisation with permissions.
type office struct {
	*world
	*apptest.Permissions
	ada, admin, cleo person
}

func newOffice(t *testing.T) *office {
	t.Helper()
	issuer := authtest.New(t)
	o := &office{Permissions: apptest.StartPermissions(t, issuer.URL)}
	o.world = startWith(t, issuer, o.Vars())
	o.ada = o.organisation("Office")
	o.admin, o.cleo = o.join(o.ada, "admin"), o.join(o.ada, "member")
	return o
}

// may is a new member with the role and the permissions.
func (o *office) may(role string, actions ...string) person {
	o.t.Helper()
	m := o.join(o.ada, role)
	o.Allow(m.user.String(), actions...)
	return m
}

func change(p, target person, set func(*tenantapi.MemberPatch)) tenantapi.MemberUpdate {
	in := tenantapi.MemberUpdate{MemberRef: p.memberRef(target)}
	set(&in.Body)
	return in
}

func asRole(role string) func(*tenantapi.MemberPatch) {
	return func(m *tenantapi.MemberPatch) { m.Role = &role }
}

func withRoles(ids ...string) func(*tenantapi.MemberPatch) {
	return func(m *tenantapi.MemberPatch) { m.CustomRoles = &ids }
}

func suspended(m *tenantapi.MemberPatch) { m.Suspended = ptr(true) }

func invitee(p person, email, role string) tenantapi.NewInvitation {
	return tenantapi.NewInvitation{TenantRef: p.ref(), Body: tenantapi.Invitee{Email: email, Role: role}}
}

// Each permission opens what it names, and nothing else of the tenant.
func TestAdministration_OpensWhatItNamesAlone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ref := o.ada.ref()
	token := must(o.world, o.ada, tenantapi.CreateSCIMToken, tenantapi.NewSCIMToken{TenantRef: ref, Body: tenantapi.SCIMTokenDraft{Name: "Directory"}}).Body.ID
	opens := map[string]struct {
		permission string
		by         func(person) error
	}{
		"lists invitations": {permissionapi.ManageMembers, func(p person) error {
			_, err := call(o.world, p, tenantapi.ListInvitations, tenantapi.InvitationsQuery{TenantRef: ref})
			return err
		}},
		"invites": {permissionapi.ManageMembers, func(p person) error {
			_, err := call(o.world, p, tenantapi.CreateInvitation, invitee(p, p.user.String()+"@example.com", "guest"))
			return err
		}},
		"suspends": {permissionapi.ManageMembers, func(p person) error {
			_, err := call(o.world, p, tenantapi.UpdateMember, change(p, o.cleo, suspended))
			return err
		}},
		"makes groups": {permissionapi.ManageGroups, func(p person) error {
			_, err := call(o.world, p, tenantapi.CreateGroup, tenantapi.NewGroup{TenantRef: ref, Body: tenantapi.GroupDraft{Name: p.user.String()}})
			return err
		}},
		"makes service accounts": {permissionapi.ManageServiceAccounts, func(p person) error {
			_, err := call(o.world, p, tenantapi.CreateServiceAccount, tenantapi.NewServiceAccount{TenantRef: ref, Body: tenantapi.ServiceAccountDraft{Name: "Robot", Role: "guest"}})
			return err
		}},
		"renames": {permissionapi.ManageSettings, func(p person) error {
			_, err := call(o.world, p, tenantapi.UpdateTenant, tenantapi.TenantUpdate{TenantRef: ref, Body: tenantapi.TenantPatch{Name: ptr("By " + p.user.String())}})
			return err
		}},
		"lists domains": {permissionapi.ManageSettings, func(p person) error {
			_, err := call(o.world, p, tenantapi.ListDomains, tenantapi.DomainsQuery{TenantRef: ref})
			return err
		}},
		"lists SCIM tokens": {permissionapi.ManageDirectories, func(p person) error {
			_, err := call(o.world, p, tenantapi.ListSCIMTokens, tenantapi.SCIMTokensQuery{TenantRef: ref})
			return err
		}},
		"shows the subscription": {permissionapi.ReadBilling, func(p person) error {
			_, err := call(o.world, p, tenantapi.ShowSubscription, ref)
			return err
		}},
	}
	for _, permission := range permissionapi.Administration {
		p := o.may("member", permission)
		for what, one := range opens {
			err := one.by(p)
			if one.permission == permission && err != nil {
				t.Errorf("%s %s: %v", permission, what, err)
			}
			if one.permission != permission && !isCode(err, tenantapi.ErrAdminsOnly) {
				t.Errorf("%s %s: %v", permission, what, err)
			}
		}
		// What a token for a directory may is what an admin may; what is an owner's is nobody's else.
		refuse(o.world, tenantapi.ErrAdminsOnly, p, tenantapi.CreateSCIMToken, tenantapi.NewSCIMToken{TenantRef: ref, Body: tenantapi.SCIMTokenDraft{Name: "Mine"}})
		refuse(o.world, tenantapi.ErrAdminsOnly, p, tenantapi.RotateSCIMToken, tenantapi.SCIMTokenRef{TenantRef: ref, TokenID: token})
		refuse(o.world, tenantapi.ErrOwnersOnly, p, tenantapi.SuspendTenant, ref)
		refuse(o.world, tenantapi.ErrOwnersOnly, p, tenantapi.DeleteTenant, ref)
		refuse(o.world, tenantapi.ErrOwnersOnly, p, tenantapi.AddDomain, tenantapi.NewDomain{TenantRef: ref, Body: tenantapi.DomainDraft{Domain: "example.com", Role: "member"}})
	}
	must(o.world, o.may("member", permissionapi.ManageDirectories), tenantapi.RevokeSCIMToken, tenantapi.SCIMTokenRef{TenantRef: ref, TokenID: token})
	// Permissions of one tenant open no other, and end with the membership.
	stranger := o.organisation("Elsewhere")
	p := o.may("member", permissionapi.Administration...)
	refuse(o.world, tenantapi.ErrTenantNotFound, p, tenantapi.ListInvitations, tenantapi.InvitationsQuery{TenantRef: stranger.ref()})
	must(o.world, o.ada, tenantapi.RemoveMember, o.ada.memberRef(p))
	refuse(o.world, tenantapi.ErrTenantNotFound, p, tenantapi.CreateGroup, tenantapi.NewGroup{TenantRef: ref, Body: tenantapi.GroupDraft{Name: "Late"}})
}

func isCode(err error, want *errs.Error) bool {
	e := errs.From(err)
	return err != nil && e != nil && e.Code == want.Code
}

func TestAdministration_NobodyRisesAboveHimself(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	bob, guest := o.may("member", permissionapi.ManageMembers, permissionapi.ManageServiceAccounts), o.may("guest", permissionapi.ManageMembers)
	w := o.world
	// Invitations reach up to one's own role; those above cannot be sent again or taken back.
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.CreateInvitation, invitee(bob, "a@example.com", "admin"))
	refuse(w, tenantapi.ErrTooStrong, guest, tenantapi.CreateInvitation, invitee(guest, "a@example.com", "member"))
	must(w, bob, tenantapi.CreateInvitation, invitee(bob, "b@example.com", "member"))
	above := must(w, o.admin, tenantapi.CreateInvitation, invitee(o.admin, "c@example.com", "admin")).Body.ID
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.ResendInvitation, tenantapi.InvitationRef{TenantRef: bob.ref(), InvitationID: above})
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.RevokeInvitation, tenantapi.InvitationRef{TenantRef: bob.ref(), InvitationID: above})
	// Roles.
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.UpdateMember, change(bob, bob, asRole("admin")))
	refuse(w, tenantapi.ErrOwnersOnly, bob, tenantapi.UpdateMember, change(bob, bob, asRole("owner")))
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.UpdateMember, change(bob, o.cleo, asRole("admin")))
	must(w, bob, tenantapi.UpdateMember, change(bob, o.cleo, asRole("guest")))
	must(w, bob, tenantapi.UpdateMember, change(bob, o.cleo, asRole("member")))
	// Those above.
	for target, want := range map[person]*errs.Error{o.admin: tenantapi.ErrTooStrong, o.ada: tenantapi.ErrOwnersOnly} {
		refuse(w, want, bob, tenantapi.UpdateMember, change(bob, target, suspended))
		refuse(w, want, bob, tenantapi.UpdateMember, change(bob, target, asRole("guest")))
		refuse(w, want, bob, tenantapi.UpdateMember, change(bob, target, withRoles("r1")))
		refuse(w, want, bob, tenantapi.RemoveMember, bob.memberRef(target))
	}
	refuse(w, tenantapi.ErrTooStrong, guest, tenantapi.RemoveMember, guest.memberRef(o.cleo))
	// Service accounts.
	account := func(role string, custom ...string) tenantapi.NewServiceAccount {
		return tenantapi.NewServiceAccount{TenantRef: bob.ref(), Body: tenantapi.ServiceAccountDraft{Name: "Robot", Role: role, CustomRoles: custom}}
	}
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.CreateServiceAccount, account("admin"))
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.CreateServiceAccount, account("member", "r1"))
	// An admin does as ever, and asks nobody.
	asked := o.Asked()
	must(w, o.admin, tenantapi.UpdateMember, change(o.admin, o.cleo, withRoles("r1", "r2")))
	must(w, o.admin, tenantapi.UpdateMember, change(o.admin, bob, asRole("admin")))
	refuse(w, tenantapi.ErrOwnersOnly, o.admin, tenantapi.RemoveMember, o.admin.memberRef(o.ada))
	if o.Asked() != asked {
		t.Error("permission-service was asked about an admin")
	}
}

func TestAdministration_CustomRolesAndGroupsAreHandedOnByWhoHasThem(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	w := o.world
	bob := o.may("member", permissionapi.ManageMembers, permissionapi.ManageGroups, permissionapi.ManageServiceAccounts)
	o.HandsOn("r1")
	must(w, bob, tenantapi.UpdateMember, change(bob, o.cleo, withRoles("r1")))
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.UpdateMember, change(bob, o.cleo, withRoles("r1", "r2")))
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.UpdateMember, change(bob, bob, withRoles("r2")))
	must(w, o.admin, tenantapi.UpdateMember, change(o.admin, o.cleo, withRoles("r1", "r2")))
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.UpdateMember, change(bob, o.cleo, withRoles("r1"))) // taken is as given
	must(w, bob, tenantapi.UpdateMember, change(bob, o.cleo, withRoles("r2", "r1")))                     // another order is none
	must(w, bob, tenantapi.UpdateMember, change(bob, o.cleo, withRoles("r2")))
	must(w, bob, tenantapi.CreateServiceAccount, tenantapi.NewServiceAccount{
		TenantRef: bob.ref(), Body: tenantapi.ServiceAccountDraft{Name: "Robot", Role: "member", CustomRoles: []string{"r1"}},
	})

	strong := must(w, o.ada, tenantapi.CreateGroup, tenantapi.NewGroup{TenantRef: bob.ref(), Body: tenantapi.GroupDraft{Name: "Strong"}}).Body.ID
	weak := must(w, bob, tenantapi.CreateGroup, tenantapi.NewGroup{TenantRef: bob.ref(), Body: tenantapi.GroupDraft{Name: "Weak"}}).Body.ID
	o.HandsOn(weak)
	into := func(group string, add, remove []string) tenantapi.GroupMembersChange {
		in := tenantapi.GroupMembersChange{GroupRef: tenantapi.GroupRef{TenantRef: bob.ref(), GroupID: group}}
		in.Body.Add, in.Body.Remove = add, remove
		return in
	}
	must(w, o.ada, tenantapi.ChangeGroupMembers, into(strong, []string{o.cleo.member}, nil))
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.ChangeGroupMembers, into(strong, []string{bob.member}, nil))
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.ChangeGroupMembers, into(strong, nil, []string{o.cleo.member}))
	refuse(w, tenantapi.ErrTooStrong, bob, tenantapi.DeleteGroup, tenantapi.GroupRef{TenantRef: bob.ref(), GroupID: strong})
	must(w, bob, tenantapi.ChangeGroupMembers, into(weak, []string{bob.member}, nil))
	must(w, bob, tenantapi.DeleteGroup, tenantapi.GroupRef{TenantRef: bob.ref(), GroupID: weak})
	refuse(w, tenantapi.ErrGroupNotFound, bob, tenantapi.DeleteGroup, tenantapi.GroupRef{TenantRef: bob.ref(), GroupID: id.New[any]().String()})
}

// A guest who manages something of the members sees them; another sees himself.
func TestAdministration_GuestsSeeWhatTheyManage(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	clerk, other := o.may("guest", permissionapi.ManageGroups, permissionapi.ReadBilling), o.may("guest", permissionapi.ReadAudit)
	if n := len(must(o.world, clerk, tenantapi.ListMembers, tenantapi.MembersQuery{TenantRef: clerk.ref()}).Items); n != 5 {
		t.Errorf("the clerk sees %d members", n)
	}
	if n := len(must(o.world, other, tenantapi.ListMembers, tenantapi.MembersQuery{TenantRef: other.ref()}).Items); n != 1 {
		t.Errorf("another guest sees %d members", n)
	}
	must(o.world, clerk, tenantapi.GetMember, clerk.memberRef(o.cleo))
	refuse(o.world, tenantapi.ErrMemberNotFound, other, tenantapi.GetMember, other.memberRef(o.cleo))
	must(o.world, clerk, tenantapi.ShowLimits, clerk.ref())
	refuse(o.world, errs.ErrForbidden, other, tenantapi.ShowLimits, other.ref())
}

// Without permission-service custom roles open nothing, and owners and admins everything.
func TestAdministration_FailsClosedButForOwnersAndAdmins(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"PERMISSIONS": config.PermissionsByService, "PERMISSION_SERVICE_URL": "http://127.0.0.1:1"})
	ada := w.organisation("Office")
	admin, cleo := w.join(ada, "admin"), w.join(ada, "member")
	refuse(w, errs.ErrUnavailable, cleo, tenantapi.CreateInvitation, invitee(cleo, "a@example.com", "guest"))
	refuse(w, errs.ErrUnavailable, cleo, tenantapi.ListInvitations, tenantapi.InvitationsQuery{TenantRef: cleo.ref()})
	must(w, admin, tenantapi.CreateInvitation, invitee(admin, "a@example.com", "guest"))
	must(w, ada, tenantapi.UpdateMember, change(ada, cleo, asRole("guest")))
	must(w, cleo, tenantapi.GetTenant, cleo.ref())
}
