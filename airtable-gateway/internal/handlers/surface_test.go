package handlers_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/auth"
)

const (
	notFound = `{"error":"NOT_FOUND"}`
	noToken  = `{"error":{"type":"AUTHENTICATION_REQUIRED","message":"Authentication required"}}`
	badToken = `{"error":{"type":"UNAUTHORIZED","message":"Invalid authentication token"}}`
	denied   = `{"error":{"type":"INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND","message":"Invalid permissions, or the requested model was not found. Check that both your user and your token have the required permissions, and that the model names and/or ids are correct."}}`
	noSchema = `{"error":{"type":"NOT_FOUND"}}`
)

func TestSurface_RouteComesBeforeTokenComesBeforeBase(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	send(t, f.url, "", "GET", "/v0/junk/T", "").refused(t, 404, notFound)
	send(t, f.url, "wrong", "GET", "/v0/app1/T/junk", "").refused(t, 404, notFound)
	send(t, f.url, "", "GET", "/v0/app1/T", "").refused(t, 401, noToken)
	send(t, f.url, "", "GET", "/v0/meta/whoami", "").refused(t, 401, noToken)
	send(t, f.url, "patWrong.123", "GET", "/v0/app1/T", "").refused(t, 401, badToken)
	anna.v0(t, "GET", "/v0/app1/T", "").refused(t, 403, denied)
	anna.v0(t, "GET", "/v0/meta/bases/app1/tables", "").refused(t, 404, noSchema)
	anna.v0(t, "HEAD", "/v0/app1/T", "")
	if r := send(t, f.url, "", "OPTIONS", "/v0/app1/T", ""); r.status != http.StatusNoContent {
		t.Errorf("OPTIONS: %d", r.status)
	}
}

func TestSurface_ForgedAndServiceTokensOpenNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	forged := f.owner(t).token
	forged = forged[:len(forged)-8] + "AAAAAAAA"
	send(t, f.url, forged, "GET", "/v0/meta/bases", "").refused(t, 401, badToken)
	service := f.sign(t, auth.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "pyairtable", Audience: jwt.ClaimStrings{auth.AudienceService}, Subject: auth.ServiceSubject("sync-service"),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}, Scope: auth.Any})
	send(t, f.url, service, "GET", "/v0/meta/bases", "").refused(t, 401, badToken)
}

func TestSurface_WhoamiIsStableAndNeedsNoScope(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	var first, second struct{ ID string }
	anna.v0(t, "GET", "/v0/meta/whoami", "").ok(t, &first)
	anna.pat(t, "").v0(t, "GET", "/v0/meta/whoami", "").ok(t, &second)
	if first != second || !regexp.MustCompile(`^usr[A-Za-z0-9]{14}$`).MatchString(first.ID) {
		t.Errorf("got %v and %v", first, second)
	}
}

