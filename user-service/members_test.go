package userservice_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// membership is one of the person's in a tenant, which tenant-service tells of.
type membership struct {
	id     string
	tenant id.TenantID
	user   id.UserID
}

func newMembership(tenant id.TenantID, p *person) membership {
	return membership{id.New[any]().String(), tenant, p.id}
}

func (m membership) event(ctx context.Context, kind events.Type[tenantapi.MemberChanged], version int64, role string) events.Event {
	return kind.New(ctx, m.tenant, m.id, version, tenantapi.MemberChanged{
		MemberID: m.id, TenantID: m.tenant.String(), UserID: m.user.String(), Kind: tenantapi.MemberUser, Role: role,
	})
}

func (w *world) told(evs ...events.Event) {
	w.Helper()
	for _, e := range evs {
		w.publish(e)
		w.consumed(e)
	}
}

// sees reports whether the person finds the other one, in every way to find somebody.
func (w *world) sees(p, other *person) bool {
	w.Helper()
	_, err := rpc.Call(w.Context(), p.Client, userapi.GetUser, userapi.UserRef{ID: other.id.String()})
	if err != nil && !errors.Is(err, userapi.ErrUserNotFound) {
		w.Fatal(err)
	}
	page, listErr := rpc.Call(w.Context(), p.Client, userapi.ListUsers, userapi.UsersQuery{})
	if listErr != nil {
		w.Fatal(listErr)
	}
	listed := slices.ContainsFunc(page.Items, func(u userapi.User) bool { return u.ID == other.id.String() })
	if listed != (err == nil) {
		w.Errorf("shown is %v, listed %v", err == nil, listed)
	}
	return listed
}

func TestMembers_AreSeenWhereTheyAreAndNotWhereTheyWere(t *testing.T) {
	t.Parallel()
	w := start(t)
	acme := id.New[id.Tenant]()
	boss, ada := w.member(acme, "owner"), w.member(id.New[id.Tenant](), "owner")
	stranger := w.member(id.New[id.Tenant](), "owner")
	if w.sees(boss, ada) {
		t.Fatal("seen before she joined")
	}
	m := newMembership(acme, ada)
	w.told(m.event(t.Context(), tenantapi.MemberAdded, 1, "member"))
	if !w.sees(boss, ada) || w.sees(stranger, ada) {
		t.Error("who joined is to be seen in the tenant, and there alone")
	}
	// With a token for that tenant she sees the others, too.
	inAcme := w.as(authtest.User(acme, ada.id, "member"))
	if !w.sees(inAcme, boss) || w.sees(ada, boss) {
		t.Error("what a member sees follows the token's tenant")
	}
	w.told(m.event(t.Context(), tenantapi.MemberRemoved, 2, "member"))
	if w.sees(boss, ada) {
		t.Error("still seen after the removal")
	}
	// A token that has not run out brings nobody back.
	w.me(inAcme)
	if w.sees(boss, ada) {
		t.Error("an old token brought her back")
	}
	if got := w.me(ada); got.Body.ID != ada.id.String() {
		t.Errorf("her own profile: %+v", got)
	}
}

func TestMembers_OldTokenOfAStrangerMakesNoMember(t *testing.T) {
	t.Parallel()
	w := start(t)
	acme := id.New[id.Tenant]()
	boss := w.member(acme, "owner")
	bob := w.newcomer(acme, "member") // removed before his first request here
	m := newMembership(acme, bob)
	w.told(m.event(t.Context(), tenantapi.MemberRemoved, 2, "member"))
	w.me(bob)
	if w.sees(boss, bob) {
		t.Error("who was removed is seen")
	}
}

func TestMembers_EventsMayComeInAnyOrder(t *testing.T) {
	t.Parallel()
	w := start(t)
	acme := id.New[id.Tenant]()
	boss, ada := w.member(acme, "owner"), w.newcomer(id.New[id.Tenant](), "owner")
	first, second := newMembership(acme, ada), newMembership(acme, ada)
	// Told of before the user is; the end before the beginning; who came back stays.
	w.told(
		first.event(t.Context(), tenantapi.MemberRemoved, 3, "member"),
		first.event(t.Context(), tenantapi.MemberAdded, 1, "member"),
	)
	w.me(ada)
	if w.sees(boss, ada) {
		t.Error("an event that came late undid a removal")
	}
	w.told(
		second.event(t.Context(), tenantapi.MemberUpdated, 2, "admin"),
		second.event(t.Context(), tenantapi.MemberAdded, 1, "guest"),
		first.event(t.Context(), tenantapi.MemberUpdated, 2, "guest"),
	)
	if !w.sees(boss, ada) || w.count(`SELECT count(*) FROM memberships WHERE tenant_id = $1 AND user_id = $2 AND role = 'admin'`, acme, ada.id) != 1 {
		t.Error("who came back is not the admin that he was told to be")
	}
}

func TestMembers_EndWithTheirTenantAndTheirUser(t *testing.T) {
	t.Parallel()
	w := start(t)
	acme, other := id.New[id.Tenant](), id.New[id.Tenant]()
	boss, ada, bob := w.member(acme, "owner"), w.member(id.New[id.Tenant](), "owner"), w.member(id.New[id.Tenant](), "owner")
	inOther := w.member(other, "owner")
	w.told(
		newMembership(acme, ada).event(t.Context(), tenantapi.MemberAdded, 1, "member"),
		newMembership(other, ada).event(t.Context(), tenantapi.MemberAdded, 1, "member"),
	)
	_, err := rpc.Call(t.Context(), bob.Client, userapi.DeleteUser, userapi.UserDelete{UserRef: userapi.UserRef{ID: bob.id.String()}})
	if err != nil {
		t.Fatal(err)
	}
	w.told(newMembership(acme, bob).event(t.Context(), tenantapi.MemberAdded, 1, "member"))
	if w.sees(boss, bob) {
		t.Error("an erased user is seen")
	}
	w.told(tenantapi.TenantDeleted.New(t.Context(), acme, acme.String(), 9, tenantapi.TenantChanged{TenantID: acme.String()}))
	if w.sees(boss, ada) || !w.sees(inOther, ada) {
		t.Error("a tenant's end ends its memberships, and no others")
	}
}
