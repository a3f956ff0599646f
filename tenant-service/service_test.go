package tenantservice_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

func TestService_ServesWhatItDeclares(t *testing.T) {
	t.Parallel()
	apptest.Operations(t, start(t, nil).URL, tenantapi.Service)
}

func TestCreate_MakesTheCallerItsOwnerAndSaysSo(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	ada := w.stranger()
	made := must(w, ada, tenantapi.CreateTenant, tenantapi.NewTenant{Name: " Analytical Engines! "})
	if made.Body.Slug != "analytical-engines" || made.Body.Name != "Analytical Engines!" || made.Body.Status != "active" ||
		made.Body.OwnerID != ada.user.String() || made.Body.Kind != "organisation" || made.Body.TimeZone != "UTC" {
		t.Errorf("made %+v", made.Body)
	}
	if w.emitted("com.pyairtable.tenant.created.v1", made.Body.ID) != 1 ||
		w.count(`SELECT count(*) FROM outbox WHERE event::jsonb ->> 'type' = 'com.pyairtable.member.added.v1'`) != 1 {
		t.Error("it was not announced")
	}
	// The name's slug is taken now: another is made.
	second := must(w, ada, tenantapi.CreateTenant, tenantapi.NewTenant{Name: "Analytical Engines"})
	if !strings.HasPrefix(second.Body.Slug, "analytical-engines-") {
		t.Errorf("second slug %s", second.Body.Slug)
	}
	refuse(w, tenantapi.ErrSlugTaken, ada, tenantapi.CreateTenant, tenantapi.NewTenant{Name: "X", Slug: "analytical-engines"})
	for _, bad := range []tenantapi.NewTenant{
		{Name: " "}, {Name: "X", Slug: "Bad Slug"}, {Name: "X", Slug: id.New[any]().String()}, {Name: "X", LogoURL: "ftp://x"},
		{Name: "X", Locale: "??"}, {Name: "X", TimeZone: "Local"},
	} {
		refuse(w, tenantapi.ErrBadTenant, ada, tenantapi.CreateTenant, bad)
	}
	if must(w, ada, tenantapi.CreateTenant, tenantapi.NewTenant{Name: "文"}).Body.Slug == "" {
		t.Error("a name without letters of ours has no slug")
	}
	page := must(w, ada, tenantapi.ListTenants, api.PageQuery{Limit: 2})
	rest := must(w, ada, tenantapi.ListTenants, api.PageQuery{Limit: 2, Cursor: page.NextCursor})
	if len(page.Items) != 2 || len(rest.Items) != 1 || page.Items[0].Role != "owner" || rest.NextCursor != "" {
		t.Errorf("lists %+v and %+v", page, rest)
	}
}

func TestCreate_SlugsRaceAndOneWins(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	var won, lost int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := call(w, w.stranger(), tenantapi.CreateTenant, tenantapi.NewTenant{Name: "X", Slug: "wanted"})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case errors.Is(err, tenantapi.ErrSlugTaken):
				lost++
			}
		})
	}
	all.Wait()
	if won != 1 || lost != 7 {
		t.Errorf("%d won, %d lost", won, lost)
	}
}

func TestUpdate_PatchesGuardedByETag(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	patch := func(match string, body tenantapi.TenantPatch) tenantapi.TenantUpdate {
		return tenantapi.TenantUpdate{TenantRef: owner.ref(), Precondition: tenantapi.Precondition{IfMatch: match}, Body: body}
	}
	read := must(w, owner, tenantapi.GetTenant, owner.ref())
	next := must(w, owner, tenantapi.UpdateTenant, patch(read.ETag, tenantapi.TenantPatch{
		Name: ptr("Acme Ltd"), Security: &tenantapi.SecurityPatch{
			RequireMFA: ptr(true), IPRanges: &[]string{"192.0.2.77/24"}, EmailDomains: &[]string{"ACME.example", "acme.example"}, SessionMinutes: ptr(30),
		},
	}))
	want := tenantapi.Security{RequireMFA: true, EmailDomains: []string{"acme.example"}, IPRanges: []string{"192.0.2.0/24"}, SessionMinutes: 30}
	if diff := cmp.Diff(want, next.Body.Security); diff != "" || next.Body.Name != "Acme Ltd" || next.Body.Version != 2 {
		t.Error(next.Body, diff)
	}
	refuse(w, errs.ErrPreconditionFailed, owner, tenantapi.UpdateTenant, patch(read.ETag, tenantapi.TenantPatch{Name: ptr("Late")}))
	refuse(w, tenantapi.ErrBadTenant, owner, tenantapi.UpdateTenant, patch("", tenantapi.TenantPatch{
		Security: &tenantapi.SecurityPatch{IPRanges: &[]string{"anywhere"}, EmailDomains: &[]string{"localhost"}},
	}))
	same := must(w, owner, tenantapi.UpdateTenant, patch("", tenantapi.TenantPatch{Name: ptr("Acme Ltd")}))
	if same.Body.Version != 2 || w.emitted("com.pyairtable.tenant.updated.v1", read.Body.ID) != 1 {
		t.Errorf("nothing changed, but the version is %d", same.Body.Version)
	}
	refuse(w, tenantapi.ErrAdminsOnly, w.join(owner, "member"), tenantapi.UpdateTenant, patch("", tenantapi.TenantPatch{Name: ptr("Mine")}))
	must(w, w.join(owner, "admin"), tenantapi.UpdateTenant, patch("", tenantapi.TenantPatch{Name: ptr("Admin's")}))
}

