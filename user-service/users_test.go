package userservice_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/user-service/internal/repository"
)

func raw(object string) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		panic(err)
	}
	return m
}

func TestMe_ExistsBeforeItsEvent(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	first := w.me(ada)
	want := userapi.Profile{Locale: "en", TimeZone: "UTC", Preferences: map[string]json.RawMessage{}}
	if diff := cmp.Diff(want, first.Body.Profile); diff != "" {
		t.Error(diff)
	}
	if first.Body.ID != ada.id.String() || first.Body.TenantID != ada.tenant.String() || first.ETag != `"1"` {
		t.Errorf("got %+v", first)
	}
	event := registered(t.Context(), ada, "ada@example.com", "Ada")
	w.publish(event)
	w.consumed(event)
	second := w.me(ada)
	if second.Body.Email != "ada@example.com" || second.Body.Name != "Ada" || second.ETag == first.ETag {
		t.Errorf("the event did not complete the profile: %+v", second)
	}
}

func TestRegistered_MakesTheProfileOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	event, again := registered(t.Context(), ada, "ada@example.com", "Ada"), registered(t.Context(), ada, "old@example.com", "Old")
	w.publish(event)
	w.consumed(event)
	w.publish(again) // the same version of the account
	w.consumed(again)
	if got := w.me(ada); got.Body.Email != "ada@example.com" || got.Body.Name != "Ada" || got.Body.Version != 1 {
		t.Errorf("got %+v", got.Body)
	}
	if n := w.emitted(userapi.ProfileCreated.Name, ada.id); n != 1 {
		t.Errorf("%d events of creation", n)
	}
}

func TestRegistered_LateNeverOverwritesOwnEdits(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	edited := w.named(ada, "Countess Lovelace")
	event := registered(t.Context(), ada, "ada@example.com", "Ada")
	w.publish(event)
	w.consumed(event)
	got := w.me(ada)
	if got.Body.Name != "Countess Lovelace" || got.Body.Email != "ada@example.com" || got.Body.Version <= edited.Body.Version {
		t.Errorf("got %+v", got.Body)
	}
}

// An edit that says nothing about the name leaves it to the event.
func TestRegistered_LateStillNamesTheUnnamed(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	must(w, func() (userapi.UserAnswer, error) {
		return rpc.Call(t.Context(), ada.Client, userapi.PatchMe, userapi.MePatch{Body: userapi.ProfilePatch{Locale: ptr("de")}})
	})
	event := registered(t.Context(), ada, "ada@example.com", "Ada")
	w.publish(event)
	w.consumed(event)
	if got := w.me(ada).Body; got.Name != "Ada" || got.Locale != "de" {
		t.Errorf("got %+v", got)
	}
}

func TestProfile_ExactlyOneUnderRaces(t *testing.T) {
	t.Parallel()
	w := start(t)
	repo := repository.New(w.pool, time.Now)
	for range 10 {
		ada := w.newcomer(id.New[id.Tenant](), "owner")
		event := registered(t.Context(), ada, "ada@example.com", "Ada")
		var err error
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				switch i {
				case 0:
					err = w.apply(repo, event)
				case 1:
					w.named(ada, "Countess")
				default:
					w.me(ada)
				}
			})
		}
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if n := w.count(`SELECT count(*) FROM users WHERE id = $1`, ada.id); n != 1 {
			t.Errorf("%d profiles", n)
		}
		if n := w.count(`SELECT count(*) FROM memberships WHERE user_id = $1`, ada.id); n != 1 {
			t.Errorf("%d memberships", n)
		}
		if n := w.emitted(userapi.ProfileCreated.Name, ada.id); n != 1 {
			t.Errorf("%d events of creation", n)
		}
		if got := w.me(ada).Body; got.Name != "Countess" || got.Email != "ada@example.com" {
			t.Errorf("got %+v", got)
		}
	}
}

