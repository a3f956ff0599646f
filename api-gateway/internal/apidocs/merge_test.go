package apidocs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api"
)

func parse(t *testing.T, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func source(t *testing.T, name, path, doc string) Source {
	t.Helper()
	return Source{Service: api.Service{Name: name, Title: name, Ops: []api.Spec{{Method: "GET", Path: path}, {Method: "GET", Path: "/internal/x", Access: api.Internal}}}, Doc: parse(t, doc)}
}

func TestMerge_RenamesClashesAndDropsInternals(t *testing.T) {
	t.Parallel()
	const doc = `{"paths":{"%s":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/List"}}}}}},"post":{}},"/internal/x":{"get":{}}},
		"components":{"schemas":{"Item":{"type":"%t"},"List":{"items":{"$ref":"#/components/schemas/Item"}},"Same":{"type":"string"}}}}`
	fill := func(path, kind string) string {
		return strings.NewReplacer("%s", path, "%t", kind).Replace(doc)
	}
	got := Merge([]Source{source(t, "one-service", "/a", fill("/a", "object")), source(t, "two-service", "/b", fill("/b", "array"))})
	schemas := got["components"].(map[string]any)["schemas"].(map[string]any)
	want := parse(t, `{"Item":{"type":"object"},"List":{"items":{"$ref":"#/components/schemas/Item"}},"Same":{"type":"string"},
		"TwoServiceItem":{"type":"array"},"TwoServiceList":{"items":{"$ref":"#/components/schemas/TwoServiceItem"}}}`)
	if d := cmp.Diff(want, schemas); d != "" {
		t.Errorf("schemas (-want +got):\n%s", d)
	}
	paths := got["paths"].(map[string]any)
	if len(paths) != 2 || len(paths["/a"].(map[string]any)) != 1 {
		t.Errorf("paths %v: want what the gateway routes and nothing else", paths)
	}
	b, _ := json.Marshal(paths["/b"])
	if want := `#/components/schemas/TwoServiceList`; !json.Valid(b) || !strings.Contains(string(b), want) {
		t.Errorf("%s does not refer to %s", b, want)
	}
}
