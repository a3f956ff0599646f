package permissionservice_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Two admins read the same role and the same policy: the second to change them is told.
func TestETags_NobodyOverwritesWhatHeHasNotSeen(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada := f.person(tenant, "owner")

	role := call(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "r", Actions: []string{"read"}})
	read := call(t, ada.Client, permissionapi.GetRole, permissionapi.RoleRef{ID: role.Body.ID})
	if role.ETag != `"1"` || read.ETag != role.ETag || read.Body.Version != 1 {
		t.Errorf("made %q, read %q", role.ETag, read.ETag)
	}
	patch := permissionapi.RolePatch{ID: role.Body.ID}
	patch.Body.Actions, patch.IfMatch = []string{"edit"}, read.ETag
	changed := call(t, ada.Client, permissionapi.UpdateRole, patch)
	if changed.ETag != `"2"` || changed.Body.Version != 2 {
		t.Errorf("changed: %q", changed.ETag)
	}
	refused(t, ada.Client, permissionapi.UpdateRole, patch, errs.ErrPreconditionFailed)
	gone := permissionapi.RoleDeletion{RoleRef: permissionapi.RoleRef{ID: role.Body.ID}}
	gone.IfMatch = read.ETag
	refused(t, ada.Client, permissionapi.DeleteRole, gone, errs.ErrPreconditionFailed)
	patch.IfMatch = "" // without one the last change wins
	if again := call(t, ada.Client, permissionapi.UpdateRole, patch); again.ETag != `"3"` {
		t.Errorf("again: %q", again.ETag)
	}
	gone.IfMatch = `"2", "3"`
	call(t, ada.Client, permissionapi.DeleteRole, gone)

	rule := permissionapi.Rule{Name: "p", Subjects: []string{"*"}, BaseID: "app1", TableID: "tbl1", Hidden: []string{"fldA"}}
	policy := call(t, ada.Client, permissionapi.CreatePolicy, rule)
	seen := call(t, ada.Client, permissionapi.GetPolicy, permissionapi.RuleRef{ID: policy.Body.ID})
	if policy.ETag != `"1"` || seen.ETag != policy.ETag {
		t.Errorf("made %q, read %q", policy.ETag, seen.ETag)
	}
	update := permissionapi.RuleUpdate{ID: policy.Body.ID, Body: rule}
	update.IfMatch, update.Body.Hidden = seen.ETag, []string{"fldB"}
	if changed := call(t, ada.Client, permissionapi.UpdatePolicy, update); changed.ETag != `"2"` {
		t.Errorf("changed: %q", changed.ETag)
	}
	update.Body.Hidden = []string{"fldC"}
	refused(t, ada.Client, permissionapi.UpdatePolicy, update, errs.ErrPreconditionFailed)
	drop := permissionapi.RuleDeletion{RuleRef: permissionapi.RuleRef{ID: policy.Body.ID}}
	drop.IfMatch = seen.ETag
	refused(t, ada.Client, permissionapi.DeletePolicy, drop, errs.ErrPreconditionFailed)
	if kept := call(t, ada.Client, permissionapi.GetPolicy, permissionapi.RuleRef{ID: policy.Body.ID}); kept.Body.Hidden[0] != "fldB" {
		t.Errorf("a refused change changed it: %+v", kept.Body)
	}
	drop.IfMatch = "*"
	call(t, ada.Client, permissionapi.DeletePolicy, drop)
}
