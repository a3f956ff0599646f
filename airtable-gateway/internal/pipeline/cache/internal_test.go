package cache

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Parts that could run into each other are drawn; only the same parts have the same key.
func TestKeys_OtherThingsHaveOtherKeys(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 3))
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	var conns []models.Connection
	for range 3 {
		c := models.NewConnection(id.New[id.Tenant](), models.AirtableConnection, "", time.Now())
		for _, token := range []string{"a", "ab"} {
			for _, address := range []string{"b", "http://x"} {
				c.Token, c.APIURL = []byte(token), address
				conns = append(conns, c)
			}
		}
	}
	byMeaning, byKey := map[string]key{}, map[key]string{}
	for range 20_000 {
		n := rnd.IntN(len(conns))
		c := upstream.Call{
			Op: upstream.Op(pick("list_records", "get_record")), Base: pick("app1", "app", "app11"), Table: pick("1", "T", "1:1", "t"),
			Record: pick("", "rec1", "1"), View: pick("", "viw1"),
		}
		text := pick("", "1", "0:", "1:1")
		meaning := strings.Join([]string{string(rune('a' + n)), string(c.Op), c.Base, c.Table, c.Record, c.View, text}, "|")
		k := door{scope: scopeOf(conns[n])}.keyOf(c, []byte(text))
		if was, ok := byMeaning[meaning]; ok && was != k {
			t.Fatalf("%s has two keys", meaning)
		}
		if was, ok := byKey[k]; ok && was != meaning {
			t.Fatalf("%s and %s share a key", was, meaning)
		}
		byMeaning[meaning], byKey[k] = k, meaning
	}
}

func TestEntry_ComesBackAsItWasKept(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, squeezed, 100_000} {
		body := bytes.Repeat([]byte(`{"é":1}`), size/8+1)[:size]
		in := newEntry(upstream.Answer{Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: body},
			mark{stamps: stamps{1_790_000_000_000_000, 7}}, time.UnixMilli(1_790_000_000_123))
		in.offset, in.last, in.signed = "itr/rec", "x", size > 10
		text, err := in.encode()
		if err != nil {
			t.Fatal(err)
		}
		if size == 100_000 && len(text) > size/10 {
			t.Errorf("%d bytes of %d", len(text), size)
		}
		out, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if out.stamps != in.stamps || !out.born.Equal(in.born) || out.signed != in.signed || out.offset != in.offset || out.last != in.last ||
			!bytes.Equal(out.body, in.body) || !slices.Equal(out.etag, in.etag) || !slices.Equal(out.contentType, in.contentType) {
			t.Errorf("%+v became %+v", in, out)
		}
		for cut := range min(len(text), 60) {
			if e, err := decode(text[:cut]); err == nil && bytes.Equal(e.body, in.body) && size > 0 {
				t.Errorf("the first %d bytes are an entry", cut)
			}
		}
	}
}

func TestControl_ReadsWhatRequestsSay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]control{
		"":                              {maxAge: -1, maxStale: -1},
		"no-cache, No-Store":            {noCache: true, noStore: true, maxAge: -1, maxStale: -1},
		`max-age="5" ,min-fresh=2`:      {maxAge: 5 * time.Second, minFresh: 2 * time.Second, maxStale: -1},
		"max-stale":                     {maxAge: -1, maxStale: anyAge},
		"max-stale=3,only-if-cached":    {maxAge: -1, maxStale: 3 * time.Second, onlyIfCached: true},
		"max-age=-1":                    {maxAge: 0, maxStale: -1},
		"max-age=99999999999999999999":  {maxAge: 0, maxStale: -1},
		"max-stale=x, immutable, foo=1": {maxAge: -1, maxStale: 0},
		"max-age=9999999999":            {maxAge: anyAge, maxStale: -1},
	} {
		got := controlOf(http.Header{"Cache-Control": {text}})
		if got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := controlOf(http.Header{"Pragma": {"no-cache"}}); !got.noCache {
		t.Error("Pragma is not heard")
	}
}

