package instance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pyairtable"
	"github.com/pyairtable/pyairtable/pyairtable/internal/fleet"
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

// A private server that is killed comes back by itself, and the instance with it.
func TestStart_KilledServersAreStartedAgain(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Profile = localinfra.Durable
	i, err := instance.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, pid := range []int{postgresPid(t, i), redisPid(t, i)} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready(t, i) {
		select {
		case <-ctx.Done():
			t.Fatal("the instance did not recover")
		case <-tick.C:
		}
	}
	if n := firstRequest(t, i); n != 3 {
		t.Errorf("%d records after the recovery", n)
	}
}

// postgresPid reads it where PostgreSQL writes it.
func postgresPid(t *testing.T, i *instance.Instance) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(i.Postgres.Dir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return atoi(t, line)
}

// redisPid asks Redis.
func redisPid(t *testing.T, i *instance.Instance) int {
	t.Helper()
	rdb, err := redis.New(i.Redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	info, err := rdb.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "process_id:")
	pid, _, _ := strings.Cut(rest, "\r")
	return atoi(t, pid)
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ready reports whether every service answers, and says that it is ready: that its
// PostgreSQL and Redis answer.
func ready(t *testing.T, i *instance.Instance) bool {
	t.Helper()
	for _, s := range pyairtable.Services {
		if ok, _ := fleet.Ready(t.Context(), i.ServiceURL(s.Name)); !ok {
			return false
		}
	}
	return true
}