func TestSuspend_ShutsOutAllButOwners(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	admin := w.join(owner, "admin")
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.SuspendTenant, owner.ref())
	must(w, owner, tenantapi.SuspendTenant, owner.ref())
	if again := must(w, owner, tenantapi.SuspendTenant, owner.ref()); again.Body.Status != "suspended" || again.Body.Version != 2 {
		t.Errorf("suspended again: %+v", again.Body)
	}
	refuse(w, tenantapi.ErrTenantSuspended, admin, tenantapi.GetTenant, owner.ref())
	refuse(w, tenantapi.ErrTenantSuspended, admin, tenantapi.RemoveMember, owner.memberRef(admin))
	if must(w, owner, tenantapi.ResumeTenant, owner.ref()).Body.Status != "active" {
		t.Error("it is not active again")
	}
	must(w, admin, tenantapi.GetTenant, owner.ref())
}

func TestDelete_IsUndoneInTimeOrFinal(t *testing.T) {
	t.Parallel()
	w := start(t, shortGrace())
	kept, gone := w.organisation("Kept"), w.organisation("Gone")
	w.join(gone, "member")
	refuse(w, tenantapi.ErrNotDeleting, kept, tenantapi.KeepTenant, kept.ref())
	if d := must(w, kept, tenantapi.DeleteTenant, kept.ref()); d.Body.Status != "deleting" || d.Body.DeleteAt.IsZero() {
		t.Errorf("deleting: %+v", d.Body)
	}
	refuse(w, tenantapi.ErrTenantDeleting, kept, tenantapi.SuspendTenant, kept.ref())
	must(w, kept, tenantapi.KeepTenant, kept.ref())
	must(w, gone, tenantapi.DeleteTenant, gone.ref())
	await.True(t, "the tenant is gone", func() bool { return w.emitted("com.pyairtable.tenant.deleted.v1", gone.tenant.String()) == 1 })
	refuse(w, tenantapi.ErrTenantNotFound, gone, tenantapi.GetTenant, gone.ref())
	if n := w.count(`SELECT count(*) FROM members WHERE tenant_id = $1`, gone.tenant); n != 0 {
		t.Errorf("%d members are left", n)
	}
	await.True(t, "both jobs have run", func() bool {
		return w.count(`SELECT count(*) FROM river_job WHERE state = 'completed' AND kind = 'end_tenant'`) == 2
	})
	must(w, kept, tenantapi.GetTenant, kept.ref())
}

func TestTransfer_GivesTheTenantToAnother(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	heir := w.join(owner, "member")
	to := func(p person) tenantapi.TenantTransfer {
		return tenantapi.TenantTransfer{TenantRef: owner.ref(), Body: tenantapi.Transfer{UserID: p.user.String()}}
	}
	refuse(w, tenantapi.ErrOwnersOnly, heir, tenantapi.TransferTenant, to(heir))
	refuse(w, tenantapi.ErrMemberNotFound, owner, tenantapi.TransferTenant, to(w.stranger()))
	if now := must(w, owner, tenantapi.TransferTenant, to(heir)); now.Body.OwnerID != heir.user.String() {
		t.Errorf("it is %s's", now.Body.OwnerID)
	}
	// The old token says owner, the membership admin: the weaker counts.
	refuse(w, tenantapi.ErrOwnersOnly, owner, tenantapi.DeleteTenant, owner.ref())
	if m := must(w, owner, tenantapi.GetMember, owner.memberRef(heir)); m.Body.Role != "owner" {
		t.Errorf("the heir is %s", m.Body.Role)
	}
	if w.emitted("com.pyairtable.member.updated.v1", heir.member) != 1 || w.emitted("com.pyairtable.member.updated.v1", owner.member) != 1 {
		t.Error("the roles were not announced")
	}
}

