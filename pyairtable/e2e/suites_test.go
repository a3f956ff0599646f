package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

const clients = "pyairtable/e2e/clients"

// What each client's own tests expect of Airtable is asked of the emulator, of the base
// store and of a connection. pyairtable's and airtable.js's tests against a server are
// not in their published archives: clients/suite.py and suite.mjs have them row by row,
// through the real client. mehanizm's are those of its module, with its mock replaced
// by the server. What may fail is listed in clients/skips.txt with the reason.
func TestClients_TheirOwnSuites(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(top(t), clients, "seed.json")
	direct := startEmulator(t, "-base-rate", "0", "-token-rate", "0", "-seed", seed)
	limited := startEmulator(t, "-seed", seed)
	w := start(t, map[string]string{"AIRTABLE_ALLOWED_URLS": limited.url})
	_, native := w.user(t)
	_, connected := w.user(t)
	w.connectTo(t, connected, limited)
	w.keepFiles(t, connected)
	gateway := w.urls[catalog.Gateway.Name]
	store := server{"store", gateway, w.pat(t, native, everyScope...)}
	w.plant(t, native, store, seed)
	servers := []server{{"emulator", direct.url, accountToken}, store, {"connection", gateway, w.pat(t, connected, everyScope...)}}
	mehanizm := mehanizmSuite(t)
	skips := readSkips(t)
	for _, s := range servers {
		env := []string{"PYAIRTABLE_URL=" + s.url, "PYAIRTABLE_TOKEN=" + s.token, "SUITE_URL=" + s.url, "SUITE_TOKEN=" + s.token}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			t.Run("pyairtable", func(t *testing.T) {
				t.Parallel()
				skips.judge(t, s.name, "pyairtable", output(t, clients, env, filepath.Join(top(t), clients, ".venv", "bin", "python"), "suite.py"))
			})
			t.Run("airtable.js", func(t *testing.T) {
				t.Parallel()
				skips.judge(t, s.name, "airtable.js", output(t, clients, env, "node", "suite.mjs"))
			})
			if s.name == "store" {
				return // its tests name records by ids that the base store has not made
			}
			t.Run("mehanizm", func(t *testing.T) {
				t.Parallel()
				// One by one: the client panics at an answer that its mock does not give.
				var said strings.Builder
				for test := range strings.FieldsSeq(output(t, filepath.Dir(mehanizm), env, mehanizm, "-test.list", asking)) {
					said.WriteString(output(t, filepath.Dir(mehanizm), env, mehanizm, "-test.v", "-test.run", "^"+test+"$"))
				}
				skips.judge(t, s.name, "mehanizm", said.String())
			})
		})
	}
}

// keepFiles has the connections of who answer with links that do not expire.
func (w *world) keepFiles(t *testing.T, who auth.Principal) {
	t.Helper()
	all, err := rpc.Call(t.Context(), w.gateway(who), airtableapi.ListConnections, airtableapi.ConnectionsQuery{PageQuery: api.PageQuery{Limit: 10}})
	if err != nil {
		t.Fatal(err)
	}
	on := true
	for _, c := range all.Items {
		if c.Kind != airtableapi.KindAirtable {
			continue
		}
		change := airtableapi.ConnectionUpdate{ConnectionPath: airtableapi.ConnectionPath{ID: c.ID}}
		change.Body.Settings.StableAttachments = &on
		if _, err := rpc.Call(t.Context(), w.gateway(who), airtableapi.UpdateConnection, change); err != nil {
			t.Fatal(err)
		}
	}
}

// output runs a program, which may fail, and returns what it said.
func output(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(top(t), dir)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s (make clients installs what it needs): %v", name, err)
	}
	return string(out)
}

// skips are the tests that may fail, with the reason, by "server suite test".
type skips map[string]string

func readSkips(t *testing.T) skips {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top(t), clients, "skips.txt"))
	if err != nil {
		t.Fatal(err)
	}
	s := skips{}
	for line := range strings.SplitSeq(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		if !ok || len(strings.Fields(name)) != 3 {
			t.Fatalf("skips.txt: %q is not SERVER SUITE TEST: reason", line)
		}
		s[name] = reason
	}
	return s
}

func (s skips) reason(server, suite, test string) (string, bool) {
	for _, where := range []string{server, "*"} {
		if reason, ok := s[where+" "+suite+" "+test]; ok {
			return reason, true
		}
	}
	return "", false
}

// outcome is a line of a suite, or of a Go test's output.
var outcome = regexp.MustCompile(`(?m)^(?:(ok|FAIL) +\S+ (\w+)(?:: (.*))?|--- (PASS|FAIL): (\w+) \(.*\))$`)

