package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// The script that operators run must pass on a healthy fleet. Its checks are the
// promises of Phase 1, one by one.
func TestPhase1Script_Passes(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	var env []string
	for name, url := range w.urls {
		env = append(env, config.Prefix(name)+"URL="+url)
	}
	run(t, ".", env, "./test-phase1.sh", w.urls[catalog.Gateway.Name])
}

func TestClients_WorkUnchanged(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"AIRTABLE_EGRESS_ALLOWED": "127.0.0.1"}) // where the clients take webhooks
	_, who := w.user(t)
	w.demo(t, who)
	gateway := w.urls[catalog.Gateway.Name]
	pat := w.pat(t, who, "data.records:read", "data.records:write", "schema.bases:read", "schema.bases:write",
		"data.recordComments:read", "data.recordComments:write", "user.email:read", "webhook:manage")
	await.True(t, "airtable-gateway to have heard who he is", func() bool {
		_, body := request(t, "GET", gateway+"/v0/meta/whoami", pat, "")
		return strings.Contains(body, `"email"`)
	})
	env := []string{"PYAIRTABLE_URL=" + gateway, "PYAIRTABLE_TOKEN=" + pat}
	python := filepath.Join(top(t), clients, ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("the clients are not installed; run make clients (%v)", err)
	}
	t.Run("pyairtable", func(t *testing.T) { run(t, clients, env, python, "scenario.py") })
	t.Run("airtable.js", func(t *testing.T) { run(t, clients, env, "node", "scenario.mjs") })
}

func TestRegister_GivesOneProfileAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	u, who := w.user(t)
	me, err := rpc.Call(t.Context(), w.gateway(who), userapi.GetMe, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if me.Body.ID != u.ID {
		t.Errorf("me is %s, registered as %s", me.Body.ID, u.ID)
	}
	page, err := rpc.Call(t.Context(), w.gateway(who), userapi.ListUsers, userapi.UsersQuery{})
	if err != nil || len(page.Items) != 1 {
		t.Errorf("the tenant's users: %+v, %v", page.Items, err)
	}
}

// document is as much of the merged OpenAPI as the tests read.
type document struct {
	Paths map[string]map[string]struct {
		Security []map[string]any `json:"security"`
	} `json:"paths"`
}

// wantsToken reports whether an operation with these security requirements takes no
// request without a token. An empty one among them says that it does.
func wantsToken(security []map[string]any) bool {
	return len(security) > 0 && !slices.ContainsFunc(security, func(r map[string]any) bool { return len(r) == 0 })
}

func (w *world) openapi(t *testing.T) document {
	t.Helper()
	var doc document
	await.True(t, "the merged OpenAPI has every routed operation", func() bool {
		status, body := request(t, "GET", w.urls[catalog.Gateway.Name]+"/openapi.json", "", "")
		doc = document{}
		if status != 200 || json.Unmarshal([]byte(body), &doc) != nil {
			return false
		}
		for _, s := range catalog.Services {
			for _, op := range s.Ops {
				if _, ok := doc.Paths[op.Path][strings.ToLower(op.Method)]; ok != op.Access.Routed() {
					return false
				}
			}
		}
		return true
	})
	return doc
}

var parameter = regexp.MustCompile(`\{[^}]+\}`)

// Every route of the merged OpenAPI that wants a token refuses who has none, at
// the gateway and at the service's own port. A new route is covered as soon as it
// is declared.
func TestEveryProtectedRoute_RefusesWhoHasNoToken(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	checked := 0
	for path, methods := range w.openapi(t).Paths {
		for method, op := range methods {
			if !wantsToken(op.Security) {
				continue
			}
			target := parameter.ReplaceAllString(path, "00000000-0000-7000-8000-000000000000")
			for _, base := range []string{w.urls[catalog.Gateway.Name], w.urls[owner(t, path, method)]} {
				for _, token := range []string{"", "nonsense", "a.b.c"} {
					status, body := request(t, strings.ToUpper(method), base+target, token, "{}")
					if status != http.StatusUnauthorized {
						t.Errorf("%s %s at %s with token %q: %d %.200s", method, path, base, token, status, body)
					}
				}
			}
			checked++
		}
	}
	if checked < 20 {
		t.Errorf("only %d routes were checked", checked)
	}
}