func TestMembers_RolesAreGivenByWhomMayGiveThem(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	admin, member, guest := w.join(owner, "admin"), w.join(owner, "member"), w.join(owner, "guest")
	role := func(of person, role string) tenantapi.MemberUpdate {
		return tenantapi.MemberUpdate{MemberRef: owner.memberRef(of), Body: tenantapi.MemberPatch{Role: &role}}
	}
	refuse(w, tenantapi.ErrAdminsOnly, member, tenantapi.UpdateMember, role(guest, "member"))
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.UpdateMember, role(member, "owner"))
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.UpdateMember, role(owner, "member"))
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.RemoveMember, owner.memberRef(owner))
	refuse(w, tenantapi.ErrLastOwner, owner, tenantapi.UpdateMember, role(owner, "admin"))
	refuse(w, tenantapi.ErrLastOwner, owner, tenantapi.LeaveTenant, owner.ref())
	if m := must(w, admin, tenantapi.UpdateMember, role(guest, "member")); m.Body.Role != "member" || m.ETag != `"2"` {
		t.Errorf("now %+v", m)
	}
	stale := role(guest, "admin")
	stale.IfMatch = `"1"`
	refuse(w, errs.ErrPreconditionFailed, admin, tenantapi.UpdateMember, stale)
	custom := tenantapi.MemberUpdate{MemberRef: owner.memberRef(member), Body: tenantapi.MemberPatch{CustomRoles: &[]string{"auditor"}}}
	if m := must(w, admin, tenantapi.UpdateMember, custom); !slices.Equal(m.Body.CustomRoles, []string{"auditor"}) {
		t.Errorf("custom roles %v", m.Body.CustomRoles)
	}
	// Another owner lets the first one go; the tenant is the second's then.
	must(w, owner, tenantapi.UpdateMember, role(member, "owner"))
	must(w, owner, tenantapi.LeaveTenant, owner.ref())
	refuse(w, tenantapi.ErrTenantNotFound, owner, tenantapi.GetTenant, owner.ref())
	if now := must(w, w.in(owner.tenant, member.user, "owner"), tenantapi.GetTenant, owner.ref()); now.Body.OwnerID != member.user.String() {
		t.Errorf("it is %s's", now.Body.OwnerID)
	}
	if w.emitted("com.pyairtable.member.removed.v1", owner.member) != 1 {
		t.Error("his leaving was not announced")
	}
}

// Two owners who leave, or demote each other, at the same moment: one stays.
func TestMembers_RacingOwnersLeaveOneBehind(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for range 5 {
		owner := w.organisation("Acme")
		owners := []person{owner}
		for range 3 {
			owners = append(owners, w.join(owner, "owner"))
		}
		var all sync.WaitGroup
		for i, p := range owners {
			all.Go(func() {
				if i%2 == 0 {
					_, _ = call(w, p, tenantapi.LeaveTenant, owner.ref())
				} else {
					_, _ = call(w, p, tenantapi.UpdateMember, tenantapi.MemberUpdate{MemberRef: owner.memberRef(p), Body: tenantapi.MemberPatch{Role: ptr("member")}})
				}
			})
		}
		all.Wait()
		left := w.count(`SELECT count(*) FROM members m JOIN tenants t ON t.tenant_id = m.tenant_id AND t.owner_id = m.user_id
			WHERE m.tenant_id = $1 AND m.role = 'owner'`, owner.tenant)
		if n := w.count(`SELECT count(*) FROM members WHERE tenant_id = $1 AND role = 'owner'`, owner.tenant); n != 1 || left != 1 {
			t.Fatalf("%d owners are left, %d of them answers for the tenant", n, left)
		}
	}
}

