package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func draft(url, token string) airtableapi.ConnectionCreate {
	return airtableapi.ConnectionCreate{Body: airtableapi.ConnectionDraft{Name: "Account", Kind: airtableapi.KindAirtable, APIURL: url, Token: token}}
}

func connect(t *testing.T, p person, url, token string) airtableapi.Connection {
	t.Helper()
	return must(t, p, airtableapi.CreateConnection, draft(url, token)).Body
}

// uncached has every read of the connection go to Airtable.
func uncached(t *testing.T, p person, c airtableapi.Connection) airtableapi.Connection {
	t.Helper()
	none := 0
	return must(t, p, airtableapi.UpdateConnection, airtableapi.ConnectionUpdate{
		ConnectionPath: airtableapi.ConnectionPath{ID: c.ID},
		Body:           airtableapi.ConnectionPatch{Settings: airtableapi.ConnectionSettingsPatch{FreshnessSeconds: &none}},
	}).Body
}

// account is an Airtable account at the other end of the wire: real HTTP, with
// answers that a test decides.
type account struct {
	*httptest.Server
	calls  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

const accountToken = "patAAAAAAAAAAAAAA.0123456789abcdef"

func newAccount(t *testing.T, bases ...string) *account {
	t.Helper()
	a := &account{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.calls.Add(1)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if h := a.answer.Load(); h != nil {
			(*h)(w, r)
			return
		}
		switch {
		case r.Header.Get("Authorization") != "Bearer "+accountToken:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, badToken)
		case r.URL.Path == "/v0/meta/whoami":
			fmt.Fprint(w, `{"id":"usrAAAAAAAAAAAAAA"}`)
		case r.URL.Path == "/v0/meta/bases":
			list := []map[string]string{}
			for _, b := range bases {
				list = append(list, map[string]string{"id": b, "name": "At " + a.URL, "permissionLevel": "edit"})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"bases": list})
		default:
			fmt.Fprint(w, `{"records":[]}`)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *account) answers(h http.HandlerFunc) { a.answer.Store(&h) }

func TestConnections_TheTokenIsSealedAndNeverShown(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	made := must(t, anna, airtableapi.CreateConnection, draft(far.URL, accountToken))
	if made.Body.Status != airtableapi.StatusActive || made.Location != "/api/v1/airtable/connections/"+made.Body.ID || made.ETag != `"1"` {
		t.Errorf("made: %+v", made)
	}
	shown := send(t, f.url, anna.token, "GET", made.Location, "").body +
		send(t, f.url, anna.token, "GET", "/api/v1/airtable/connections", "").body
	anna.v0(t, "GET", "/v0/appFar/T", "").ok(t, nil)
	if strings.Contains(shown, accountToken) || strings.Contains(f.logs.String(), accountToken) {
		t.Error("the token is shown")
	}
	var sealed []byte
	if err := postgres.ForEveryTenant(f.pool).QueryRow(t.Context(), `SELECT token FROM connections`).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	if len(sealed) <= len(accountToken) || strings.Contains(string(sealed), accountToken) {
		t.Error("the token is stored as it is")
	}
	var told string
	if err := f.pool.QueryRow(t.Context(), `SELECT string_agg(o::text, ' ') FROM outbox o`).Scan(&told); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(told, accountToken) || !strings.Contains(told, "connection.created.v1") {
		t.Errorf("events: %s", told)
	}
}

func TestConnections_ASealedTokenOpensNowhereElse(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna, boris := f.owner(t), f.owner(t)
	connect(t, anna, far.URL, accountToken)
	connect(t, boris, far.URL, accountToken)
	_, err := postgres.ForEveryTenant(f.pool).Exec(t.Context(), `
		UPDATE connections SET token = (SELECT token FROM connections WHERE tenant_id = $1) WHERE tenant_id = $2`, anna.tenant, boris.tenant)
	if err != nil {
		t.Fatal(err)
	}
	anna.v0(t, "GET", "/v0/appFar/T", "").ok(t, nil)
	if r := boris.v0(t, "GET", "/v0/appFar/T", ""); r.status != http.StatusServiceUnavailable {
		t.Errorf("with another's token: %d", r.status)
	}
}

func TestConnections_RefusedTokenNamesItsField(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	_, err := call(t, anna, airtableapi.CreateConnection, draft(far.URL, "patWrong"))
	if e := errs.From(err); !errors.Is(err, airtableapi.ErrTokenRefused) || len(e.Fields) != 1 || e.Fields[0].Pointer != "/token" {
		t.Errorf("wrong token: %v %+v", err, errs.From(err).Fields)
	}
	_, err = call(t, anna, airtableapi.CreateConnection, draft(far.URL, ""))
	if e := errs.From(err); e.Kind != errs.Invalid || len(e.Fields) != 1 || e.Fields[0].Pointer != "/token" {
		t.Errorf("no token: %v", err)
	}
}

func TestConnections_OnlyAllowedAddressesAreCalled(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	f := newFleet(t)
	anna := f.owner(t)
	for _, url := range []string{far.URL, "http://169.254.169.254", "https://api.airtable.com@evil.example", "http://api.airtable.com"} {
		if _, err := call(t, anna, airtableapi.CreateConnection, draft(url, accountToken)); !errors.Is(err, airtableapi.ErrURLNotAllowed) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if n := far.calls.Load(); n != 0 {
		t.Errorf("%d calls went out", n)
	}
}

func TestConnections_AnAddressThatIsNoLongerAllowedIsNotCalled(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	if _, err := postgres.ForEveryTenant(f.pool).Exec(t.Context(), `UPDATE connections SET api_url = 'http://169.254.169.254'`); err != nil {
		t.Fatal(err)
	}
	if r := anna.v0(t, "GET", "/v0/appFar/T", ""); r.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", r.status)
	}
}

func TestConnections_AnAccountThatIsAwayIsKeptUncheckedAndFoundLater(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	far.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	made := connect(t, anna, far.URL, accountToken)
	if made.Status != airtableapi.StatusUnchecked {
		t.Errorf("status = %s", made.Status)
	}
	far.answer.Store(nil)
	anna.v0(t, "GET", "/v0/appFar/T", "").ok(t, nil)
	got := must(t, anna, airtableapi.FetchConnection, airtableapi.ConnectionPath{ID: made.ID})
	if got.Body.Status != airtableapi.StatusActive || got.Body.LastCheckedAt.IsZero() {
		t.Errorf("afterwards: %+v", got.Body)
	}
}

func TestConnections_AWithdrawnTokenIsTheConnectionsFaultNotTheCallers(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	made := connect(t, anna, far.URL, accountToken)
	far.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, badToken)
	})
	if r := anna.v0(t, "GET", "/v0/appFar/T", ""); r.status != http.StatusForbidden || !strings.Contains(r.body, "connection") {
		t.Errorf("got %d %s", r.status, r.body)
	}
	got := must(t, anna, airtableapi.FetchConnection, airtableapi.ConnectionPath{ID: made.ID})
	if got.Body.Status != airtableapi.StatusRefused {
		t.Errorf("status = %s", got.Body.Status)
	}
	_, err := call(t, anna, airtableapi.ListRecords, airtableapi.RecordsQuery{TablePath: at("appFar", "T"), Limit: 5})
	if !errors.Is(err, airtableapi.ErrConnectionRefused) {
		t.Errorf("REST: %v", err)
	}
}

