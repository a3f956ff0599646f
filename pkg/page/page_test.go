package page_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type key struct {
	At time.Time   `json:"at"`
	ID id.TenantID `json:"id"`
}

func TestCursor_RoundTrips(t *testing.T) {
	t.Parallel()
	f := page.Filters("name", 3, []string{"a"})
	want := key{At: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), ID: id.New[id.Tenant]()}
	var got key
	if err := page.Decode(page.Encode(f, want), f, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDecode_RefusesForeignAndMalformedCursors(t *testing.T) {
	t.Parallel()
	f := page.Filters("name")
	good := page.Encode(f, key{ID: id.New[id.Tenant]()})
	raw := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, c := range map[string]string{
		"empty":         "",
		"not base64":    "!!!",
		"not json":      raw("x"),
		"no key":        raw(`{"f":"` + f + `"}`),
		"other filters": page.Encode(page.Filters("other"), key{}),
		"other key":     page.Encode(f, map[string]int{"offset": 3}),
		"key of a type": page.Encode(f, "x"),
		"cut":           good[:len(good)-3],
		"huge":          strings.Repeat("A", 1<<20),
	} {
		var k key
		if err := page.Decode(c, f, &k); !errors.Is(err, page.ErrBadCursor) {
			t.Errorf("%s: %v, want bad_cursor", name, err)
		}
	}
}

func TestFilters_TellPartsApart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, parts := range [][]any{{}, {""}, {"", ""}, {"a", "b"}, {"ab"}, {"b", "a"}, {nil, "a"}, {1}, {"1"}} {
		h := page.Filters(parts...)
		if seen[h] {
			t.Errorf("%v has the hash of other filters", parts)
		}
		seen[h] = true
	}
	if first, again := page.Filters("a", 1), page.Filters("a", 1); first != again {
		t.Error("the hash is not stable")
	}
}

func FuzzDecode(f *testing.F) {
	h := page.Filters("x")
	f.Add(page.Encode(h, key{}))
	f.Add("e30")
	f.Fuzz(func(t *testing.T, c string) {
		var k key
		if err := page.Decode(c, h, &k); err != nil && !errors.Is(err, page.ErrBadCursor) {
			t.Fatalf("Decode(%q) = %v", c, err)
		}
	})
}
