package tenantservice_test

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func newGroup(by person, name string, first ...person) tenantapi.NewGroup {
	g := tenantapi.NewGroup{TenantRef: by.ref(), Body: tenantapi.GroupDraft{Name: name}}
	for _, p := range first {
		g.Body.MemberIDs = append(g.Body.MemberIDs, p.member)
	}
	return g
}

func (p person) groupRef(group string) tenantapi.GroupRef {
	return tenantapi.GroupRef{TenantRef: p.ref(), GroupID: group}
}

func delta(by person, group string, add, remove []string) tenantapi.GroupMembersChange {
	return tenantapi.GroupMembersChange{GroupRef: by.groupRef(group), Body: tenantapi.GroupMembersDelta{Add: add, Remove: remove}}
}

// said are the data of the events of a type about the subject, in the order in which they
// were said.
func said[T any](w *world, name, subject string) []T {
	w.t.Helper()
	rows, err := postgres.ForEveryTenant(w.pool).Query(w.t.Context(),
		`SELECT event::jsonb -> 'data' FROM outbox WHERE event::jsonb ->> 'type' = $1 AND event::jsonb ->> 'subject' = $2 ORDER BY seq`, name, subject)
	w.ok(err)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v T, err error) {
		var raw []byte
		if err := row.Scan(&raw); err != nil {
			return v, err
		}
		return v, json.Unmarshal(raw, &v)
	})
	w.ok(err)
	return list
}

func (w *world) inGroup(by person, group string) (users []string) {
	w.t.Helper()
	for _, m := range must(w, by, tenantapi.ListGroupMembers, tenantapi.GroupMembersQuery{GroupRef: by.groupRef(group)}).Items {
		users = append(users, m.UserID)
	}
	return users
}

func TestGroup_IsMadeRenamedFilledAndDeleted(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	ada, bob := w.join(owner, "member"), w.join(owner, "guest")
	made := must(w, owner, tenantapi.CreateGroup, newGroup(owner, " Finance ", ada))
	g := made.Body
	if g.Name != "Finance" || made.ETag != `"1"` || !slices.Equal(w.inGroup(owner, g.ID), []string{ada.user.String()}) {
		t.Errorf("made %+v", made)
	}
	refuse(w, tenantapi.ErrGroupNameTaken, owner, tenantapi.CreateGroup, newGroup(owner, "FINANCE"))
	refuse(w, tenantapi.ErrBadGroup, owner, tenantapi.CreateGroup, newGroup(owner, "  "))
	refuse(w, tenantapi.ErrMemberNotFound, owner, tenantapi.CreateGroup, newGroup(owner, "Sales", person{member: id.New[any]().String()}))
	if n := w.count(`SELECT count(*) FROM groups`); n != 1 {
		t.Errorf("%d groups: one that was refused was kept", n)
	}
	changed := must(w, owner, tenantapi.ChangeGroupMembers, delta(owner, g.ID, []string{bob.member, bob.member, ada.member}, nil))
	if changed.ETag != `"2"` {
		t.Errorf("etag %s", changed.ETag)
	}
	// Who is in already, or not in, changes nothing, and nothing is said.
	same := must(w, owner, tenantapi.ChangeGroupMembers, delta(owner, g.ID, []string{ada.member}, []string{owner.member}))
	if same.ETag != `"2"` {
		t.Errorf("etag %s", same.ETag)
	}
	// All of it or nothing.
	refuse(w, tenantapi.ErrMemberNotFound, owner, tenantapi.ChangeGroupMembers, delta(owner, g.ID, []string{id.New[any]().String()}, []string{ada.member}))
	if users := w.inGroup(owner, g.ID); len(users) != 2 {
		t.Errorf("in the group: %v", users)
	}
	stale := tenantapi.GroupUpdate{GroupRef: owner.groupRef(g.ID), Precondition: tenantapi.Precondition{IfMatch: `"1"`}, Body: tenantapi.GroupPatch{Name: ptr("Money")}}
	refuse(w, errs.ErrPreconditionFailed, owner, tenantapi.UpdateGroup, stale)
	stale.IfMatch = `"2"`
	if now := must(w, owner, tenantapi.UpdateGroup, stale); now.Body.Name != "Money" || now.ETag != `"3"` {
		t.Errorf("renamed %+v", now)
	}
	must(w, owner, tenantapi.ChangeGroupMembers, delta(owner, g.ID, nil, []string{ada.member}))
	must(w, owner, tenantapi.DeleteGroup, owner.groupRef(g.ID))
	refuse(w, tenantapi.ErrGroupNotFound, owner, tenantapi.GetGroup, owner.groupRef(g.ID))
	refuse(w, tenantapi.ErrGroupNotFound, owner, tenantapi.DeleteGroup, owner.groupRef(g.ID))
	events := said[tenantapi.GroupChanged](w, "com.pyairtable.group.changed.v1", g.ID)
	if len(events) != 4 || !slices.Equal(events[0].Added, []string{ada.user.String()}) || !slices.Equal(events[1].Added, []string{bob.user.String()}) ||
		events[2].Name != "Money" || !slices.Equal(events[3].Removed, []string{ada.user.String()}) || events[3].ActorID != owner.user.String() {
		t.Errorf("said %+v", events)
	}
	if w.emitted("com.pyairtable.group.deleted.v1", g.ID) != 1 {
		t.Error("the deletion was not announced")
	}
}