func TestReplace_TakesBackWhatWasRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	first := must(w, func() (userapi.UserAnswer, error) {
		return rpc.Call(t.Context(), ada.Client, userapi.ReplaceMe, userapi.MeUpdate{Body: userapi.User{Profile: userapi.Profile{
			Name: " Ada ", AvatarURL: "https://example.com/a.png", Locale: "en-gb", TimeZone: "Europe/London",
			Preferences: raw(`{"big": 12345678901234567890, "nul": "\u0000", "html": "<b>"}`),
		}}})
	})
	if p := first.Body; p.Name != "Ada" || p.Locale != "en-GB" || string(p.Preferences["big"]) != "12345678901234567890" {
		t.Errorf("stored %+v", p)
	}
	again := must(w, func() (userapi.UserAnswer, error) {
		return rpc.Call(t.Context(), ada.Client, userapi.ReplaceMe, userapi.MeUpdate{Precondition: userapi.Precondition{IfMatch: first.ETag}, Body: first.Body})
	})
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("what was read and sent back changed something: %s", diff)
	}
	if n := w.emitted(userapi.UserUpdated.Name, ada.id); n != 1 {
		t.Errorf("%d events for one change", n)
	}
	bare := w.named(ada, "Ada")
	if diff := cmp.Diff(userapi.Profile{Name: "Ada", Locale: "en", TimeZone: "UTC", Preferences: map[string]json.RawMessage{}}, bare.Body.Profile); diff != "" {
		t.Errorf("what is absent gets its default: %s", diff)
	}
}

func TestReplace_ReadOnlyFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.member(id.New[id.Tenant](), "owner")
	status, body := w.raw(ada, http.MethodPut, "/api/v1/users/me",
		fmt.Sprintf(`{"name":"Ada","email":"evil@example.com","tenant_id":%q,"id":%q}`, id.New[id.Tenant](), id.New[id.User]()))
	if status != http.StatusOK {
		t.Fatal(status, body)
	}
	if got := w.me(ada).Body; got.Email != "" || got.TenantID != ada.tenant.String() || got.ID != ada.id.String() {
		t.Errorf("got %+v", got)
	}
}

func TestPatch_IsAMergePatch(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	for _, step := range []struct{ patch, want string }{
		{`{"name":"Ada","locale":"de","preferences":{"a":{"b":1,"c":2},"d":[1]}}`, `{"a":{"b":1,"c":2},"d":[1]}`},
		{`{"locale":null,"time_zone":"Asia/Tokyo","preferences":{"a":{"b":null,"x":{"y":null}},"d":{"e":1}}}`, `{"a":{"c":2,"x":{}},"d":{"e":1}}`},
		{`{"preferences":{"d":null}}`, `{"a":{"c":2,"x":{}}}`},
		{`{}`, `{"a":{"c":2,"x":{}}}`},
		{`{"preferences":null}`, `{}`},
	} {
		if status, body := w.raw(ada, http.MethodPatch, "/api/v1/users/me", step.patch); status != http.StatusOK {
			t.Fatal(step.patch, status, body)
		}
		got, err := json.Marshal(w.me(ada).Body.Preferences)
		if err != nil || string(got) != step.want {
			t.Errorf("after %s: %s, want %s", step.patch, got, step.want)
		}
	}
	if got := w.me(ada).Body; got.Name != "Ada" || got.Locale != "en" || got.TimeZone != "Asia/Tokyo" || got.Version != 5 {
		t.Errorf("got %+v", got)
	}
	if status, body := w.raw(ada, http.MethodPatch, "/api/v1/users/me", `{"name":null}`); status != http.StatusUnprocessableEntity {
		t.Errorf("a name cannot be removed: %d %s", status, body)
	}
}

