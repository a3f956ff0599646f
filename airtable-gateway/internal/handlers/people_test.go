package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/handlers"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

// userService stands for user-service.
type userService struct {
	mu    sync.Mutex
	cards map[id.UserID]userapi.UserCard
	asked int
	away  bool
}

func (u *userService) LookUp(_ context.Context, users []id.UserID) ([]userapi.UserCard, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked++
	if u.away {
		return nil, errors.New("away")
	}
	var out []userapi.UserCard
	for _, user := range users {
		if card, ok := u.cards[user]; ok {
			out = append(out, card)
		}
	}
	return out, nil
}

// says is what user-service answers about the user from now on.
func (u *userService) says(user id.UserID, card userapi.UserCard) {
	u.mu.Lock()
	defer u.mu.Unlock()
	card.ID = user.String()
	u.cards[user] = card
}

// known is the tenant's directory entry of the user.
func (f *fleet) known(t *testing.T, tenant id.TenantID, user id.UserID) models.Person {
	t.Helper()
	people, err := f.directory.People(t.Context(), tenant, nil, []id.UserID{user})
	if err != nil {
		t.Fatal(err)
	}
	return people.Of(user)
}

// history is what auth-service and user-service say of one user.
type history struct {
	tenant id.TenantID
	user   id.UserID
}

func (h history) registered(ctx context.Context) events.Event {
	return authapi.UserRegistered.New(ctx, h.tenant, h.user.String(), 1, authapi.UserRegisteredData{
		UserID: h.user.String(), TenantID: h.tenant.String(), Email: "old@secret.example", Name: "Account Secret"})
}

func (h history) verified(ctx context.Context) events.Event {
	return authapi.EmailVerified.New(ctx, h.tenant, h.user.String(), 2, authapi.EmailVerifiedData{UserID: h.user.String(), Email: "new@secret.example"})
}

func (h history) created(ctx context.Context) events.Event {
	return userapi.ProfileCreated.New(ctx, h.tenant, h.user.String(), 1, userapi.ProfileCreatedData{UserID: h.user.String(), TenantID: h.tenant.String()})
}

func (h history) updated(ctx context.Context) events.Event {
	return userapi.UserUpdated.New(ctx, h.tenant, h.user.String(), 3, userapi.UserUpdatedData{UserID: h.user.String(), TenantID: h.tenant.String(), Changed: []string{"name"}})
}

func (h history) deleted(ctx context.Context) events.Event {
	return userapi.UserDeleted.New(ctx, h.tenant, h.user.String(), 4, userapi.UserDeletedData{UserID: h.user.String(), TenantID: h.tenant.String()})
}