func TestConnections_OnlyAdminsWriteAndStrangersSeeNothing(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	made := connect(t, anna, far.URL, accountToken)
	path, name := airtableapi.ConnectionPath{ID: made.ID}, "Other"
	update := airtableapi.ConnectionUpdate{ConnectionPath: path, Body: airtableapi.ConnectionPatch{Name: &name}}

	member, stranger := anna.member(t), f.owner(t)
	must(t, member, airtableapi.FetchConnection, path)
	for who, want := range map[*person]error{&member: airtableapi.ErrAdminsOnly, &stranger: airtableapi.ErrConnectionNotFound} {
		if _, err := call(t, *who, airtableapi.UpdateConnection, update); !errors.Is(err, want) {
			t.Errorf("update: %v, want %v", err, want)
		}
		if _, err := call(t, *who, airtableapi.DeleteConnection, airtableapi.ConnectionDelete{ConnectionPath: path}); !errors.Is(err, want) {
			t.Errorf("delete: %v, want %v", err, want)
		}
	}
	if _, err := call(t, member, airtableapi.CreateConnection, draft(far.URL, accountToken)); !errors.Is(err, airtableapi.ErrAdminsOnly) {
		t.Errorf("create: %v", err)
	}
	if _, err := call(t, stranger, airtableapi.FetchConnection, path); !errors.Is(err, airtableapi.ErrConnectionNotFound) {
		t.Errorf("get: %v", err)
	}
	if _, err := call(t, anna.pat(t, "*", "*"), airtableapi.FetchConnection, path); errs.From(err).Kind != errs.Forbidden {
		t.Errorf("with a personal access token: %v", err)
	}
	page := must(t, stranger, airtableapi.ListConnections, airtableapi.ConnectionsQuery{PageQuery: api.PageQuery{Limit: 10}})
	if len(page.Items) != 0 {
		t.Errorf("a stranger lists %v", page.Items)
	}
}

