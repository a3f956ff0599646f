package instance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/app"
)

// Who decides what callers may do, and how much tenants may have, follows from who runs: a
// .env file that was written for services without permission-service and tenant-service
// does not take them out of the decision.
func TestDecisions_AreTheServicesIfTheyRun(t *testing.T) {
	t.Parallel()
	dotEnv := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(dotEnv, []byte("PERMISSIONS=role\nLIMITS=off\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := []app.Service{{Name: authapi.Service.Name}}
	for _, c := range []struct {
		name, key     string
		service       string // that decides, if it runs
		with, without string
	}{
		{"permissions", "PERMISSIONS", permissionapi.Service.Name, "service", "role"},
		{"limits", "LIMITS", tenantapi.Service.Name, "service", "off"},
	} {
		decides := func(services []app.Service, env string) string {
			v, err := newVariables(Options{Services: services, DotEnv: dotEnv, Env: func(key string) (string, bool) {
				return env, env != "" && key == c.key
			}})
			if err != nil {
				t.Fatal(err)
			}
			v.files = func(string) string { return "" }
			if told, ok := v.shared()[c.key]; ok {
				return told
			}
			return env
		}
		all := append([]app.Service{{Name: c.service}}, first...)
		if got := decides(all, ""); got != c.with {
			t.Errorf("%s with the service: %q", c.name, got)
		}
		if got := decides(first, ""); got != c.without {
			t.Errorf("%s without it: %q", c.name, got)
		}
		if got := decides(all, c.without); got != c.without {
			t.Errorf("%s as somebody demands: %q", c.name, got)
		}
	}
}