// apply hands an event to the directory, as the consumer does.
func (f *fleet) apply(t *testing.T, e events.Event) {
	t.Helper()
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		switch e.Type {
		case authapi.UserRegistered.Name:
			return handle(t, tx, authapi.UserRegistered, e, f.directory.Registered)
		case authapi.EmailVerified.Name:
			return handle(t, tx, authapi.EmailVerified, e, f.directory.EmailVerified)
		case userapi.ProfileCreated.Name:
			return handle(t, tx, userapi.ProfileCreated, e, f.directory.ProfileCreated)
		case userapi.UserUpdated.Name:
			return handle(t, tx, userapi.UserUpdated, e, f.directory.UserUpdated)
		}
		return handle(t, tx, userapi.UserDeleted, e, f.directory.UserDeleted)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func handle[D any](t *testing.T, tx pgx.Tx, kind events.Type[D], e events.Event, fn func(context.Context, pgx.Tx, events.Event, D) error) error {
	t.Helper()
	data, err := kind.Decode(e)
	if err != nil {
		return err
	}
	return fn(t.Context(), tx, e, data)
}

func permutations[T any](list []T) [][]T {
	if len(list) == 0 {
		return [][]T{nil}
	}
	var out [][]T
	for i := range list {
		rest := append(append([]T(nil), list[:i]...), list[i+1:]...)
		for _, p := range permutations(rest) {
			out = append(out, append([]T{list[i]}, p...))
		}
	}
	return out
}

func TestDirectory_EventsInAnyOrderGiveTheSame(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	type say = func(history, context.Context) events.Event
	says := []say{history.registered, history.verified, history.created, history.updated}
	for _, order := range permutations(says) {
		h := history{id.New[id.Tenant](), id.New[id.User]()}
		for _, e := range order {
			f.apply(t, e(h, t.Context()))
		}
		got := f.known(t, h.tenant, h.user)
		if got.Name != "Account Secret" || got.Email != "new@secret.example" || string(got.ID) != models.UserIDOf(h.user) {
			t.Errorf("before the profile is known: %+v", got)
		}
		f.users.says(h.user, userapi.UserCard{Name: "Ada", Email: "copy@secret.example", Version: 3})
		if err := f.people.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.known(t, h.tenant, h.user); got.Name != "Ada" || got.Email != "new@secret.example" {
			t.Errorf("after it was asked for: %+v", got)
		}
		asked := f.users.asked
		if err := f.people.Refresh(t.Context()); err != nil || f.users.asked != asked {
			t.Errorf("asked again for what is known, %v", err)
		}
		f.apply(t, h.registered(t.Context())) // delivered late
		if got := f.known(t, h.tenant, h.user); got.Name != "Ada" {
			t.Errorf("after a late event: %+v", got)
		}
	}
	for _, order := range permutations(append(says, history.deleted)) {
		h := history{id.New[id.Tenant](), id.New[id.User]()}
		for i, e := range order {
			f.apply(t, e(h, t.Context()))
			if i == 1 { // in another tenant too
				if err := f.directory.Meet(t.Context(), id.New[id.Tenant](), h.user); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.users.says(h.user, userapi.UserCard{Name: "Late Secret", Version: 9})
		if err := f.people.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := postgres.ForEveryTenant(f.pool).QueryRow(t.Context(), `SELECT count(*) FROM people p WHERE user_id = $1 AND p::text ILIKE '%secret%'`, h.user).Scan(&n); err != nil || n != 0 {
			t.Fatalf("%d entries still know who it was, %v", n, err)
		}
		if got := f.known(t, h.tenant, h.user); got.Name != "" || got.Email != "" {
			t.Errorf("erased, and still known: %+v", got)
		}
	}
}

func TestDirectory_AskingInVainIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	anna.v0(t, "GET", "/v0/meta/whoami", "").ok(t, nil) // is met
	f.users.away = true
	if err := f.people.Refresh(t.Context()); err == nil {
		t.Error("user-service is away, and nobody says so")
	}
	f.users.away = false
	f.users.says(anna.user, userapi.UserCard{Name: "Anna", Email: "anna@example.com", Version: 1})
	for _, tt := range []struct {
		wait time.Duration
		name string
	}{{0, ""}, {61 * time.Second, "Anna"}} {
		f.now.Advance(tt.wait)
		if err := f.people.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.known(t, anna.tenant, anna.user).Name; got != tt.name {
			t.Errorf("after %v: %q, want %q", tt.wait, got, tt.name)
		}
	}
	f.users.says(anna.user, userapi.UserCard{Version: 2, Deleted: true})
	f.apply(t, userapi.UserUpdated.New(t.Context(), anna.tenant, anna.user.String(), 2, userapi.UserUpdatedData{UserID: anna.user.String()}))
	if err := f.people.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.known(t, anna.tenant, anna.user); got.Name != "" || got.Email != "" {
		t.Errorf("user-service says that he is gone: %+v", got)
	}
}

// What other services say goes the whole way: outbox, relay, Redis, consumer.
func TestPeople_OfEventsCanBeNamedAndAreRenamedAndForgotten(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	pool, rdb := pgtest.New(t, "airtable-gateway", repository.Migrations), redistest.New(t) // the outbox of the others
	consumer := events.NewConsumer("airtable-gateway", f.pool, rdb, events.ConsumerOptions{})
	handlers.Listen(consumer, f.directory, repository.NewPlaces(f.pool), f.erasures.Repo)
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	for _, run := range []func(context.Context) error{consumer.Run, events.NewRelay(pool, rdb, events.RelayOptions{}).Run} {
		loops.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	defer func() { stop(); loops.Wait() }()
	hear := func(e events.Event) {
		t.Helper()
		if err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { return events.Emit(t.Context(), tx, e) }); err != nil {
			t.Fatal(err)
		}
		await.True(t, e.Type+" to be heard", func() bool {
			var n int
			err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM inbox WHERE event_id = $1`, e.ID).Scan(&n)
			return err == nil && n == 1
		})
	}

	anna := f.owner(t)
	h := history{anna.tenant, anna.user}
	hear(h.registered(t.Context()))
	var base struct{ ID string }
	anna.v0(t, "POST", "/v0/meta/bases", `{"name":"B","workspaceId":"wspAAAAAAAAAAAAAA","tables":[{"name":"T","fields":[
		{"name":"N","type":"singleLineText"},{"name":"Owner","type":"singleCollaborator"}]}]}`).ok(t, &base)
	var rec struct {
		ID     string
		Fields map[string]any
	}
	path := "/v0/" + base.ID + "/T"
	anna.v0(t, "POST", path, `{"fields":{"Owner":{"email":"old@secret.example"}}}`).ok(t, &rec)
	usr := models.UserIDOf(anna.user)
	if diff := cmp.Diff(map[string]any{"id": usr, "email": "old@secret.example", "name": "Account Secret"}, rec.Fields["Owner"]); diff != "" {
		t.Error(diff)
	}
	owner := func() any {
		t.Helper()
		rec.Fields = nil
		anna.v0(t, "GET", path+"/"+rec.ID, "").ok(t, &rec)
		return rec.Fields["Owner"]
	}
	hear(h.verified(t.Context()))
	f.users.says(anna.user, userapi.UserCard{Name: "Ada", Version: 3})
	hear(h.updated(t.Context()))
	if err := f.people.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(map[string]any{"id": usr, "email": "new@secret.example", "name": "Ada"}), owner()); diff != "" {
		t.Error(diff)
	}
	hear(h.deleted(t.Context()))
	if diff := cmp.Diff(any(map[string]any{"id": usr}), owner()); diff != "" {
		t.Error(diff)
	}
}

func TestWhoami_TellsTheAddressToWhoHasTheScope(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	usr := models.UserIDOf(anna.user)
	f.apply(t, history{anna.tenant, anna.user}.registered(t.Context()))
	for _, tt := range []struct {
		as   person
		want string
	}{
		{anna.pat(t, "data.records:read", "*"), `{"id":"` + usr + `"}`},
		{anna.pat(t, "data.records:read user.email:read"), `{"id":"` + usr + `","email":"old@secret.example"}`},
		{anna, `{"id":"` + usr + `","email":"old@secret.example"}`},
	} {
		if got := tt.as.v0(t, "GET", "/v0/meta/whoami", ""); got.status != 200 || got.body != tt.want {
			t.Errorf("%d %s, want %s", got.status, got.body, tt.want)
		}
	}
	stranger := f.owner(t) // nothing was heard of him
	if got := stranger.v0(t, "GET", "/v0/meta/whoami", ""); got.body != `{"id":"`+models.UserIDOf(stranger.user)+`"}` {
		t.Errorf("a stranger: %s", got.body)
	}
}

func TestComments_ScopesOpenThemAndStrangersFindNone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	base := anna.shop(t)
	var rec, com struct{ ID string }
	anna.v0(t, "POST", "/v0/"+base+"/Customers", `{"fields":{"Name":"x"}}`).ok(t, &rec)
	path := "/v0/" + base + "/Customers/" + rec.ID + "/comments"
	reader, writer := anna.pat(t, v0.ScopeCommentsRead, base), anna.pat(t, v0.ScopeCommentsWrite, base)
	writer.v0(t, "POST", path, `{"text":"Hi"}`).ok(t, &com)
	reader.v0(t, "GET", path, "").ok(t, nil)
	requests := []struct{ method, path, body string }{
		{"GET", path, ""}, {"POST", path, `{"text":"x"}`}, {"PATCH", path + "/" + com.ID, `{"text":"x"}`}, {"DELETE", path + "/" + com.ID, ""},
	}
	for name, who := range map[string]person{
		"records only": anna.pat(t, v0.ScopeRecordsRead+" "+v0.ScopeRecordsWrite, "*"),
		"other bases":  anna.pat(t, v0.ScopeCommentsRead+" "+v0.ScopeCommentsWrite, "appAAAAAAAAAAAAAA"),
		"a stranger":   f.owner(t),
	} {
		for _, r := range requests {
			if got := who.v0(t, r.method, r.path, r.body); got.status != http.StatusForbidden || got.body != denied {
				t.Errorf("%s %s by %s: %d %s", r.method, r.path, name, got.status, got.body)
			}
		}
	}
	reader.v0(t, "POST", path, `{"text":"x"}`).refused(t, 403, denied)
	writer.v0(t, "GET", path, "").refused(t, 403, denied)
	// Another member of the tenant sees the comment and cannot change it.
	bob := anna.member(t)
	bob.v0(t, "GET", path, "").ok(t, nil)
	for _, r := range requests[2:] {
		if got := bob.v0(t, r.method, r.path, r.body); got.status != 403 || !strings.Contains(got.body, `"INVALID_PERMISSIONS"`) {
			t.Errorf("%s of another's: %d %s", r.method, got.status, got.body)
		}
	}
	var list struct {
		Comments []struct {
			Text   string
			Author struct{ ID string }
		}
		Offset *string
	}
	got := anna.v0(t, "GET", path, "")
	got.ok(t, &list)
	if len(list.Comments) != 1 || list.Comments[0].Text != "Hi" || list.Comments[0].Author.ID != models.UserIDOf(anna.user) || !json.Valid([]byte(got.body)) {
		t.Errorf("comments: %s", got.body)
	}
	writer.v0(t, "DELETE", path+"/"+com.ID, "").ok(t, nil)
}

func TestDirectory_RemembersWhomItHasMet(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	who := auth.Principal{TenantID: anna.tenant, UserID: anna.user}
	for range 2 {
		f.people.Meet(t.Context(), who)
	}
	var n int
	if err := postgres.ForEveryTenant(f.pool).QueryRow(t.Context(), `SELECT count(*) FROM people WHERE user_id = $1`, anna.user).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	other := f.owner(t)
	who = auth.Principal{TenantID: other.tenant, UserID: other.user}
	f.people.Meet(cancelled, who) // fails, and is no reason to refuse him
	f.people.Meet(t.Context(), who)
	if err := postgres.ForEveryTenant(f.pool).QueryRow(t.Context(), `SELECT count(*) FROM people WHERE user_id = $1`, other.user).Scan(&n); err != nil || n != 1 {
		t.Errorf("after a failure: %d entries, %v", n, err)
	}
}
