package instance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/app"
)

// Who decides what callers may do follows from who runs: a .env file that was written
// for services without permission-service does not take it out of the decision.
func TestPermissions_AreDecidedByTheServiceIfItRuns(t *testing.T) {
	t.Parallel()
	dotEnv := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(dotEnv, []byte("PERMISSIONS=role\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := []app.Service{{Name: authapi.Service.Name}}
	all := append([]app.Service{{Name: permissionapi.Service.Name}}, first...)
	for _, c := range []struct {
		name     string
		services []app.Service
		env      string
		want     string
	}{
		{"all services", all, "", "service"},
		{"without permission-service", first, "", "role"},
		{"as somebody demands", all, "role", "role"},
	} {
		v, err := newVariables(Options{Services: c.services, DotEnv: dotEnv, Env: func(key string) (string, bool) {
			return c.env, c.env != "" && key == "PERMISSIONS"
		}})
		if err != nil {
			t.Fatal(err)
		}
		v.files = func(string) string { return "" }
		got := c.env
		if told, ok := v.shared()["PERMISSIONS"]; ok {
			got = told
		}
		if got != c.want {
			t.Errorf("%s: %q decides, want %q", c.name, got, c.want)
		}
	}
}