func TestConnections_SettingsHaveDefaultsAndChangeOneByOne(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	anna := newFleet(t, far.URL).owner(t)
	off, seconds := false, 0
	in := draft(far.URL, accountToken)
	in.Body.Settings.BeforeImages = &off
	made := must(t, anna, airtableapi.CreateConnection, in).Body
	want := airtableapi.ConnectionSettings{FreshnessSeconds: 30, WatchChanges: true}
	if made.Settings != want {
		t.Errorf("made with %+v, want %+v", made.Settings, want)
	}
	path, on := airtableapi.ConnectionPath{ID: made.ID}, true
	change := airtableapi.ConnectionUpdate{ConnectionPath: path}
	change.Body.Settings = airtableapi.ConnectionSettingsPatch{FreshnessSeconds: &seconds, StableAttachments: &on}
	must(t, anna, airtableapi.UpdateConnection, change)
	want = airtableapi.ConnectionSettings{StableAttachments: true, WatchChanges: true}
	if kept := must(t, anna, airtableapi.FetchConnection, path).Body; kept.Settings != want {
		t.Errorf("kept %+v, want %+v", kept.Settings, want)
	}
	seconds = 86_401
	if _, err := call(t, anna, airtableapi.UpdateConnection, change); errs.From(err).Kind != errs.Invalid {
		t.Errorf("more than a day: %v", err)
	}
}

func TestConnections_LostUpdatesAreRefused(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	anna := newFleet(t, far.URL).owner(t)
	made := must(t, anna, airtableapi.CreateConnection, draft(far.URL, accountToken))
	path, first, second := airtableapi.ConnectionPath{ID: made.Body.ID}, "First", "Second"
	changed := must(t, anna, airtableapi.UpdateConnection, airtableapi.ConnectionUpdate{
		ConnectionPath: path, IfMatch: made.ETag, Body: airtableapi.ConnectionPatch{Name: &first},
	})
	if changed.ETag == made.ETag || changed.Body.Name != first {
		t.Errorf("changed: %+v", changed)
	}
	for _, old := range []string{made.ETag, `"x"`, `W/"1"`} {
		_, err := call(t, anna, airtableapi.UpdateConnection, airtableapi.ConnectionUpdate{
			ConnectionPath: path, IfMatch: old, Body: airtableapi.ConnectionPatch{Name: &second},
		})
		if !errors.Is(err, errs.ErrPreconditionFailed) {
			t.Errorf("with %s: %v", old, err)
		}
	}
	if _, err := call(t, anna, airtableapi.DeleteConnection, airtableapi.ConnectionDelete{ConnectionPath: path, IfMatch: made.ETag}); !errors.Is(err, errs.ErrPreconditionFailed) {
		t.Errorf("delete: %v", err)
	}
	must(t, anna, airtableapi.DeleteConnection, airtableapi.ConnectionDelete{ConnectionPath: path, IfMatch: changed.ETag})
	if _, err := call(t, anna, airtableapi.FetchConnection, path); !errors.Is(err, airtableapi.ErrConnectionNotFound) {
		t.Errorf("after: %v", err)
	}
}

