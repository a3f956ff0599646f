package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// accountToken is a token of the account that the emulator stands for.
const accountToken = "patEmulatorAccount.0"

// emulator is an Airtable in a process and a database of its own.
type emulator struct{ url string }

// programs are built once for all tests of this process.
var programs = struct {
	sync.Mutex
	dir string
	err map[string]error
}{err: map[string]error{}}

// program builds the main package at path, from the repository's top, and returns
// where its binary is.
func program(t *testing.T, path string) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if programs.dir == "" {
		dir, err := os.MkdirTemp("", "pyairtable-e2e")
		if err != nil {
			t.Fatal(err)
		}
		programs.dir = dir
	}
	binary := filepath.Join(programs.dir, filepath.Base(path))
	err, known := programs.err[path]
	if !known {
		build := exec.Command("go", "build", "-race", "-o", binary, "./"+path)
		build.Dir = top(t)
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("build %s: %w\n%s", path, err, out)
		}
		programs.err[path] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// TestMain removes what program left.
func TestMain(m *testing.M) {
	code := m.Run()
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// startEmulator starts an emulator with the flags and stops it at the test's end.
func startEmulator(t *testing.T, flags ...string) *emulator {
	t.Helper()
	flags = append([]string{"-addr", "127.0.0.1:0", "-database-url", pgtest.URL(t, airtableapi.Service.Name, nil)}, flags...)
	cmd := exec.CommandContext(t.Context(), program(t, "airtable-gateway/cmd/airtable-emulator"), flags...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	log := &apptest.Log{}
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() && log.String() != "" {
			t.Logf("the emulator said:\n%s", tail(log))
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "serving on ")
	if err != nil || !ok {
		t.Fatalf("the emulator did not start: %q, %v", line, err)
	}
	return &emulator{url: url}
}

// stats are the emulator's own figures.
type stats struct {
	RateLimited int            `json:"rate_limited"`
	LockOuts    int            `json:"lock_outs"`
	Busiest     map[string]int `json:"busiest_second"`
}

func (e *emulator) stats(t *testing.T) stats {
	t.Helper()
	status, body := request(t, "GET", e.url+"/_emulator/stats", "", "")
	var s stats
	if err := json.Unmarshal([]byte(body), &s); err != nil || status != 200 {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	return s
}

// connectTo makes a connection of who to the emulator.
func (w *world) connectTo(t *testing.T, who auth.Principal, e *emulator) {
	t.Helper()
	draft := airtableapi.ConnectionDraft{Name: "emulator", Kind: airtableapi.KindAirtable, APIURL: e.url, Token: accountToken}
	if _, err := rpc.Call(t.Context(), w.gateway(who), airtableapi.CreateConnection, airtableapi.ConnectionCreate{Body: draft}); err != nil {
		t.Fatal(err)
	}
}

// everyScope are the scopes that the Web API asks for.
var everyScope = []string{
	"data.records:read", "data.records:write", "data.recordComments:read", "data.recordComments:write",
	"schema.bases:read", "schema.bases:write", "webhook:manage", "workspacesAndBases:read", "workspacesAndBases:write", "user.email:read",
}
