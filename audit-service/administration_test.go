package auditservice_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// Who has audit.read reads the log, proves it and takes it with him; what becomes of it
// stays with owners and admins.
func TestAdministration_AuditorsReadAndDecideNothing(t *testing.T) {
	t.Parallel()
	issuer := authtest.New(t)
	permissions := apptest.StartPermissions(t, issuer.URL)
	w := startWith(t, issuer, permissions.Vars())
	w.send(w.update("rec1", `1`, `2`))
	w.size(1)
	member := func(tenant id.TenantID, actions ...string) (*rpc.Client, string) {
		user := id.New[id.User]()
		permissions.Allow(user.String(), actions...)
		token := issuer.Token(t, authtest.User(tenant, user, "member"))
		return w.Client(auth.Principal{Token: token}), token
	}
	export := func(token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+auditapi.Export.Prefix, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	auditor, token := member(w.tenant, permissionapi.ReadAudit)
	if out, err := rpc.Call(t.Context(), auditor, auditapi.ListEntries, auditapi.EntryQuery{}); err != nil || len(out.Items) != 1 {
		t.Errorf("an auditor lists %d entries: %v", len(out.Items), err)
	}
	if _, err := rpc.Call(t.Context(), auditor, auditapi.Verify, struct{}{}); err != nil {
		t.Errorf("an auditor verifies: %v", err)
	}
	if got := export(token); got != http.StatusOK {
		t.Errorf("an auditor's export is answered with %d", got)
	}
	if _, err := rpc.Call(t.Context(), auditor, auditapi.SetSettings, auditapi.Settings{RetentionDays: 30}); !errors.Is(err, auditapi.ErrAdminsOnly) {
		t.Errorf("an auditor decides how long it is kept: %v", err)
	}
	if _, err := rpc.Call(t.Context(), auditor, auditapi.ListSinks, struct{}{}); !errors.Is(err, auditapi.ErrAdminsOnly) {
		t.Errorf("an auditor lists who else is told: %v", err)
	}
	other, token := member(w.tenant, permissionapi.ManageMembers)
	if _, err := rpc.Call(t.Context(), other, auditapi.GetEntry, auditapi.EntryRef{Seq: 0}); !errors.Is(err, auditapi.ErrAdminsOnly) {
		t.Errorf("one who manages members reads: %v", err)
	}
	if got := export(token); got != http.StatusForbidden {
		t.Errorf("the export of one who manages members is answered with %d", got)
	}
	stranger, _ := member(id.New[id.Tenant](), permissionapi.ReadAudit)
	if out, err := rpc.Call(t.Context(), stranger, auditapi.ListEntries, auditapi.EntryQuery{}); err != nil || len(out.Items) != 0 {
		t.Errorf("another tenant's auditor sees %d entries: %v", len(out.Items), err)
	}
}

func TestAdministration_TheLogFailsClosedButForAdmins(t *testing.T) {
	t.Parallel()
	w := startWith(t, authtest.New(t), map[string]string{"PERMISSIONS": "service", "PERMISSION_SERVICE_URL": "http://127.0.0.1:1"})
	member := w.Client(auth.Principal{Token: w.token("member")})
	if _, err := rpc.Call(t.Context(), member, auditapi.ListEntries, auditapi.EntryQuery{}); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("a member, without permission-service: %v", err)
	}
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.ListEntries, auditapi.EntryQuery{}); err != nil {
		t.Errorf("an owner, without permission-service: %v", err)
	}
}
