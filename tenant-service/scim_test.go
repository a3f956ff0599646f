package tenantservice_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// object is a SCIM resource or message.
type object = map[string]any

// dir is a directory with a SCIM token of a tenant.
type dir struct {
	w     *world
	owner person
	id    string // of the token
	token string
}

func (w *world) directory(owner person) dir {
	w.t.Helper()
	made := must(w, owner, tenantapi.CreateSCIMToken, tenantapi.NewSCIMToken{TenantRef: owner.ref(), Body: tenantapi.SCIMTokenDraft{Name: "D"}})
	return dir{w, owner, made.Body.ID, made.Body.Token}
}

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   object
}

// do sends a request; in is a JSON text, an object, or nil. headers come in pairs.
func (d dir) do(method, path string, in any, headers ...string) reply {
	d.w.t.Helper()
	var raw []byte
	switch v := in.(type) {
	case nil:
	case string:
		raw = []byte(v)
	default:
		var err error
		raw, err = json.Marshal(v)
		d.w.ok(err)
	}
	req, err := http.NewRequestWithContext(d.w.t.Context(), method, d.w.URL+"/scim/v2/"+path, bytes.NewReader(raw))
	d.w.ok(err)
	req.Header.Set("Content-Type", "application/scim+json")
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	d.w.ok(err)
	defer func() { _ = resp.Body.Close() }()
	out := reply{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusNotModified {
		d.w.ok(json.NewDecoder(resp.Body).Decode(&out.body))
		if kind := resp.Header.Get("Content-Type"); kind != "application/scim+json" {
			d.w.t.Errorf("%s %s: media type %s", method, path, kind)
		}
	}
	return out
}

// want is do for an answer with that status, and scimType unless it is "".
func (d dir) want(status int, kind, method, path string, in any, headers ...string) reply {
	d.w.t.Helper()
	got := d.do(method, path, in, headers...)
	if got.status != status || kind != "" && got.body["scimType"] != kind {
		d.w.t.Errorf("%s %s %v: %d %v, want %d %s", method, path, in, got.status, got.body, status, kind)
	}
	return got
}

func userOf(name string) object {
	return object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": name}
}

func groupOf(name string, members ...string) object {
	list := []object{}
	for _, m := range members {
		list = append(list, object{"value": m})
	}
	return object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": name, "members": list}
}

func patchOf(ops ...object) object {
	return object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": ops}
}

func (r reply) id() string { s, _ := r.body["id"].(string); return s }

func (r reply) found() (names []string) {
	list, _ := r.body["Resources"].([]any)
	for _, v := range list {
		m := v.(object)
		name, _ := m["userName"].(string)
		if name == "" {
			name, _ = m["displayName"].(string)
		}
		names = append(names, name)
	}
	return names
}

func (d dir) find(list, filter string) string {
	d.w.t.Helper()
	return strings.Join(d.want(200, "", http.MethodGet, list+"?filter="+url.QueryEscape(filter), nil).found(), " ")
}

func TestSCIM_UserIsProvisionedSuspendedAndRemoved(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	d := w.directory(owner)
	in := userOf("Ada@Acme.example")
	in["name"], in["externalId"] = object{"givenName": "Ada", "familyName": "Lovelace"}, "e-1"
	in["password"], in["unknown"] = "a secret that is not kept", "x"
	in["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] = object{"department": "Engines"}
	made := d.want(201, "", http.MethodPost, "Users", in)
	ada := made.id()
	meta := made.body["meta"].(object)
	if made.header.Get("Location") != meta["location"] || made.header.Get("ETag") != meta["version"] || meta["resourceType"] != "User" ||
		made.body["active"] != true || made.body["password"] != nil || made.body["unknown"] != nil || made.body["externalId"] != "e-1" {
		t.Errorf("made %v %v", made.header, made.body)
	}
	if w.count(`SELECT count(*) FROM scim_users WHERE attributes::text LIKE '%secret%'`) != 0 {
		t.Error("a password was kept")
	}
	d.want(409, "uniqueness", http.MethodPost, "Users", userOf("ada@acme.EXAMPLE"))
	if w.issuer.Accounts() != 1 || w.emitted("com.pyairtable.member.added.v1", ada) != 1 {
		t.Errorf("%d accounts", w.issuer.Accounts())
	}
	m := must(w, owner, tenantapi.GetMember, owner.memberRef(person{member: ada}))
	if m.Body.Role != "member" || m.Body.Suspended || m.Body.UserID == "" {
		t.Errorf("member %+v", m.Body)
	}
	// As Azure says it: a string, and another case.
	off := d.want(200, "", http.MethodPatch, "Users/"+ada, patchOf(object{"op": "Replace", "path": "active", "value": "False"}))
	if off.body["active"] != false || off.header.Get("ETag") == made.header.Get("ETag") {
		t.Errorf("inactive %v", off.body)
	}
	user, err := id.Parse[id.User](m.Body.UserID)
	w.ok(err)
	refuse(w, tenantapi.ErrTenantNotFound, w.in(owner.tenant, user, "member"), tenantapi.GetTenant, owner.ref())
	if got := said[tenantapi.MemberChanged](w, "com.pyairtable.member.updated.v1", ada); len(got) != 1 || !got[0].Suspended {
		t.Errorf("said %+v", got)
	}
	// PUT leaves out what it does not name, but for active.
	put := d.want(200, "", http.MethodPut, "Users/"+ada, userOf("ada@acme.example"))
	if put.body["active"] != false || put.body["name"] != nil || put.body["externalId"] != nil {
		t.Errorf("replaced %v", put.body)
	}
	d.want(200, "", http.MethodPatch, "Users/"+ada, patchOf(object{"op": "replace", "value": object{"active": true}}))
	must(w, w.in(owner.tenant, user, "member"), tenantapi.GetTenant, owner.ref())
	d.want(204, "", http.MethodDelete, "Users/"+ada, nil)
	d.want(404, "", http.MethodGet, "Users/"+ada, nil)
	d.want(404, "", http.MethodDelete, "Users/"+ada, nil)
	if w.emitted("com.pyairtable.member.removed.v1", ada) != 1 {
		t.Error("the removal was not announced")
	}
	// Who comes back has the account of before.
	again := d.want(201, "", http.MethodPost, "Users", userOf("ada@acme.example"))
	if now := must(w, owner, tenantapi.GetMember, owner.memberRef(person{member: again.id()})); now.Body.UserID != m.Body.UserID || w.issuer.Accounts() != 1 {
		t.Errorf("back as %+v", now.Body)
	}
	for kind, bad := range map[string]any{"invalidSyntax": `{`, "invalidValue": userOf("no address")} {
		d.want(400, kind, http.MethodPost, "Users", bad)
	}
	d.want(400, "invalidSyntax", http.MethodPost, "Users", object{"userName": "x@acme.example"})
	d.want(400, "invalidValue", http.MethodPost, "Users", userOf(""))
}

func TestSCIM_LinksAnAccountOnlyOfTheTenantsOwnDomain(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	d := w.directory(owner)
	eve := w.issuer.Account("eve@elsewhere.example", true)
	w.issuer.Account("squatter@acme.example", false)
	ada := w.issuer.Account("ada@acme.example", true)
	for _, address := range []string{"eve@elsewhere.example", "ada@acme.example"} {
		d.want(409, "uniqueness", http.MethodPost, "Users", userOf(address)) // no domain is the tenant's yet
	}
	// One that was proved, and not only claimed, is.
	w.issuer.Account("bob@proved.example", true)
	const domain = `WITH d AS (INSERT INTO domains (tenant_id, id, domain, token, role, auto_join, verified_at, version, created_at)
		VALUES ($1, gen_random_uuid(), $2, '', 'member', false, nullif($3, '')::timestamptz, 1, now()) RETURNING 1) SELECT count(*) FROM d`
	w.count(domain, owner.tenant, "elsewhere.example", "")
	d.want(409, "uniqueness", http.MethodPost, "Users", userOf("eve@elsewhere.example"))
	w.count(domain, owner.tenant, "proved.example", "2026-01-01")
	d.want(201, "", http.MethodPost, "Users", userOf("bob@proved.example"))
	must(w, owner, tenantapi.UpdateTenant, tenantapi.TenantUpdate{
		TenantRef: owner.ref(), Body: tenantapi.TenantPatch{Security: &tenantapi.SecurityPatch{EmailDomains: &[]string{"acme.example"}}},
	})
	d.want(400, "invalidValue", http.MethodPost, "Users", userOf("eve@elsewhere.example"))
	d.want(409, "uniqueness", http.MethodPost, "Users", userOf("squatter@acme.example"))
	made := d.want(201, "", http.MethodPost, "Users", userOf("ada@acme.example"))
	if m := must(w, owner, tenantapi.GetMember, owner.memberRef(person{member: made.id()})); m.Body.UserID != ada.String() {
		t.Errorf("linked %+v", m.Body)
	}
	if n := w.count(`SELECT count(*) FROM members WHERE user_id = $1`, eve); n != 0 {
		t.Error("another domain's user became a member")
	}
}

func TestSCIM_OwnersAreOutOfItsReach(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	d := w.directory(owner)
	d.want(403, "", http.MethodDelete, "Users/"+owner.member, nil)
	d.want(403, "", http.MethodPatch, "Users/"+owner.member, patchOf(object{"op": "replace", "path": "active", "value": false}))
	account := must(w, owner, tenantapi.CreateServiceAccount, tenantapi.NewServiceAccount{
		TenantRef: owner.ref(), Body: tenantapi.ServiceAccountDraft{Name: "X", Role: "member"},
	}).Body
	d.want(404, "", http.MethodGet, "Users/"+account.ID, nil)
	d.want(404, "", http.MethodDelete, "Users/"+account.ID, nil)
	// Nor does a group that a directory replaces lose the programs in it.
	g := must(w, owner, tenantapi.CreateGroup, newGroup(owner, "G", person{member: account.ID})).Body.ID
	d.want(200, "", http.MethodPut, "Groups/"+g, groupOf("G"))
	if users := w.inGroup(owner, g); len(users) != 1 {
		t.Errorf("in the group: %v", users)
	}
}

func TestSCIM_Groups(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	d := w.directory(owner)
	a := d.want(201, "", http.MethodPost, "Users", userOf("a@acme.example")).id()
	b := d.want(201, "", http.MethodPost, "Users", userOf("b@acme.example")).id()
	made := d.want(201, "", http.MethodPost, "Groups", groupOf("Tour Guides", a))
	g := "Groups/" + made.id()
	d.want(409, "uniqueness", http.MethodPost, "Groups", groupOf("tour guides"))
	d.want(400, "invalidValue", http.MethodPost, "Groups", groupOf("X", id.New[any]().String()))
	members := func(r reply) int { list, _ := r.body["members"].([]any); return len(list) }
	// RFC 7644, section 3.5.2: the examples of groups.
	for _, step := range []struct {
		op   object
		left int
	}{
		{object{"op": "add", "path": "members", "value": []object{{"display": "B", "$ref": "https://example.com/v2/Users/" + b, "value": b}}}, 2},
		{object{"op": "add", "path": "members", "value": []object{{"value": b}}}, 2},
		{object{"op": "remove", "path": `members[value eq "` + a + `"]`}, 1},
		{object{"op": "Remove", "path": "members", "value": []object{{"value": a}}}, 1}, // Azure's way, of one who is out
		{object{"op": "replace", "path": "members", "value": []object{{"value": a}, {"value": b}}}, 2},
		{object{"op": "remove", "path": "members"}, 0},
		{object{"op": "replace", "value": object{"id": made.id(), "displayName": "Guides", "members": []object{{"value": a}}}}, 1},
	} {
		if got := d.want(200, "", http.MethodPatch, g, patchOf(step.op)); members(got) != step.left {
			t.Errorf("after %v: %v", step.op, got.body["members"])
		}
	}
	both := d.want(200, "", http.MethodPatch, g, patchOf(
		object{"op": "remove", "path": `members[value eq "` + a + `"]`}, object{"op": "add", "path": "members", "value": []object{{"value": b}}},
		object{"op": "replace", "path": "displayName", "value": "Both"}))
	if members(both) != 1 || both.body["displayName"] != "Both" {
		t.Errorf("both: %v", both.body)
	}
	groups := d.want(200, "", http.MethodGet, "Users/"+b, nil).body["groups"].([]any)
	if len(groups) != 1 || groups[0].(object)["display"] != "Both" {
		t.Errorf("groups of the user: %v", groups)
	}
	// All of a patch or nothing, with the reason.
	d.want(400, "invalidValue", http.MethodPatch, g, patchOf(object{"op": "replace", "path": "displayName", "value": "No"},
		object{"op": "add", "path": "members", "value": []object{{"value": id.New[any]().String()}}}))
	for kind, op := range map[string]object{
		"noTarget": {"op": "remove"}, "invalidPath": {"op": "add", "path": "nothing", "value": 1}, "mutability": {"op": "replace", "path": "id", "value": "x"},
		"invalidFilter": {"op": "remove", "path": "members[value xx 1]"}, "invalidValue": {"op": "add", "path": "displayName", "value": 1},
		"invalidSyntax": {"op": "turn", "path": "displayName", "value": "x"},
	} {
		d.want(400, kind, http.MethodPatch, g, patchOf(op))
	}
	if got := d.want(200, "", http.MethodGet, g, nil); got.body["displayName"] != "Both" {
		t.Errorf("a refused patch changed it to %v", got.body)
	}
	if got := d.want(200, "", http.MethodGet, g+"?excludedAttributes=members", nil); got.body["members"] != nil || got.body["displayName"] != "Both" {
		t.Errorf("without members: %v", got.body)
	}
	if got := d.find("Groups", `displayName eq "both" and members.value eq "`+b+`"`); got != "Both" {
		t.Errorf("found %q", got)
	}
	d.want(204, "", http.MethodDelete, g, nil)
	d.want(404, "", http.MethodGet, g, nil)
}

func TestSCIM_ListsFilterSortAndPages(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	d := w.directory(owner)
	for i, name := range []string{"c@acme.example", "a@acme.example", "b@acme.example"} {
		in := userOf(name)
		in["externalId"], in["title"] = "x"+string(rune('0'+i)), map[bool]string{true: "Boss", false: "Clerk"}[i == 0]
		in["emails"] = []object{{"value": name, "type": "work", "primary": true}, {"value": "home-" + name, "type": "home"}}
		d.want(201, "", http.MethodPost, "Users", in)
	}
	for filter, want := range map[string]string{
		`userName gt "B@"`: "c@acme.example b@acme.example",
		`title pr and userName lt "B@" and meta.resourceType eq "User"`:               "a@acme.example",
		`userName eq "A@acme.example"`:                                                "a@acme.example",
		`userName Eq "nobody"`:                                                        "",
		`externalId eq "x0"`:                                                          "c@acme.example",
		`externalId eq "X0"`:                                                          "", // exact
		`title eq "boss" or userName sw "a"`:                                          "c@acme.example a@acme.example",
		`title pr and not (title eq "boss")`:                                          "a@acme.example b@acme.example",
		`emails[type eq "home" and value sw "home-b"]`:                                "b@acme.example",
		`emails.value eq "home-c@acme.example"`:                                       "c@acme.example",
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "B"`:                  "b@acme.example",
		`active eq true and title pr and meta.lastModified gt "2011-05-13T04:42:34Z"`: "c@acme.example a@acme.example b@acme.example",
		`nickName eq null and title ne "clerk" and externalId pr`:                     "c@acme.example",
	} {
		if got := d.find("Users", filter); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	for _, bad := range []string{`userName`, `userName eq`, `userName xx "a"`, `nothing eq "a"`, `(title pr`, `title pr)`, `active gt true`, strings.Repeat("(", 100) + `title pr`} {
		d.want(400, "invalidFilter", http.MethodGet, "Users?filter="+url.QueryEscape(bad), nil)
	}
	// The owner of whom no directory has said anything is listed as well.
	all := d.want(200, "", http.MethodGet, "Users", nil)
	if all.body["totalResults"] != 4.0 || all.body["startIndex"] != 1.0 || len(all.found()) != 4 {
		t.Errorf("all: %v", all.body)
	}
	page := d.want(200, "", http.MethodGet, "Users?sortBy=userName&filter=title+pr&startIndex=2&count=1&attributes=userName", nil)
	if page.body["totalResults"] != 3.0 || page.body["itemsPerPage"] != 1.0 || strings.Join(page.found(), "") != "b@acme.example" {
		t.Errorf("a page: %v", page.body)
	}
	if r := page.body["Resources"].([]any)[0].(object); len(r) != 3 {
		t.Errorf("attributes: %v", r)
	}
	none := d.want(200, "", http.MethodGet, "Users?count=0", nil)
	past := d.want(200, "", http.MethodGet, "Users?startIndex=100", nil)
	if none.body["totalResults"] != 4.0 || len(none.found()) != 0 || past.body["totalResults"] != 4.0 || len(past.found()) != 0 {
		t.Errorf("none: %v, past: %v", none.body, past.body)
	}
	for query, want := range map[string]string{
		"sortBy=emails": "a@acme.example b@acme.example c@acme.example", "sortBy=externalId&sortOrder=descending": "b@acme.example a@acme.example c@acme.example",
		"sortBy=title&sortOrder=descending": "a@acme.example b@acme.example c@acme.example", "sortBy=nickName": "c@acme.example a@acme.example b@acme.example",
	} {
		if got := d.want(200, "", http.MethodGet, "Users?filter=title+pr&"+query, nil); strings.Join(got.found(), " ") != want {
			t.Errorf("%s: %v, want %s", query, got.found(), want)
		}
	}
	searched := d.want(200, "", http.MethodPost, "Users/.search", object{
		"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}, "filter": `title pr`, "sortBy": "userName", "sortOrder": "descending", "count": 1,
	})
	if strings.Join(searched.found(), "") != "c@acme.example" {
		t.Errorf("searched: %v", searched.body)
	}
	// Users and groups together, whatever of them the filter is about.
	d.want(201, "", http.MethodPost, "Groups", groupOf("G"))
	for _, c := range []struct {
		filter       string
		start, count int
		want         string
		total        float64
	}{
		{`userName sw "a@" or title pr`, 1, 10, "c@acme.example a@acme.example b@acme.example", 3}, {`displayName eq "g"`, 1, 10, "G", 1},
		{`externalId pr or meta.resourceType eq "Group"`, 3, 2, "b@acme.example G", 4}, {`meta.resourceType pr`, 5, 1, "G", 5}, {`id pr`, 6, 5, "", 5},
	} {
		got := d.want(200, "", http.MethodPost, ".search", object{"filter": c.filter, "startIndex": c.start, "count": c.count})
		if strings.Join(got.found(), " ") != c.want || got.body["totalResults"] != c.total {
			t.Errorf("%+v: %v of %v", c, got.found(), got.body["totalResults"])
		}
	}
	d.want(400, "invalidFilter", http.MethodPost, ".search", object{"filter": "nothing pr"})
	d.want(400, "invalidValue", http.MethodGet, "Users?count=x", nil)
	d.want(400, "invalidValue", http.MethodGet, "Users?sortBy=nothing", nil)
}

func TestSCIM_ETagsGuardChanges(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	d := w.directory(w.organisation("Acme"))
	made := d.want(201, "", http.MethodPost, "Users", userOf("a@acme.example"))
	etag, path := made.header.Get("ETag"), "Users/"+made.id()
	d.want(304, "", http.MethodGet, path, nil, "If-None-Match", etag)
	title := patchOf(object{"op": "add", "path": "title", "value": "Boss"})
	d.want(200, "", http.MethodPatch, path, title, "If-Match", etag)
	d.want(412, "", http.MethodPatch, path, title, "If-Match", etag)
	d.want(412, "", http.MethodPut, path, userOf("a@acme.example"), "If-Match", etag)
	d.want(412, "", http.MethodDelete, path, nil, "If-Match", etag)
	same := d.want(200, "", http.MethodGet, path, nil, "If-None-Match", etag).header.Get("ETag")
	if again := d.want(200, "", http.MethodPatch, path, title).header.Get("ETag"); again != same {
		t.Errorf("nothing changed, but the tag from %s to %s", same, again)
	}
	d.want(204, "", http.MethodDelete, path, nil, "If-Match", same)
}

func TestSCIM_RacingCreatesMakeOneUser(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	d := w.directory(w.organisation("Acme"))
	var mu sync.Mutex
	var all sync.WaitGroup
	made := map[int]int{}
	for range 6 {
		all.Go(func() {
			got := d.do(http.MethodPost, "Users", userOf("a@acme.example"))
			mu.Lock()
			defer mu.Unlock()
			made[got.status]++
		})
	}
	all.Wait()
	if made[201] != 1 || made[409] != 5 {
		t.Errorf("answers %v", made)
	}
}

func TestSCIM_TokensOpenTheirTenantAlone(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, other := w.organisation("Acme"), w.organisation("Other")
	d, stranger := w.directory(owner), w.directory(other)
	user := d.want(201, "", http.MethodPost, "Users", userOf("a@acme.example")).id()
	group := d.want(201, "", http.MethodPost, "Groups", groupOf("G", user)).id()
	// Another tenant's directory finds none of it.
	for _, path := range []string{"Users/" + user, "Groups/" + group} {
		stranger.want(404, "", http.MethodGet, path, nil)
		stranger.want(404, "", http.MethodDelete, path, nil)
		stranger.want(404, "", http.MethodPatch, path, patchOf(object{"op": "replace", "path": "externalId", "value": "x"}))
	}
	stranger.want(400, "invalidValue", http.MethodPost, "Groups", groupOf("G", user))
	if got := stranger.find("Users", `userName eq "a@acme.example"`) + stranger.find("Groups", `displayName eq "G"`); got != "" {
		t.Errorf("a stranger finds %s", got)
	}
	// A token of one tenant with another one's id in it is nobody's.
	forged := d
	forged.token = strings.Replace(d.token, owner.tenant.String(), other.tenant.String(), 1)
	access := d
	access.token = w.issuer.Token(t, authtest.User(owner.tenant, owner.user, "owner"))
	for _, bad := range []string{"", "x", "scim_", forged.token, access.token, d.token + "x"} {
		b := d
		b.token = bad
		if got := b.want(401, "", http.MethodGet, "Users", nil); got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%v", got.header)
		}
		b.want(401, "", http.MethodGet, "ServiceProviderConfig", nil)
	}
	// Only hashes are kept.
	secret := d.token[strings.LastIndex(d.token, "_")+1:]
	if n := w.count(`SELECT count(*) FROM scim_tokens s WHERE s::text LIKE '%' || $1 || '%'`, secret); n != 0 {
		t.Error("a token is readable")
	}
	if list := must(w, owner, tenantapi.ListSCIMTokens, tenantapi.SCIMTokensQuery{TenantRef: owner.ref()}).Items; len(list) != 1 || list[0].LastUsedAt.IsZero() {
		t.Errorf("tokens %+v", list)
	}
	ref := tenantapi.SCIMTokenRef{TenantRef: owner.ref(), TokenID: d.id}
	refuse(w, tenantapi.ErrAdminsOnly, w.join(owner, "member"), tenantapi.RotateSCIMToken, ref)
	refuse(w, tenantapi.ErrSCIMTokenNotFound, other, tenantapi.RevokeSCIMToken, tenantapi.SCIMTokenRef{TenantRef: other.ref(), TokenID: d.id})
	next := d
	next.token = must(w, owner, tenantapi.RotateSCIMToken, ref).Token
	d.want(401, "", http.MethodGet, "Users", nil)
	next.want(200, "", http.MethodGet, "Users", nil)
	must(w, owner, tenantapi.SuspendTenant, owner.ref())
	next.want(403, "", http.MethodGet, "Users", nil)
	must(w, owner, tenantapi.ResumeTenant, owner.ref())
	must(w, owner, tenantapi.RevokeSCIMToken, ref)
	next.want(401, "", http.MethodGet, "Users", nil)
	refuse(w, tenantapi.ErrSCIMTokenNotFound, owner, tenantapi.RevokeSCIMToken, ref)
	if n := w.emitted("com.pyairtable.scim_token.changed.v1", d.id); n != 3 {
		t.Errorf("%d events", n)
	}
	draft := tenantapi.NewSCIMToken{TenantRef: owner.ref(), Body: tenantapi.SCIMTokenDraft{Name: "T", ExpiresAt: time.Now().Add(-time.Minute)}}
	refuse(w, errs.ErrInvalid, owner, tenantapi.CreateSCIMToken, draft)
	draft.Body.ExpiresAt = time.Now().Add(time.Hour)
	brief := d
	brief.token = must(w, owner, tenantapi.CreateSCIMToken, draft).Body.Token
	brief.want(200, "", http.MethodGet, "Users", nil)
	w.count(`WITH gone AS (UPDATE scim_tokens SET expires_at = now() RETURNING 1) SELECT count(*) FROM gone`)
	brief.want(401, "", http.MethodGet, "Users", nil)
}

func TestSCIM_SaysWhatItIs(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	d := w.directory(w.organisation("Acme"))
	config := d.want(200, "", http.MethodGet, "ServiceProviderConfig", nil)
	if config.body["patch"].(object)["supported"] != true || config.body["bulk"].(object)["supported"] != false {
		t.Errorf("%v", config.body)
	}
	for _, list := range []string{"ResourceTypes", "Schemas"} {
		for _, v := range d.want(200, "", http.MethodGet, list, nil).body["Resources"].([]any) {
			one := v.(object)["id"].(string)
			if got := d.want(200, "", http.MethodGet, list+"/"+one, nil); got.id() != one {
				t.Errorf("%s: %v", one, got.body)
			}
		}
		d.want(404, "", http.MethodGet, list+"/nothing", nil)
		d.want(405, "", http.MethodPost, list, object{})
		d.want(403, "", http.MethodGet, list+"?filter=id+pr", nil)
	}
	d.want(501, "", http.MethodGet, "Me", nil)
	d.want(501, "", http.MethodPost, "Bulk", object{})
	d.want(404, "", http.MethodGet, "Nothing", nil)
	d.want(405, "", http.MethodDelete, "Users", nil)
	d.want(404, "", http.MethodGet, "Users/not-an-id", nil)
}
