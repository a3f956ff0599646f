package userservice_test

import (
	"errors"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

func rename(w *world, by, whom *person) error {
	_, err := rpc.Call(w.Context(), by.Client, userapi.PatchUser, userapi.UserPatch{
		UserRef: userapi.UserRef{ID: whom.id.String()}, Body: userapi.ProfilePatch{Name: ptr("Renamed")},
	})
	return err
}

// Who has members.manage changes the profiles of those who are no stronger than he is, and
// ends nobody's account.
func TestAdministration_ProfilesOfThoseWhoAreNoStronger(t *testing.T) {
	t.Parallel()
	issuer := authtest.New(t)
	permissions := apptest.StartPermissions(t, issuer.URL)
	w := startWith(t, issuer, permissions.Vars())
	tenant := id.New[id.Tenant]()
	owner, admin, peer, guest := w.member(tenant, "owner"), w.member(tenant, "admin"), w.member(tenant, "member"), w.member(tenant, "guest")
	clerk, weak, other := w.member(tenant, "member"), w.member(tenant, "guest"), w.member(tenant, "member")
	permissions.Allow(clerk.id.String(), permissionapi.ManageMembers)
	permissions.Allow(weak.id.String(), permissionapi.ManageMembers)
	permissions.Allow(other.id.String(), permissionapi.ManageGroups)
	for what, c := range map[string]struct {
		by, whom *person
		want     error
	}{
		"a peer":                    {clerk, peer, nil},
		"a guest":                   {clerk, guest, nil},
		"himself":                   {clerk, clerk, nil},
		"an admin":                  {clerk, admin, userapi.ErrMayNotEdit},
		"an owner":                  {clerk, owner, userapi.ErrMayNotEdit},
		"a guest by a guest":        {weak, guest, nil},
		"a member by a guest":       {weak, peer, userapi.ErrMayNotEdit},
		"by another permission":     {other, peer, userapi.ErrMayNotEdit},
		"somebody of another house": {clerk, w.member(id.New[id.Tenant](), "member"), userapi.ErrUserNotFound},
	} {
		if err := rename(w, c.by, c.whom); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	_, err := rpc.Call(t.Context(), clerk.Client, userapi.DeleteUser, userapi.UserDelete{UserRef: userapi.UserRef{ID: peer.id.String()}})
	if !errors.Is(err, userapi.ErrMayNotEdit) {
		t.Errorf("an account is ended: %v", err)
	}
}

// Without permission-service nobody's custom roles count: profiles can be read, and one's
// own changed.
func TestAdministration_ProfilesFailClosed(t *testing.T) {
	t.Parallel()
	w := startWith(t, authtest.New(t), map[string]string{"PERMISSIONS": "service", "PERMISSION_SERVICE_URL": "http://127.0.0.1:1"})
	tenant := id.New[id.Tenant]()
	admin, clerk, peer := w.member(tenant, "admin"), w.member(tenant, "member"), w.member(tenant, "member")
	if err := rename(w, clerk, peer); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("a member renames another: %v", err)
	}
	if err := errors.Join(rename(w, clerk, clerk), rename(w, admin, peer)); err != nil {
		t.Errorf("himself, and an admin: %v", err)
	}
	if out, err := rpc.Call(t.Context(), clerk.Client, userapi.ListUsers, userapi.UsersQuery{}); err != nil || len(out.Items) != 3 {
		t.Errorf("a member sees %d users: %v", len(out.Items), err)
	}
}
