package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/catalog"
)

// A program that changes its base URL from Airtable to PyAirtable must not notice.
// The scenarios of testdata/dropin are told to three servers, and each of their
// answers must be the same but for ids, times, addresses and the order of JSON's keys:
//
//   - an emulator without limits, asked directly,
//   - the base store of PyAirtable, through the API gateway,
//   - an emulator with Airtable's limits behind a connection, through the API
//     gateway: budget, cache and coalescing lie between.
//
// A scenario is a text. A line "METHOD path body" is a request; the line after it,
// "-> status", says what is answered, and may say more: the type of Airtable's error,
// has:text for what the body holds (a blank is written _), and name=json.path to keep
// a value, which {name} then stands for. {name*n} is name n times. A line that begins with # is for the
// reader.
func TestDropIn_ThreeServersGiveOneAnswer(t *testing.T) {
	t.Parallel()
	direct := startEmulator(t, "-base-rate", "0", "-token-rate", "0")
	e := startEmulator(t)
	w := start(t, map[string]string{"AIRTABLE_ALLOWED_URLS": e.url})
	_, native := w.user(t)
	_, connected := w.user(t)
	w.connectTo(t, connected, e)
	gateway := w.urls[catalog.Gateway.Name]
	servers := []server{
		{"emulator", direct.url, accountToken},
		{"base store", gateway, w.pat(t, native, everyScope...)},
		{"connection", gateway, w.pat(t, connected, everyScope...)},
	}
	files, err := filepath.Glob("testdata/dropin/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	t.Run("scenarios", func(t *testing.T) { // returns when all of them have ended
		for _, file := range files {
			steps := readScenario(t, file)
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				t.Parallel()
				answers := make([][]string, len(servers))
				t.Run("servers", func(t *testing.T) {
					for i, s := range servers {
						t.Run(s.name, func(t *testing.T) {
							t.Parallel()
							answers[i] = s.play(t, steps)
						})
					}
				})
				for i, s := range servers[1:] {
					if diff := cmp.Diff(answers[0], answers[i+1]); diff != "" {
						t.Errorf("(-%s +%s):\n%s", servers[0].name, s.name, diff)
					}
				}
			})
		}
	})
	if s := e.stats(t); s.RateLimited > 0 {
		t.Errorf("the emulator refused %d requests; busiest seconds: %v", s.RateLimited, s.Busiest)
	}
}

// step is one request of a scenario with what is expected of its answer.
type step struct {
	line               string // file:line, for messages
	method, path, body string
	status             int
	kind               string   // of Airtable's error; "" for a success
	has                []string // texts that the body holds
	keep               map[string]string
}

