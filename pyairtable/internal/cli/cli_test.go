package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pyairtable/internal/cli"
)

// These tests run the program itself: this test binary, with services that hold a
// database and no more, when the variable is set.
const programVariable = "PYAIRTABLE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		os.Exit(cli.Main(services, os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// services have the names of real ones and of their work only the database.
var services = []app.Service{
	app.Define("api-gateway", func(ctx context.Context, a *app.App, _ config.Base) error {
		_, err := a.Redis(ctx)
		return err
	}),
	app.Define("user-service", func(ctx context.Context, a *app.App, cfg config.Base) error {
		pool, err := a.Postgres(ctx, nil)
		if err != nil {
			return err
		}
		// It counts its starts, to show that data stays.
		_, err = pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS starts (at timestamptz)`)
		if err == nil {
			_, err = pool.Exec(ctx, `INSERT INTO starts VALUES (now())`)
		}
		return err
	}),
}

// program is pyairtable in a directory and on ports of its own.
type program struct {
	dir   string
	env   []string
	ports map[string]int
}

func newProgram(t *testing.T) *program {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pyairtable-cli-") // root's PostgreSQL cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &program{dir: dir, env: append(os.Environ(), programVariable+"=1"), ports: map[string]int{}}
	for _, name := range []string{"API_GATEWAY", "USER_SERVICE", "AUTH_SERVICE"} {
		p.ports[name] = freePort(t)
		p.env = append(p.env, fmt.Sprintf("%s_PORT=%d", name, p.ports[name]))
	}
	t.Cleanup(func() {
		p.run("down")
		if t.Failed() {
			t.Log(p.run("logs", "-n", "30"))
		}
		os.RemoveAll(dir)
	})
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (p *program) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	return cmd
}

// run returns all that the program said, and its exit code.
func (p *program) run(args ...string) (said string, code int) {
	cmd := p.command(args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		return err.Error(), -1
	}
	return string(out), code
}

// must fails the test unless the program ends with the code and says each phrase.
func (p *program) must(t *testing.T, code int, phrases []string, args ...string) string {
	t.Helper()
	said, got := p.run(args...)
	if got != code {
		t.Fatalf("pyairtable %s: exit code %d, want %d:\n%s", strings.Join(args, " "), got, code, said)
	}
	for _, phrase := range phrases {
		if !strings.Contains(said, phrase) {
			t.Errorf("pyairtable %s does not say %q:\n%s", strings.Join(args, " "), phrase, said)
		}
	}
	return said
}

var processOf = regexp.MustCompile(`process (\d+)`)

// pid is the process of the running instance, as status tells it.
func (p *program) pid(t *testing.T) int {
	t.Helper()
	found := processOf.FindStringSubmatch(p.must(t, 0, nil, "status"))
	if found == nil {
		t.Fatal("status names no process")
	}
	pid, _ := strconv.Atoi(found[1])
	return pid
}

func (p *program) answers(service string) bool {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/ready", p.ports[service]))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func TestUp_InTheBackgroundUntilDown(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.must(t, 3, []string{"not running"}, "status")
	p.must(t, 0, []string{"ready after", fmt.Sprintf("http://localhost:%d", p.ports["API_GATEWAY"])}, "up", "-d", "--no-demo")
	if !p.answers("USER_SERVICE") {
		t.Error("user-service is not ready after `up -d`")
	}
	p.must(t, 0, []string{"user-service", "ready", "PostgreSQL", "Redis"}, "status")
	p.must(t, 0, []string{"user-service is ready", "the secrets are this user's alone"}, "doctor")
	p.must(t, 0, []string{`"service":"user-service"`, "database system is ready"}, "logs")
	p.must(t, 1, []string{"running already", "pyairtable down"}, "up", "--no-demo")
	p.must(t, 0, []string{"stopped"}, "down")
	if p.answers("USER_SERVICE") {
		t.Error("user-service answers after `down`")
	}
	p.must(t, 3, []string{"not running: start it"}, "status")
	p.must(t, 0, []string{"nothing is running"}, "down")
}

func TestUp_CtrlCStopsEverythingAndDataStays(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	for start := 1; start <= 2; start++ {
		cmd := p.command("up", "--no-demo")
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await.True(t, "ready", func() bool { s, code := p.run("status"); return code == 0 && strings.Contains(s, "user-service") })
		if n := p.starts(t); n != start {
			t.Errorf("user-service remembers %d starts, want %d", n, start)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("after Ctrl-C: %v\n%s", err, said.String())
		}
		if p.answers("API_GATEWAY") {
			t.Error("the gateway answers after Ctrl-C")
		}
	}
}

// starts asks user-service's database how often it was started, with the variables
// that `run` would give that service.
func (p *program) starts(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(p.dir, ".run", "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`postgres://[^"]+pyairtable_users[^"]+`).FindString(string(raw))
	out, err := queryInt(t.Context(), strings.ReplaceAll(url, `\u0026`, "&"), `SELECT count(*) FROM starts`)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUp_TakesOverFromAKilledOne(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.must(t, 0, nil, "up", "-d", "--no-demo")
	if err := syscall.Kill(p.pid(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the killed instance to be seen", func() bool { _, code := p.run("status"); return code == 3 })
	p.must(t, 3, []string{"was killed", "pyairtable up"}, "status")
	p.must(t, 1, []string{"was killed", "takes over"}, "doctor")
	p.must(t, 0, []string{"taking over", "ready after"}, "up", "-d", "--no-demo")
	if n := p.starts(t); n != 2 {
		t.Errorf("user-service remembers %d starts, want 2", n)
	}
}

func TestUp_PortInUseNamesServiceProgramAndVariable(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p.ports["USER_SERVICE"]))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := []string{strconv.Itoa(p.ports["USER_SERVICE"]), "user-service", "USER_SERVICE_PORT", fmt.Sprintf("process %d", os.Getpid())}
	p.must(t, 1, want, "up", "--no-demo")
	p.must(t, 1, want, "up", "-d", "--no-demo")
	p.must(t, 1, want, "doctor")
	p.must(t, 3, []string{"not running: start it"}, "status") // a failed start leaves no trace
}

func TestUp_LostSecretsAreNotMadeAnewOverData(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.must(t, 0, nil, "up", "-d", "--no-demo")
	p.must(t, 0, nil, "down")
	if err := os.Remove(filepath.Join(p.dir, ".run", "secrets.env")); err != nil {
		t.Fatal(err)
	}
	p.must(t, 1, []string{"secrets.env is gone", "reset"}, "up", "--no-demo")
	p.must(t, 1, []string{"nothing was removed"}, "reset")
	p.must(t, 0, []string{"removed"}, "reset", "--yes")
	if _, err := os.Stat(filepath.Join(p.dir, ".run")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf(".run after reset: %v", err)
	}
	p.must(t, 0, nil, "up", "-d", "--no-demo")
	if n := p.starts(t); n != 1 {
		t.Errorf("user-service remembers %d starts after a reset, want 1", n)
	}
}

func TestReset_RefusesARunningInstance(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.must(t, 0, nil, "up", "-d", "--no-demo")
	p.must(t, 1, []string{"running already"}, "reset", "--yes")
	if !p.answers("USER_SERVICE") {
		t.Error("user-service is away")
	}
}

func TestUp_SecretsAreClosedToOthers(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.must(t, 0, nil, "up", "-d", "--no-demo")
	for _, name := range []string{"secrets.env", "state.json", "postgres.password", "redis.password", "postgres.log", "log/user-service.log"} {
		info, err := os.Stat(filepath.Join(p.dir, ".run", name))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s, want 0600", name, info.Mode().Perm())
		}
	}
	if err := os.Chmod(filepath.Join(p.dir, ".run", "secrets.env"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.must(t, 1, []string{"can be read by others", "chmod 600"}, "doctor")
}

func TestUp_ProcessesAreRestartedOneByOne(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.must(t, 0, nil, "up", "-d", "--no-demo", "--processes")
	children, err := exec.Command("pgrep", "-P", strconv.Itoa(p.pid(t)), "-f", "run user-service").Output()
	if err != nil {
		t.Skip("no pgrep:", err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		t.Fatalf("processes of user-service: %q", children)
	}
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !p.answers("API_GATEWAY") {
		t.Error("the gateway went with it")
	}
	await.True(t, "user-service's restart", func() bool { return p.answers("USER_SERVICE") })
	if n := p.starts(t); n != 2 {
		t.Errorf("user-service remembers %d starts, want 2", n)
	}
	p.must(t, 0, []string{"stopped"}, "down")
	if p.answers("USER_SERVICE") || p.answers("API_GATEWAY") {
		t.Error("a service answers after `down`")
	}
}

func TestRun_TakesFromTheInstanceWhatTheEnvironmentLeavesOpen(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.must(t, 0, nil, "up", "-d", "--no-demo")
	port := freePort(t)
	cmd := p.command("run", "user-service")
	cmd.Env = append(p.env, fmt.Sprintf("USER_SERVICE_PORT=%d", port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	replica := &program{ports: map[string]int{"USER_SERVICE": port}}
	await.True(t, "the second replica", func() bool { return replica.answers("USER_SERVICE") })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if n := p.starts(t); n != 2 {
		t.Errorf("user-service remembers %d starts, want 2: one of each replica", n)
	}
}

func TestRun_UnknownServiceNamesTheKnown(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.must(t, 1, []string{"mail-service", "user-service"}, "run", "mail-service")
}

func TestUp_FailingServiceStopsEverythingAndIsNamed(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.env = append(p.env, "USER_SERVICE_SEAL_KEYS=x", "USER_SERVICE_LOG_LEVEL=loud")
	p.must(t, 1, []string{"user-service", "LOG_LEVEL"}, "up", "--no-demo")
	p.must(t, 3, nil, "status")
}