func TestUpdate_RefusesBadInput(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.member(id.New[id.Tenant](), "owner")
	me := "/api/v1/users/me"
	for _, c := range []struct {
		method, path, body string
		status             int
		names              string
	}{
		{"PUT", me, `{"name":`, 400, ""},
		{"PUT", me, `{}`, 422, ""},
		{"PUT", me, `{"name":"  "}`, 422, "/name"},
		{"PUT", me, `{"name":"a\u0000b"}`, 422, "/name"},
		{"PUT", me, `{"name":"` + strings.Repeat("x", 201) + `"}`, 422, "/name"},
		{"PUT", me, `{"name":7}`, 422, "/name"},
		{"PUT", me, `{"name":"A","nickname":"B"}`, 422, "/nickname"},
		{"PUT", me, `{"name":"A","avatar_url":"javascript:alert(1)"}`, 422, "/avatar_url"},
		{"PUT", me, `{"name":"A","locale":"english please"}`, 422, "/locale"},
		{"PUT", me, `{"name":"A","time_zone":"Mars/Olympus"}`, 422, "/time_zone"},
		{"PUT", me, `{"name":"A","preferences":[1]}`, 422, "/preferences"},
		{"PUT", me, `{"name":"A","preferences":{"a":"` + strings.Repeat("x", 17<<10) + `"}}`, 422, "/preferences"},
		{"PUT", me, `{"name":"A","preferences":` + strings.Repeat(`{"a":`, 9) + `1` + strings.Repeat(`}`, 9) + `}`, 422, "/preferences"},
		{"PUT", me, `{"name":"` + strings.Repeat("x", 70<<10) + `"}`, 413, ""},
		{"PATCH", me, `{"locale":"x y","time_zone":"Local"}`, 422, "/time_zone"},
		{"PATCH", me, `[]`, 422, ""},
		{"PUT", "/api/v1/users/not-an-id", `{"name":"A"}`, 422, "id"},
		{"GET", "/api/v1/users/not-an-id", ``, 422, "id"},
		{"DELETE", "/api/v1/users/not-an-id", ``, 422, "id"},
		{"GET", "/api/v1/users?limit=0", ``, 422, "limit"},
		{"GET", "/api/v1/users?limit=201", ``, 422, "limit"},
		{"GET", "/api/v1/users?cursor=nonsense", ``, 422, "cursor"},
		{"GET", "/api/v1/users?q=%00", ``, 422, "q"},
		{"GET", "/api/v1/users?q=%ff", ``, 422, "q"},
	} {
		status, body := w.raw(ada, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, `"`+c.names) {
			t.Errorf("%s %s %.80s: %d %s", c.method, c.path, c.body, status, body)
		}
	}
	if got := w.me(ada).Body; got.Version != 1 {
		t.Errorf("a refused change was stored: %+v", got)
	}
}

func TestIfMatch_GuardsAgainstLostUpdates(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	stale := w.me(ada).ETag
	current := w.named(ada, "Ada").ETag
	ref := userapi.UserRef{ID: ada.id.String()}
	for match, want := range map[string]string{
		stale: "if_match_failed", `W/` + current: "if_match_failed", `"x"`: "if_match_failed", `2`: "if_match_failed",
		`*`: "", stale + ", " + current: "", "": "",
	} {
		_, err := rpc.Call(t.Context(), ada.Client, userapi.ReplaceUser,
			userapi.UserUpdate{UserRef: ref, Precondition: userapi.Precondition{IfMatch: match}, Body: profile("Ada")})
		if got := code(err); got != want {
			t.Errorf("If-Match %s: %q, want %q", match, got, want)
		}
	}
	_, err := rpc.Call(t.Context(), ada.Client, userapi.DeleteUser, userapi.UserDelete{UserRef: ref, Precondition: userapi.Precondition{IfMatch: stale}})
	if code(err) != errs.ErrPreconditionFailed.Code {
		t.Errorf("deletion of what has changed: %v", err)
	}
}

func TestIfMatch_OneOfManyWins(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	tag := w.me(ada).ETag
	results := make([]string, 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			_, err := rpc.Call(t.Context(), ada.Client, userapi.ReplaceMe,
				userapi.MeUpdate{Precondition: userapi.Precondition{IfMatch: tag}, Body: profile(fmt.Sprint("Ada ", i))})
			results[i] = code(err)
		})
	}
	wg.Wait()
	won := len(slices.DeleteFunc(slices.Clone(results), func(c string) bool { return c != "" }))
	if won != 1 || w.me(ada).Body.Version != 2 {
		t.Errorf("results %q", results)
	}
}

// names lists the whole of what a query finds, page by page, running between
// before the second one.
func (w *world) names(p *person, q string, limit int, between func()) (names []string) {
	w.Helper()
	in := userapi.UsersQuery{Q: q, PageQuery: api.PageQuery{Limit: limit}}
	for {
		page := must(w, func() (userapi.UserPage, error) { return rpc.Call(w.Context(), p.Client, userapi.ListUsers, in) })
		for _, u := range page.Items {
			names = append(names, u.Name)
		}
		if page.NextCursor == "" {
			return names
		}
		if in.Cursor == "" && between != nil {
			between()
		}
		in.Cursor = page.NextCursor
	}
}

func TestList_PagesAreStableUnderInserts(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant := id.New[id.Tenant]()
	boss := w.newcomer(tenant, "owner")
	w.named(boss, "Boss")
	early := w.newcomer(tenant, "member") // registered before the others, seen late
	want := []string{"Boss"}
	for i := range 5 {
		w.named(w.newcomer(tenant, "member"), fmt.Sprint("User ", i))
		want = append(want, fmt.Sprint("User ", i))
	}
	w.named(w.newcomer(id.New[id.Tenant](), "owner"), "Stranger")
	got := w.names(boss, "", 2, func() {
		w.named(early, "Early")
		w.named(w.newcomer(tenant, "member"), "Late")
	})
	if diff := cmp.Diff(append(want, "Late"), got); diff != "" {
		t.Errorf("no user twice, none missing: %s", diff)
	}
}

