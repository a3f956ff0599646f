package e2e

import (
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// A plan that is changed while all services run holds for the next base and the next call.
func TestPlans_HoldInOtherServicesWithoutARestart(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	u, who := w.user(t)
	secret := app.ClientSecret(config.Base{ServiceSecret: serviceSecret}, tenantapi.Service.Name)
	own, err := rpc.Call(t.Context(), client(w.urls[catalog.Auth], auth.Principal{}), authapi.ServiceToken,
		authapi.ServiceTokenRequest{Client: tenantapi.Service.Name, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	operator := client(w.urls[tenantapi.Service.Name], auth.Principal{Token: own.AccessToken})
	tenant := tenantapi.TenantRef{TenantID: u.TenantID}
	allow := func(limits map[string]int64) error {
		_, err := rpc.Call(t.Context(), operator, tenantapi.SetLimitOverrides, tenantapi.OverridesUpdate{
			TenantRef: tenant, Body: tenantapi.Overrides{Limits: limits},
		})
		return err
	}
	await.True(t, "tenant-service has heard of the tenant", func() bool { return allow(map[string]int64{tenantapi.LimitBases: 1}) == nil })
	w.demo(t, who)
	pat := w.pat(t, who, "schema.bases:read", "schema.bases:write")
	another := func() (int, string) {
		return request(t, "POST", w.urls[catalog.Gateway.Name]+"/v0/meta/bases", pat,
			`{"name":"More","workspaceId":"wspAAAAAAAAAAAAAA","tables":[{"name":"T","fields":[{"name":"N","type":"singleLineText"}]}]}`)
	}
	if status, body := another(); status != 422 || !strings.Contains(body, "PLAN_LIMIT_REACHED") || !strings.Contains(body, "The plan enterprise allows 1 bases.") {
		t.Errorf("a second base: %d %s", status, body)
	}
	if err := allow(map[string]int64{tenantapi.LimitBases: 2}); err != nil {
		t.Fatal(err)
	}
	if status, body := another(); status != 200 {
		t.Errorf("a second base after all: %d %s", status, body)
	}
	shown, err := rpc.Call(t.Context(), w.gateway(who), tenantapi.ShowLimits, tenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range shown.Items {
		if l.Limit == tenantapi.LimitBases && (l.Used != 2 || l.Reserved != 0 || l.Allowed != 2) ||
			l.Limit == tenantapi.LimitAPICalls && l.Used+l.Reserved == 0 {
			t.Errorf("counted are %+v", l)
		}
	}
	// What is left of the leases runs out before a smaller plan is felt.
	if err := allow(map[string]int64{tenantapi.LimitAPICalls: 0}); err != nil {
		t.Fatal(err)
	}
	await.True(t, "calls are refused", func() bool {
		status, body := request(t, "GET", w.urls[catalog.Gateway.Name]+"/v0/meta/bases", pat, "")
		return status == 429 && strings.Contains(body, "The plan enterprise allows 0 API calls a month.")
	})
	if err := allow(map[string]int64{}); err != nil {
		t.Fatal(err)
	}
	await.True(t, "calls are answered", func() bool {
		status, _ := request(t, "GET", w.urls[catalog.Gateway.Name]+"/v0/meta/bases", pat, "")
		return status == 200
	})
}
