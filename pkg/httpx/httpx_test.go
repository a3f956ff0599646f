package httpx_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/idempotency"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/pkg/metrics"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
	"github.com/pyairtable/pyairtable/pkg/tracing"
)

type note struct {
	Title string   `json:"title" minLength:"1" maxLength:"20"`
	Tags  []string `json:"tags,omitempty"`
}

type noteEdit struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
	Body    note
}

type noteAnswer struct {
	ETag string `header:"ETag"`
	Body note
}

type search struct {
	api.PageQuery
	Tags []string `query:"tag,explode"`
}

var (
	errDull = errs.New(errs.Conflict, "too_dull", "Nobody would read that.")

	create = api.Op[note, note]{Name: "createNote", Method: http.MethodPost, Path: "/api/v1/notes", Status: 201, Access: api.Public, Idempotent: true, Errors: []*errs.Error{errDull}}
	edit   = api.Op[noteEdit, noteAnswer]{Name: "editNote", Method: http.MethodPut, Path: "/api/v1/notes/{id}", Scope: "notes:write"}
	list   = api.Op[search, api.Page[string]]{Name: "listNotes", Method: http.MethodGet, Path: "/api/v1/notes"}
	purge  = api.Op[struct{}, struct{}]{Name: "purgeNotes", Method: http.MethodPost, Path: "/internal/v1/notes/purge", Status: 204, Access: api.Internal, Callers: []string{"janitor"}}
	count  = api.Op[struct{}, struct{}]{Name: "countNotes", Method: http.MethodPost, Path: "/internal/v1/notes/count", Status: 204, Access: api.Internal, Callers: []string{api.AnyService}}
	lose   = api.Op[struct{}, struct{}]{Name: "loseNotes", Method: http.MethodPost, Path: "/internal/v1/notes/lose", Status: 204, Access: api.Internal}
	burn   = api.Op[struct{}, struct{}]{Name: "burn", Method: http.MethodGet, Path: "/api/v1/burn", Access: api.Public, Status: 204}
)

// world is a service with a few operations, served over HTTP.
type world struct {
	*httptest.Server
	key     ed25519.PrivateKey
	log     *bytes.Buffer
	reg     *prometheus.Registry
	created atomic.Int32
	api     *httpx.API
}

type oneKey struct{ ed25519.PublicKey }

func (k oneKey) Key(context.Context, string) (ed25519.PublicKey, error) { return k.PublicKey, nil }
func (oneKey) Generation() uint64                                       { return 0 }

func newWorld(t *testing.T) *world {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{key: key, log: &bytes.Buffer{}, reg: prometheus.NewRegistry()}
	log, err := logging.New(w.log, "notes", "info")
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := tracing.Start(t.Context(), "notes", "")
	if err != nil {
		t.Fatal(err)
	}
	engine := httpx.NewEngine()
	w.api = httpx.New(engine, httpx.Options{
		Service: "notes", Title: "Notes", Log: log, Metrics: metrics.NewHTTP(w.reg), Tracer: tracer,
		Verifier: auth.NewVerifier("pyairtable", oneKey{pub}, nil),
	})
	w.api.Remember(idempotency.New(pgtest.New(t, "idempotency", nil), newBox(t)))
	httpx.Handle(w.api, create, func(_ context.Context, _ auth.Principal, in note) (note, error) {
		if in.Title == "dull" {
			return note{}, errDull.Because(io.EOF).After(time.Minute)
		}
		in.Tags = append(in.Tags, fmt.Sprint(w.created.Add(1)))
		return in, nil
	})
	httpx.Handle(w.api, edit, func(_ context.Context, who auth.Principal, in noteEdit) (noteAnswer, error) {
		if in.IfMatch == "" {
			return noteAnswer{}, errs.ErrPreconditionFailed
		}
		return noteAnswer{ETag: in.IfMatch + "+1", Body: note{Title: in.ID, Tags: []string{who.Role}}}, nil
	})
	httpx.Handle(w.api, list, func(_ context.Context, _ auth.Principal, in search) (api.Page[string], error) {
		return api.Page[string]{Items: append([]string{in.Cursor}, in.Tags...)}, nil
	})
	for _, op := range []api.Op[struct{}, struct{}]{purge, count, lose} {
		httpx.Handle(w.api, op, func(context.Context, auth.Principal, struct{}) (struct{}, error) { return struct{}{}, nil })
	}
	httpx.Handle(w.api, burn, func(context.Context, auth.Principal, struct{}) (struct{}, error) { panic("secret detail") })
	httpx.Raw(w.api, api.RawRoute{Prefix: "/raw/"}, func(c *gin.Context) { c.String(200, c.Request.URL.EscapedPath()) })
	w.Server = httptest.NewServer(engine)
	t.Cleanup(w.Close)
	return w
}

