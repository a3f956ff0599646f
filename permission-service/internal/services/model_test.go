package services

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// world is the naive reference: lists, searched from end to end for each question. It
// shares no code with the service.
type world struct {
	tenant  id.TenantID
	roles   map[string]string   // of users in the tenant
	groups  map[string][]string // their users
	parents map[string]string   // of workspaces and bases
	custom  map[string][]string // actions of own roles
	grants  []models.Grant
	// Who is shut out has nothing meanwhile, and all of it again afterwards.
	suspended map[string]bool
	status    string
}

var order = []string{"read", "comment", "edit", "create", "share", "manage"}

// alone are some of the actions that stand for themselves.
var alone = []string{"members.manage", "audit.read"}

func (w *world) roleActions(role string) []string {
	switch role {
	case "viewer":
		return []string{"read"}
	case "commenter":
		return []string{"read", "comment"}
	case "editor":
		return []string{"read", "comment", "edit"}
	case "creator":
		return []string{"read", "comment", "edit", "create", "share"}
	case "owner":
		return order
	}
	return w.custom[role]
}

// may is the specification: who has it by his role in the tenant or by any grant on the
// object or above, and to whom no denial on the object or above speaks.
func (w *world) may(user, action, object string, now time.Time, ip netip.Addr) bool {
	if w.suspended[user] || w.status != "active" && w.roles[user] != "owner" {
		return false
	}
	above := []string{object}
	for o := object; !strings.HasPrefix(o, "tenant:"); {
		if strings.HasPrefix(o, "table:") {
			o = "base:" + o[len("table:"):strings.LastIndex(o, "/")]
		} else {
			o = w.parents[o]
		}
		above = append(above, o)
	}
	role := w.roles[user]
	if slices.Contains(alone, action) && (len(above) > 1 || role == "owner" || role == "admin") {
		return len(above) == 1
	}
	yes := role == "owner" || role == "admin" || role == "member" && len(above) == 1 && (action == "read" || action == "create")
	no := false
	for _, g := range w.grants {
		about := g.Subject == user || slices.Contains(w.groups[g.Subject], user)
		if !about || !slices.Contains(above, g.Object) || !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt) {
			continue
		}
		inside := len(g.IPRanges) == 0 || g.Deny && !ip.IsValid()
		for _, r := range g.IPRanges {
			inside = inside || ip.IsValid() && netip.MustParsePrefix(r).Contains(ip)
		}
		if !inside {
			continue
		}
		for _, a := range w.roleActions(g.Role) {
			if slices.Contains(alone, a) || slices.Contains(alone, action) {
				yes, no = yes || a == action && !g.Deny, no || a == action && g.Deny
				continue
			}
			if at := slices.Index(order, a); g.Deny && at <= slices.Index(order, action) {
				no = true
			} else if !g.Deny && at >= slices.Index(order, action) {
				yes = true
			}
		}
	}
	return yes && !no
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// say gives an event to its handler, as the consumer does.
func say[D any](t testing.TB, repo store, tenant id.TenantID, kind events.Type[D], version int64, data D,
	handle func(context.Context, pgx.Tx, events.Event, D) error,
) {
	t.Helper()
	e := kind.New(t.Context(), tenant, "x", version, data)
	if err := postgres.InTx(t.Context(), repo.pool, func(tx pgx.Tx) error { return handle(t.Context(), tx, e, data) }); err != nil {
		t.Fatal(kind.Name, err)
	}
}

// Random trees, memberships, roles, grants, denials, conditions and moves: the engine, the
// explanation and the reference give the same answer to every question.
func TestModel_EngineExplanationAndReferenceAgree(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	d, repo := newDecisions(t, func() time.Time { return now })
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { model(t, d, repo, seed, now) })
	}
}