// judge compares what a suite said with what it may say.
func (s skips) judge(t *testing.T, server, suite, said string) {
	t.Helper()
	passed, failed, skipped := 0, 0, 0
	var why []string
	for _, m := range outcome.FindAllStringSubmatch(said, -1) {
		test, ok := m[2]+m[5], m[1] == "ok" || m[4] == "PASS"
		switch reason, listed := s.reason(server, suite, test); {
		case ok && listed:
			failed++
			t.Errorf("%s passes: take it off skips.txt", test)
		case ok:
			passed++
		case listed:
			skipped++
			why = append(why, "skipped "+test+": "+reason)
		default:
			failed++
			t.Errorf("%s: %s", test, m[3])
		}
	}
	if passed == 0 {
		t.Errorf("no test passed:\n%s", said)
	}
	slices.Sort(why)
	t.Logf("%s at the %s: %d passed, %d failed, %d skipped\n%s", suite, server, passed, failed, skipped, strings.Join(why, "\n"))
}

// asking are mehanizm's tests that ask a server.
const asking = "^(TestGetBases|TestGetBases_Do|TestGetRecordsConfig_Do|TestRecord_.*|TestTable_.*)$"

// mehanizmSuite builds the tests of the module github.com/mehanizm/airtable, at the
// version that airtable-gateway requires and go.sum vouches for, with its mock replaced.
func mehanizmSuite(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/mehanizm/airtable")
	list.Dir = filepath.Join(top(t), "airtable-gateway")
	source, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(strings.TrimSpace(string(source)))); err != nil {
		t.Fatal(err)
	}
	const mock = "mock-response_test.go"
	ours, err := os.ReadFile(filepath.Join(top(t), clients, "testdata", "mehanizm", mock))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, mock)), os.WriteFile(filepath.Join(dir, mock), ours, 0o600)); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "suite.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// seedBase is what the tests read of a seed.
type seedBase struct {
	Name   string
	Tables []struct {
		ID     string
		Name   string
		Views  []struct{ Name string }
		Fields []map[string]any
	}
}

// plant makes the seed's bases in the base store of who. The store chooses the ids.
func (w *world) plant(t *testing.T, who auth.Principal, at server, seed string) {
	t.Helper()
	text, err := os.ReadFile(seed)
	if err != nil {
		t.Fatal(err)
	}
	var in struct{ Bases []seedBase }
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	for _, b := range in.Bases {
		w.plantBase(t, who, at, b)
	}
}

func (w *world) plantBase(t *testing.T, who auth.Principal, at server, b seedBase) {
	t.Helper()
	const links = "multipleRecordLinks"
	var tables []map[string]any
	for _, table := range b.Tables {
		var fields []map[string]any
		for _, f := range table.Fields {
			if f["type"] != links {
				fields = append(fields, without(f, "id"))
			}
		}
		tables = append(tables, map[string]any{"name": table.Name, "fields": fields})
	}
	made := at.post(t, "meta/bases", map[string]any{"name": b.Name, "workspaceId": "wspAAAAAAAAAAAAAA", "tables": tables})
	base, _ := find(made, "id")
	ids := map[string]string{}
	for i, table := range b.Tables {
		ids[table.ID], _ = find(made, fmt.Sprintf("tables.%d.id", i))
	}
	for _, table := range b.Tables {
		for _, f := range table.Fields {
			if options, ok := f["options"].(map[string]any); ok && f["type"] == links {
				options["linkedTableId"] = ids[options["linkedTableId"].(string)]
				at.post(t, "meta/bases/"+base+"/tables/"+url.PathEscape(table.Name)+"/fields", without(f, "id"))
			}
		}
		for _, v := range table.Views {
			call := airtableapi.ViewCreate{Body: airtableapi.ViewDraft{Name: v.Name, Type: "grid"}}
			call.BaseID, call.TableID = base, table.Name
			if _, err := rpc.Call(t.Context(), w.gateway(who), airtableapi.CreateView, call); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func without(object map[string]any, key string) map[string]any {
	out := map[string]any{}
	for k, v := range object {
		if k != key {
			out[k] = v
		}
	}
	return out
}

// post sends a body that must be taken, and returns the answer.
func (s server) post(t *testing.T, path string, body any) string {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	status, _, answer := s.send(t, "POST", path, string(text))
	if status != http.StatusOK {
		t.Fatalf("POST %s: %d %s", path, status, answer)
	}
	return answer
}