func TestConnections_AKeptTokenIsNotSentToANewAddress(t *testing.T) {
	t.Parallel()
	far, other := newAccount(t), newAccount(t)
	anna := newFleet(t, far.URL, other.URL).owner(t)
	made := connect(t, anna, far.URL, accountToken)
	update := airtableapi.ConnectionUpdate{ConnectionPath: airtableapi.ConnectionPath{ID: made.ID}, Body: airtableapi.ConnectionPatch{APIURL: &other.URL}}
	if _, err := call(t, anna, airtableapi.UpdateConnection, update); errs.From(err).Kind != errs.Invalid || other.calls.Load() != 0 {
		t.Errorf("%v after %d calls", err, other.calls.Load())
	}
	token := accountToken
	update.Body.Token = &token
	if got := must(t, anna, airtableapi.UpdateConnection, update); got.Body.APIURL != other.URL {
		t.Errorf("%+v", got.Body)
	}
}

func TestConnections_PagesFollowEachOther(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	anna := newFleet(t, far.URL).owner(t)
	var want, got []string
	for range 3 {
		want = append(want, connect(t, anna, far.URL, accountToken).ID)
	}
	cursor := ""
	for range 3 {
		page := must(t, anna, airtableapi.ListConnections, airtableapi.ConnectionsQuery{PageQuery: api.PageQuery{Limit: 2, Cursor: cursor}})
		for _, c := range page.Items {
			got = append(got, c.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConnections_OneLocalConnectionServesManyFirstCalls(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if r := anna.v0(t, "GET", "/v0/meta/bases", ""); r.status != http.StatusOK {
				t.Errorf("status %d: %s", r.status, r.body)
			}
		})
	}
	wg.Wait()
	page := must(t, anna, airtableapi.ListConnections, airtableapi.ConnectionsQuery{PageQuery: api.PageQuery{Limit: 10}})
	if len(page.Items) != 1 || page.Items[0].Kind != airtableapi.KindLocal || page.Items[0].WorkspaceID == "" {
		t.Errorf("connections: %+v", page.Items)
	}
	again := airtableapi.ConnectionCreate{Body: airtableapi.ConnectionDraft{Name: "Another", Kind: airtableapi.KindLocal}}
	if _, err := call(t, anna, airtableapi.CreateConnection, again); !errors.Is(err, airtableapi.ErrLocalExists) {
		t.Errorf("a second one: %v", err)
	}
}

func TestConnections_RemovingTheLocalOneLosesNoBase(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	one := must(t, anna, airtableapi.ListConnections, airtableapi.ConnectionsQuery{PageQuery: api.PageQuery{Limit: 10}}).Items[0]
	must(t, anna, airtableapi.DeleteConnection, airtableapi.ConnectionDelete{ConnectionPath: airtableapi.ConnectionPath{ID: one.ID}})
	anna.v0(t, "GET", "/v0/"+base+"/Customers", "").ok(t, nil)
	if two := must(t, anna, airtableapi.FetchBase, airtableapi.BasePath{BaseID: base}); two.ConnectionID == one.ID {
		t.Error("the removed connection answers")
	}
}

func TestConnections_HaveALimit(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	_, err := postgres.ForEveryTenant(f.pool).Exec(t.Context(), `
		INSERT INTO connections (tenant_id, id, name, kind, api_url, token, status, created_at, updated_at)
		SELECT tenant_id, gen_random_uuid(), name, kind, api_url, token, status, created_at, updated_at
		FROM connections, generate_series(1, 99) WHERE tenant_id = $1`, anna.tenant)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, anna, airtableapi.CreateConnection, draft(far.URL, accountToken)); !errors.Is(err, airtableapi.ErrTooManyConnections) {
		t.Errorf("one more: %v", err)
	}
}

