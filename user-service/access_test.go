package userservice_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// ops calls every operation, the ones with an id on the victim.
var ops = map[string]func(ctx context.Context, p *person, victim string) error{
	"getMe": func(ctx context.Context, p *person, _ string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.GetMe, struct{}{})
		return err
	},
	"replaceMe": func(ctx context.Context, p *person, _ string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.ReplaceMe, userapi.MeUpdate{Body: profile("New")})
		return err
	},
	"patchMe": func(ctx context.Context, p *person, _ string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.PatchMe, userapi.MePatch{Body: userapi.ProfilePatch{Locale: ptr("de")}})
		return err
	},
	"listUsers": func(ctx context.Context, p *person, _ string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.ListUsers, userapi.UsersQuery{})
		return err
	},
	"getUser": func(ctx context.Context, p *person, victim string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.GetUser, userapi.UserRef{ID: victim})
		return err
	},
	"replaceUser": func(ctx context.Context, p *person, victim string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.ReplaceUser, userapi.UserUpdate{UserRef: userapi.UserRef{ID: victim}, Body: profile("Mallory")})
		return err
	},
	"patchUser": func(ctx context.Context, p *person, victim string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.PatchUser, userapi.UserPatch{UserRef: userapi.UserRef{ID: victim}, Body: userapi.ProfilePatch{Locale: ptr("de")}})
		return err
	},
	"deleteUser": func(ctx context.Context, p *person, victim string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.DeleteUser, userapi.UserDelete{UserRef: userapi.UserRef{ID: victim}})
		return err
	},
	"lookUpUsers": func(ctx context.Context, p *person, victim string) error {
		_, err := rpc.Call(ctx, p.Client, userapi.LookUpUsers, userapi.UserIDs{IDs: []string{victim}})
		return err
	},
}

func ptr[T any](v T) *T { return &v }

// row is what one kind of caller is answered: on his own profile, on the list, and
// on another user when reading, changing and deleting him.
type row struct{ getMe, ownChange, list, read, change, remove string }

func (r row) of(op string) string {
	switch op {
	case "getMe":
		return r.getMe
	case "replaceMe", "patchMe":
		return r.ownChange
	case "listUsers":
		return r.list
	case "getUser":
		return r.read
	case "deleteUser":
		return r.remove
	}
	return r.change
}

func every(code string) row { return row{code, code, code, code, code, code} }

func TestAccess_EveryOperationByEveryCaller(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant, elsewhere := id.New[id.Tenant](), id.New[id.Tenant]()
	platform := authtest.User(elsewhere, id.New[id.User](), "member")
	platform.Scope = "* " + userapi.ScopeUsers
	noTenant := authtest.User(tenant, id.New[id.User](), "owner")
	noTenant.Tenant = ""
	anybody := id.New[id.User]()
	const missing, may = "user_not_found", "may_not_edit"

	for name, c := range map[string]struct {
		caller *person
		want   row
	}{
		"nobody":               {&person{Client: w.client}, every("unauthenticated")},
		"a made-up token":      {&person{Client: w.client.As(auth.Principal{Token: "a.b.c"})}, every("unauthenticated")},
		"another issuer":       {&person{Client: w.client.As(auth.Principal{Token: authtest.New(t).Token(t, authtest.User(tenant, anybody, "owner"))})}, every("unauthenticated")},
		"a caller":             {w.as(authtest.Service("airtable-gateway")), every("forbidden")},
		"another service":      {w.as(authtest.Service("workspace-service")), every("forbidden")},
		"no tenant":            {w.as(noTenant), every("forbidden")},
		"PAT with the scope":   {w.as(authtest.PAT(tenant, anybody, "owner", "user.email:read", "*")), row{"", "forbidden", "forbidden", "forbidden", "forbidden", "forbidden"}},
		"PAT with other scope": {w.as(authtest.PAT(tenant, anybody, "owner", "data.records:read", "*")), every("forbidden")},
		"owner":                {w.newcomer(tenant, "owner"), every("")},
		"admin":                {w.newcomer(tenant, "admin"), every("")},
		"member":               {w.newcomer(tenant, "member"), row{"", "", "", "", may, may}},
		"guest":                {w.newcomer(tenant, "guest"), row{"", "", "", missing, missing, missing}},
		"unknown role":         {w.newcomer(tenant, "king"), row{"", "", "", missing, missing, missing}},
		"stranger":             {w.newcomer(elsewhere, "owner"), row{"", "", "", missing, missing, missing}},
		"platform admin":       {w.as(platform), every("")},
	} {
		for op, call := range ops {
			victim, want := w.member(tenant, "member"), c.want.of(op)
			switch { // it is for its callers, whoever else asks
			case op != "lookUpUsers" || want == "unauthenticated":
			case name == "a caller":
				want = ""
			default:
				want = "forbidden"
			}
			if got := code(call(t.Context(), c.caller, victim.id.String())); got != want {
				t.Errorf("%s by %s: %q, want %q", op, name, got, want)
			}
		}
	}
}

