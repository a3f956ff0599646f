package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// canary is in the name of everything that the victim makes: an answer to anybody else
// that holds it is a leak.
const canary = "canary-2f6c91"

// notRefused are the operations with a parameter in their path that answer a stranger, or
// a guest, otherwise than by 403 or 404, and why that gives nothing away.
var notRefused = map[string]string{
	"deleteFavourite":   "takes away a favourite of the caller's own; that he has none is what he wants",
	"updatePolicy":      "whom the policy is to be about is looked for in the caller's own tenant first",
	"getAuditEntry":     "the number is one of the caller's own log",
	"listSharedTables":  "want a share link's token, and look for one before anything else",
	"listSharedRecords": "want a share link's token, and look for one before anything else",
	"listSnapshots":     "a base's snapshots are looked for in the caller's own tenant, which has none",
	"addDomain":         "what may be a domain is known to everybody, and looked at first",
}

// shownToGuests are the operations that show a guest what the victim has made, and why.
var shownToGuests = map[string]string{
	"getRole":   "whoever is in a tenant may know what its roles allow",
	"listRoles": "whoever is in a tenant may know what its roles allow",
}

// The victim is the owner of an organisation who has one of everything. Every route of
// the merged OpenAPI is called, for what the victim has, by those who must not: a new
// route is covered the moment it is declared.
func TestIsolation_EveryRouteRefusesWhomItMust(t *testing.T) {
	t.Parallel()
	keys := seal.NewKey()
	w := start(t, map[string]string{"SEAL_KEYS": keys})
	v := w.victim(t)
	key := w.signingKey(t, keys)
	them, other := w.user(t)

	claims := claimsOf(t, v.token)
	expired := maps.Clone(claims)
	expired["iat"], expired["exp"] = time.Now().Add(-time.Hour).Unix(), time.Now().Add(-time.Minute).Unix()
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	unknown := map[string]string{
		"without a token": "", "with an expired token": key.sign(t, expired),
		"with a token of another key": signed{key.id, foreign}.sign(t, claims),
	}
	// A token for each call: some end their session.
	stranger := func(service string) string {
		if service != "auth-service" { // which knows its sessions
			return key.sign(t, fresh(claimsOf(t, other.Token)))
		}
		in, err := rpc.Call(t.Context(), w.gateway(auth.Principal{}), authapi.Login, authapi.LoginRequest{Email: them.Email, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		return in.AccessToken
	}
	guest := func() string {
		c := fresh(claims)
		c["sub"], c["role"] = id.New[id.User]().String(), "guest"
		return key.sign(t, c)
	}
	if status, body := request(t, "GET", w.urls[catalog.Gateway.Name]+"/api/v1/users/me", stranger("user-service"), ""); status != 200 {
		t.Fatalf("the stranger's token: %d %s", status, body)
	}
	if status, body := request(t, "GET", w.urls[catalog.Gateway.Name]+"/api/v1/users/me", key.sign(t, fresh(claims)), ""); status != 200 || !strings.Contains(body, canary) {
		t.Fatalf("the victim's token: %d %s", status, body)
	}
	pat := w.pat(t, auth.Principal{Token: v.token}, "user.email:read")

	doc, used, checked := w.schemas(t), map[string]bool{}, 0
	for _, s := range catalog.Services {
		for _, op := range s.Ops {
			if !op.Access.Routed() {
				continue
			}
			checked++
			path, body := v.fill(t, op.Path), doc.body(op)
			for _, base := range []string{w.urls[catalog.Gateway.Name], w.urls[s.Name]} {
				if op.Access == api.User {
					for who, token := range unknown {
						if status, answer := request(t, op.Method, base+path, token, body); status != http.StatusUnauthorized {
							t.Errorf("%s %s: %d %.200s", op.Name, who, status, answer)
						}
					}
				}
				for who, token := range map[string]string{"a stranger": stranger(s.Name), "a guest": guest()} {
					status, answer := request(t, op.Method, base+path, token, body)
					shown := who == "a guest" && shownToGuests[op.Name] != ""
					used[op.Name] = used[op.Name] || shown && status < 300
					if status >= 500 || strings.Contains(answer, canary) && !shown {
						t.Errorf("%s by %s: %d %.300s", op.Name, who, status, answer)
					}
					// auth-service knows its sessions; a guest has none.
					refused := status == http.StatusForbidden || status == http.StatusNotFound ||
						status == http.StatusUnauthorized && s.Name == "auth-service" && who == "a guest"
					if refused || shown || !parameter.MatchString(op.Path) {
						continue
					}
					if used[op.Name] = notRefused[op.Name] != ""; !used[op.Name] {
						t.Errorf("%s by %s: %d %.300s", op.Name, who, status, answer)
					}
				}
			}
			if op.Access == api.User && op.Scope != "user.email:read" {
				status, answer := request(t, op.Method, w.urls[catalog.Gateway.Name]+path, pat, body)
				if status != http.StatusForbidden {
					t.Errorf("%s with a token for something else: %d %.300s", op.Name, status, answer)
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d routes were checked", checked)
	}
	for _, list := range []map[string]string{notRefused, shownToGuests} {
		for name := range list {
			if !used[name] {
				t.Errorf("%s is refused like others: it need not be listed", name)
			}
		}
	}
	v.surface(t, w.urls[catalog.Gateway.Name], unknown, stranger, guest, pat)
	v.intact(t)
}

// victim has one of everything.
type victim struct {
	w     *world
	token string
	ids   map[string]string // by parameter's name, or as collection/{id}
}

// call sends what the victim does and returns the answer.
func (v *victim) call(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	status, answer := request(t, method, v.w.urls[catalog.Gateway.Name]+path, v.token, body)
	out := map[string]any{}
	if status >= 300 || answer != "" && json.Unmarshal([]byte(answer), &out) != nil {
		t.Fatalf("the victim's %s %s: %d %s", method, path, status, answer)
	}
	return out
}

func (v *victim) make(t *testing.T, key, path, body string) {
	t.Helper()
	made, _ := v.call(t, "POST", path, body)["id"].(string)
	if made == "" {
		t.Fatalf("POST %s has no id", path)
	}
	v.ids[key] = made
}

func (v *victim) first(t *testing.T, path, list, field string) string {
	t.Helper()
	items, _ := v.call(t, "GET", path, "")[list].([]any)
	if len(items) == 0 {
		t.Fatalf("GET %s has no %s", path, list)
	}
	item, _ := items[0].(map[string]any)
	return fmt.Sprint(item[field])
}

func (w *world) victim(t *testing.T) *victim {
	t.Helper()
	u, who := w.user(t)
	v := &victim{w: w, token: who.Token, ids: map[string]string{"users/{id}": u.ID}}
	v.call(t, "PATCH", "/api/v1/users/me", `{"name":"`+canary+`"}`)
	v.make(t, "tenant_id", "/api/v1/tenants", `{"name":"`+canary+`"}`)
	await.True(t, "auth-service to know the organisation", func() bool {
		status, answer := request(t, "POST", w.urls[catalog.Gateway.Name]+"/api/v1/auth/switch", v.token, `{"tenant_id":"`+v.ids["tenant_id"]+`"}`)
		var in struct {
			AccessToken string `json:"access_token"`
		}
		if status != 200 || json.Unmarshal([]byte(answer), &in) != nil {
			return false
		}
		v.token = in.AccessToken
		return true
	})
	org := "/api/v1/tenants/" + v.ids["tenant_id"]
	v.ids["member_id"] = v.first(t, org+"/members", "items", "id")
	v.make(t, "group_id", org+"/groups", `{"name":"`+canary+`"}`)
	v.make(t, "invitation_id", org+"/invitations", `{"email":"`+canary+`@example.com","role":"member"}`)
	v.ids["sessions/{id}"] = fmt.Sprint(claimsOf(t, v.token)["sid"])
	v.make(t, "tokens/{id}", "/api/v1/auth/tokens", `{"name":"`+canary+`","scopes":["data.records:read"],"bases":["*"]}`)

	// Behind permission-service's back nobody may do anything: it has to know the owner.
	await.True(t, "the owner may make a base", func() bool {
		status, answer := request(t, "POST", w.urls[catalog.Gateway.Name]+"/v0/meta/bases", v.token,
			`{"name":"`+canary+`","workspaceId":"wspCanary","tables":[{"name":"`+canary+`","fields":[{"name":"Name","type":"singleLineText"}]}]}`)
		var base struct {
			ID     string `json:"id"`
			Tables []struct {
				ID     string                `json:"id"`
				Fields []struct{ ID string } `json:"fields"`
				Views  []struct{ ID string } `json:"views"`
			} `json:"tables"`
		}
		if status != 200 || json.Unmarshal([]byte(answer), &base) != nil || len(base.Tables) != 1 {
			return false
		}
		v.ids["baseId"], v.ids["tableId"] = base.ID, base.Tables[0].ID
		v.ids["table_id"], v.ids["field_id"] = base.Tables[0].ID, base.Tables[0].Fields[0].ID
		return true
	})
	table := "/api/v1/airtable/bases/" + v.ids["baseId"] + "/tables/" + v.ids["tableId"]
	v.make(t, "recordId", "/v0/"+v.ids["baseId"]+"/"+v.ids["tableId"], `{"fields":{"Name":"`+canary+`"}}`)
	v.make(t, "commentId", "/v0/"+v.ids["baseId"]+"/"+v.ids["tableId"]+"/"+v.ids["recordId"]+"/comments", `{"text":"`+canary+`"}`)
	v.make(t, "webhookId", "/v0/bases/"+v.ids["baseId"]+"/webhooks", surfaceBodies["create_webhook"])
	v.make(t, "viewId", table+"/views", `{"name":"`+canary+`"}`)
	v.ids["connections/{id}"] = v.first(t, "/api/v1/airtable/connections", "items", "id")

	v.make(t, "workspace_id", "/api/v1/workspaces", `{"name":"`+canary+`"}`)
	v.make(t, "project_id", "/api/v1/workspaces/"+v.ids["workspace_id"]+"/projects", `{"name":"`+canary+`"}`)
	v.make(t, "base_id", "/api/v1/workspaces/"+v.ids["workspace_id"]+"/bases", `{"base_id":"`+v.ids["baseId"]+`"}`)
	v.make(t, "template_id", "/api/v1/templates", `{"name":"`+canary+`","base_id":"`+v.ids["baseId"]+`"}`)
	v.ids["kind"], v.ids["object_id"] = "workspace", v.ids["workspace_id"]
	v.make(t, "roles/{id}", "/api/v1/permissions/roles", `{"name":"`+canary+`","actions":["read"]}`)
	v.make(t, "sinks/{id}", "/api/v1/audit/sinks", `{"name":"`+canary+`","url":"https://collector.example.com/in","format":"cef"}`)
	v.ids["seq"], v.ids["fieldId"], v.ids["syncId"] = "0", v.ids["field_id"], "canary"
	return v
}

// fill puts the victim's ids into the path. Of what he has none a fresh id stands, which
// is told from his by nobody who may not see either.
func (v *victim) fill(t *testing.T, path string) string {
	t.Helper()
	parts := strings.Split(path, "/")
	before := append([]string{""}, parts...)
	for i, part := range parts {
		if !parameter.MatchString(part) {
			continue
		}
		value, known := v.ids[strings.Trim(part, "{}")]
		if !known {
			value, known = v.ids[before[i]+"/"+part]
		}
		if !known {
			value = id.New[any]().String()
		}
		parts[i] = value
	}
	return strings.Join(parts, "/")
}

// surfaceBodies are what the operations of /v0 take, where that is not {}.
var surfaceBodies = map[string]string{
	"create_base":       `{"name":"x","workspaceId":"wspX","tables":[{"name":"x","fields":[{"name":"Name","type":"singleLineText"}]}]}`,
	"create_table":      `{"name":"x","fields":[{"name":"Name","type":"singleLineText"}]}`,
	"update_table":      `{"name":"x"}`,
	"create_field":      `{"name":"x","type":"singleLineText"}`,
	"update_field":      `{"name":"x"}`,
	"create_records":    `{"fields":{"Name":"x"}}`,
	"update_records":    `{"fields":{"Name":"x"}}`,
	"create_comment":    `{"text":"x"}`,
	"update_comment":    `{"text":"x"}`,
	"create_webhook":    `{"specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`,
	"enable_webhook":    `{"enable":false}`,
	"upload_attachment": `{"contentType":"text/plain","file":"eA==","filename":"x.txt"}`,
}

// surface calls every route of /v0, which are no operations.
func (v *victim) surface(t *testing.T, gateway string, unknown map[string]string, stranger func(service string) string, guest func() string, pat string) {
	t.Helper()
	for _, r := range airtableapi.SurfaceRoutes {
		path, body := v.fill(t, r.Path), surfaceBodies[r.Does]
		if body == "" && r.Method != http.MethodGet && r.Method != http.MethodDelete {
			body = "{}"
		}
		switch {
		case r.Path != "/v0/{baseId}/{tableId}": // the others are of one record, or of no record
		case r.Method == http.MethodDelete:
			path += "?records[]=" + v.ids["recordId"]
		case r.Does == "update_records":
			body = `{"records":[{"id":"` + v.ids["recordId"] + `","fields":{"Name":"x"}}]}`
		}
		for who, token := range unknown {
			if status, answer := request(t, r.Method, gateway+path, token, body); status != http.StatusUnauthorized {
				t.Errorf("%s %s %s: %d %.200s", r.Method, path, who, status, answer)
			}
		}
		for who, token := range map[string]string{"a stranger": stranger("airtable-gateway"), "a guest": guest(), "a token for something else": pat} {
			status, answer := request(t, r.Method, gateway+path, token, body)
			refused := status == http.StatusForbidden || status == http.StatusNotFound
			if status >= 500 || strings.Contains(answer, canary) || strings.Contains(answer, v.ids["baseId"]) || !refused && strings.Contains(r.Path, "{baseId}") {
				t.Errorf("%s %s by %s: %d %.300s", r.Method, path, who, status, answer)
			}
		}
	}
}

// intact fails the test if anything of the victim's is not as he left it.
func (v *victim) intact(t *testing.T) {
	t.Helper()
	for _, path := range []string{
		"/api/v1/tenants/{tenant_id}", "/api/v1/tenants/{tenant_id}/groups/{group_id}", "/api/v1/users/{id}", "/api/v1/auth/tokens/{id}",
		"/api/v1/workspaces/{workspace_id}", "/api/v1/projects/{project_id}", "/api/v1/templates/{template_id}", "/api/v1/permissions/roles/{id}",
		"/api/v1/airtable/bases/{baseId}/tables/{tableId}/records/{recordId}", "/api/v1/airtable/bases/{baseId}/tables/{tableId}/views/{viewId}",
	} {
		status, answer := request(t, "GET", v.w.urls[catalog.Gateway.Name]+v.fill(t, path), v.token, "")
		if status != 200 || !strings.Contains(answer, canary) {
			t.Errorf("the victim's %s: %d %.300s", path, status, answer)
		}
	}
}

// signed is a key that tokens are signed with.
type signed struct {
	id  string
	key ed25519.PrivateKey
}

// signingKey is auth-service's own.
func (w *world) signingKey(t *testing.T, keys string) signed {
	t.Helper()
	box, err := seal.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), w.databases["auth-service"], postgres.Options{AppName: t.Name(), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var kid string
	var sealed []byte
	if err := pool.QueryRow(t.Context(), `SELECT kid, private FROM signing_keys WHERE active_from <= now() ORDER BY active_from DESC LIMIT 1`).Scan(&kid, &sealed); err != nil {
		t.Fatal(err)
	}
	seed, err := box.Open(sealed, []byte("signing_key/"+kid))
	if err != nil {
		t.Fatal(err)
	}
	return signed{kid, ed25519.NewKeyFromSeed(seed)}
}

func (k signed) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	var parts []string
	for _, part := range []any{map[string]string{"alg": "EdDSA", "typ": "JWT", "kid": k.id}, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	text := strings.Join(parts, ".")
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.key, []byte(text)))
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	claims := map[string]any{}
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		t.Fatal("the token has no claims", err)
	}
	return claims
}

// fresh are the claims of another session of the same user.
func fresh(claims map[string]any) map[string]any {
	c := maps.Clone(claims)
	c["sid"], c["jti"] = id.New[id.Session]().String(), id.New[any]().String()
	c["iat"], c["exp"] = time.Now().Unix(), time.Now().Add(5*time.Minute).Unix()
	return c
}

// schemas are what the merged OpenAPI says of bodies.
type schemas struct {
	Paths      map[string]map[string]struct{ RequestBody content }
	Components struct{ Schemas map[string]schema }
}

type content struct {
	Content map[string]struct{ Schema schema }
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Format     string
	Enum       []any
	Const      any
	Pattern    string
	MinLength  int
	Minimum    float64
	MinItems   int
	Required   []string
	Properties map[string]schema
	Items      *schema
}

func (w *world) schemas(t *testing.T) schemas {
	t.Helper()
	w.openapi(t) // complete
	var s schemas
	if status, body := request(t, "GET", w.urls[catalog.Gateway.Name]+"/openapi.json", "", ""); status != 200 || json.Unmarshal([]byte(body), &s) != nil {
		t.Fatalf("the merged OpenAPI: %d", status)
	}
	return s
}

// body is what the operation takes, as little of it as its schema allows.
func (s schemas) body(op api.Spec) string {
	for _, c := range s.Paths[op.Path][strings.ToLower(op.Method)].RequestBody.Content {
		raw, err := json.Marshal(s.value(c.Schema))
		if err == nil {
			return string(raw)
		}
	}
	return ""
}

var known = map[string]string{
	"uuid": "00000000-0000-7000-8000-000000000000", "email": "nobody@example.com", "date": "2026-01-02", "date-time": "2026-01-02T03:04:05Z", "uri": "https://example.com",
}

func (s schemas) value(of schema) any {
	if name, ok := strings.CutPrefix(of.Ref, "#/components/schemas/"); ok {
		of = s.Components.Schemas[name]
	}
	if len(of.Enum) > 0 {
		return of.Enum[0]
	}
	kind, _ := of.Type.(string)
	if list, ok := of.Type.([]any); ok && len(list) > 0 { // and null
		i := slices.IndexFunc(list, func(v any) bool { return v != "null" })
		kind, _ = list[max(i, 0)].(string)
	}
	switch kind {
	case "object":
		out := map[string]any{}
		for _, name := range of.Required {
			out[name] = s.value(of.Properties[name])
		}
		return out
	case "array":
		out := []any{}
		for range of.MinItems {
			out = append(out, s.value(*of.Items))
		}
		return out
	case "integer", "number":
		return max(of.Minimum, 1)
	case "boolean":
		return true
	}
	switch {
	case known[of.Format] != "":
		return known[of.Format]
	case airtableID.MatchString(of.Pattern):
		return airtableID.FindStringSubmatch(of.Pattern)[1] + strings.Repeat("x", 14)
	}
	return strings.Repeat("x", max(of.MinLength, 1))
}

var airtableID = regexp.MustCompile(`^\^(app|tbl|fld|rec|viw)`)
