package permit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// fake stands for permission-service over the wire: who may do what, and since when.
type fake struct {
	mu      sync.Mutex
	allowed map[string]bool // subject action object ip
	version int64
	until   time.Time
	asked   int
	fail    error
	before  func() // called before an answer goes out
}

func (f *fake) key(tenant, subject, action, object, ip string) string {
	return fmt.Sprintf("%q", []string{tenant, subject, action, object, ip})
}

func (f *fake) set(key string, yes bool) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.allowed[key] = yes
	f.version++
	return f.version
}

func (f *fake) check(_ context.Context, in permissionapi.CheckRequest) (permissionapi.CheckAnswer, error) {
	f.mu.Lock()
	out := permissionapi.CheckAnswer{Until: f.until, Token: strconv.FormatInt(f.version, 36)}
	f.asked++
	for _, q := range in.Questions {
		out.Allowed = append(out.Allowed, f.allowed[f.key(in.TenantID, q.Subject, q.Action, q.Object, in.IP)])
	}
	err, before := f.fail, f.before
	f.mu.Unlock()
	if before != nil {
		before()
	}
	return out, err
}

func newFake() *fake { return &fake{allowed: map[string]bool{}, version: 1} }

func someone(tenant id.TenantID) auth.Principal {
	return auth.Principal{UserID: id.New[id.User](), TenantID: tenant, Role: "guest"}
}

func (f *fake) allow(who auth.Principal, action string, o permit.Object, yes bool) int64 {
	return f.set(f.key(who.TenantID.String(), permit.Subject(who), action, string(o), ""), yes)
}

func TestClient_AnswersByWhatTheCallerMayAtLeast(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := permit.NewFrom(f.check, time.Now)
	tenant := id.New[id.Tenant]()
	who, o := someone(tenant), permit.Base(tenant, "app1")
	f.allow(who, "read", o, true)
	for _, k := range []struct {
		who    auth.Principal
		action string
		object permit.Object
		want   error
	}{
		{who, "read", o, nil},
		{who, "edit", o, errs.ErrForbidden},
		{who, "read", permit.Base(tenant, "app2"), errs.ErrNotFound},
		{who, "edit", permit.Base(tenant, "app2"), errs.ErrNotFound},
		{who, "read", permit.Base(id.New[id.Tenant](), "app1"), errs.ErrNotFound},
		{someone(tenant), "read", o, errs.ErrNotFound},
		{auth.Principal{Service: "sync-service"}, "read", o, errs.ErrNotFound},
	} {
		if err := c.Check(t.Context(), k.who, k.action, k.object); !errors.Is(err, k.want) {
			t.Errorf("%s %s: %v, want %v", k.action, k.object, err, k.want)
		}
	}
}

// Yes and no alike are remembered, and asked for again when Staleness is over.
func TestClient_RemembersDenialsToo(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFake()
	c := permit.NewFrom(f.check, func() time.Time { return now })
	tenant := id.New[id.Tenant]()
	who := someone(tenant)
	yes, no := permit.Base(tenant, "app1"), permit.Base(tenant, "app2")
	f.allow(who, "read", yes, true)
	for range 5 {
		_ = c.Check(t.Context(), who, "read", yes)
		_ = c.Check(t.Context(), who, "read", no)
	}
	if f.asked != 2 {
		t.Errorf("asked %d times for two answers", f.asked)
	}
	now = now.Add(permit.Staleness)
	_ = c.Check(t.Context(), who, "read", no)
	if f.asked != 3 {
		t.Errorf("asked %d times after the answers' end", f.asked)
	}
}