func newBox(t *testing.T) *seal.Box {
	t.Helper()
	box, err := seal.New(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func (w *world) token(t *testing.T, change func(*auth.Claims)) auth.Principal {
	t.Helper()
	c := auth.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "pyairtable", Audience: jwt.ClaimStrings{auth.AudienceUser}, Subject: id.New[any]().String(),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
	}, Scope: auth.Any, Role: "member"}
	if change != nil {
		change(&c)
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c).SignedString(w.key)
	if err != nil {
		t.Fatal(err)
	}
	return auth.Principal{Token: s}
}

func (w *world) client(who auth.Principal) *rpc.Client {
	return rpc.New(rpc.Options{Callee: "notes", Addresses: []string{w.URL}}).As(who)
}

func (w *world) send(t *testing.T, method, path, body string) (*http.Response, errs.Problem) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p errs.Problem
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		if ct := resp.Header.Get("Content-Type"); ct != errs.ContentType {
			t.Errorf("%s %s answers an error as %s: %s", method, path, ct, b)
		}
		if err := json.Unmarshal(b, &p); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
	return resp, p
}

func TestHandle_BodyIsTheStructItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got, err := rpc.Call(t.Context(), w.client(auth.Principal{}), create, note{Title: "hello", Tags: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(note{Title: "hello", Tags: []string{"a", "1"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestHandle_EnvelopeCarriesParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got, err := rpc.Call(t.Context(), w.client(w.token(t, nil)), edit, noteEdit{ID: "a/b ü", IfMatch: "v1", Body: note{Title: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(noteAnswer{ETag: "v1+1", Body: note{Title: "a/b ü", Tags: []string{"member"}}}, got); diff != "" {
		t.Error(diff)
	}
	page, err := rpc.Call(t.Context(), w.client(w.token(t, nil)), list, search{PageQuery: api.PageQuery{Cursor: "c&d"}, Tags: []string{"x", "y z"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c&d", "x", "y z"}, page.Items); diff != "" {
		t.Error(diff)
	}
}

func TestHandle_ErrorIsTheSameInTheCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := rpc.Call(t.Context(), w.client(auth.Principal{}), create, note{Title: "dull"})
	if !errors.Is(err, errDull) || errs.From(err).RetryAfter != time.Minute {
		t.Fatalf("got %v", err)
	}
	resp, p := w.send(t, "POST", "/api/v1/notes", `{"title":"dull"}`)
	if resp.Header.Get("Retry-After") != "60" || p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-ID") {
		t.Errorf("headers %v, problem %+v", resp.Header, p)
	}
}

func TestHandle_BadInputNamesTheField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		body, pointer string
		status        int
	}{
		{`{"title":""}`, "/title", 422},
		{`{"title":"x","tags":["a",7]}`, "/tags/1", 422},
		{`{}`, "", 422},
		{`{"title":"x","more":1}`, "/more", 422},
		{`{"title":`, "", 400},
	} {
		resp, p := w.send(t, "POST", "/api/v1/notes", c.body)
		if resp.StatusCode != c.status || (c.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != c.pointer)) {
			t.Errorf("%s: %d %+v", c.body, resp.StatusCode, p)
		}
	}
	if resp, p := w.send(t, "POST", "/api/v1/notes", strings.Repeat(" ", 2<<20)); resp.StatusCode != 413 {
		t.Errorf("a huge body: %d %+v", resp.StatusCode, p)
	}
}

func TestHandle_AccessMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	service := w.token(t, func(c *auth.Claims) {
		c.Audience, c.Subject = jwt.ClaimStrings{auth.AudienceService}, auth.ServiceSubject("janitor")
	})
	pat := w.token(t, func(c *auth.Claims) { c.PAT, c.Scope = "p", "notes:write" })
	patOther := w.token(t, func(c *auth.Claims) { c.PAT, c.Scope = "p", "notes:read" })
	for name, c := range map[string]struct {
		who                auth.Principal
		list, edit, purged error
	}{
		"nobody":                    {auth.Principal{}, errs.ErrUnauthenticated, errs.ErrUnauthenticated, errs.ErrUnauthenticated},
		"a user":                    {w.token(t, nil), nil, nil, errs.ErrForbidden},
		"a service":                 {service, errs.ErrForbidden, errs.ErrForbidden, nil},
		"a token with the scope":    {pat, errs.ErrForbidden, nil, errs.ErrForbidden},
		"a token without the scope": {patOther, errs.ErrForbidden, errs.ErrForbidden, errs.ErrForbidden},
	} {
		cl := w.client(c.who)
		_, err1 := rpc.Call(t.Context(), cl, list, search{})
		_, err2 := rpc.Call(t.Context(), cl, edit, noteEdit{ID: "1", IfMatch: "v", Body: note{Title: "x"}})
		_, err3 := rpc.Call(t.Context(), cl, purge, struct{}{})
		for i, pair := range [][2]error{{err1, c.list}, {err2, c.edit}, {err3, c.purged}} {
			if !errors.Is(pair[0], pair[1]) || (pair[0] == nil) != (pair[1] == nil) {
				t.Errorf("%s, operation %d: got %v, want %v", name, i, pair[0], pair[1])
			}
		}
	}
}

func TestHandle_InternalOperationsAdmitTheirCallersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	as := func(service, audience string) *rpc.Client {
		return w.client(w.token(t, func(c *auth.Claims) {
			c.Audience, c.Subject = jwt.ClaimStrings{audience}, auth.ServiceSubject(service)
		}))
	}
	for name, c := range map[string]struct {
		by                 *rpc.Client
		purge, count, lose error
	}{
		"a caller":                  {as("janitor", auth.AudienceService), nil, nil, errs.ErrForbidden},
		"another service":           {as("x", auth.AudienceService), errs.ErrForbidden, nil, errs.ErrForbidden},
		"a service called *":        {as("*", auth.AudienceService), errs.ErrForbidden, nil, errs.ErrForbidden},
		"a user of a caller's name": {as("janitor", auth.AudienceUser), errs.ErrUnauthenticated, errs.ErrUnauthenticated, errs.ErrUnauthenticated},
		"a user":                    {w.client(w.token(t, nil)), errs.ErrForbidden, errs.ErrForbidden, errs.ErrForbidden},
		"nobody":                    {w.client(auth.Principal{}), errs.ErrUnauthenticated, errs.ErrUnauthenticated, errs.ErrUnauthenticated},
	} {
		for op, want := range map[*api.Op[struct{}, struct{}]]error{&purge: c.purge, &count: c.count, &lose: c.lose} {
			if _, err := rpc.Call(t.Context(), c.by, *op, struct{}{}); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s by %s: got %v, want %v", op.Name, name, err, want)
			}
		}
	}
}

func TestHandle_PanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	resp, p := w.send(t, "GET", "/api/v1/burn", "")
	if resp.StatusCode != 500 || strings.Contains(p.Detail, "secret") {
		t.Errorf("%d %+v", resp.StatusCode, p)
	}
	if !strings.Contains(w.log.String(), "secret detail") {
		t.Error("the panic is not in the log")
	}
}

