package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
	"github.com/pyairtable/pyairtable/pyairtable/internal/fleet"
)

// install is what `pyairtable up` runs on: databases and addresses that outlive a
// process that is killed.
type install struct {
	binary, dir string
	env         []string
	gateway     string
	urls        []string          // of all services
	at          map[string]string // the same by service
	databases   map[string]string // URLs, by service
}

// newInstall is an install with the variables beside its own, on the tests' servers
// unless they name others.
func newInstall(t *testing.T, more map[string]string) *install {
	t.Helper()
	in := &install{
		binary: program(t, "pyairtable/cmd/pyairtable"), dir: t.TempDir(),
		at: map[string]string{}, databases: map[string]string{},
	}
	vars := map[string]string{
		"SEAL_KEYS": seal.NewKey(), "SERVICE_SECRET": "a secret of tests, 32 bytes or more", "REDIS_URL": "",
		"API_GATEWAY_RATE_LIMIT": "100000/1s", "API_GATEWAY_RATE_LIMIT_AUTH": "100000/1s", "AUTH_SERVICE_BCRYPT_COST": "4",
	}
	maps.Copy(vars, more)
	if vars["REDIS_URL"] == "" {
		vars["REDIS_URL"] = redistest.URL(t)
	}
	for _, s := range catalog.Services {
		address := freeAddress(t)
		_, vars[config.Prefix(s.Name)+"PORT"], _ = net.SplitHostPort(address)
		in.urls = append(in.urls, "http://"+address)
		in.at[s.Name] = "http://" + address
		if s.Name == catalog.Gateway.Name {
			in.gateway = "http://" + address
		}
		if s.Database == "" {
			continue
		}
		key := config.Prefix(s.Name) + "DATABASE_URL"
		if vars[key] == "" {
			vars[key] = pgtest.URL(t, s.Name, nil)
		}
		in.databases[s.Name] = vars[key]
	}
	in.env = os.Environ()
	for k, v := range vars {
		in.env = append(in.env, k+"="+v)
	}
	return in
}

// up starts the process and waits until it is ready.
func (in *install) up(t *testing.T) *exec.Cmd {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), in.binary, "up", "--no-demo", "--dir", in.dir, "--env-file", filepath.Join(in.dir, "none"))
	cmd.Env, cmd.Stdout, cmd.Stderr = in.env, &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pyairtable up said:\n%s", out.String())
		}
	})
	await.True(t, "readiness", func() bool {
		for _, url := range in.urls {
			if ready, _ := fleet.Ready(t.Context(), url); !ready {
				return false
			}
		}
		return true
	})
	return cmd
}

// A burst of registrations is cut by kill -9, again and again. Every account that
// was acknowledged exists after the restart, and has exactly one profile.
func TestKill9_NoAcknowledgedUserIsLost(t *testing.T) {
	t.Parallel()
	in := newInstall(t, nil)
	acknowledged := map[string]string{} // id by email
	for round := range 3 {
		cmd := in.up(t)
		for email, id := range in.burst(t, cmd, round) {
			acknowledged[email] = id
		}
	}
	cmd := in.up(t)
	if len(acknowledged) < 30 {
		t.Fatalf("only %d accounts were acknowledged; the test would show nothing", len(acknowledged))
	}
	c := client(in.gateway, auth.Principal{})
	for email, id := range acknowledged {
		session, err := rpc.Call(t.Context(), c, authapi.Login, authapi.LoginRequest{Email: email, Password: password})
		if err != nil {
			t.Errorf("%s was acknowledged and cannot sign in: %v", email, err)
			continue
		}
		me, err := rpc.Call(t.Context(), client(in.gateway, auth.Principal{Token: session.AccessToken}), userapi.GetMe, struct{}{})
		if err != nil || me.Body.ID != id {
			t.Errorf("%s: profile %s, account %s, %v", email, me.Body.ID, id, err)
		}
	}
	in.oneProfileEach(t, acknowledged)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("an orderly stop after the crashes: %v", err)
	}
}

// burst registers users from many callers and kills the process in the middle.
func (in *install) burst(t *testing.T, cmd *exec.Cmd, round int) map[string]string {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var killed atomic.Bool
	got := map[string]string{}
	for caller := range 8 {
		wg.Go(func() {
			c := client(in.gateway, auth.Principal{})
			for n := 0; !killed.Load(); n++ {
				email := fmt.Sprintf("u%d-%d-%d@example.com", round, caller, n)
				u, err := rpc.Call(t.Context(), c, authapi.Register, authapi.RegisterRequest{Email: email, Password: password, Name: "U"})
				if err != nil {
					continue // not acknowledged: nothing is promised
				}
				mu.Lock()
				got[email] = u.ID
				enough := len(got) >= 25+10*round
				mu.Unlock()
				if enough && !killed.Swap(true) {
					_ = cmd.Process.Kill()
				}
			}
		})
	}
	wg.Wait()
	_ = cmd.Wait()
	return got
}

// oneProfileEach looks into user-service's database: events may still be on their
// way, but each acknowledged account gets its e-mail filled in, once.
func (in *install) oneProfileEach(t *testing.T, acknowledged map[string]string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), in.databases[userapi.Service.Name])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	emails := make([]string, 0, len(acknowledged))
	for email := range acknowledged {
		emails = append(emails, strings.ToLower(email))
	}
	await.True(t, "every registration's event has its profile", func() bool {
		var profiles, distinct int
		err := conn.QueryRow(t.Context(), `SELECT count(*), count(DISTINCT id) FROM users WHERE email = ANY($1)`, emails).Scan(&profiles, &distinct)
		if err != nil {
			t.Fatal(err)
		}
		if profiles > len(emails) || profiles != distinct {
			t.Fatalf("%d profiles for %d accounts", profiles, len(emails))
		}
		return profiles == len(emails)
	})
}
