package instance_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pyairtable"
	"github.com/pyairtable/pyairtable/pyairtable/internal/instance"
)

// options are of an instance of all services, on ports and in a directory of its own.
func options(t *testing.T) instance.Options {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pyairtable-instance-") // root's PostgreSQL cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"AUTH_SERVICE_BCRYPT_COST": "4"}
	for name := range catalog.Ports() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		env[config.Prefix(name)+"PORT"] = fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	}
	return instance.Options{
		Dir: dir + "/run", Services: pyairtable.Services, Profile: localinfra.Ephemeral,
		Env: config.Overlay(env, func(string) (string, bool) { return "", false }),
		Say: func(s string) { t.Log(s) },
	}
}

// firstRequest makes the request that `up` prints, and returns how many records came.
func firstRequest(t *testing.T, i *instance.Instance) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.Demo.FirstRequest(i.URL), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+i.Demo.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct{ Records []json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", i.Demo.FirstRequest(i.URL), resp.Status, err)
	}
	return len(page.Records)
}

func TestStart_LoadsTheDemoOnceAndFindsItAgain(t *testing.T) {
	t.Parallel()
	o := options(t)
	var first instance.Instance
	for start := range 2 {
		i, err := instance.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if i.Demo == nil || i.Demo.Records < 1000 || firstRequest(t, i) != 3 {
			t.Errorf("start %d: demo %+v", start, i.Demo)
		}
		if start == 0 {
			first = *i
		} else if diff := cmp.Diff(first.Demo, i.Demo); diff != "" {
			t.Errorf("the second start has another demo: %s", diff)
		}
		if err := i.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStart_GivenServersAreUsedAndLeftRunning(t *testing.T) {
	t.Parallel()
	p, err := localinfra.StartPostgres(t.Context(), localinfra.Options{Profile: localinfra.Ephemeral})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(t.Context())
	r, err := localinfra.StartRedis(t.Context(), localinfra.Options{Profile: localinfra.Ephemeral})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop(t.Context())
	o := options(t)
	o.PostgresURL, o.RedisURL, o.NoDemo = p.URL, r.URL, true
	i, err := instance.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if i.Postgres != nil || i.Redis != nil {
		t.Error("private servers were started beside the given ones")
	}
	if err := i.Stop(); err != nil {
		t.Fatal(err)
	}
	if !p.Alive() || !r.Alive() {
		t.Error("a given server was stopped")
	}
}
