package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// tourist goes through an organisation, a workspace, permissions and the audit log over
// plain HTTP, and repeats what was not answered as he expects, as long as services may be
// away or not have heard of each other.
type tourist struct {
	gateway string
	name    string // of this tour, different from all others
	again   int    // how often a request was repeated

	owner, viewer      account
	tenant, workspace  string
	base, table, field string
	records            []string // that were acknowledged
}

// account is somebody who signs in.
type account struct {
	email, id, token, pat string
}

// takeTour takes the whole tour, and fails the test if a step of it cannot be done.
func takeTour(t *testing.T, gateway string, number int) *tourist {
	t.Helper()
	o := &tourist{gateway: gateway, name: fmt.Sprintf("tour-%d", number)}
	o.owner.email, o.viewer.email = "owner-"+o.name+"@example.com", "viewer-"+o.name+"@example.com"
	o.register(t, &o.owner)
	o.signIn(t, &o.owner)
	o.organise(t)
	o.makeBase(t)
	o.link(t)
	o.invite(t)
	o.share(t)
	o.write(t)
	o.hide(t)
	o.remove(t)
	o.audit(t)
	return o
}

// reply is what a request was answered.
type reply struct {
	status int
	body   string
}

func (r reply) field(t *testing.T, path string) string {
	t.Helper()
	value, ok := find(r.body, path)
	if !ok {
		t.Fatalf("no %s in %d %s", path, r.status, r.body)
	}
	return value
}

// once sends a request; status 0 is for none that was answered.
func (o *tourist) once(t *testing.T, method, path, token, key string, body any) reply {
	t.Helper()
	var sent io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = strings.NewReader(string(text))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, o.gateway+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", o.name+"/"+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}
	}
	return reply{resp.StatusCode, string(answer)}
}

