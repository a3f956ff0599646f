package permissionservice_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// The event makes good what workspace-service could not say itself, and gives nothing back
// that was taken since.
func TestWorkspaceCreated_GivesItToItsMakerOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada := f.person(tenant, "owner")
	bob := f.person(tenant, "member")
	created := func(workspace string) events.Event {
		return workspaceapi.WorkspaceCreated.New(t.Context(), tenant, workspace, 1, workspaceapi.WorkspaceChanged{
			WorkspaceID: workspace, TenantID: tenant.String(), ActorID: bob.id,
		})
	}
	lost, told := id.New[any]().String(), id.New[any]().String()
	f.say(created(lost))
	await.True(t, "the maker owns it", func() bool { return f.may(tenant, bob.subject, "manage", "workspace:"+lost) })
	owns := permissionapi.Grant{Subject: bob.subject, Object: "workspace:" + told, Role: permissionapi.RoleOwner}
	call(t, f.peer, permissionapi.Write, permissionapi.WriteRequest{
		TenantID: tenant.String(), Grants: []permissionapi.Grant{owns},
		Places: []permissionapi.Place{{Object: owns.Object, Parent: "tenant:" + tenant.String(), Version: 1}},
	})
	call(t, f.peer, permissionapi.Write, permissionapi.WriteRequest{TenantID: tenant.String(), Revokes: []permissionapi.Grant{owns}, ActorID: ada.id})
	e := created(told)
	f.say(e)
	await.True(t, "the event is applied", func() bool {
		var n int
		if err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM inbox WHERE event_id = $1`, e.ID).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	if f.may(tenant, bob.subject, "read", owns.Object) {
		t.Error("what was taken came back")
	}
}