func TestSurface_ScopesOpenWhatAirtableSays(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	base := anna.shop(t)
	var made struct{ ID string }
	anna.v0(t, "POST", "/v0/"+base+"/Customers", `{"fields":{"Name":"x"}}`).ok(t, &made)
	orders := "/v0/" + base + "/Orders%2F2"
	requests := []struct{ request, body, scope string }{
		{"GET /v0/meta/bases", "", v0.ScopeSchemaRead},
		{"GET /v0/meta/bases/" + base + "/tables", "", v0.ScopeSchemaRead},
		{"POST /v0/meta/bases", "{}", v0.ScopeSchemaWrite},
		{"POST /v0/meta/bases/" + base + "/tables", "{}", v0.ScopeSchemaWrite},
		{"PATCH /v0/meta/bases/" + base + "/tables/Customers", "{}", v0.ScopeSchemaWrite},
		{"POST /v0/meta/bases/" + base + "/tables/Customers/fields", "{}", v0.ScopeSchemaWrite},
		{"PATCH /v0/meta/bases/" + base + "/tables/Customers/fields/Name", "{}", v0.ScopeSchemaWrite},
		{"GET " + orders, "", v0.ScopeRecordsRead},
		{"POST " + orders + "/listRecords", "{}", v0.ScopeRecordsRead},
		{"GET /v0/" + base + "/Customers/" + made.ID, "", v0.ScopeRecordsRead},
		{"POST " + orders, "{}", v0.ScopeRecordsWrite},
		{"PATCH " + orders, "{}", v0.ScopeRecordsWrite},
		{"PUT " + orders + "/rec1", "{}", v0.ScopeRecordsWrite},
		{"DELETE " + orders + "/rec1", "", v0.ScopeRecordsWrite},
		{"GET " + orders + "/rec1/comments", "", v0.ScopeCommentsRead},
		{"POST /v0/bases/" + base + "/webhooks", "{}", v0.ScopeWebhooks},
		{"GET /v0/bases/" + base + "/webhooks", "", v0.ScopeWebhooks},
		{"DELETE /v0/bases/" + base + "/webhooks/ach1", "", v0.ScopeWebhooks},
		{"POST /v0/bases/" + base + "/webhooks/ach1/refresh", "", v0.ScopeWebhooks},
		{"POST /v0/bases/" + base + "/webhooks/ach1/enableNotifications", "{}", v0.ScopeWebhooks},
		{"GET /v0/bases/" + base + "/webhooks/ach1/payloads", "", v0.ScopeWebhooks},
	}
	for _, scope := range []string{"", v0.ScopeSchemaRead, v0.ScopeSchemaWrite, v0.ScopeRecordsRead, v0.ScopeRecordsWrite, v0.ScopeCommentsRead, v0.ScopeWebhooks} {
		token := anna.pat(t, scope, "*")
		for _, r := range requests {
			method, path, _ := strings.Cut(r.request, " ")
			got := token.v0(t, method, path, r.body)
			if opened := got.body != denied; opened != (scope == r.scope) {
				t.Errorf("%s with scope %q: %d %s", r.request, scope, got.status, got.body)
			}
			if got.status >= 500 {
				t.Errorf("%s with scope %q: %d", r.request, scope, got.status)
			}
		}
	}
}

func TestSurface_ATokenSeesOnlyItsBases(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	one, two := anna.shop(t), anna.shop(t)
	token := anna.pat(t, "data.records:read data.records:write schema.bases:read schema.bases:write", one)
	var list struct{ Bases []struct{ ID string } }
	token.v0(t, "GET", "/v0/meta/bases", "").ok(t, &list)
	if len(list.Bases) != 1 || list.Bases[0].ID != one {
		t.Errorf("bases = %v, want only %s", list.Bases, one)
	}
	token.v0(t, "GET", "/v0/"+one+"/Customers", "").ok(t, nil)
	token.v0(t, "GET", "/v0/"+two+"/Customers", "").refused(t, 403, denied)
	token.v0(t, "POST", "/v0/"+two+"/Customers", `{"fields":{}}`).refused(t, 403, denied)
	token.v0(t, "GET", "/v0/meta/bases/"+two+"/tables", "").refused(t, 404, noSchema)
	token.v0(t, "POST", "/v0/meta/bases", `{}`).refused(t, 403, denied)
	anna.pat(t, "data.records:read").v0(t, "GET", "/v0/"+one+"/Customers", "").refused(t, 403, denied)
}

func TestSurface_AnotherTenantsBaseDoesNotExist(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna, boris := f.owner(t), f.owner(t)
	base := anna.shop(t)
	var made struct{ ID string }
	anna.v0(t, "POST", "/v0/"+base+"/Customers", `{"fields":{"Name":"secret"}}`).ok(t, &made)
	at := "/v0/" + base + "/Customers"
	for _, request := range []string{"GET " + at, "GET " + at + "/" + made.ID, "POST " + at, "PATCH " + at + "/" + made.ID,
		"PUT " + at, "DELETE " + at + "/" + made.ID, "DELETE " + at + "?records[]=" + made.ID, "POST " + at + "/listRecords"} {
		method, path, _ := strings.Cut(request, " ")
		boris.v0(t, method, path, `{"fields":{"Name":"mine"}}`).refused(t, 403, denied)
	}
	boris.v0(t, "GET", "/v0/meta/bases/"+base+"/tables", "").refused(t, 404, noSchema)
	if r := boris.v0(t, "GET", "/v0/meta/bases", ""); r.body != `{"bases":[]}` {
		t.Errorf("bases of a stranger: %s", r.body)
	}
	if r := anna.v0(t, "GET", at+"/"+made.ID, ""); !strings.Contains(r.body, `"secret"`) {
		t.Errorf("after all that: %s", r.body)
	}
}