func model(t *testing.T, d *Decisions, repo store, seed uint64, now time.Time) {
	r := rand.New(rand.NewPCG(seed, 7))
	w := &world{
		tenant: id.New[id.Tenant](), roles: map[string]string{}, groups: map[string][]string{}, parents: map[string]string{}, custom: map[string][]string{},
		suspended: map[string]bool{}, status: "active",
	}
	top := models.TenantObject(w.tenant)
	var users, groups, roles, objects []string
	for i := range 6 {
		u := id.New[id.User]().String()
		role := []string{"owner", "admin", "member", "member", "guest", "guest"}[i]
		users = append(users, "user:"+u)
		w.roles["user:"+u] = role
		say(t, repo, w.tenant, tenantapi.MemberAdded, 1, tenantapi.MemberChanged{MemberID: u, UserID: u, Role: role}, repo.MemberAdded)
	}
	for range 3 {
		g := id.New[struct{}]().String()
		var in []string
		for _, u := range users {
			if r.IntN(2) == 0 {
				w.groups["group:"+g] = append(w.groups["group:"+g], u)
				in = append(in, strings.TrimPrefix(u, "user:"))
			}
		}
		groups = append(groups, "group:"+g)
		say(t, repo, w.tenant, tenantapi.GroupChangedEvent, 1, tenantapi.GroupChanged{GroupID: g, Added: in}, repo.GroupChanged)
	}
	objects = append(objects, top)
	var workspaces, bases []string
	for range 2 {
		ws := id.New[struct{}]().String()
		workspaces = append(workspaces, ws)
		objects = append(objects, "workspace:"+ws)
		w.parents["workspace:"+ws] = top
		say(t, repo, w.tenant, workspaceapi.WorkspaceCreated, 1, workspaceapi.WorkspaceChanged{WorkspaceID: ws}, repo.WorkspacePlaced)
	}
	for i := range 3 {
		name := fmt.Sprintf("app%d", i)
		bases = append(bases, name)
		o := models.BaseObject(w.tenant, name)
		objects = append(objects, o, "table:"+w.tenant.String()+"/"+name+"/tbl0")
		w.parents[o] = top
		say(t, repo, w.tenant, workspaceapi.BaseLinked, 1, workspaceapi.BasePlaced{BaseID: name}, repo.BasePlaced)
	}
	for _, actions := range [][]string{{"edit"}, {"read", "create", "audit.read"}, {"comment"}, {"members.manage"}, {"members.manage", "audit.read"}} {
		role := models.NewRole(strings.Join(actions, "+"), "", actions, now)
		if err := repo.CreateRole(t.Context(), w.tenant, role, ""); err != nil {
			t.Fatal(err)
		}
		roles = append(roles, role.ID.String())
		w.custom[role.ID.String()] = actions
	}
	roles = append(roles, "viewer", "commenter", "editor", "creator", "owner")
	ips := []netip.Addr{{}, netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::1")}
	for step := range 25 {
		w.change(t, r, d, repo, int64(step+2), users, groups, roles, objects, workspaces, bases, now)
		w.compare(t, r, d, users, objects, ips, now)
	}
}

// change does one thing to the service and to the reference.
func (w *world) change(t *testing.T, r *rand.Rand, d *Decisions, repo store, version int64,
	users, groups, roles, objects, workspaces, bases []string, now time.Time,
) {
	t.Helper()
	switch r.IntN(12) {
	case 8, 9: // somebody is suspended, or let in again
		u := pick(r, users)
		w.suspended[u] = !w.suspended[u]
		name := strings.TrimPrefix(u, "user:")
		say(t, repo, w.tenant, tenantapi.MemberUpdated, version, tenantapi.MemberChanged{
			MemberID: name, UserID: name, Role: w.roles[u], Suspended: w.suspended[u],
		}, repo.MemberUpdated)
	case 10: // so is the tenant
		w.status = pick(r, []string{"active", "active", "suspended", "deleting"})
		say(t, repo, w.tenant, tenantapi.TenantUpdated, version, tenantapi.TenantChanged{Status: w.status}, repo.TenantUpdated)
	case 0: // a base moves
		b := pick(r, bases)
		o := models.BaseObject(w.tenant, b)
		p := workspaceapi.BasePlaced{BaseID: b}
		w.parents[o] = models.TenantObject(w.tenant)
		if r.IntN(4) > 0 {
			p.WorkspaceID = pick(r, workspaces)
			w.parents[o] = "workspace:" + p.WorkspaceID
		} else {
			w.grants = slices.DeleteFunc(w.grants, func(g models.Grant) bool { return g.Object == o })
		}
		say(t, repo, w.tenant, workspaceapi.BaseMoved, version, p, repo.BasePlaced)
	case 1: // somebody comes into a group or leaves it
		g, u := pick(r, groups), pick(r, users)
		c := tenantapi.GroupChanged{GroupID: strings.TrimPrefix(g, "group:")}
		if slices.Contains(w.groups[g], u) {
			c.Removed = []string{strings.TrimPrefix(u, "user:")}
			w.groups[g] = slices.DeleteFunc(w.groups[g], func(x string) bool { return x == u })
		} else {
			c.Added = []string{strings.TrimPrefix(u, "user:")}
			w.groups[g] = append(w.groups[g], u)
		}
		say(t, repo, w.tenant, tenantapi.GroupChangedEvent, version, c, repo.GroupChanged)
	case 2: // a grant is taken back
		if len(w.grants) == 0 {
			return
		}
		i := r.IntN(len(w.grants))
		if _, _, err := d.Write(t.Context(), w.tenant, repository.Write{Revokes: []models.Grant{w.grants[i]}}); err != nil {
			t.Fatal(err)
		}
		w.grants = slices.Delete(w.grants, i, i+1)
	default:
		g := models.Grant{Subject: pick(r, slices.Concat(users, groups)), Object: pick(r, objects), Role: pick(r, roles), Deny: r.IntN(4) == 0}
		if r.IntN(3) == 0 {
			g.ExpiresAt = now.Add(time.Duration(r.IntN(3)+1) * time.Hour)
		}
		if r.IntN(3) == 0 {
			g.IPRanges = []string{"192.0.2.0/24"}
		}
		if _, _, err := d.Write(t.Context(), w.tenant, repository.Write{Grants: []models.Grant{g}}); err != nil {
			t.Fatal(err)
		}
		w.grants = append(slices.DeleteFunc(w.grants, g.SameKey), g)
	}
}

func (w *world) compare(t *testing.T, r *rand.Rand, d *Decisions, users, objects []string, ips []netip.Addr, now time.Time) {
	t.Helper()
	q := Request{Tenant: w.tenant, IP: pick(r, ips)}
	at := now
	if r.IntN(2) == 0 { // another time, beyond some expiries
		at = now.Add(time.Duration(r.IntN(200)) * time.Minute)
		q.Time = at
	}
	for range 25 {
		q.Questions = append(q.Questions, Question{Subject: pick(r, users), Action: pick(r, slices.Concat(order, alone)), Object: pick(r, objects)})
	}
	got, err := d.Check(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range q.Questions {
		want := w.may(one.Subject, one.Action, one.Object, at, q.IP)
		if got.Allowed[i] != want {
			t.Fatalf("%s %s %s from %v at %v: the engine says %v, the reference %v\n%+v", one.Subject, one.Action, one.Object, q.IP, at, got.Allowed[i], want, w)
		}
		if i > 4 {
			continue
		}
		e, err := d.Explain(t.Context(), Request{Tenant: w.tenant, IP: q.IP, Time: at, Questions: []Question{one}})
		if err != nil || e.Allowed != want {
			t.Fatalf("%+v: explained as %v, %v; the reference says %v", one, e.Allowed, err, want)
		}
		if want && !slices.ContainsFunc(e.Steps, func(s models.Step) bool { return s.Decides }) {
			t.Fatalf("%+v is allowed by nothing: %+v", one, e.Steps)
		}
	}
	again, err := d.Check(t.Context(), q)
	if err != nil || !slices.Equal(again.Allowed, got.Allowed) {
		t.Fatalf("asked again: %v, %v", again, err)
	}
	w.compareLists(t, r, d, users, objects, q.IP, now)
}

// compareLists holds the lists of objects and of subjects to the reference.
func (w *world) compareLists(t *testing.T, r *rand.Rand, d *Decisions, users, objects []string, ip netip.Addr, now time.Time) {
	t.Helper()
	user, action, kind, object := pick(r, users), pick(r, order), pick(r, []string{"workspace", "base"}), pick(r, objects)
	var want []string
	for _, o := range objects {
		if strings.HasPrefix(o, kind+":") && w.may(user, action, o, now, ip) {
			want = append(want, o)
		}
	}
	slices.Sort(want)
	list, err := d.Objects(t.Context(), Request{Tenant: w.tenant, IP: ip, Questions: []Question{{Subject: user, Action: action}}}, kind, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	if !slices.Equal(list, want) && len(want)+len(list) > 0 {
		t.Fatalf("%s %s of %s: listed %v, the reference %v\n%+v", user, action, kind, list, want, w)
	}
	want = nil
	for _, u := range users {
		if w.may(u, action, object, now, ip) {
			want = append(want, u)
		}
	}
	slices.Sort(want)
	report, err := d.Users(t.Context(), Request{Tenant: w.tenant, IP: ip, Questions: []Question{{Action: action, Object: object}}}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range report {
		got = append(got, a.Subject)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s on %s: reported %v, the reference %v\n%+v", action, object, got, want, w)
	}
}

var errKilled = errors.New("killed")

// Whatever moment the process ends at between the commit of a change and that of its
// tuples, the next one to ask sees the change.
func TestSettle_CutOffBetweenTablesAndTuples(t *testing.T) {
	t.Parallel()
	d, repo := newDecisions(t, time.Now)
	tenant := id.New[id.Tenant]()
	u := "user:" + id.New[id.User]().String()
	base := models.BaseObject(tenant, "app1")
	check := func() bool {
		t.Helper()
		a, err := d.Check(t.Context(), Request{Tenant: tenant, Questions: []Question{{Subject: u, Action: "edit", Object: base}}})
		if err != nil {
			t.Fatal(err)
		}
		return a.Allowed[0]
	}
	g := models.Grant{Subject: u, Object: base, Role: "editor", IPRanges: []string{}}
	// Before any tuple is written: the repository alone, without Settle.
	if _, _, err := repo.Write(t.Context(), tenant, repository.Write{Grants: []models.Grant{g}}); err != nil {
		t.Fatal(err)
	}
	if !check() {
		t.Error("a grant whose tuples were never written is not seen")
	}
	// After each number of keys, with the transaction of the tables undone.
	for cut := range 3 {
		if _, _, err := repo.Write(t.Context(), tenant, repository.Write{Revokes: []models.Grant{g}}); err != nil {
			t.Fatal(err)
		}
		killAfter(t, d, repo, tenant, cut)
		if check() {
			t.Errorf("cut off after %d keys, a revoked grant is still honoured", cut)
		}
		if _, _, err := repo.Write(t.Context(), tenant, repository.Write{Grants: []models.Grant{g}}); err != nil {
			t.Fatal(err)
		}
		killAfter(t, d, repo, tenant, cut)
		if !check() {
			t.Errorf("cut off after %d keys, a grant is not seen", cut)
		}
	}
	if behind, err := repo.Behind(t.Context(), 10); err != nil || len(behind) > 0 {
		t.Errorf("left stale: %v, %v", behind, err)
	}
}

// killAfter writes the tuples of so many keys, and fails then as a killed process does.
func killAfter(t *testing.T, d *Decisions, repo store, tenant id.TenantID, keys int) {
	t.Helper()
	_, err := repo.Settle(t.Context(), tenant, func(ctx context.Context, list []repository.Stale) error {
		for i, k := range list {
			if i == keys {
				break
			}
			if err := d.derive(ctx, tenant, k); err != nil {
				return err
			}
		}
		return errKilled
	})
	if !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
}

// A grant ends by itself at its time, without any job, and the answer tells when.
func TestCheck_TimeBoxedGrantEndsByItself(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	d, repo := newDecisions(t, func() time.Time { return now })
	tenant := id.New[id.Tenant]()
	u := "user:" + id.New[id.User]().String()
	base := models.BaseObject(tenant, "app1")
	end := now.Add(time.Hour)
	_, _, err := d.Write(t.Context(), tenant, repository.Write{Grants: []models.Grant{
		{Subject: u, Object: base, Role: "viewer"}, {Subject: u, Object: base, Role: "editor", ExpiresAt: end},
	}})
	if err != nil {
		t.Fatal(err)
	}
	may := func() ([]bool, time.Time) {
		t.Helper()
		a, err := d.Check(t.Context(), Request{Tenant: tenant, Questions: []Question{
			{Subject: u, Action: "edit", Object: base}, {Subject: u, Action: "read", Object: base},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return a.Allowed, a.Until
	}
	if got, until := may(); !got[0] || !got[1] || !until.Equal(end) {
		t.Errorf("before: %v until %v", got, until)
	}
	now = end.Add(-time.Microsecond)
	if got, _ := may(); !got[0] {
		t.Errorf("just before: %v", got)
	}
	now = end
	if got, until := may(); got[0] || !got[1] || !until.IsZero() {
		t.Errorf("at its end: %v until %v", got, until)
	}
	if ended, err := repo.Expire(t.Context(), 10); err != nil || len(ended) != 1 {
		t.Errorf("ended %v, %v", ended, err)
	}
	if list, err := repo.Changes(t.Context(), tenant, 0, 10); err != nil || list[len(list)-1].Change.What != "expired" {
		t.Errorf("the feed: %+v, %v", list, err)
	}
	if got, _ := may(); got[0] || !got[1] {
		t.Errorf("after the sweep: %v", got)
	}
}