// until repeats a request until done says that the answer is the one.
func (o *tourist) until(t *testing.T, what string, send func() reply, done func(reply) bool) reply {
	t.Helper()
	var last reply
	tries, answered := 0, false
	defer func() {
		o.again += tries
		if !answered {
			t.Logf("%s, %s: at last it was answered %d %s", o.name, what, last.status, last.body)
		}
	}()
	for began := time.Now(); time.Since(began) < patience; tries++ {
		last = send()
		if last.status == http.StatusInternalServerError {
			t.Errorf("%s, %s: %s", o.name, what, last.body)
		}
		if answered = done(last); answered {
			return last
		}
		select {
		case <-t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s, %s: not done in %s", o.name, what, patience)
	return last
}

// patience outlasts the lock of an Idempotency-Key whose first request died with its
// process: it may still run, for all that the service knows.
const patience = 2 * time.Minute

func is(statuses ...int) func(reply) bool {
	return func(r reply) bool {
		for _, s := range statuses {
			if r.status == s {
				return true
			}
		}
		return false
	}
}

func (o *tourist) register(t *testing.T, who *account) {
	t.Helper()
	who.id = o.until(t, "register "+who.email, func() reply {
		return o.once(t, "POST", "/api/v1/auth/register", "", "register "+who.email,
			map[string]string{"email": who.email, "password": password, "name": "Ada"})
	}, is(http.StatusCreated)).field(t, "id")
}

func (o *tourist) signIn(t *testing.T, who *account) {
	t.Helper()
	who.token = o.until(t, "sign in", func() reply {
		return o.once(t, "POST", "/api/v1/auth/login", "", "", map[string]string{"email": who.email, "password": password})
	}, is(http.StatusOK)).field(t, "access_token")
}

// enter goes on in the organisation. A switch whose answer was lost has ended the session:
// then he signs in again.
func (o *tourist) enter(t *testing.T, who *account) {
	t.Helper()
	who.token = o.until(t, "switch", func() reply {
		r := o.once(t, "POST", "/api/v1/auth/switch", who.token, "", map[string]string{"tenant_id": o.tenant})
		if r.status == http.StatusUnauthorized {
			o.signIn(t, who)
		}
		return r
	}, is(http.StatusOK)).field(t, "access_token")
}

func (o *tourist) organise(t *testing.T) {
	t.Helper()
	o.tenant = o.until(t, "make an organisation", func() reply {
		return o.once(t, "POST", "/api/v1/tenants", o.owner.token, "tenant", map[string]string{"name": o.name})
	}, is(http.StatusCreated)).field(t, "id")
	o.enter(t, &o.owner)
}

func (o *tourist) makeToken(t *testing.T, who *account) {
	t.Helper()
	who.pat = o.until(t, "make a personal access token", func() reply {
		return o.once(t, "POST", "/api/v1/auth/tokens", who.token, "", map[string]any{"name": "tour", "scopes": everyScope, "bases": []string{"*"}})
	}, is(http.StatusCreated)).field(t, "token")
}

// makeBase makes a base once: nothing remembers the request, so he looks before he
// repeats it.
func (o *tourist) makeBase(t *testing.T) {
	t.Helper()
	o.makeToken(t, &o.owner)
	o.base = o.until(t, "make a base", func() reply {
		listed := o.once(t, "GET", "/v0/meta/bases", o.owner.pat, "", nil)
		if id, there := find(listed.body, "bases.0.id"); there || listed.status != http.StatusOK {
			return reply{listed.status, `{"id":"` + id + `"}`}
		}
		return o.once(t, "POST", "/v0/meta/bases", o.owner.pat, "", map[string]any{
			"name": o.name, "workspaceId": "wspAAAAAAAAAAAAAA", "tables": []any{map[string]any{
				"name": "Places", "fields": []any{map[string]string{"name": "Name", "type": "singleLineText"}},
			}},
		})
	}, is(http.StatusOK)).field(t, "id")
	schema := o.until(t, "read the schema", func() reply {
		return o.once(t, "GET", "/v0/meta/bases/"+o.base+"/tables", o.owner.pat, "", nil)
	}, is(http.StatusOK))
	o.table, o.field = schema.field(t, "tables.0.id"), schema.field(t, "tables.0.fields.0.id")
}

// link makes a workspace and puts the base into it.
func (o *tourist) link(t *testing.T) {
	t.Helper()
	o.workspace = o.until(t, "make a workspace", func() reply {
		return o.once(t, "POST", "/api/v1/workspaces", o.owner.token, "workspace", map[string]string{"name": o.name})
	}, is(http.StatusCreated)).field(t, "id")
	o.until(t, "link the base", func() reply {
		return o.once(t, "POST", "/api/v1/workspaces/"+o.workspace+"/bases", o.owner.token, "link", map[string]string{"base_id": o.base})
	}, is(http.StatusCreated))
}

func (o *tourist) invite(t *testing.T) {
	t.Helper()
	o.until(t, "invite", func() reply {
		return o.once(t, "POST", "/api/v1/tenants/"+o.tenant+"/invitations", o.owner.token, "invitation",
			map[string]string{"email": o.viewer.email, "role": "guest"})
	}, is(http.StatusCreated))
	mail := o.until(t, "get the mail", func() reply { return o.inbox(t) }, func(r reply) bool {
		_, ok := find(r.body, "token")
		return ok
	})
	o.register(t, &o.viewer)
	o.signIn(t, &o.viewer)
	o.until(t, "accept", func() reply {
		r := o.once(t, "POST", "/api/v1/invitations/accept", o.viewer.token, "", map[string]string{"token": mail.field(t, "token")})
		if r.status == http.StatusUnprocessableEntity || r.status == http.StatusConflict { // accepted, and the answer was lost
			return o.once(t, "GET", "/api/v1/tenants", o.viewer.token, "", nil)
		}
		return r
	}, func(r reply) bool { return r.status == http.StatusOK && strings.Contains(r.body, o.tenant) })
	o.enter(t, &o.viewer)
}

// inbox is the viewer's mail.
func (o *tourist) inbox(t *testing.T) reply {
	t.Helper()
	r := o.once(t, "GET", "/api/v1/invitations/dev/inbox?limit=200", "", "", nil)
	var all struct{ Items []json.RawMessage }
	if json.Unmarshal([]byte(r.body), &all) != nil {
		return r
	}
	for _, mail := range all.Items {
		if to, _ := find(string(mail), "to"); to == o.viewer.email {
			return reply{r.status, string(mail)}
		}
	}
	return reply{status: r.status}
}

func (o *tourist) object() string { return "base:" + o.tenant + "/" + o.base }

func (o *tourist) share(t *testing.T) {
	t.Helper()
	o.grant(t, "viewer", time.Time{})
	o.may(t, "read", true)
	o.may(t, "edit", false)
	o.until(t, "be refused a write", func() reply { return o.writeRecord(t, "refused") }, func(r reply) bool {
		if r.status == http.StatusCreated {
			t.Fatalf("%s: the viewer wrote %s", o.name, r.body)
		}
		return r.status == http.StatusForbidden
	})
}

func (o *tourist) grant(t *testing.T, role string, until time.Time) {
	t.Helper()
	grant := map[string]any{"subject": "user:" + o.viewer.id, "object": o.object(), "role": role}
	if !until.IsZero() {
		grant["expires_at"] = until
	}
	o.until(t, "give the role "+role, func() reply {
		return o.once(t, "POST", "/api/v1/permissions/grants", o.owner.token, "grant "+role, grant)
	}, is(http.StatusCreated))
}

// may waits until permission-service gives the viewer the answer.
func (o *tourist) may(t *testing.T, action string, want bool) {
	t.Helper()
	o.until(t, "ask whether the viewer may "+action, func() reply {
		return o.once(t, "POST", "/api/v1/permissions/check", o.viewer.token, "", map[string]any{
			"questions": []any{map[string]string{"action": action, "object": o.object()}},
		})
	}, func(r reply) bool {
		return r.status == http.StatusOK && strings.Contains(r.body, fmt.Sprintf(`"allowed":[%t]`, want))
	})
}

func (o *tourist) write(t *testing.T) {
	t.Helper()
	o.grant(t, "editor", time.Now().Add(time.Hour))
	o.may(t, "edit", true)
	for n := range 3 {
		name := fmt.Sprintf("place %d", n)
		o.records = append(o.records, o.until(t, "write a record", func() reply { return o.writeRecord(t, name) },
			is(http.StatusCreated)).field(t, "id"))
	}
}

func (o *tourist) writeRecord(t *testing.T, name string) reply {
	t.Helper()
	return o.once(t, "POST", "/api/v1/airtable/bases/"+o.base+"/tables/"+o.table+"/records", o.viewer.token, name,
		map[string]any{"fields": map[string]string{"Name": name}})
}

// hide has a row rule hide the viewer's first record from him.
func (o *tourist) hide(t *testing.T) {
	t.Helper()
	first := "/v0/" + o.base + "/" + o.table + "/" + o.records[0]
	o.until(t, "read the record", func() reply { return o.once(t, "GET", first, o.viewer.token, "", nil) }, is(http.StatusOK))
	o.until(t, "make a row rule", func() reply {
		return o.once(t, "POST", "/api/v1/permissions/policies", o.owner.token, "rule", map[string]any{
			"name": o.name, "subjects": []string{"user:" + o.viewer.id}, "base_id": o.base, "table_id": o.table, "rows": `{` + o.field + `} != "place 0"`,
		})
	}, is(http.StatusCreated))
	o.until(t, "lose sight of the record", func() reply { return o.once(t, "GET", first, o.viewer.token, "", nil) }, is(http.StatusNotFound, http.StatusForbidden))
	listed := o.until(t, "list what is left", func() reply {
		return o.once(t, "GET", "/v0/"+o.base+"/"+o.table, o.viewer.token, "", nil)
	}, is(http.StatusOK))
	for n, record := range o.records {
		if strings.Contains(listed.body, record) != (n > 0) {
			t.Errorf("%s: of %v the viewer lists %s", o.name, o.records, listed.body)
		}
	}
}

func (o *tourist) remove(t *testing.T) {
	t.Helper()
	members := "/api/v1/tenants/" + o.tenant + "/members"
	listed := o.until(t, "find the member", func() reply { return o.once(t, "GET", members, o.owner.token, "", nil) },
		func(r reply) bool { return r.status == http.StatusOK && strings.Contains(r.body, o.viewer.id) })
	var page struct {
		Items []struct {
			ID     string `json:"id"`
			UserID string `json:"user_id"`
		}
	}
	if err := json.Unmarshal([]byte(listed.body), &page); err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Items {
		if m.UserID == o.viewer.id {
			o.until(t, "remove the viewer", func() reply { return o.once(t, "DELETE", members+"/"+m.ID, o.owner.token, "", nil) },
				is(http.StatusNoContent, http.StatusNotFound))
		}
	}
	o.until(t, "end the viewer's session", func() reply {
		return o.once(t, "GET", "/api/v1/airtable/bases/"+o.base, o.viewer.token, "", nil)
	}, is(http.StatusUnauthorized))
}

// told are the events of the tour, with how often each is to be found in the tenant's log.
func (o *tourist) told() map[string]int {
	return map[string]int{
		"com.pyairtable.tenant.created.v1": 1, "com.pyairtable.invitation.sent.v1": 1, "com.pyairtable.invitation.accepted.v1": 1,
		"com.pyairtable.workspace.created.v1": 1, "com.pyairtable.base.linked.v1": 1,
		"com.pyairtable.member.added.v1": 2, "com.pyairtable.member.removed.v1": 1, "com.pyairtable.record.created.v1": len(o.records),
	}
}

func (o *tourist) audit(t *testing.T) {
	t.Helper()
	for action, times := range o.told() {
		o.until(t, action+" to be in the log", func() reply {
			return o.once(t, "GET", "/api/v1/audit/entries?limit=200&action="+action, o.owner.token, "", nil)
		}, func(r reply) bool { return r.status == http.StatusOK && strings.Count(r.body, `"action"`) == times })
	}
	o.verify(t)
}

// verify has the whole log recomputed.
func (o *tourist) verify(t *testing.T) {
	t.Helper()
	o.until(t, "verify the log", func() reply { return o.once(t, "GET", "/api/v1/audit/verify", o.owner.token, "", nil) }, func(r reply) bool {
		if r.status == http.StatusOK && !strings.HasPrefix(r.body, `{"ok":true`) {
			t.Fatalf("%s: the log does not verify: %s", o.name, r.body)
		}
		return r.status == http.StatusOK
	})
}
