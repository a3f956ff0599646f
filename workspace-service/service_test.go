package workspaceservice_test

import (
	"errors"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	workspaceservice "github.com/pyairtable/pyairtable/workspace-service"
)

func start(t *testing.T, vars map[string]string) (*apptest.Running, *authtest.Issuer) {
	t.Helper()
	issuer := authtest.New(t)
	env := map[string]string{"AUTH_SERVICE_URL": issuer.URL}
	for k, v := range vars {
		env[k] = v
	}
	return apptest.Start(t, workspaceservice.Service, env), issuer
}

// user is somebody in a tenant of his own.
func user(t *testing.T, issuer *authtest.Issuer) auth.Principal {
	t.Helper()
	return auth.Principal{Token: issuer.Token(t, authtest.User(id.New[id.Tenant](), id.New[id.User](), "owner"))}
}

func TestItems_AreTheTenantsOwn(t *testing.T) {
	t.Parallel()
	s, issuer := start(t, nil)
	ann, bob := s.Client(user(t, issuer)), s.Client(user(t, issuer))
	made, err := rpc.Call(t.Context(), ann, workspaceapi.CreateItem, workspaceapi.NewItem{Name: "first"})
	if err != nil {
		t.Fatal(err)
	}
	if made.Location != "/api/v1/workspace/items/"+made.Body.ID {
		t.Errorf("Location %s", made.Location)
	}
	got, err := rpc.Call(t.Context(), ann, workspaceapi.GetItem, workspaceapi.ItemRef{ID: made.Body.ID})
	if err != nil || got != made.Body {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := rpc.Call(t.Context(), bob, workspaceapi.GetItem, workspaceapi.ItemRef{ID: made.Body.ID}); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("a stranger got %v", err)
	}
	if page, err := rpc.Call(t.Context(), bob, workspaceapi.ListItems, api.PageQuery{}); err != nil || len(page.Items) != 0 {
		t.Errorf("a stranger lists %+v, %v", page, err)
	}
}

func TestService_ServesWhatItDeclares(t *testing.T) {
	t.Parallel()
	s, _ := start(t, nil)
	apptest.Operations(t, s.URL, workspaceapi.Service)
}

func TestItems_PagesAreWhole(t *testing.T) {
	t.Parallel()
	s, issuer := start(t, nil)
	c := s.Client(user(t, issuer))
	for _, name := range []string{"a", "b", "c"} {
		if _, err := rpc.Call(t.Context(), c, workspaceapi.CreateItem, workspaceapi.NewItem{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	var names string
	query := api.PageQuery{Limit: 2}
	for {
		page, err := rpc.Call(t.Context(), c, workspaceapi.ListItems, query)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			names += item.Name
		}
		if page.NextCursor == "" {
			break
		}
		query.Cursor = page.NextCursor
	}
	if names != "abc" {
		t.Errorf("the walk gave %q", names)
	}
}

func TestItems_BadInputAndLimit(t *testing.T) {
	t.Parallel()
	s, issuer := start(t, map[string]string{"MAX_ITEMS": "1"})
	c := s.Client(user(t, issuer))
	if _, err := rpc.Call(t.Context(), c, workspaceapi.CreateItem, workspaceapi.NewItem{}); errs.From(err).Kind != errs.Invalid {
		t.Errorf("an empty name: %v", err)
	}
	if _, err := rpc.Call(t.Context(), c, workspaceapi.CreateItem, workspaceapi.NewItem{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Call(t.Context(), c, workspaceapi.CreateItem, workspaceapi.NewItem{Name: "two"}); errs.From(err).Kind != errs.Conflict {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := rpc.Call(t.Context(), s.Client(auth.Principal{}), workspaceapi.ListItems, api.PageQuery{}); !errors.Is(err, errs.ErrUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
}