func TestUpstreams_CallsAreCountedByWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	uncached(t, anna, connect(t, anna, far.URL, accountToken))
	anna.v0(t, "GET", "/v0/appFar/T", "").ok(t, nil)
	far.Close()
	anna.v0(t, "GET", "/v0/appFar/T", "")
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "airtable_upstream_calls_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			key := ""
			for _, label := range m.GetLabel() { // sorted by name: kind, op, outcome
				key += label.GetValue() + " "
			}
			got[key] = m.GetCounter().GetValue()
		}
	}
	for key, want := range map[string]float64{ // a read that got no answer is tried four times
		"airtable whoami 2xx ": 1, "airtable list_bases 2xx ": 1, "airtable list_records 2xx ": 1, "airtable list_records away ": 4,
	} {
		if got[key] != want {
			t.Errorf("%q = %v, want %v in %v", key, got[key], want, got)
		}
	}
}

func TestConnections_TheOldestConnectionAnswersForABase(t *testing.T) {
	t.Parallel()
	old, young := newAccount(t, "appBoth"), newAccount(t, "appBoth", "appYoung")
	anna := newFleet(t, old.URL, young.URL).owner(t)
	first := connect(t, anna, old.URL, accountToken)
	second := connect(t, anna, young.URL, accountToken)
	page := must(t, anna, airtableapi.ListBases, airtableapi.BasesQuery{PageQuery: api.PageQuery{Limit: 10}})
	got := map[string]string{}
	for _, b := range page.Items {
		got[b.ID] = b.ConnectionID
	}
	if len(got) != 2 || got["appBoth"] != first.ID || got["appYoung"] != second.ID {
		t.Errorf("bases = %v", got)
	}
	before := old.calls.Load()
	anna.v0(t, "GET", "/v0/appBoth/T", "").ok(t, nil)
	if old.calls.Load() != before+1 {
		t.Error("the older account was not asked")
	}
}

func TestConnections_UnknownBasesDoNotSpendTheAccountsBudget(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	before := far.calls.Load()
	for range 5 {
		anna.v0(t, "GET", "/v0/appUnknown/T", "").refused(t, 403, denied)
	}
	if n := far.calls.Load() - before; n > 1 {
		t.Errorf("%d calls for 5 requests", n)
	}
	f.now.Advance(time.Minute)
	anna.v0(t, "GET", "/v0/appUnknown/T", "").refused(t, 403, denied)
	if n := far.calls.Load() - before; n != 2 {
		t.Errorf("%d calls after the interval", n)
	}
}

func TestConnections_BasesOfAnAccountThatIsAwayAreStillListed(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	anna := newFleet(t, far.URL).owner(t)
	connect(t, anna, far.URL, accountToken)
	far.Close()
	if r := anna.v0(t, "GET", "/v0/meta/bases", ""); !strings.Contains(r.body, "appFar") {
		t.Errorf("got %d %s", r.status, r.body)
	}
	r := anna.v0(t, "GET", "/v0/appFar/T", "")
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, "RETRIABLE_ERROR") {
		t.Errorf("a read: %d %s", r.status, r.body)
	}
	if r = anna.v0(t, "POST", "/v0/appFar/T", `{"fields":{}}`); r.status != http.StatusServiceUnavailable {
		t.Errorf("a create that was not sent: %d %s", r.status, r.body)
	}
}