var (
	variable = regexp.MustCompile(`\{([a-z][a-z0-9]*)(?:\*(\d+))?\}`)
	request1 = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) (\S+)(?: (.*))?$`)
)

func readScenario(t *testing.T, file string) []step {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for n, line := range strings.Split(string(text), "\n") {
		at := fmt.Sprintf("%s:%d", file, n+1)
		switch m := request1.FindStringSubmatch(line); {
		case line == "" || strings.HasPrefix(line, "#"):
		case m != nil:
			steps = append(steps, step{line: at, method: m[1], path: m[2], body: m[3], keep: map[string]string{}})
		case strings.HasPrefix(line, "-> ") && len(steps) > 0:
			steps[len(steps)-1].expect(t, strings.Fields(line)[1:])
		default:
			t.Fatalf("%s: %q is neither a request nor an answer", at, line)
		}
	}
	return steps
}

func (s *step) expect(t *testing.T, words []string) {
	t.Helper()
	var err error
	if s.status, err = strconv.Atoi(words[0]); err != nil {
		t.Fatalf("%s: %v", s.line, err)
	}
	for _, word := range words[1:] {
		if has, ok := strings.CutPrefix(word, "has:"); ok {
			s.has = append(s.has, strings.ReplaceAll(has, "_", " "))
		} else if name, path, ok := strings.Cut(word, "="); ok {
			s.keep[name] = path
		} else {
			s.kind = word
		}
	}
}

// server is one that the scenarios are told to.
type server struct{ name, url, token string }

// play tells the server the steps and returns its answers, normalised.
func (s server) play(t *testing.T, steps []step) []string {
	t.Helper()
	names := map[string]string{"workspace": "wspAAAAAAAAAAAAAA", "x": "x", "e": "é"}
	n := normaliser{ids: map[string]string{}}
	var out []string
	for _, step := range steps {
		status, contentType, body := s.send(t, step.method, fill(t, names, step.path), fill(t, names, step.body))
		if status != step.status || kindOf(body) != step.kind {
			t.Errorf("%s: %s %.200s: got %d %.500s", step.line, step.method, step.path, status, body)
		}
		for _, text := range step.has {
			if text = fill(t, names, text); !strings.Contains(body, text) {
				t.Errorf("%s: %s %.200s: %q is not in %.500s", step.line, step.method, step.path, text, body)
			}
		}
		for name, path := range step.keep {
			value, ok := find(body, fill(t, names, path))
			if !ok {
				t.Fatalf("%s: no %s in %.500s", step.line, path, body)
			}
			names[name] = value
		}
		out = append(out, fmt.Sprintf("%s %s %.200s -> %d %s %s", step.line, step.method, step.path, status, contentType, n.apply(body)))
	}
	return out
}

func (s server) send(t *testing.T, method, path, body string) (status int, contentType, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/v0/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(text)
}

// fill puts the values of names into the text.
func fill(t *testing.T, names map[string]string, text string) string {
	t.Helper()
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		m := variable.FindStringSubmatch(found)
		value, ok := names[m[1]]
		if !ok {
			return found
		}
		if m[2] != "" {
			times, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			return strings.Repeat(value, times)
		}
		return value
	})
}

// kindOf is the type of Airtable's error in whichever shape, "" for a success.
func kindOf(body string) string {
	var in struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal([]byte(body), &in) != nil || in.Error == nil {
		return ""
	}
	var object struct{ Type string }
	if json.Unmarshal(in.Error, &object) == nil {
		return object.Type
	}
	var bare string
	_ = json.Unmarshal(in.Error, &bare)
	return bare
}

// find reads a.b.0.c out of a JSON text. A part may be percent-encoded.
func find(body, path string) (string, bool) {
	var at any
	if json.Unmarshal([]byte(body), &at) != nil {
		return "", false
	}
	for part := range strings.SplitSeq(path, ".") {
		part, err := url.PathUnescape(part)
		if err != nil {
			return "", false
		}
		switch in := at.(type) {
		case map[string]any:
			at = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(in) {
				return "", false
			}
			at = in[i]
		}
	}
	switch v := at.(type) {
	case string:
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// normaliser blanks what differs from server to server.
type normaliser struct{ ids map[string]string }

var (
	anyID      = regexp.MustCompile(`\b(app|tbl|fld|viw|rec|sel|itr|usr|att|com|ach)[A-Za-z0-9]{14}\b`)
	anyOffset  = regexp.MustCompile(`"offset":"itr[^"]*"`)
	anyInstant = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
	anyURL     = regexp.MustCompile(`"https?://[^"]*"`)
	anyPerson  = regexp.MustCompile(`\{[^{}]*"id":"usr[^{}]*\}`)
	personal   = regexp.MustCompile(`"(?:email|name)":"[^"]*",?|,"(?:email|name)":"[^"]*"`)
	numbered   = regexp.MustCompile(`[a-z]{3}#\d+`)
	references = regexp.MustCompile(`"referencedFieldIds":\[[^\]]*\]`)
	anySecret  = regexp.MustCompile(`"(macSecretBase64|email|displayName|name":"[^"]*","email|durationMs)":("[^"]*"|[\d.]+)`)
)

// apply numbers the ids in the order in which they were met, and blanks addresses,
// what people are called, secrets and the instants of these days: those that a
// scenario writes are older.
func (n normaliser) apply(body string) string {
	body = anyInstant.ReplaceAllStringFunc(body, func(s string) string {
		at, err := time.Parse(time.RFC3339, s)
		if err == nil && time.Since(at).Abs() < 30*24*time.Hour {
			return "…"
		}
		return s
	})
	body = anyURL.ReplaceAllString(body, `"(address)"`)
	body = anyPerson.ReplaceAllStringFunc(body, func(s string) string {
		return strings.Replace(personal.ReplaceAllString(s, ""), ",}", "}", 1)
	})
	body = anySecret.ReplaceAllString(body, `"$1":"…"`)
	body = anyOffset.ReplaceAllString(body, `"offset":"…"`) // the gateway gives out its own
	body = anyID.ReplaceAllStringFunc(body, func(s string) string {
		if n.ids[s] == "" {
			n.ids[s] = fmt.Sprintf("%s#%d", s[:3], len(n.ids))
		}
		return n.ids[s]
	})
	// What is in the order of ids is in another on each server.
	body = references.ReplaceAllStringFunc(body, func(s string) string {
		ids := numbered.FindAllString(s, -1)
		slices.Sort(ids)
		return `"referencedFieldIds":["` + strings.Join(ids, `","`) + `"]`
	})
	var parsed any
	if json.Unmarshal([]byte(body), &parsed) != nil {
		return body
	}
	sorted, err := json.Marshal(parsed)
	if err != nil {
		return body
	}
	return string(sorted)
}