func TestRaw_GetsThePathAsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", w.URL+"/raw/a%2Fb//c/?", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token(t, nil).Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "/raw/a%2Fb//c/" {
		t.Errorf("%s, %v", b, err)
	}
}

func TestRequestID_OfAClientMustBeSane(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for given, kept := range map[string]bool{"abc-1.2_3": true, "a b": false, strings.Repeat("x", 65): false, `"}{`: false} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", w.URL+"/nothing", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-ID", given)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("X-Request-ID"); (got == given) != kept || got == "" {
			t.Errorf("%q came back as %q", given, got)
		}
		if resp.StatusCode != 404 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}

func TestOpenAPI_DescribesEveryOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	resp, err := http.Get(w.URL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]any
			Security    []any
			Internal    bool `json:"x-internal"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	c := doc.Paths["/api/v1/notes"]["post"]
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || c.OperationID != "createNote" || c.Responses["409"] == nil || c.Responses["201"] == nil {
		t.Errorf("got %+v", doc)
	}
	if p := doc.Paths["/internal/v1/notes/purge"]["post"]; !p.Internal || len(p.Security) == 0 {
		t.Errorf("purge: %+v", p)
	}
}

func TestIdempotency_RepeatedCreateIsTheFirstOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	send := func(key, body string) (int, string, string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+"/api/v1/notes", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b), resp.Header.Get("Idempotency-Replayed")
	}
	status, first, replayed := send("k1", `{"title":"x"}`)
	if status != 201 || replayed != "" {
		t.Fatalf("%d %s", status, first)
	}
	if status, again, replayed := send("k1", `{"title":"x"}`); status != 201 || again != first || replayed != "true" {
		t.Errorf("repeat: %d %s", status, again)
	}
	if status, body, _ := send("k1", `{"title":"y"}`); status != 422 {
		t.Errorf("another body: %d %s", status, body)
	}
	if status, _, _ := send("k2", `{"title":"dull"}`); status != 409 {
		t.Errorf("refused: %d", status)
	}
	if status, body, _ := send("k2", `{"title":"bright"}`); status != 201 {
		t.Errorf("a refusal must not use the key up: %d %s", status, body)
	}
	if n := w.created.Load(); n != 2 {
		t.Errorf("%d notes were made", n)
	}
}
