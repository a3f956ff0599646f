package id_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/id"
)

func TestNew_IsVersion7AndAscends(t *testing.T) {
	t.Parallel()
	last := id.New[int]()
	for range 1000 {
		next := id.New[int]()
		if next.Compare(last) <= 0 {
			t.Fatalf("%s made after %s does not sort after it", next, last)
		}
		last = next
	}
	if v := last.String()[14]; v != '7' {
		t.Errorf("version %c, want 7", v)
	}
}

func TestParse_TakesOnlyTheCanonicalForm(t *testing.T) {
	t.Parallel()
	want := id.New[int]()
	for _, s := range []string{want.String(), strings.ToUpper(want.String())} {
		got, err := id.Parse[int](s)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "x", "{" + want.String() + "}", "urn:uuid:" + want.String(),
		strings.ReplaceAll(want.String(), "-", ""), "00000000-0000-0000-0000-000000000000",
		strings.Repeat("z", 36), strings.Repeat("9", 10_000),
	} {
		if got, err := id.Parse[int](s); err == nil || !got.IsZero() {
			t.Errorf("Parse(%.50q) = %v, %v; want an error", s, got, err)
		}
	}
}

func TestJSON_RoundTripsTheZeroIDToo(t *testing.T) {
	t.Parallel()
	type doc struct {
		User   id.UserID            `json:"user"`
		Tenant id.TenantID          `json:"tenant,omitzero"`
		By     map[id.UserID]string `json:"by"`
	}
	for _, want := range []doc{{}, {User: id.New[id.User](), By: map[id.UserID]string{id.New[id.User](): "x"}}} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "tenant") {
			t.Errorf("zero tenant was not left out: %s", b)
		}
		var got doc
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	var bad doc
	if err := json.Unmarshal([]byte(`{"user":"nobody"}`), &bad); err == nil {
		t.Error("a malformed id was accepted")
	}
}

func TestSQL_ZeroIsNull(t *testing.T) {
	t.Parallel()
	v, err := id.UserID{}.Value()
	if v != nil || err != nil {
		t.Errorf("Value() of zero = %v, %v; want NULL", v, err)
	}
	want := id.New[id.User]()
	if v, err = want.Value(); err != nil || v != want.String() {
		t.Errorf("Value() = %v, %v", v, err)
	}
	got := id.New[id.User]()
	if err := got.Scan(v); err != nil || got != want {
		t.Errorf("Scan(%v) = %v, %v", v, got, err)
	}
	got = id.New[id.User]()
	if err := got.Scan(nil); err != nil || !got.IsZero() {
		t.Errorf("Scan(nil) = %v, %v; want zero", got, err)
	}
	if err := got.Scan("nobody"); err == nil {
		t.Error("Scan took a malformed id")
	}
}