// An order names its customer; a customer's region is looked up, a country counts its
// regions' customers, and an invoice is named after the order's formula.
func TestGraph_GoesAsFarAsCellsAreShown(t *testing.T) {
	t.Parallel()
	nodes, err := nodesOf([]byte(`{"tables":[
		{"id":"tblOrder","name":"Orders","primaryFieldId":"f1","fields":[{"id":"f1","type":"formula"},
			{"id":"f2","type":"multipleRecordLinks","options":{"linkedTableId":"tblCustomer"}}]},
		{"id":"tblCustomer","name":"Customers","primaryFieldId":"f3","fields":[{"id":"f3","type":"singleLineText"},
			{"id":"f4","type":"multipleRecordLinks","options":{"linkedTableId":"tblOrder"}},
			{"id":"f5","type":"multipleRecordLinks","options":{"linkedTableId":"tblRegion"}}]},
		{"id":"tblRegion","name":"Regions","primaryFieldId":"f6","fields":[{"id":"f6","type":"singleLineText"},
			{"id":"f7","type":"multipleRecordLinks","options":{"linkedTableId":"tblCustomer"}},
			{"id":"f8","type":"rollup","options":{"recordLinkFieldId":"f7","fieldIdInLinkedTable":"f4"}},
			{"id":"f9","type":"multipleRecordLinks","options":{"linkedTableId":"tblCountry"}}]},
		{"id":"tblCountry","name":"Countries","primaryFieldId":"fa","fields":[{"id":"fa","type":"singleLineText"},
			{"id":"fb","type":"multipleRecordLinks","options":{"linkedTableId":"tblRegion"}}]},
		{"id":"tblInvoice","name":"Invoices","primaryFieldId":"fc","fields":[{"id":"fc","type":"singleLineText"},
			{"id":"fd","type":"multipleRecordLinks","options":{"linkedTableId":"tblOrder"}}]},
		{"id":"tblAlone","name":"Alone","primaryFieldId":"fe","fields":[{"id":"fe","type":"singleLineText"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, n := range nodes {
		got[n.Name] = n.Shown
	}
	want := map[string][]string{
		"Orders":    {"tblCustomer", "tblInvoice", "tblOrder", "tblRegion"}, // regions roll up customers' orders
		"Customers": {"tblCustomer", "tblInvoice", "tblOrder", "tblRegion"}, // orders may be named after them, and invoices show that
		"Regions":   {"tblCountry", "tblCustomer", "tblRegion"},             // customers are named by text: orders do not change
		"Countries": {"tblCountry", "tblRegion"},                            // and so do regions
		"Invoices":  {"tblCustomer", "tblInvoice", "tblOrder", "tblRegion"}, // their orders may count them, and be named so
		"Alone":     {"tblAlone"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := nodesOf([]byte(`[]`)); err == nil {
		t.Error("a schema of no known shape is believed")
	}
}

func TestPage_IsTakenApartAndPutTogetherByteForByte(t *testing.T) {
	t.Parallel()
	const body = `{"records":[{"id":"rec1","fields":{"A":1.0,"B":"<é> "}},{"id":"rec2","fields":{}}],"x":{"offset":"no"},"offset":"itr1/rec3"}`
	p, ok := readPage([]byte(body))
	if !ok || p.offset != "itr1/rec3" || p.last != "rec2" {
		t.Errorf("%+v %v", p, ok)
	}
	if got, want := string(p.with("itr2/rec4")), strings.Replace(body, "itr1/rec3", "itr2/rec4", 1); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, bad := range []string{"", "[]", "{", `{"records":1}`, `{"offset":1}`, `{"records":[`} {
		if _, ok := readPage([]byte(bad)); ok {
			t.Errorf("%s is a page", bad)
		}
	}
}

func TestStep_IsReadBackForTheSameListAlone(t *testing.T) {
	t.Parallel()
	k := key{1}
	in := step{walk: newWalk(), page: 1234, last: printOf("rec1")}
	if out, ok := readStep(in.offset(k), k); !ok || out != in {
		t.Errorf("%+v became %+v", in, out)
	}
	text := in.offset(k)
	if _, ok := readStep(text, key{2}); ok {
		t.Error("it is read for another list")
	}
	for i := range text {
		other := []byte(text)
		other[i] ^= 1
		if out, ok := readStep(string(other), k); ok {
			t.Errorf("%s is read as %+v", other, out)
		}
	}
}