func TestPersonalTenant_ComesWithTheAccountAndGoesWithIt(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	ada := w.stranger()
	registered := authapi.UserRegistered.New(t.Context(), ada.tenant, ada.user.String(), 1, authapi.UserRegisteredData{
		UserID: ada.user.String(), TenantID: ada.tenant.String(), Email: "Ada@example.com", Name: "Ada",
	})
	w.hear(registered)
	mine := must(w, ada, tenantapi.GetTenant, ada.ref())
	if mine.Body.Kind != "personal" || mine.Body.OwnerID != ada.user.String() || mine.Body.Name != "Ada" {
		t.Errorf("personal tenant %+v", mine.Body)
	}
	for _, op := range []api.Op[tenantapi.TenantRef, tenantapi.TenantAnswer]{tenantapi.SuspendTenant, tenantapi.DeleteTenant} {
		refuse(w, tenantapi.ErrPersonalTenant, ada, op, ada.ref())
	}
	refuse(w, tenantapi.ErrPersonalTenant, ada, tenantapi.LeaveTenant, ada.ref())
	refuse(w, tenantapi.ErrPersonalTenant, ada, tenantapi.UpdateTenant, tenantapi.TenantUpdate{
		TenantRef: ada.ref(), Body: tenantapi.TenantPatch{Security: &tenantapi.SecurityPatch{RequireMFA: ptr(true)}},
	})
	deleted := userapi.UserDeleted.New(t.Context(), ada.tenant, ada.user.String(), 2, userapi.UserDeletedData{
		UserID: ada.user.String(), TenantID: ada.tenant.String(),
	})
	w.hear(deleted)
	refuse(w, tenantapi.ErrTenantNotFound, ada, tenantapi.GetTenant, ada.ref())
	// An event that comes late, or again under another id, brings nothing back.
	registered.ID = id.New[id.Event]().String()
	w.hear(registered)
	refuse(w, tenantapi.ErrTenantNotFound, ada, tenantapi.GetTenant, ada.ref())
}

func TestErasedOwner_IsSucceededByTheStrongestMember(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	w.join(owner, "member")
	admin := w.join(owner, "admin")
	alone := w.in(id.New[id.Tenant](), owner.user, "owner")
	lonely := must(w, alone, tenantapi.CreateTenant, tenantapi.NewTenant{Name: "Nobody else's"})
	w.hear(userapi.UserDeleted.New(t.Context(), alone.tenant, owner.user.String(), 2, userapi.UserDeletedData{UserID: owner.user.String()}))
	now := must(w, w.in(owner.tenant, admin.user, "owner"), tenantapi.GetTenant, owner.ref())
	if now.Body.OwnerID != admin.user.String() {
		t.Errorf("it is %s's", now.Body.OwnerID)
	}
	if w.emitted("com.pyairtable.tenant.deleted.v1", lonely.Body.ID) != 1 || w.emitted("com.pyairtable.member.removed.v1", owner.member) != 1 {
		t.Error("the end was not announced")
	}
}