func TestGroup_IsLeftWithTheTenantInOneTransaction(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	for name, end := range map[string]func(p person){
		"removed": func(p person) { must(w, owner, tenantapi.RemoveMember, owner.memberRef(p)) },
		"left":    func(p person) { must(w, p, tenantapi.LeaveTenant, owner.ref()) },
		"erased": func(p person) {
			w.hear(userapi.UserDeleted.New(t.Context(), id.New[id.Tenant](), p.user.String(), 2, userapi.UserDeletedData{UserID: p.user.String()}))
		},
	} {
		p := w.join(owner, "member")
		one := must(w, owner, tenantapi.CreateGroup, newGroup(owner, name+" one", p, owner)).Body.ID
		two := must(w, owner, tenantapi.CreateGroup, newGroup(owner, name+" two", p)).Body.ID
		end(p)
		for _, g := range []string{one, two} {
			events := said[tenantapi.GroupChanged](w, "com.pyairtable.group.changed.v1", g)
			if len(events) != 2 || !slices.Equal(events[1].Removed, []string{p.user.String()}) {
				t.Errorf("%s: said %+v", name, events)
			}
			if slices.Contains(w.inGroup(owner, g), p.user.String()) {
				t.Errorf("%s: he is still in a group", name)
			}
			if got := must(w, owner, tenantapi.GetGroup, owner.groupRef(g)); got.Body.Version != 2 {
				t.Errorf("%s: version %d", name, got.Body.Version)
			}
		}
		// One transaction: created_at is when it began.
		n := w.count(`SELECT count(DISTINCT created_at) FROM outbox WHERE event::jsonb ->> 'subject' = ANY($1) AND event::jsonb -> 'data' ->> 'removed' LIKE $2
			OR event::jsonb ->> 'subject' = $3 AND event::jsonb ->> 'type' = 'com.pyairtable.member.removed.v1'`,
			[]string{one, two}, "%"+p.user.String()+"%", p.member)
		if n != 1 {
			t.Errorf("%s: %d transactions", name, n)
		}
	}
}