func TestList_SearchesNamesAndAddresses(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant := id.New[id.Tenant]()
	boss := w.newcomer(tenant, "owner")
	w.named(boss, "Grace Hopper")
	for _, name := range []string{"Élodie Ünal", "100% Cotton", "under_score", `back\slash`} {
		w.named(w.newcomer(tenant, "member"), name)
	}
	mail := registered(t.Context(), boss, "Admiral@Navy.example", "x")
	w.publish(mail)
	w.consumed(mail)
	for q, want := range map[string][]string{
		"gra": {"Grace Hopper"}, "HOPPER": {"Grace Hopper"}, "race h": {"Grace Hopper"}, "admiral@navy": {"Grace Hopper"},
		"ÉLODIE ü": {"Élodie Ünal"}, "%": {"100% Cotton"}, "r_s": {"under_score"}, `k\s`: {`back\slash`}, "nobody": nil,
	} {
		if diff := cmp.Diff(want, w.names(boss, q, 50, nil)); diff != "" {
			t.Errorf("%q: %s", q, diff)
		}
	}
}

func TestList_CursorBelongsToItsQuery(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant := id.New[id.Tenant]()
	boss, other := w.member(tenant, "owner"), w.member(tenant, "owner")
	page := must(w, func() (userapi.UserPage, error) {
		return rpc.Call(t.Context(), boss.Client, userapi.ListUsers, userapi.UsersQuery{PageQuery: api.PageQuery{Limit: 1}})
	})
	in := userapi.UsersQuery{PageQuery: api.PageQuery{Cursor: page.NextCursor}, Q: "x"}
	if _, err := rpc.Call(t.Context(), boss.Client, userapi.ListUsers, in); code(err) != "bad_cursor" {
		t.Errorf("with another search: %v", err)
	}
	in.Q = ""
	if _, err := rpc.Call(t.Context(), other.Client, userapi.ListUsers, in); code(err) != "bad_cursor" {
		t.Errorf("in another's hands: %v", err)
	}
}

func TestList_GuestsSeeThemselves(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant := id.New[id.Tenant]()
	w.named(w.newcomer(tenant, "owner"), "Boss")
	guest := w.newcomer(tenant, "guest")
	if diff := cmp.Diff([]string{""}, w.names(guest, "", 50, nil)); diff != "" {
		t.Error(diff)
	}
	platform := authtest.User(id.New[id.Tenant](), id.New[id.User](), "member")
	platform.Scope = userapi.ScopeUsers
	if got := w.names(w.as(platform), "boss", 50, nil); len(got) != 1 {
		t.Errorf("the platform's administrator found %q", got)
	}
}

func TestDelete_ErasesAndStaysDeleted(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant := id.New[id.Tenant]()
	boss, member, ada := w.member(tenant, "owner"), w.member(tenant, "member"), w.newcomer(tenant, "member")
	event := registered(t.Context(), ada, "ada@secret.example", "Ada Secret")
	must(w, func() (userapi.UserAnswer, error) {
		return rpc.Call(t.Context(), ada.Client, userapi.PatchMe, userapi.MePatch{Body: userapi.ProfilePatch{
			Name: ptr("Ada Secret"), AvatarURL: ptr("https://secret.example/a"), Preferences: raw(`{"k":"secret"}`)}})
	})
	if err := w.apply(repository.New(w.pool, time.Now), event); err != nil {
		t.Fatal(err)
	}
	for _, by := range []*person{ada, ada, boss} {
		if got := code(ops["deleteUser"](t.Context(), by, ada.id.String())); got != "" {
			t.Errorf("deletion, and again: %q", got)
		}
	}
	if n := w.emitted(userapi.UserDeleted.Name, ada.id); n != 1 {
		t.Errorf("%d events of deletion", n)
	}
	for _, table := range []string{"users", "outbox", "memberships", "idempotency_keys"} {
		if n := w.count(`SELECT count(*) FROM ` + table + ` t WHERE t::text ILIKE '%secret%'`); n != 0 {
			t.Errorf("%s still knows who it was", table)
		}
	}
	late := registered(t.Context(), ada, "ada@secret.example", "Ada Secret")
	late.Version = 9
	if err := w.apply(repository.New(w.pool, time.Now), late); err != nil {
		t.Fatal(err)
	}
	for op, who := range map[string]*person{"getMe": ada, "replaceMe": ada, "getUser": boss, "patchUser": boss} {
		if got := code(ops[op](t.Context(), who, ada.id.String())); got != "user_not_found" {
			t.Errorf("%s after deletion: %q", op, got)
		}
	}
	stranger := w.member(id.New[id.Tenant](), "owner")
	for _, who := range []*person{stranger, member} {
		if got := code(ops["deleteUser"](t.Context(), who, ada.id.String())); got != "user_not_found" {
			t.Errorf("deletion of the deleted by one who may not: %q", got)
		}
	}
	if got := w.names(boss, "", 50, nil); len(got) != 2 {
		t.Errorf("the list still has %q", got)
	}
}