func TestAccess_MatrixHasEveryOperation(t *testing.T) {
	t.Parallel()
	var declared []string
	for _, op := range userapi.Service.Ops {
		declared = append(declared, op.Name)
	}
	slices.Sort(declared)
	if diff := cmp.Diff(declared, slices.Sorted(maps.Keys(ops))); diff != "" {
		t.Error(diff)
	}
}

func TestAccess_ServedIsDeclared(t *testing.T) {
	t.Parallel()
	w := start(t)
	status, doc := w.raw(nil, http.MethodGet, "/openapi.json", "")
	if status != http.StatusOK {
		t.Fatal(status, doc)
	}
	for _, op := range userapi.Service.Ops {
		if !strings.Contains(doc, `"operationId":"`+op.Name+`"`) {
			t.Errorf("%s is not in the OpenAPI document", op.Name)
		}
	}
	if n := strings.Count(doc, `"operationId"`); n != len(userapi.Service.Ops) {
		t.Errorf("%d operations are served, %d declared", n, len(userapi.Service.Ops))
	}
	for _, path := range []string{"/health", "/ready", "/metrics"} {
		if status, _ := w.raw(nil, http.MethodGet, path, ""); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// An admin is below an owner, and a tenant cannot end an account that was made
// elsewhere.
func TestAccess_OwnersAndForeignAccounts(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant := id.New[id.Tenant]()
	admin, owner, other := w.member(tenant, "admin"), w.member(tenant, "owner"), w.member(tenant, "owner")
	for _, op := range []string{"replaceUser", "patchUser", "deleteUser"} {
		if got := code(ops[op](t.Context(), admin, owner.id.String())); got != "may_not_edit" {
			t.Errorf("%s of an owner by an admin: %q", op, got)
		}
	}
	if got := code(ops["patchUser"](t.Context(), other, owner.id.String())); got != "" {
		t.Errorf("an owner by another owner: %q", got)
	}

	joined := w.member(id.New[id.Tenant](), "owner")
	if _, err := postgres.ForTenant(w.pool, tenant).Exec(t.Context(), `INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1, $2, 'member')`, tenant, joined.id); err != nil {
		t.Fatal(err)
	}
	if got := code(ops["patchUser"](t.Context(), owner, joined.id.String())); got != "" {
		t.Errorf("change of one who joined: %q", got)
	}
	if got := code(ops["deleteUser"](t.Context(), owner, joined.id.String())); got != "account_not_managed" {
		t.Errorf("deletion of one who joined: %q", got)
	}
	w.me(joined)
}

// Preferences are between a user and who may change him.
func TestAccess_PreferencesAreForEditors(t *testing.T) {
	t.Parallel()
	w := start(t)
	tenant := id.New[id.Tenant]()
	admin, member, ada := w.member(tenant, "admin"), w.member(tenant, "member"), w.member(tenant, "member")
	must(w, func() (userapi.UserAnswer, error) {
		return rpc.Call(t.Context(), ada.Client, userapi.PatchMe, userapi.MePatch{Body: userapi.ProfilePatch{Preferences: raw(`{"theme":"dark"}`)}})
	})
	for _, c := range []struct {
		who  *person
		want int
	}{{ada, 1}, {admin, 1}, {member, 0}} {
		got := must(w, func() (userapi.UserAnswer, error) {
			return rpc.Call(t.Context(), c.who.Client, userapi.GetUser, userapi.UserRef{ID: ada.id.String()})
		})
		if len(got.Body.Preferences) != c.want {
			t.Errorf("preferences %v", got.Body.Preferences)
		}
	}
}