func TestSurface_TheListOfBasesTakesAnOffsetAndNoPageSize(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	anna.shop(t)
	if r := anna.v0(t, "GET", "/v0/meta/bases?pageSize=5", ""); r.status != 422 {
		t.Errorf("pageSize: %d %s", r.status, r.body)
	}
	if r := anna.v0(t, "GET", "/v0/meta/bases?offset=itrX%2FappX", ""); r.status != 422 || !strings.Contains(r.body, "INVALID_OFFSET_VALUE") {
		t.Errorf("offset: %d %s", r.status, r.body)
	}
	anna.v0(t, "GET", "/v0/meta/bases?offset=", "").ok(t, nil)
}

// A write that was not begun may be sent again, and pyairtable does so.
func TestSurface_WithoutTheDatabaseNothingWasExecuted(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	f.pool.Close()
	r := anna.v0(t, "POST", "/v0/app1/T", `{"fields":{}}`)
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, "RETRIABLE_ERROR") {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
}

func TestSurface_BodiesAreBounded(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	r := anna.v0(t, "POST", "/v0/"+base+"/Customers", `{"fields":{"Name":"`+strings.Repeat("x", 9<<20)+`"}}`)
	if r.status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", r.status)
	}
}

func TestSurface_NoRequestIsA500(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	bodies := []string{"", "{", "[]", "null", "1", `"x"`, `{}`, `{"fields":1}`, `{"fields":null}`, `{"records":{}}`, `{"records":[]}`, `{"records":[1]}`,
		`{"fields":{"Name":{"a":[]}}}`, `{"fields":{"Name":"a\u0000b"}}`, `{"fields":{"Qty":1e999}}`, `{"records":[{"id":1,"fields":{}}]}`, "\xff\xfe", `{"performUpsert":1}`}
	queries := []string{"", "?", "?pageSize=x", "?pageSize=-1", "?maxRecords=99999999999999999999", "?sort=1", "?sort[0]=x", "?sort[x][field]=No",
		"?fields[]=%00", "?offset=%00", "?offset=itr/rec", "?view=%F0%9F%9A%80", "?filterByFormula=(", "?%zz", "?records[]=x", "?cellFormat=string", "?a=1;b=2"}
	for _, method := range []string{"GET", "POST", "PATCH", "PUT", "DELETE"} {
		for _, path := range []string{"/v0/" + base + "/Orders%2F2", "/v0/" + base + "/Orders%2F2/rec1", "/v0/" + base + "/Orders%2F2/listRecords", "/v0/meta/bases",
			"/v0/meta/bases/" + base + "/tables", "/v0/meta/bases/" + base + "/tables/Customers", "/v0/meta/bases/" + base + "/tables/Customers/fields", "/v0/" + base + "/%00", "/v0/" + base + "/%FF"} {
			for _, body := range bodies {
				if r := anna.v0(t, method, path, body); r.status >= 500 {
					t.Errorf("%s %s %q: %d %s", method, path, body, r.status, r.body)
				}
			}
			for _, query := range queries {
				if r := anna.v0(t, method, path+query, ""); r.status >= 500 {
					t.Errorf("%s %s%s: %d %s", method, path, query, r.status, r.body)
				}
			}
		}
	}
}

var anyID = regexp.MustCompile(`\b(app|tbl|fld|viw|rec|sel|itr)[A-Za-z0-9]{14}\b`)

// normalise numbers the ids in a body in the order in which they were met, and
// blanks times of creation.
func normalise(known map[string]string, body string) string {
	body = regexp.MustCompile(`"createdTime":"[^"]+"`).ReplaceAllString(body, `"createdTime":"…"`)
	return anyID.ReplaceAllStringFunc(body, func(s string) string {
		if known[s] == "" {
			known[s] = fmt.Sprintf("%s#%d", s[:3], len(known))
		}
		return known[s]
	})
}