// No announcement is ever heard here. Whatever is asked when, a revocation is honoured
// once Staleness has passed, and an answer never outlives the end of a grant.
func TestClient_NoAnswerOutlivesARevocationByMoreThanTheBound(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	f := newFake()
	c := permit.NewFrom(f.check, func() time.Time { return now })
	tenant := id.New[id.Tenant]()
	type state struct {
		yes   bool
		since time.Time
	}
	var people []auth.Principal
	truth := map[id.UserID]*state{}
	for range 5 {
		p := someone(tenant)
		people, truth[p.UserID] = append(people, p), &state{}
	}
	o := permit.Base(tenant, "app1")
	for range 20_000 {
		now = now.Add(time.Duration(r.IntN(700)) * time.Millisecond)
		p := people[r.IntN(len(people))]
		s := truth[p.UserID]
		if r.IntN(6) == 0 {
			s.yes, s.since = !s.yes, now
			f.allow(p, "read", o, s.yes)
			continue
		}
		f.mu.Lock()
		f.until = time.Time{}
		if r.IntN(3) == 0 {
			f.until = now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		f.mu.Unlock()
		err := c.Check(t.Context(), p, "read", o)
		if got := err == nil; got != s.yes && now.Sub(s.since) >= permit.Staleness {
			t.Fatalf("%s after the change the answer is still %v", now.Sub(s.since), got)
		}
	}
}

func TestClient_NoAnswerIsUsedBeyondItsEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFake()
	c := permit.NewFrom(f.check, func() time.Time { return now })
	tenant := id.New[id.Tenant]()
	who, o := someone(tenant), permit.Base(tenant, "app1")
	f.allow(who, "read", o, true)
	f.until = now.Add(time.Second)
	if err := c.Check(t.Context(), who, "read", o); err != nil {
		t.Fatal(err)
	}
	f.allow(who, "read", o, false) // the grant ends by itself: nobody announces it in time
	now = now.Add(time.Second)
	if err := c.Check(t.Context(), who, "read", o); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("at the end of the grant: %v", err)
	}
}

// Nothing that was heard of is answered with less, not even by a call that was under way.
func TestClient_ChangeHeardOfMeanwhileIsSeen(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := permit.NewFrom(f.check, time.Now)
	tenant := id.New[id.Tenant]()
	who, o := someone(tenant), permit.Base(tenant, "app1")
	f.allow(who, "read", o, true)
	var once sync.Once
	f.before = func() { // the answer is yes already; the revocation overtakes it
		once.Do(func() { c.Saw(tenant, strconv.FormatInt(f.allow(who, "read", o, false), 36)) })
	}
	if err := c.Check(t.Context(), who, "read", o); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("an answer from before what was heard of: %v", err)
	}
	if err := c.Check(t.Context(), who, "read", o); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("it was remembered: %v", err)
	}
}

func TestClient_FailsClosed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFake()
	c := permit.NewFrom(f.check, func() time.Time { return now })
	tenant := id.New[id.Tenant]()
	who, o := someone(tenant), permit.Base(tenant, "app1")
	f.allow(who, "read", o, true)
	if err := c.Check(t.Context(), who, "read", o); err != nil {
		t.Fatal(err)
	}
	for _, fail := range []error{errs.ErrUnavailable, errs.ErrForbidden, errors.New("status 418")} {
		f.fail = fail
		if err := c.Check(t.Context(), who, "read", o); err != nil {
			t.Errorf("what is remembered is not used: %v", err)
		}
		if err := c.Check(t.Context(), someone(tenant), "read", o); !errors.Is(err, errs.ErrUnavailable) {
			t.Errorf("%v became %v", fail, err)
		}
		if _, err := c.Filter(t.Context(), someone(tenant), "read", []permit.Object{o}); !errors.Is(err, errs.ErrUnavailable) {
			t.Errorf("%v became %v", fail, err)
		}
	}
	now = now.Add(permit.Staleness)
	if err := c.Check(t.Context(), who, "read", o); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("beyond the bound: %v", err)
	}
}