// Members come into a group while they are removed from the tenant: nobody is left in a
// group who is no member, and the last that is said of him is that he left.
func TestGroup_RacedByRemovalsKeepsNoStranger(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	g := must(w, owner, tenantapi.CreateGroup, newGroup(owner, "G")).Body.ID
	var all sync.WaitGroup
	var people []person
	var refused atomic.Int64
	for range 6 {
		p := w.join(owner, "member")
		people = append(people, p)
		all.Go(func() {
			_, err := call(w, owner, tenantapi.ChangeGroupMembers, delta(owner, g, []string{p.member}, nil))
			if errors.Is(err, tenantapi.ErrMemberNotFound) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := call(w, owner, tenantapi.RemoveMember, owner.memberRef(p)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if users := w.inGroup(owner, g); len(users) != 0 {
		t.Errorf("still in the group: %v", users)
	}
	added, removed := 0, 0
	for _, e := range said[tenantapi.GroupChanged](w, "com.pyairtable.group.changed.v1", g) {
		added, removed = added+len(e.Added), removed+len(e.Removed)
	}
	if added != removed || int64(added)+refused.Load() != int64(len(people)) {
		t.Errorf("%d came, %d left, %d were refused", added, removed, refused.Load())
	}
}

func TestGroups_AreManagedByAdminsAndSeenByMembers(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	admin, member, guest := w.join(owner, "admin"), w.join(owner, "member"), w.join(owner, "guest")
	g := must(w, admin, tenantapi.CreateGroup, newGroup(owner, "A", member, guest)).Body.ID
	hidden := must(w, admin, tenantapi.CreateGroup, newGroup(owner, "B", member)).Body.ID
	for _, p := range []person{member, guest} {
		refuse(w, tenantapi.ErrAdminsOnly, p, tenantapi.CreateGroup, newGroup(owner, "C"))
		refuse(w, tenantapi.ErrAdminsOnly, p, tenantapi.UpdateGroup, tenantapi.GroupUpdate{GroupRef: owner.groupRef(g)})
		refuse(w, tenantapi.ErrAdminsOnly, p, tenantapi.DeleteGroup, owner.groupRef(id.New[any]().String()))
		refuse(w, tenantapi.ErrAdminsOnly, p, tenantapi.ChangeGroupMembers, delta(owner, g, []string{p.member}, nil))
	}
	page := must(w, member, tenantapi.ListGroups, tenantapi.GroupsQuery{TenantRef: owner.ref(), PageQuery: api.PageQuery{Limit: 1}})
	rest := must(w, member, tenantapi.ListGroups, tenantapi.GroupsQuery{TenantRef: owner.ref(), PageQuery: api.PageQuery{Limit: 1, Cursor: page.NextCursor}})
	if len(page.Items) != 1 || len(rest.Items) != 1 || page.Items[0].ID != g || rest.Items[0].ID != hidden || rest.NextCursor != "" {
		t.Errorf("a member sees %+v and %+v", page, rest)
	}
	if list := must(w, guest, tenantapi.ListGroups, tenantapi.GroupsQuery{TenantRef: owner.ref()}).Items; len(list) != 1 || list[0].ID != g {
		t.Errorf("a guest sees %+v", list)
	}
	refuse(w, tenantapi.ErrGroupNotFound, guest, tenantapi.GetGroup, owner.groupRef(hidden))
	refuse(w, tenantapi.ErrGroupNotFound, guest, tenantapi.ListGroupMembers, tenantapi.GroupMembersQuery{GroupRef: owner.groupRef(hidden)})
	if users := w.inGroup(guest, g); !slices.Equal(users, []string{guest.user.String()}) {
		t.Errorf("a guest sees %v in his group", users)
	}
	// Another tenant's group, and its members, do not exist.
	other := w.organisation("Other")
	refuse(w, tenantapi.ErrGroupNotFound, other, tenantapi.GetGroup, other.groupRef(g))
	refuse(w, tenantapi.ErrGroupNotFound, other, tenantapi.DeleteGroup, other.groupRef(g))
	refuse(w, tenantapi.ErrMemberNotFound, other, tenantapi.CreateGroup, newGroup(other, "G", member))
	ada := w.registered("ada@example.com")
	refuse(w, tenantapi.ErrPersonalTenant, ada, tenantapi.CreateGroup, newGroup(ada, "Mine"))
}

func TestServiceAccount_IsMadeRenamedSuspendedAndRemoved(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	member := w.join(owner, "member")
	draft := tenantapi.NewServiceAccount{TenantRef: owner.ref(), Body: tenantapi.ServiceAccountDraft{Name: " Import ", Role: "member", CustomRoles: []string{"r", "r"}}}
	refuse(w, tenantapi.ErrAdminsOnly, member, tenantapi.CreateServiceAccount, draft)
	made := must(w, owner, tenantapi.CreateServiceAccount, draft)
	m := made.Body
	if m.Kind != "service_account" || m.Name != "Import" || m.UserID == "" || !slices.Equal(m.CustomRoles, []string{"r"}) {
		t.Errorf("made %+v", m)
	}
	bad := draft
	bad.Body.Name = "  "
	refuse(w, errs.ErrInvalid, owner, tenantapi.CreateServiceAccount, bad)
	bad = draft
	bad.Body.Role = "owner"
	refuse(w, errs.ErrInvalid, owner, tenantapi.CreateServiceAccount, bad)
	if list := must(w, owner, tenantapi.ListMembers, tenantapi.MembersQuery{TenantRef: owner.ref(), Kind: "service_account"}).Items; len(list) != 1 || list[0].ID != m.ID {
		t.Errorf("service accounts %+v", list)
	}
	update := func(p tenantapi.MemberPatch) tenantapi.MemberUpdate {
		return tenantapi.MemberUpdate{MemberRef: tenantapi.MemberRef{TenantRef: owner.ref(), MemberID: m.ID}, Body: p}
	}
	refuse(w, tenantapi.ErrBadRole, owner, tenantapi.UpdateMember, update(tenantapi.MemberPatch{Role: ptr("owner")}))
	refuse(w, tenantapi.ErrAdminsOnly, member, tenantapi.UpdateMember, update(tenantapi.MemberPatch{Name: ptr("Mine")}))
	now := must(w, owner, tenantapi.UpdateMember, update(tenantapi.MemberPatch{Name: ptr("Export"), Suspended: ptr(true)}))
	if now.Body.Name != "Export" || !now.Body.Suspended {
		t.Errorf("now %+v", now.Body)
	}
	if again := must(w, owner, tenantapi.UpdateMember, update(tenantapi.MemberPatch{Suspended: ptr(true)})); again.ETag != now.ETag {
		t.Errorf("suspended again: %s after %s", again.ETag, now.ETag)
	}
	must(w, owner, tenantapi.RemoveMember, tenantapi.MemberRef{TenantRef: owner.ref(), MemberID: m.ID})
	added := said[tenantapi.MemberChanged](w, "com.pyairtable.member.added.v1", m.ID)
	updated := said[tenantapi.MemberChanged](w, "com.pyairtable.member.updated.v1", m.ID)
	if len(added) != 1 || added[0].Kind != "service_account" || added[0].Suspended || len(updated) != 1 || !updated[0].Suspended || updated[0].Name != "Export" ||
		w.emitted("com.pyairtable.member.removed.v1", m.ID) != 1 {
		t.Errorf("said %+v and %+v", added, updated)
	}
	ada := w.registered("ada@example.com")
	refuse(w, tenantapi.ErrPersonalTenant, ada, tenantapi.CreateServiceAccount, tenantapi.NewServiceAccount{TenantRef: ada.ref(), Body: draft.Body})
}

func TestSuspendedMember_IsOutUntilHeIsLetInAgain(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	admin, bob := w.join(owner, "admin"), w.join(owner, "member")
	suspend := func(p person, to bool) tenantapi.MemberUpdate {
		return tenantapi.MemberUpdate{MemberRef: owner.memberRef(p), Body: tenantapi.MemberPatch{Suspended: &to}}
	}
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.UpdateMember, suspend(owner, true))
	refuse(w, tenantapi.ErrOwnerSuspended, owner, tenantapi.UpdateMember, suspend(owner, true))
	refuse(w, errs.ErrInvalid, owner, tenantapi.UpdateMember, tenantapi.MemberUpdate{MemberRef: owner.memberRef(bob), Body: tenantapi.MemberPatch{Name: ptr("Bob")}})
	must(w, admin, tenantapi.UpdateMember, suspend(bob, true))
	// A token that is not revoked yet opens nothing.
	refuse(w, tenantapi.ErrTenantNotFound, bob, tenantapi.GetTenant, owner.ref())
	refuse(w, tenantapi.ErrTenantNotFound, bob, tenantapi.LeaveTenant, owner.ref())
	if list := must(w, bob, tenantapi.ListTenants, api.PageQuery{}).Items; len(list) != 0 {
		t.Errorf("his tenants: %+v", list)
	}
	refuse(w, tenantapi.ErrBadRole, owner, tenantapi.UpdateMember, tenantapi.MemberUpdate{MemberRef: owner.memberRef(bob), Body: tenantapi.MemberPatch{Role: ptr("owner")}})
	refuse(w, tenantapi.ErrBadRole, owner, tenantapi.TransferTenant, tenantapi.TenantTransfer{TenantRef: owner.ref(), Body: tenantapi.Transfer{UserID: bob.user.String()}})
	must(w, admin, tenantapi.UpdateMember, suspend(bob, false))
	must(w, bob, tenantapi.GetTenant, owner.ref())
	// An owner who is erased is succeeded by who is not suspended, however weak.
	must(w, owner, tenantapi.UpdateMember, suspend(admin, true))
	w.hear(userapi.UserDeleted.New(t.Context(), id.New[id.Tenant](), owner.user.String(), 2, userapi.UserDeletedData{UserID: owner.user.String()}))
	if now := must(w, w.in(owner.tenant, bob.user, "owner"), tenantapi.GetTenant, owner.ref()); now.Body.OwnerID != bob.user.String() {
		t.Errorf("it is %s's", now.Body.OwnerID)
	}
}

func someGroup(p person) tenantapi.GroupRef { return p.groupRef(id.New[any]().String()) }