// ops calls every operation about a tenant and one of its members.
var ops = map[string]func(ctx context.Context, c *rpc.Client, of person) error{
	"createTenant":  does(tenantapi.CreateTenant, func(person) tenantapi.NewTenant { return tenantapi.NewTenant{Name: "X"} }),
	"listTenants":   does(tenantapi.ListTenants, func(person) api.PageQuery { return api.PageQuery{} }),
	"getTenant":     does(tenantapi.GetTenant, person.ref),
	"updateTenant":  does(tenantapi.UpdateTenant, func(p person) tenantapi.TenantUpdate { return tenantapi.TenantUpdate{TenantRef: p.ref()} }),
	"suspendTenant": does(tenantapi.SuspendTenant, person.ref),
	"resumeTenant":  does(tenantapi.ResumeTenant, person.ref),
	"deleteTenant":  does(tenantapi.DeleteTenant, person.ref),
	"keepTenant":    does(tenantapi.KeepTenant, person.ref),
	"transferTenant": does(tenantapi.TransferTenant, func(p person) tenantapi.TenantTransfer {
		return tenantapi.TenantTransfer{TenantRef: p.ref(), Body: tenantapi.Transfer{UserID: p.user.String()}}
	}),
	"listMembers":  does(tenantapi.ListMembers, func(p person) tenantapi.MembersQuery { return tenantapi.MembersQuery{TenantRef: p.ref()} }),
	"getMember":    does(tenantapi.GetMember, func(p person) tenantapi.MemberRef { return p.memberRef(p) }),
	"updateMember": does(tenantapi.UpdateMember, func(p person) tenantapi.MemberUpdate { return tenantapi.MemberUpdate{MemberRef: p.memberRef(p)} }),
	"removeMember": does(tenantapi.RemoveMember, func(p person) tenantapi.MemberRef { return p.memberRef(p) }),
	"leaveTenant":  does(tenantapi.LeaveTenant, person.ref),
	"createServiceAccount": does(tenantapi.CreateServiceAccount, func(p person) tenantapi.NewServiceAccount {
		return tenantapi.NewServiceAccount{TenantRef: p.ref(), Body: tenantapi.ServiceAccountDraft{Name: "X", Role: "member"}}
	}),
	"createGroup": does(tenantapi.CreateGroup, func(p person) tenantapi.NewGroup { return newGroup(p, "X") }),
	"listGroups":  does(tenantapi.ListGroups, func(p person) tenantapi.GroupsQuery { return tenantapi.GroupsQuery{TenantRef: p.ref()} }),
	"getGroup":    does(tenantapi.GetGroup, someGroup),
	"updateGroup": does(tenantapi.UpdateGroup, func(p person) tenantapi.GroupUpdate { return tenantapi.GroupUpdate{GroupRef: someGroup(p)} }),
	"deleteGroup": does(tenantapi.DeleteGroup, someGroup),
	"listGroupMembers": does(tenantapi.ListGroupMembers, func(p person) tenantapi.GroupMembersQuery {
		return tenantapi.GroupMembersQuery{GroupRef: someGroup(p)}
	}),
	"changeGroupMembers": does(tenantapi.ChangeGroupMembers, func(p person) tenantapi.GroupMembersChange {
		return tenantapi.GroupMembersChange{GroupRef: someGroup(p)}
	}),
	"createScimToken": does(tenantapi.CreateSCIMToken, func(p person) tenantapi.NewSCIMToken {
		return tenantapi.NewSCIMToken{TenantRef: p.ref(), Body: tenantapi.SCIMTokenDraft{Name: "X"}}
	}),
	"listScimTokens":  does(tenantapi.ListSCIMTokens, func(p person) tenantapi.SCIMTokensQuery { return tenantapi.SCIMTokensQuery{TenantRef: p.ref()} }),
	"rotateScimToken": does(tenantapi.RotateSCIMToken, someSCIMToken),
	"revokeScimToken": does(tenantapi.RevokeSCIMToken, someSCIMToken),
	"createInvitation": does(tenantapi.CreateInvitation, func(p person) tenantapi.NewInvitation {
		return tenantapi.NewInvitation{TenantRef: p.ref(), Body: tenantapi.Invitee{Email: "a@example.com", Role: "member"}}
	}),
	"listInvitations":  does(tenantapi.ListInvitations, func(p person) tenantapi.InvitationsQuery { return tenantapi.InvitationsQuery{TenantRef: p.ref()} }),
	"resendInvitation": does(tenantapi.ResendInvitation, someInvitation),
	"revokeInvitation": does(tenantapi.RevokeInvitation, someInvitation),
	"acceptInvitation": does(tenantapi.AcceptInvitation, func(person) tenantapi.Acceptance { return tenantapi.Acceptance{Token: "inv_x"} }),
	"addDomain": does(tenantapi.AddDomain, func(p person) tenantapi.NewDomain {
		return tenantapi.NewDomain{TenantRef: p.ref(), Body: tenantapi.DomainDraft{Domain: "example.com", Role: "member"}}
	}),
	"listDomains":  does(tenantapi.ListDomains, func(p person) tenantapi.DomainsQuery { return tenantapi.DomainsQuery{TenantRef: p.ref()} }),
	"verifyDomain": does(tenantapi.VerifyDomain, func(p person) tenantapi.DomainRef { return domainRef(p, p.member) }),
	"updateDomain": does(tenantapi.UpdateDomain, func(p person) tenantapi.DomainUpdate {
		return tenantapi.DomainUpdate{DomainRef: domainRef(p, p.member)}
	}),
	"removeDomain":        does(tenantapi.RemoveDomain, func(p person) tenantapi.DomainRef { return domainRef(p, p.member) }),
	"listJoinableTenants": does(tenantapi.ListJoinable, func(person) api.PageQuery { return api.PageQuery{} }),
	"joinTenant":          does(tenantapi.JoinTenant, person.ref),
	"listPlans":           does(tenantapi.ListPlans, func(person) api.PageQuery { return api.PageQuery{} }),
	"showLimits":          does(tenantapi.ShowLimits, person.ref),
	"showSubscription":    does(tenantapi.ShowSubscription, person.ref),
}

