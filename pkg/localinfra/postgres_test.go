package localinfra_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
)

func startPostgres(t *testing.T, o localinfra.Options) *localinfra.Postgres {
	t.Helper()
	o.Say = func(s string) { t.Log(s) }
	p, err := localinfra.StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// openDir returns a directory that an unprivileged server can reach; t.TempDir is closed
// to it when root runs the tests.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pyairtable-localinfra-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func queryText(t *testing.T, url, sql string, args ...any) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var text string
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func exec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestPostgres_EphemeralLeavesNothing(t *testing.T) {
	t.Parallel()
	p, err := localinfra.StartPostgres(t.Context(), localinfra.Options{Profile: localinfra.Ephemeral})
	if err != nil {
		t.Fatal(err)
	}
	if got := queryText(t, p.URL, `SHOW fsync`); got != "off" {
		t.Errorf("fsync = %s, want off", got)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Alive() {
		t.Error("the server runs after Stop")
	}
	if _, err := os.Stat(filepath.Dir(p.Dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
}

func TestPostgres_DurableFindsItsDataAgain(t *testing.T) {
	t.Parallel()
	o := localinfra.Options{Dir: openDir(t), Profile: localinfra.Durable}
	first, err := localinfra.StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, first.URL, `CREATE TABLE kept AS SELECT 'yes' AS answer`)
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := startPostgres(t, o)
	if got := queryText(t, second.URL, `SELECT answer FROM kept`); got != "yes" {
		t.Errorf("answer = %q after a restart", got)
	}
	if second.Port != first.Port {
		t.Errorf("port %d, then %d: want the same while it is free", first.Port, second.Port)
	}
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		if got := queryText(t, second.URL, `SELECT current_setting($1)`, setting); got != "on" {
			t.Errorf("%s = %s, want on", setting, got)
		}
	}
	info, err := os.Stat(filepath.Join(o.Dir, "postgres.password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v %v, want mode 0600", info, err)
	}
}

func TestPostgres_CrashLosesNothingCommitted(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, localinfra.Options{Dir: openDir(t), Profile: localinfra.Durable})
	exec(t, p.URL, `CREATE TABLE kept AS SELECT 'yes' AS answer`)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := queryText(t, p.URL, `SELECT answer FROM kept`); got != "yes" {
		t.Errorf("answer = %q after a crash", got)
	}
}

func TestPostgres_SecondOneOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	o := localinfra.Options{Dir: openDir(t), Profile: localinfra.Ephemeral}
	p := startPostgres(t, o)
	_, err := localinfra.StartPostgres(t.Context(), o)
	var problem *localinfra.Problem
	if !errors.As(err, &problem) || !strings.Contains(problem.What, strconv.Itoa(os.Getpid())) {
		t.Errorf("err = %v, want a Problem that names the process", err)
	}
	if !p.Alive() {
		t.Error("the first one was ended")
	}
}

func TestPostgres_StalePidFileOfAnotherProgramIsNoObstacle(t *testing.T) {
	t.Parallel()
	o := localinfra.Options{Dir: openDir(t), Profile: localinfra.Ephemeral}
	first, err := localinfra.StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A dead server's number was given to another program: this test.
	stale := strconv.Itoa(os.Getpid()) + "\n" + first.Dir + "\n"
	if err := os.WriteFile(filepath.Join(first.Dir, "postmaster.pid"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	startPostgres(t, o)
}

func TestPostgres_TakenPortSaysWhatToDo(t *testing.T) {
	t.Parallel()
	first := startPostgres(t, localinfra.Options{Profile: localinfra.Ephemeral})
	_, err := localinfra.StartPostgres(t.Context(), localinfra.Options{Profile: localinfra.Ephemeral, Port: first.Port})
	var problem *localinfra.Problem
	if !errors.As(err, &problem) || !strings.Contains(problem.What, strconv.Itoa(first.Port)) || problem.Do == "" {
		t.Errorf("err = %v, want a Problem that names the port", err)
	}
}

func TestPostgres_LostPasswordSaysWhatToDo(t *testing.T) {
	t.Parallel()
	o := localinfra.Options{Dir: openDir(t), Profile: localinfra.Ephemeral}
	p, err := localinfra.StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.Dir, "postgres.password")); err != nil {
		t.Fatal(err)
	}
	_, err = localinfra.StartPostgres(t.Context(), o)
	var problem *localinfra.Problem
	if !errors.As(err, &problem) {
		t.Errorf("err = %v, want a Problem", err)
	}
}

// A directory under a closed parent, like a checkout in root's home, is out of the
// unprivileged server's reach.
func TestPostgres_ClosedParentMovesTheData(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root starts the server as somebody else")
	}
	closed := openDir(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	o := localinfra.Options{Dir: filepath.Join(closed, "run"), Profile: localinfra.Ephemeral}
	said := ""
	o.Say = func(s string) { said += s }
	first, err := localinfra.StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(filepath.Dir(first.Dir))) })
	exec(t, first.URL, `CREATE TABLE kept AS SELECT 'yes' AS answer`)
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(first.Dir, closed) || !strings.Contains(said, filepath.Dir(first.Dir)) {
		t.Errorf("data in %s, said %q: want it elsewhere and said so", first.Dir, said)
	}
	if got := queryText(t, startPostgres(t, o).URL, `SELECT answer FROM kept`); got != "yes" {
		t.Errorf("answer = %q after a restart", got)
	}
}

func TestDatabases_EachRoleEntersItsOwnAlone(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, localinfra.Options{Profile: localinfra.Ephemeral})
	databases := []localinfra.Database{
		{Name: "pyairtable_a", Role: "pyairtable_a", Password: "pa'ss\\a"},
		{Name: "pyairtable_b", Role: "pyairtable_b", Password: "b"},
	}
	for range 2 { // the second time finds everything there
		if err := localinfra.Databases(t.Context(), p.URL, databases); err != nil {
			t.Fatal(err)
		}
	}
	as := func(role, password, database string) error {
		config, err := pgx.ParseConfig(p.URL)
		if err != nil {
			t.Fatal(err)
		}
		config.User, config.Password, config.Database = role, password, database
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, `CREATE TABLE mine (n int)`)
		return err
	}
	if err := as("pyairtable_a", "pa'ss\\a", "pyairtable_a"); err != nil {
		t.Errorf("the owner: %v", err)
	}
	if err := as("pyairtable_a", "pa'ss\\a", "pyairtable_b"); err == nil {
		t.Error("another service's role was let in")
	}
	if err := as("pyairtable_b", "wrong", "pyairtable_b"); err == nil {
		t.Error("a wrong password was let in")
	}
}

func TestPostgres_FastShutdownSignalEndsIt(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, localinfra.Options{Dir: openDir(t), Profile: localinfra.Durable})
	pid := postmaster(t, p.Dir)
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the server to end", func() bool { return !p.Alive() })
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