func TestLookUp_TellsServicesWhoSomebodyIsAndWhoIsGone(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob, unknown := w.newcomer(tenant, "owner"), w.newcomer(tenant, "owner"), id.New[id.User]()
	repo := repository.New(w.pool, time.Now)
	for who, name := range map[*person]string{ada: "Ada", bob: "Bob"} {
		if err := w.apply(repo, registered(t.Context(), who, name+"@example.com", name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := code(ops["deleteUser"](t.Context(), bob, bob.id.String())); got != "" {
		t.Fatal(got)
	}
	service := w.as(authtest.Service("airtable-gateway"))
	got := must(w, func() (userapi.UserCards, error) {
		return rpc.Call(t.Context(), service.Client, userapi.LookUpUsers, userapi.UserIDs{IDs: []string{ada.id.String(), bob.id.String(), unknown.String()}})
	})
	slices.SortFunc(got.Items, func(a, b userapi.UserCard) int { return strings.Compare(b.Name, a.Name) })
	want := []userapi.UserCard{
		{ID: ada.id.String(), Email: "Ada@example.com", Name: "Ada", Version: 1},
		{ID: bob.id.String(), Version: 2, Deleted: true},
	}
	if diff := cmp.Diff(want, got.Items); diff != "" {
		t.Error(diff)
	}
	for _, bad := range [][]string{{}, {"nobody"}, make([]string, 101)} {
		if _, err := rpc.Call(t.Context(), service.Client, userapi.LookUpUsers, userapi.UserIDs{IDs: bad}); code(err) == "" {
			t.Errorf("%d ids %q were looked up", len(bad), bad[:min(len(bad), 1)])
		}
	}
}

func TestDelete_BeforeTheProfileExists(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	if got := code(ops["deleteUser"](t.Context(), ada, ada.id.String())); got != "" {
		t.Fatal(got)
	}
	event := registered(t.Context(), ada, "ada@example.com", "Ada")
	w.publish(event)
	w.consumed(event)
	if got := code(ops["getMe"](t.Context(), ada, "")); got != "user_not_found" {
		t.Errorf("the event brought the user back: %q", got)
	}
}

func TestDelete_AnnouncedOnceUnderRaces(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.member(id.New[id.Tenant](), "owner")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if got := code(ops["deleteUser"](t.Context(), ada, ada.id.String())); got != "" {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	if n := w.emitted(userapi.UserDeleted.Name, ada.id); n != 1 {
		t.Errorf("%d events of deletion", n)
	}
}

func TestMetrics_CountWhatWasDone(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.newcomer(id.New[id.Tenant](), "owner")
	w.named(ada, "Ada")
	w.named(ada, "Ada") // changes nothing
	_, body := w.raw(nil, http.MethodGet, "/metrics", "")
	for _, line := range []string{`user_profile_changes_total{change="created_by_token"} 1`, `user_profile_changes_total{change="updated"} 1`, `user_profile_changes_total{change="deleted"} 0`} {
		if !strings.Contains(body, line) {
			t.Errorf("no %s", line)
		}
	}
}

// apply has the event applied at once, in a transaction as the consumer's.
func (w *world) apply(repo *repository.Repository, e events.Event) error {
	d, err := authapi.UserRegistered.Decode(e)
	if err != nil {
		return err
	}
	return postgres.InTx(w.Context(), w.pool, func(tx pgx.Tx) error { return repo.Registered(w.Context(), tx, e, d) })
}