func someSCIMToken(p person) tenantapi.SCIMTokenRef {
	return tenantapi.SCIMTokenRef{TenantRef: p.ref(), TokenID: id.New[any]().String()}
}

func someInvitation(p person) tenantapi.InvitationRef {
	return tenantapi.InvitationRef{TenantRef: p.ref(), InvitationID: id.New[any]().String()}
}

func does[In, Out any](op api.Op[In, Out], in func(person) In) func(context.Context, *rpc.Client, person) error {
	return func(ctx context.Context, c *rpc.Client, of person) error {
		_, err := rpc.Call(ctx, c, op, in(of))
		return err
	}
}

// Who may call what: every operation with every kind of caller.
func TestAccess_EveryOperationRefusesWhomItMust(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	claims := authtest.PAT(owner.tenant, owner.user, "owner", "*", "*")
	callers := map[string]struct {
		client *rpc.Client
		want   errs.Kind
	}{
		"nobody":                               {w.Client(auth.Principal{}), errs.Unauthenticated},
		"garbage":                              {w.Client(auth.Principal{Token: "garbage"}), errs.Unauthenticated},
		"service":                              {w.Client(auth.Principal{Token: w.issuer.Token(t, authtest.Service("user-service"))}), errs.Forbidden},
		"pat":                                  {w.Client(auth.Principal{Token: w.issuer.Token(t, claims)}), errs.Forbidden},
		"stranger":                             {w.stranger().Client, errs.NotFound},
		"other's token":                        {w.in(owner.tenant, id.New[id.User](), "owner").Client, errs.NotFound},
		"owner with a token of another tenant": {w.in(id.New[id.Tenant](), owner.user, "owner").Client, errs.NotFound},
	}
	for name, try := range ops {
		for who, c := range callers {
			err := try(t.Context(), c.client, owner)
			if c.want == errs.NotFound && name == "acceptInvitation" {
				if !errors.Is(err, tenantapi.ErrBadInvitation) {
					t.Errorf("%s by %s: %v", name, who, err)
				}
				continue
			}
			if c.want == errs.NotFound && (name == "createTenant" || name == "listTenants" || name == "listPlans" || name == "listJoinableTenants") {
				if err != nil {
					t.Errorf("%s by %s: %v", name, who, err)
				}
				continue
			}
			if err == nil || errs.From(err).Kind != c.want {
				t.Errorf("%s by %s: %v", name, who, err)
			}
		}
	}
	// A guest sees himself only.
	guest := w.join(owner, "guest")
	if page := must(w, guest, tenantapi.ListMembers, tenantapi.MembersQuery{TenantRef: owner.ref()}); len(page.Items) != 1 || page.Items[0].ID != guest.member {
		t.Errorf("a guest sees %+v", page.Items)
	}
	refuse(w, tenantapi.ErrMemberNotFound, guest, tenantapi.GetMember, owner.memberRef(owner))
}

func TestAccess_MatrixHasEveryOperation(t *testing.T) {
	t.Parallel()
	var declared []string
	for _, op := range tenantapi.Service.Ops {
		if op.Access == api.User {
			declared = append(declared, op.Name)
		}
	}
	slices.Sort(declared)
	if diff := cmp.Diff(declared, slices.Sorted(maps.Keys(ops))); diff != "" {
		t.Error(diff)
	}
}

// A statement that forgot its tenant finds nothing in any table.
func TestTables_ShowNothingToWhoNamesNoTenant(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"DEV_INBOX": "true"})
	owner := w.organisation("Acme")
	w.hear(authapi.UserRegistered.New(t.Context(), id.New[id.Tenant](), owner.user.String(), 1, authapi.UserRegisteredData{
		UserID: owner.user.String(), TenantID: id.New[id.Tenant]().String(), Email: "a@example.com", Name: "A",
	}))
	must(w, owner, tenantapi.CreateInvitation, invite(owner, "b@example.com", "member"))
	must(w, owner, tenantapi.CreateGroup, newGroup(owner, "G", owner))
	w.directory(owner).want(201, "", http.MethodPost, "Users", userOf("c@example.com"))
	for _, table := range []string{"tenants", "members", "accounts", "invitations", "mails", "groups", "group_members", "scim_tokens", "scim_users"} {
		var n int
		w.ok(w.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
		if all := w.count(`SELECT count(*) FROM ` + table); n != 0 || all == 0 {
			t.Errorf("%s: %d of %d rows are seen", table, n, all)
		}
	}
}