// Tenants, users, actions, objects and addresses that look alike, asked one by one and in
// batches, at the same time: each gets his own answer.
func TestClient_BatchesAndCacheMixNothingUp(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := permit.NewFrom(f.check, time.Now)
	r := rand.New(rand.NewPCG(3, 4))
	tenants := []id.TenantID{id.New[id.Tenant](), id.New[id.Tenant]()}
	var people []auth.Principal
	shared := id.New[id.User]() // the same user in both tenants
	for _, tenant := range tenants {
		people = append(people, someone(tenant), auth.Principal{UserID: shared, TenantID: tenant, Role: "member"})
	}
	objects := func(t id.TenantID) []permit.Object {
		list := []permit.Object{permit.Tenant(t), "workspace:w1", "workspace:w"}
		for _, app := range []string{"app1", "app11", "app"} {
			list = append(list, permit.Base(t, app), permit.Table(t, app, "tbl1"), permit.Table(t, app+"1", "tbl"))
		}
		for i := range 200 {
			list = append(list, permit.Base(t, fmt.Sprint("app", i)))
		}
		return list
	}
	ips := []string{"", "192.0.2.1", "192.0.2.11"}
	for _, p := range people {
		for _, o := range objects(p.TenantID) {
			for _, a := range permissionapi.Actions {
				for _, ip := range ips {
					f.set(f.key(p.TenantID.String(), permit.Subject(p), a, string(o), ip), r.IntN(2) == 0)
				}
			}
		}
	}
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 9))
			for range 60 {
				p, a, ip := people[r.IntN(len(people))], permissionapi.Actions[r.IntN(6)], ips[r.IntN(3)]
				list := objects(p.TenantID)
				r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				list = append(slices.Clone(list[:r.IntN(len(list))]), permit.Tenant(id.New[id.Tenant]()))
				got, err := c.Filter(origin.Into(t.Context(), origin.Origin{IP: ip}), p, a, list)
				if err != nil {
					t.Error(err)
					return
				}
				f.mu.Lock()
				for i, o := range list {
					if want := f.allowed[f.key(p.TenantID.String(), permit.Subject(p), a, string(o), ip)]; got[i] != want {
						t.Errorf("%s %s %s from %q: %v", permit.Subject(p), a, o, ip, got[i])
					}
				}
				f.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// Who asks the same at the same time shares one call; one that gives up ends no other.
func TestClient_OneCallForAllWhoAskTheSame(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := permit.NewFrom(f.check, time.Now) // out here, since its cache has goroutines that stay
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f.before = func() { <-release }
		tenant := id.New[id.Tenant]()
		who, o := someone(tenant), permit.Base(tenant, "app1")
		f.allow(who, "read", o, true)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.Check(ctx, who, "read", o); !errors.Is(err, errs.ErrUnavailable) {
				t.Errorf("who gave up: %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			wg.Go(func() {
				if err := c.Check(t.Context(), who, "read", o); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		if f.asked != 1 {
			t.Errorf("asked %d times", f.asked)
		}
	})
}

func TestByRole_KnowsTheTokensRoleAlone(t *testing.T) {
	t.Parallel()
	tenant := id.New[id.Tenant]()
	for role, want := range map[string]error{"owner": nil, "admin": nil, "member": nil, "guest": errs.ErrNotFound, "": errs.ErrNotFound} {
		who := auth.Principal{UserID: id.New[id.User](), TenantID: tenant, Role: role}
		if err := (permit.ByRole{}).Check(t.Context(), who, "manage", permit.Base(tenant, "app1")); !errors.Is(err, want) {
			t.Errorf("%q: %v", role, err)
		}
		administers := role == "owner" || role == "admin"
		if err := (permit.ByRole{}).Check(t.Context(), who, permissionapi.ManageMembers, permit.Tenant(tenant)); (err == nil) != administers {
			t.Errorf("%s manages members: %v", role, err)
		}
		got, err := permit.ByRole{}.Filter(t.Context(), who, "read", []permit.Object{permit.Tenant(tenant), permit.Base(id.New[id.Tenant](), "app1")})
		if err != nil || got[0] != (want == nil) || got[1] {
			t.Errorf("%q filters %v, %v", role, got, err)
		}
	}
}
