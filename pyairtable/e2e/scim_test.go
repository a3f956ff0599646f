package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// organisation is a new one of who, with a token of his that is for it.
func (w *world) organisation(t *testing.T, who auth.Principal) (tenantapi.TenantRef, auth.Principal) {
	t.Helper()
	made := ask(t, w, who, tenantapi.CreateTenant, tenantapi.NewTenant{Name: "Acme"})
	tenant := tenantapi.TenantRef{TenantID: made.Body.ID}
	return tenant, w.switched(t, who, tenant)
}

// switched is who with a token for the tenant, once auth-service has heard of it.
func (w *world) switched(t *testing.T, who auth.Principal, tenant tenantapi.TenantRef) auth.Principal {
	t.Helper()
	var in authapi.Tokens
	await.True(t, "the tenant can be entered", func() (ok bool) {
		var err error
		in, err = rpc.Call(t.Context(), w.gateway(who), authapi.SwitchTenant, authapi.SwitchRequest{TenantID: tenant.TenantID})
		return err == nil
	})
	return auth.Principal{Token: in.AccessToken}
}

func ask[In, Out any](t *testing.T, w *world, who auth.Principal, op api.Op[In, Out], in In) Out {
	t.Helper()
	out, err := rpc.Call(t.Context(), w.gateway(who), op, in)
	if err != nil {
		t.Fatalf("%s: %v", op.Name, err)
	}
	return out
}

func (w *world) scimToken(t *testing.T, owner auth.Principal, tenant tenantapi.TenantRef) string {
	t.Helper()
	return ask(t, w, owner, tenantapi.CreateSCIMToken, tenantapi.NewSCIMToken{TenantRef: tenant, Body: tenantapi.SCIMTokenDraft{Name: "Directory"}}).Body.Token
}

// excused is why a check may fail, or "".
func excused(line string) string {
	switch {
	case strings.HasSuffix(line, "did not remove attribute 'active'"):
		return "a user is active or not, and what is removed is shown as it is"
	case strings.Contains(line, "unexpected value for 'members'") && strings.Contains(line, "display=None"):
		return "the display of a member is read-only, and the server's to say"
	}
	return ""
}

// A checker that is not ours finds that the server does what it says, and what the RFCs
// say, through the gateway.
func TestSCIM_PassesAnIndependentChecker(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	_, who := w.user(t)
	tenant, owner := w.organisation(t, who)
	env := []string{"SCIM_URL=" + w.urls[catalog.Gateway.Name] + "/scim/v2", "SCIM_TOKEN=" + w.scimToken(t, owner, tenant)}
	said := output(t, clients, env, filepath.Join(top(t), clients, ".venv", "bin", "python"), "scim.py")
	passed := 0
	for line := range strings.SplitSeq(strings.TrimSpace(said), "\n") {
		switch verdict, what, _ := strings.Cut(line, " "); verdict {
		case "SUCCESS":
			passed++
		case "SKIPPED":
			t.Logf("skipped: %s", what)
		default:
			if reason := excused(line); reason != "" {
				t.Logf("excused, %s: %s", reason, line)
				continue
			}
			t.Errorf("%s", line)
		}
	}
	if t.Logf("%d checks passed", passed); passed < 30 {
		t.Errorf("only %d checks passed", passed)
	}
}

// A directory brings a user, who claims his account by mail and enters the organisation;
// deactivated, his next call fails.
func TestSCIM_ProvisionedUserEntersUntilHeIsDeactivated(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"DEV_INBOX": "true"})
	_, who := w.user(t)
	tenant, owner := w.organisation(t, who)
	token := w.scimToken(t, owner, tenant)
	scim := func(method, path, body string) map[string]any {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, w.urls[catalog.Gateway.Name]+"/scim/v2/"+path, bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/scim+json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %d %v %v", method, path, resp.StatusCode, out, err)
		}
		return out
	}
	const email = "bob@acme.example"
	bob := scim(http.MethodPost, "Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+email+`","displayName":"Bob"}`)
	var mail authapi.Mail
	await.True(t, "bob has mail", func() bool {
		for _, m := range ask(t, w, auth.Principal{}, authapi.DevInbox, authapi.InboxQuery{To: email}).Items {
			mail = m
		}
		return mail.Token != ""
	})
	ask(t, w, auth.Principal{}, authapi.ResetPassword, authapi.PasswordReset{Token: mail.Token, NewPassword: password})
	login := ask(t, w, auth.Principal{}, authapi.Login, authapi.LoginRequest{Email: email, Password: password})
	in := w.switched(t, auth.Principal{Token: login.AccessToken}, tenant)
	ask(t, w, in, tenantapi.GetTenant, tenant)
	scim(http.MethodPatch, "Users/"+bob["id"].(string),
		`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`)
	// tenant-service refuses at once, and the gateway as soon as it hears.
	if _, err := rpc.Call(t.Context(), w.gateway(in), tenantapi.GetTenant, tenant); err == nil {
		t.Error("he is still let in")
	}
	await.True(t, "his session is over", func() bool {
		_, err := rpc.Call(t.Context(), w.gateway(in), authapi.ListTenants, struct{}{})
		return err != nil
	})
}
