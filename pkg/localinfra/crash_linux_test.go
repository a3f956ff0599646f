package localinfra

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/await"
)

// helperVariable makes this test binary the process to be killed.
const helperVariable = "PYAIRTABLE_LOCALINFRA_HELPER"

// TestMain runs the tests or, in the helper process, servers until it is killed.
func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv(helperVariable); ok {
		if err := runServers(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// runServers starts throw-away servers and durable ones in dir, prints their processes
// and directories, and never returns.
func runServers(dir string) error {
	ctx := context.Background()
	for _, o := range []Options{{Profile: Ephemeral}, {Profile: Durable, Dir: dir}} {
		p, err := StartPostgres(ctx, o)
		if err != nil {
			return err
		}
		r, err := StartRedis(ctx, o)
		if err != nil {
			return err
		}
		fmt.Println(p.proc.pid, p.home)
		fmt.Println(r.proc.pid, r.home)
	}
	fmt.Println("up")
	select {}
}

func TestServers_DieWithAKilledProcess(t *testing.T) {
	t.Parallel()
	if FindRedis() == "" {
		t.Skip("no Redis on this machine")
	}
	dir := openTestDir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	var homes []string
	for s := bufio.NewScanner(out); s.Scan() && s.Text() != "up"; {
		var pid int
		var home string
		if _, err := fmt.Sscan(s.Text(), &pid, &home); err != nil {
			t.Fatalf("the helper said %q", s.Text())
		}
		pids, homes = append(pids, pid), append(homes, home)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if len(pids) != 4 {
		t.Fatalf("%d servers, want 4", len(pids))
	}
	for _, pid := range pids {
		await.True(t, fmt.Sprintf("server %d to end", pid), func() bool { return !pidAlive(pid) })
	}
	for _, home := range homes[:2] {
		await.True(t, home+" to be removed", func() bool { _, err := os.Stat(home); return errors.Is(err, fs.ErrNotExist) })
	}
	// The data of the durable ones is there, and free to be used.
	p, err := StartPostgres(t.Context(), Options{Dir: dir, Profile: Durable})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server that outlives its starter, as where there is no parent death signal, is
// stopped before another one works on its data.
func TestServers_LeftByAKilledProcessAreStopped(t *testing.T) {
	t.Parallel()
	dir := openTestDir(t)
	var said strings.Builder
	o := Options{Dir: dir, Profile: Ephemeral, Say: func(s string) { said.WriteString(s) }}
	oldP, newP := startTwice(t, func() (*Postgres, error) { return StartPostgres(t.Context(), o) },
		func(p *Postgres) error { return p.lock.Unlock() }, func(p *Postgres) error { p.lock = nil; return p.Stop(context.Background()) })
	if oldP.Alive() || !newP.Alive() {
		t.Errorf("PostgreSQL: old alive = %v, new alive = %v", oldP.Alive(), newP.Alive())
	}
	if !strings.Contains(said.String(), "killed run left") {
		t.Errorf("said %q, want the takeover told", said.String())
	}
	if FindRedis() == "" {
		return
	}
	oldR, newR := startTwice(t, func() (*Redis, error) { return StartRedis(t.Context(), o) },
		func(r *Redis) error { return r.lock.Unlock() }, func(r *Redis) error { r.lock = nil; return r.Stop(context.Background()) })
	if oldR.Alive() || !newR.Alive() {
		t.Errorf("Redis: old alive = %v, new alive = %v", oldR.Alive(), newR.Alive())
	}
}

// startTwice starts a server, forgets its lock as the death of its process would, and
// starts another in the same directory.
func startTwice[S any](t *testing.T, start func() (S, error), forget, stop func(S) error) (first, second S) {
	t.Helper()
	first, err := start()
	if err != nil {
		t.Fatal(err)
	}
	if err := forget(first); err != nil {
		t.Fatal(err)
	}
	second, err = start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(stop(first), stop(second)); err != nil {
			t.Error(err)
		}
	})
	return first, second
}

func TestStopLeftovers_EndsServersOfThisDirectoryAlone(t *testing.T) {
	t.Parallel()
	mine, other := openTestDir(t), openTestDir(t)
	var servers []*Postgres
	for _, dir := range []string{mine, other} {
		p, err := StartPostgres(t.Context(), Options{Dir: dir, Profile: Ephemeral})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
		servers = append(servers, p)
	}
	if err := StopLeftovers(t.Context(), mine, nil); err != nil {
		t.Fatal(err)
	}
	if servers[0].Alive() || !servers[1].Alive() {
		t.Errorf("alive: %v and %v, want false and true", servers[0].Alive(), servers[1].Alive())
	}
}

func TestStart_FullDiskSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dir := openTestDir(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("a small disk can be made by root alone:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	_, pgErr := StartPostgres(t.Context(), Options{Dir: dir, Profile: Durable})
	_, redisErr := StartRedis(t.Context(), Options{Dir: dir, Profile: Durable})
	for _, err := range []error{pgErr, redisErr} {
		var p *Problem
		if !errors.As(err, &p) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(p.Do, "free some space") {
			t.Errorf("err = %v, want a Problem about the full disk", err)
		}
	}
}

func TestStart_UnwritableDirectorySaysWhatToDo(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := StartRedis(t.Context(), Options{Dir: filepath.Join(dir, "run"), Profile: Durable})
	var p *Problem
	if !errors.As(err, &p) {
		t.Errorf("err = %v, want a Problem", err)
	}
}

func TestLock_IsFreeOnceItsHolderIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	var held *Held
	if _, err := Lock(path); !errors.As(err, &held) || held.Pid != os.Getpid() {
		t.Errorf("err = %v, want held by this process", err)
	}
	if pid, err := Holder(path); err != nil || pid != os.Getpid() {
		t.Errorf("Holder = %d, %v", pid, err)
	}
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}
	// A number in the file is no lock: a dead process left it.
	if err := os.WriteFile(path, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid, err := Holder(path); err != nil || pid != 0 {
		t.Errorf("Holder of a stale file = %d, %v", pid, err)
	}
	second, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestRedis_WithoutAProgramIsTheStandInAndSaysSo(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	r, err := newRedis(t.Context(), Options{Profile: Ephemeral, Say: func(s string) { said.WriteString(s) }})
	if err != nil {
		t.Fatal(err)
	}
	r.bin = ""
	if err := r.launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.InProcess || !r.Alive() {
		t.Error("no stand-in runs")
	}
	if err := r.Kill(); err != nil || r.Alive() {
		t.Errorf("after Kill: alive = %v, %v", r.Alive(), err)
	}
	if err := r.Restart(t.Context()); err != nil || !r.Alive() {
		t.Errorf("after Restart: alive = %v, %v", r.Alive(), err)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func openTestDir(t *testing.T) string {
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