// owner is the service that declares the operation.
func owner(t *testing.T, path, method string) string {
	t.Helper()
	for _, s := range catalog.Services {
		for _, op := range s.Ops {
			if op.Path == path && strings.EqualFold(op.Method, method) {
				return s.Name
			}
		}
		if slices.ContainsFunc(s.Raw, func(r api.RawRoute) bool { return r.Prefix == path || r.Prefix+"{path}" == path }) {
			return s.Name
		}
	}
	t.Fatalf("nobody declares %s %s", method, path)
	return ""
}

// The internal operations of every service are closed to users at the service's
// own port, and are no routes of the gateway.
func TestInternalOperations_AreClosedToUsers(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	_, who := w.user(t)
	for _, s := range catalog.Services {
		for _, op := range s.Ops {
			if op.Access != api.Internal {
				continue
			}
			target := parameter.ReplaceAllString(op.Path, "00000000-0000-7000-8000-000000000000")
			if status, _ := request(t, op.Method, w.urls[s.Name]+target, who.Token, "{}"); status != http.StatusForbidden {
				t.Errorf("%s at its own port: %d", op.Name, status)
			}
			if status, _ := request(t, op.Method, w.urls[catalog.Gateway.Name]+target, who.Token, "{}"); status != http.StatusNotFound {
				t.Errorf("%s through the gateway: %d", op.Name, status)
			}
		}
	}
}

// Secrets that a client sends or gets must not be found in any service's log.
func TestLogs_HoldNoSecrets(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	u, who := w.user(t)
	pat := w.pat(t, who, "data.records:read", "schema.bases:read")
	base := w.demo(t, who).BaseID
	if status, body := request(t, "GET", w.urls[catalog.Gateway.Name]+"/v0/"+base+"/Countries?maxRecords=1", pat, ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	in, err := rpc.Call(t.Context(), w.gateway(auth.Principal{}), authapi.Login, authapi.LoginRequest{Email: u.Email, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	text := w.log.String()
	for what, secret := range map[string]string{
		"the password": password, "the access token": who.Token, "the personal access token": pat, "the refresh token": in.RefreshToken,
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is in the log", what)
		}
	}
	if !strings.Contains(text, `"op":"registerUser"`) {
		t.Error("the log has no access lines; this test would see nothing")
	}
}

func TestRevocation_ReachesTheGatewayAndTheServices(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	_, who := w.user(t)
	pat := w.pat(t, who, "data.records:read", "schema.bases:read")
	gateway := w.urls[catalog.Gateway.Name]
	if status, body := request(t, "GET", gateway+"/v0/meta/whoami", pat, ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if _, err := rpc.Call(t.Context(), w.gateway(who), authapi.Logout, struct{}{}); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{gateway, w.urls["user-service"]} {
		await.True(t, "the session is refused at "+url, func() bool {
			status, _ := request(t, "GET", url+"/api/v1/users/me", who.Token, "")
			return status == http.StatusUnauthorized
		})
	}
	if status, body := request(t, "GET", gateway+"/v0/meta/whoami", pat, ""); status != 200 {
		t.Errorf("a personal access token outlives the session: %d %s", status, body)
	}
}

// The routes of the customer's list, by name.
func TestBrief_RoutesExist(t *testing.T) {
	t.Parallel()
	const bases = "/api/v1/airtable/bases"
	const records = bases + "/{baseId}/tables/{tableId}/records"
	want := []string{
		"POST /api/v1/auth/register", "POST /api/v1/auth/login", "POST /api/v1/auth/refresh", "POST /api/v1/auth/logout",
		"GET /api/v1/users/me", "PUT /api/v1/users/me", "GET /api/v1/users/{id}", "PUT /api/v1/users/{id}",
		"DELETE /api/v1/users/{id}", "GET /api/v1/users",
		"GET " + bases, "GET " + bases + "/{baseId}", "GET " + bases + "/{baseId}/tables", "GET " + bases + "/{baseId}/tables/{tableId}",
		"GET " + records, "POST " + records, "GET " + records + "/{recordId}", "PATCH " + records + "/{recordId}", "DELETE " + records + "/{recordId}",
	}
	have := map[string]bool{}
	for _, s := range catalog.Services {
		for _, op := range s.Ops {
			have[fmt.Sprintf("%s %s", op.Method, op.Path)] = op.Access.Routed()
		}
	}
	for _, route := range want {
		if !have[route] {
			t.Errorf("%s is not routed", route)
		}
	}
}