func TestSurface_ACreateWhoseAnswerWasLostIsNotCalledRetriable(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	anna := newFleet(t, far.URL).owner(t)
	connect(t, anna, far.URL, accountToken)
	far.answers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r := anna.v0(t, "POST", "/v0/appFar/T", `{"fields":{}}`)
	if r.status != http.StatusInternalServerError || r.header.Get("Retry-After") != "" || !strings.Contains(r.body, "may or may not") {
		t.Errorf("create: %d %s", r.status, r.body)
	}
	if r = anna.v0(t, "GET", "/v0/appFar/T", ""); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("list: %d %s", r.status, r.body)
	}
}

func TestSurface_AClientThatLeavesIsNoErrorOfOurs(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	far.answers(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the connection end
		leave()
		<-r.Context().Done()
		close(left)
	})
	req, err := http.NewRequestWithContext(ctx, "POST", f.url+"/v0/appFar/T", strings.NewReader(`{"fields":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+anna.token)
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	<-left // the call to the account ended with the client
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(f.logs.String(), `"code":"airtable_unavailable"`) {
		if time.Now().After(deadline) {
			t.Fatalf("no line about it in %s", f.logs)
		}
		runtime.Gosched()
	}
	if strings.Contains(f.logs.String(), `"level":"error"`) {
		t.Errorf("an error was logged: %s", f.logs)
	}
}

func TestSurface_NewBasesGoWhereTheirWorkspaceIs(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	anna := newFleet(t, far.URL).owner(t)
	local := must(t, anna, airtableapi.CreateConnection, airtableapi.ConnectionCreate{Body: airtableapi.ConnectionDraft{Name: "Here", Kind: airtableapi.KindLocal}}).Body
	connect(t, anna, far.URL, accountToken)
	tables := `"tables":[{"name":"T","fields":[{"name":"N","type":"singleLineText"}]}]}`
	var made struct{ ID string }
	anna.v0(t, "POST", "/v0/meta/bases", `{"name":"Here","workspaceId":"`+local.WorkspaceID+`",`+tables).ok(t, &made)
	got := must(t, anna, airtableapi.FetchBase, airtableapi.BasePath{BaseID: made.ID})
	if got.ConnectionID != local.ID || got.Name != "Here" {
		t.Errorf("base: %+v", got)
	}
	before := far.calls.Load()
	anna.v0(t, "POST", "/v0/meta/bases", `{"name":"There","workspaceId":"wspAAAAAAAAAAAAAA",`+tables)
	if far.calls.Load() != before+1 {
		t.Error("a base of Airtable's workspace was not created at Airtable")
	}
}

func TestConnections_GuestsDoNotSeeHowTheOrganisationReachesItsBases(t *testing.T) {
	t.Parallel()
	far := newAccount(t)
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	at := airtableapi.ConnectionPath{ID: connect(t, anna, far.URL, accountToken).ID}
	guest := f.person(t, func(c *auth.Claims) { c.Tenant, c.Role = anna.tenant.String(), "guest" })
	for name, ask := range map[string]func() error{
		"connections": func() error {
			_, err := call(t, guest, airtableapi.ListConnections, airtableapi.ConnectionsQuery{PageQuery: page50})
			return err
		},
		"a connection": func() error { _, err := call(t, guest, airtableapi.FetchConnection, at); return err },
		"its watches": func() error {
			_, err := call(t, guest, airtableapi.ListWatches, airtableapi.WatchesQuery{ConnectionPath: at, PageQuery: page50})
			return err
		},
		"its quota": func() error { _, err := call(t, guest, airtableapi.FetchQuota, at); return err },
		"usage": func() error {
			_, err := call(t, guest, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: page50, By: "base"})
			return err
		},
	} {
		if err := ask(); !errors.Is(err, airtableapi.ErrMembersOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
