package stable

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
)

// seen is what a test says of an attachment.
type seen struct {
	Table, Record, ID, Filename, Kind string
	Size                              int64
	URLs                              map[links.Variant]string
}

func look(body string, at place) []seen {
	var out []seen
	for _, a := range attachments([]byte(body), at) {
		s := seen{a.table, a.record, string(a.id), a.filename, a.kind, a.size, map[links.Variant]string{}}
		for v, where := range a.urls {
			s.URLs[v] = text(where.of([]byte(body)))
		}
		out = append(out, s)
	}
	return out
}

func TestScan_FindsAttachmentsWhereverTheyStand(t *testing.T) {
	t.Parallel()
	file := func(record string) seen {
		return seen{"T", record, "attA", "a.png", "image/png", 7, map[links.Variant]string{"": "http://x/a"}}
	}
	const att = `{"id":"attA","url":"http://x/a","filename":"a.png","size":7,"type":"image/png"}`
	for name, c := range map[string]struct {
		body string
		want []seen
	}{
		"a record":         {`{"id":"recA","createdTime":"x","fields":{"F":[` + att + `]}}`, []seen{file("recA")}},
		"the id behind":    {`{"fields":{"F":[` + att + `]},"id":"recA"}`, []seen{file("recA")}},
		"a list":           {`{"records":[{"id":"recA","fields":{"F":[` + att + `]}},{"id":"recB","fields":{"G":[` + att + `]}}],"offset":"itr/rec"}`, []seen{file("recA"), file("recB")}},
		"a comment":        {`{"comments":[{"id":"comA","attachments":[` + att + `]}],"offset":null}`, []seen{file("recGiven")}},
		"a payload":        {`{"payloads":[{"changedTablesById":{"tblX":{"changedRecordsById":{"recP":{"current":{"cellValuesByFieldId":{"fldF":[` + att + `]}}}}}}}]}`, []seen{{"tblX", "recP", "attA", "a.png", "image/png", 7, map[links.Variant]string{"": "http://x/a"}}}},
		"with thumbnails":  {`[{"url":"http:\/\/x\/\u0061","thumbnails":{"small":{"width":1,"url":"http://x/s"},"other":{"url":"http://x/o"},"full":{"height":2}},"id":"attA"}]`, []seen{{"T", "recGiven", "attA", "", "", 0, map[links.Variant]string{"": "http://x/a", "small": "http://x/s"}}}},
		"a button":         {`{"id":"recA","fields":{"B":{"label":"Open","url":"http://x"}}}`, nil},
		"in a text":        {`{"id":"recA","fields":{"F":"{\"id\":\"attA\",\"url\":\"http://x/a\"}"}}`, nil},
		"no string":        {`{"id":"attA","url":7}`, nil},
		"odd thumbnails":   {`{"id":"attA","url":"http://x/a","filename":"a.png","size":7,"type":"image/png","thumbnails":[1]}`, []seen{file("recGiven")}},
		"space everywhere": {" { \"id\" : \"attA\" ,\n\"url\"\t: \"http://x/a\" , \"filename\":\"a.png\",\"size\": 7 ,\"type\":\"image/png\" } \r\n", []seen{file("recGiven")}},
		"empty":            {`{}`, nil},
		"not JSON":         {`{"id":"attA","url":"http://x/a"`, nil},
		"two values":       {`{"id":"attA","url":"http://x/a"} {}`, nil},
		"too deep":         {strings.Repeat("[", 100) + att + strings.Repeat("]", 100), nil},
	} {
		if d := cmp.Diff(c.want, look(c.body, place{"T", "recGiven"})); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// rewritten is the body with another address in every attachment.
func rewritten(body []byte) []byte {
	var changes []change
	for _, a := range attachments(body, place{}) {
		for _, at := range a.urls {
			changes = append(changes, change{at, []byte(`"NEW"`)})
		}
	}
	return apply(body, changes)
}

func TestRewriting_KeepsEverythingElseByteForByte(t *testing.T) {
	t.Parallel()
	const before = "{ \"z\":1.0,\"a\":1E2, \"id\":\"attA\",\"url\":\"%s\",\"size\":10,\"n\":[1.50,-0,\"\\u00e9 \\/\"],\"thumbnails\":{\"large\":{\"url\":\"%s\",\"width\":1}} }"
	body := strings.Replace(strings.Replace(before, "%s", "http://x/1", 1), "%s", "http://x/2", 1)
	want := strings.ReplaceAll(before, "%s", "NEW")
	if got := string(rewritten([]byte(body))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestApply_LeavesOutWhatIsInsideAnother(t *testing.T) {
	t.Parallel()
	got := apply([]byte("0123456789"), []change{{span{3, 5}, []byte("x")}, {span{2, 6}, []byte("--")}, {span{6, 7}, []byte("six")}})
	if string(got) != "01--six789" {
		t.Errorf("got %s", got)
	}
}

// Whatever the body, it is left alone or stays the JSON that it was but for links.
func FuzzRewriting(f *testing.F) {
	for _, s := range []string{
		`{"records":[{"id":"recA","fields":{"F":[{"id":"attA","url":"http://x/a","thumbnails":{"small":{"url":"u"}}}]}}]}`,
		`{"id":"attA","url":"\\\"\u0000","a":[[],{},"",null,true,1e-9]}`, `[`, `{"url":"x","id":"attA"`, `{"id":"attA","url":"x","url":"y"}`, ` "\`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		out := rewritten(body)
		if json.Valid(body) != json.Valid(out) && json.Valid(body) {
			t.Fatalf("%q became %q", body, out)
		}
		if !strings.Contains(string(body), "att") && string(out) != string(body) {
			t.Fatalf("%q became %q", body, out)
		}
		if again := rewritten(out); string(again) != string(out) && json.Valid(body) {
			t.Fatalf("%q became %q and then %q", body, out, again)
		}
	})
}