// scenario is what a program does with a table; ids of what was made stand in
// later steps as {1}, {2}, …
var scenario = []struct{ method, path, body string }{
	{"GET", "/meta/bases/{base}/tables?include=visibleFieldIds", ""},
	{"POST", "/{base}/Orders%2F2/?", `{"fields":{"No":"A-1","Qty":3,"State":"new"},"typecast":false}`},
	{"POST", "/{base}/Orders%2F2", `{"records":[{"fields":{"No":"A-2"}},{"fields":{}}]}`},
	{"POST", "/{base}/Orders%2F2", `{"fields":{"No":"A-3","State":"strange"}}`},
	{"POST", "/{base}/Orders%2F2", `{"fields":{"No":"A-3","State":"strange"},"typecast":true}`},
	{"POST", "/{base}/Orders%2F2", `{"fields":{"Colour":"red"}}`},
	{"POST", "/{base}/Orders%2F2", `{"fields":{"Qty":"many"}}`},
	{"POST", "/{base}/Orders%2F2", `{"fields":`},
	{"GET", "/{base}/Orders%2F2?pageSize=2&sort%5B0%5D%5Bfield%5D=No&sort%5B0%5D%5Bdirection%5D=desc&fields%5B%5D=No", ""},
	{"POST", "/{base}/Orders%2F2/listRecords", `{"maxRecords":2,"sort":[{"field":"No"}],"method":"post"}`},
	{"GET", "/{base}/Orders%2F2/{1}?", ""},
	{"GET", "/{base}/Orders%2F2/{1}?returnFieldsByFieldId=1", ""},
	{"GET", "/{base}/Orders%2F2/recAAAAAAAAAAAAAA", ""},
	{"PATCH", "/{base}/Orders%2F2/{1}", `{"fields":{"Qty":0}}`},
	{"PUT", "/{base}/Orders%2F2/{1}", `{"fields":{"No":"B-1"}}`},
	{"PATCH", "/{base}/Orders%2F2", `{"performUpsert":{"fieldsToMergeOn":["No"]},"records":[{"fields":{"No":"B-1","Qty":9}},{"fields":{"No":"C-1"}}]}`},
	{"PATCH", "/{base}/Orders%2F2", `{"records":[{"id":"recAAAAAAAAAAAAAA","fields":{}}]}`},
	{"POST", "/{base}/Nowhere", `{"fields":{}}`},
	{"DELETE", "/{base}/Orders%2F2?records%5B%5D={1}", ""},
	{"DELETE", "/{base}/Orders%2F2/{2}", ""},
	{"GET", "/{base}/Orders%2F2", ""},
}

// play runs the scenario in a new base and returns what was answered.
func play(t *testing.T, p person, base string) []string {
	t.Helper()
	known, ids := map[string]string{base: "app#0"}, []string{"{base}", base}
	var out []string
	for _, step := range scenario {
		replace := strings.NewReplacer(ids...)
		r := p.v0(t, step.method, "/v0"+replace.Replace(step.path), replace.Replace(step.body))
		if step.method == "POST" && r.status == http.StatusOK {
			for _, made := range regexp.MustCompile(`"id":"(rec[^"]+)"`).FindAllStringSubmatch(r.body, -1) {
				ids = append(ids, fmt.Sprintf("{%d}", len(ids)/2), made[1])
			}
		}
		out = append(out, fmt.Sprintf("%s %s -> %d %s", step.method, step.path, r.status, normalise(known, r.body)))
	}
	return out
}

func TestDifferential_ThroughAnAirtableConnectionTheBodiesAreTheSame(t *testing.T) {
	t.Parallel()
	peer := newFleet(t)
	account := peer.owner(t)
	straight := play(t, account, account.shop(t))

	behind := account.shop(t)
	f := newFleet(t, peer.url)
	anna := f.owner(t)
	connect(t, anna, peer.url, account.token)
	through := play(t, anna, behind)
	if diff := cmp.Diff(straight, through); diff != "" {
		t.Errorf("(-straight +through the connection):\n%s", diff)
	}
}
