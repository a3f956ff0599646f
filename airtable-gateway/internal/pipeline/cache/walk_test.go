package cache_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

const walked = alone + "?pageSize=10&sort[0][field]=Name"

// next is the page behind the offset.
func (c *client) next(offset string) upstream.Answer {
	c.t.Helper()
	return c.get(walked + "&offset=" + url.QueryEscape(offset))
}

// walk lists all names, and says where each page came from.
func (c *client) walk() (names []string, states string) {
	c.t.Helper()
	for offset := ""; ; {
		a := c.next(offset)
		p := pageOf(c.t, a)
		for _, r := range p.Records {
			names = append(names, r.Fields.Name)
		}
		states += a.Header.Get("X-Cache")[:1]
		if offset = p.Offset; offset == "" {
			return names, states
		}
	}
}

// whole fails the test unless the names are those of the seed.
func wholeWalk(t *testing.T, names []string) {
	t.Helper()
	if len(names) != numbers {
		t.Fatalf("%d names: %v", len(names), names)
	}
	for i, n := range names {
		if n != fmt.Sprintf("n%02d", i) {
			t.Errorf("name %d is %s", i, n)
		}
	}
}

func TestWalk_IsFetchedOnceWhoeverWalks(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	bert := w.replica().client(anna.conn)
	for i, c := range []*client{anna, bert, anna} {
		names, states := c.walk()
		wholeWalk(t, names)
		if want := []string{"MMM", "HHH", "HHH"}[i]; states != want {
			t.Errorf("walk %d came from %s, want %s", i, states, want)
		}
	}
	// By POST it is the same walk, with the offset in the body.
	first := pageOf(t, is(t, anna.do("POST", alone+"/listRecords", `{"pageSize":10,"sort":[{"field":"Name"}]}`), "HIT"))
	second := is(t, anna.do("POST", alone+"/listRecords", `{"pageSize":10,"sort":[{"field":"Name"}],"offset":"`+first.Offset+`"}`), "HIT")
	if p := pageOf(t, second); len(p.Records) != 10 || p.Records[0].Fields.Name != "n10" {
		t.Errorf("%s", second.Body)
	}
	if n := anna.link.count() + bert.link.count(); n != 3 {
		t.Errorf("%d calls", n)
	}
	if !strings.HasPrefix(first.Offset, "itr") || len(first.Offset) != 17+1+17 {
		t.Errorf("the offset is %q", first.Offset)
	}
}

func TestWalk_ThatWasBegunByPostIsContinuedByGet(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	first := pageOf(t, anna.do("POST", alone+"/listRecords", `{"pageSize":10,"sort":[{"field":"Name"}]}`))
	body := `{"pageSize":10,"sort":[{"field":"Name"}],"offset":"` + first.Offset + `"}`
	second := pageOf(t, is(t, anna.do("POST", alone+"/listRecords", body), "MISS"))
	third := pageOf(t, is(t, anna.next(second.Offset), "MISS"))
	if len(third.Records) != 5 || third.Records[4].Fields.Name != "n24" || third.Offset != "" {
		t.Errorf("%+v", third)
	}
}

func TestWalk_MayChangeTheSizeOfItsPages(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	wholeWalkOf(t, anna)
	first := pageOf(t, is(t, anna.get(walked), "HIT"))
	names := func(size int, offset string) (string, string) {
		p := pageOf(t, anna.get(fmt.Sprintf("%s?sort[0][field]=Name&pageSize=%d&offset=%s", alone, size, url.QueryEscape(offset))))
		if len(p.Records) == 0 {
			t.Fatal("an empty page")
		}
		return p.Records[0].Fields.Name + "-" + p.Records[len(p.Records)-1].Fields.Name, p.Offset
	}
	for range 2 {
		got, offset := names(4, first.Offset)
		then, last := names(7, offset)
		rest, end := names(100, last)
		if got+" "+then+" "+rest != "n10-n13 n14-n20 n21-n24" || end != "" {
			t.Errorf("%s %s %s, then %q", got, then, rest, end)
		}
	}
	if names, states := anna.walk(); states != "HHH" {
		t.Errorf("the walk itself comes from %s", states)
	} else {
		wholeWalk(t, names)
	}
}

func TestWalk_OffsetsOpenNothingElse(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	stranger := w.replica().client(w.connection(freshness))
	offset := pageOf(t, anna.get(walked)).Offset
	for name, a := range map[string]upstream.Answer{
		"another tenant's": stranger.next(offset),
		"another list's":   anna.get(alone + "?pageSize=10&view=Grid+view&offset=" + url.QueryEscape(offset)),
		"another table's":  anna.get(tasks + "?pageSize=10&sort[0][field]=Name&offset=" + url.QueryEscape(offset)),
		"no one's":         anna.next("itrAAAAAAAAAAAAAA/recAAAAAAAAAAAAAA"),
		"changed":          anna.next(offset[:len(offset)-1] + "!"),
	} {
		if a.Status != 422 || a.Header.Get("X-Cache") != "BYPASS" {
			t.Errorf("%s: %d %s %s", name, a.Status, a.Header.Get("X-Cache"), a.Body)
		}
	}
}

func TestWalk_GoesOnAfterAWriteAndIsNotKept(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	wholeWalkOf(t, anna)
	first := pageOf(t, is(t, anna.get(walked), "HIT"))
	anna.write("PATCH", alone+"/recNumber00000012", `{"fields":{"Name":"n12!"}}`)
	second := pageOf(t, is(t, anna.next(first.Offset), "MISS"))
	if len(second.Records) != 10 || second.Records[2].Fields.Name != "n12!" {
		t.Errorf("the page does not show the write: %+v", second)
	}
	third := pageOf(t, is(t, anna.next(second.Offset), "MISS"))
	if len(third.Records) != 5 || third.Offset != "" {
		t.Errorf("%+v", third)
	}
	is(t, anna.next(first.Offset), "MISS") // of a walk from before the write nothing is kept
	_, states := anna.walk()
	if states != "MMM" {
		t.Errorf("the walk after it came from %s", states)
	}
	if _, states = anna.walk(); states != "HHH" {
		t.Errorf("and the next one from %s", states)
	}
}

func wholeWalkOf(t *testing.T, c *client) {
	t.Helper()
	names, _ := c.walk()
	wholeWalk(t, names)
}

// gone answers the first n later pages like an Airtable that has forgotten its offsets.
func gone(n int) func(upstream.Call) (upstream.Answer, error, bool) {
	return func(c upstream.Call) (upstream.Answer, error, bool) {
		if n == 0 || !strings.Contains(c.RawQuery, "offset=") {
			return upstream.Answer{}, nil, false
		}
		n--
		return v0.Refuse(models.ErrIteratorGone), nil, true
	}
}

func TestWalk_ThatAirtableForgotIsReadAgain(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	first := pageOf(t, anna.get(walked))
	second := pageOf(t, anna.next(first.Offset))
	anna.link.on(gone(1), nil)
	anna.link.count()
	third := pageOf(t, anna.next(second.Offset))
	if len(third.Records) != 5 || third.Records[0].Fields.Name != "n20" {
		t.Errorf("%+v", third)
	}
	if n := anna.link.count(); n != 4 { // the try, and three pages
		t.Errorf("%d calls", n)
	}
	// The walk that was read again is whole, and kept.
	if names, states := anna.walk(); states != "HHH" {
		t.Errorf("%s", states)
	} else {
		wholeWalk(t, names)
	}
}

func TestWalk_ThatCannotBeContinuedSaysSo(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	first := pageOf(t, anna.get(walked))
	anna.write("DELETE", alone+"/recNumber00000003", "") // now n10 ends the first page
	anna.link.on(gone(1), nil)
	if a := anna.next(first.Offset); a.Status != 422 || !strings.Contains(string(a.Body), "LIST_RECORDS_ITERATOR_NOT_AVAILABLE") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	anna.link.on(gone(100), nil)
	if a := anna.next(first.Offset); a.Status != 422 || !strings.Contains(string(a.Body), "LIST_RECORDS_ITERATOR_NOT_AVAILABLE") {
		t.Errorf("Airtable forgets all: %d %s", a.Status, a.Body)
	}
	anna.link.on(nil, nil)
	if names, _ := anna.walk(); len(names) != numbers-1 {
		t.Errorf("a new walk: %v", names)
	}
}

func TestWalk_SurvivesTheLossOfItsPlaces(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	first := pageOf(t, anna.get(walked))
	keys, err := w.rdb.Keys(t.Context(), "airtable:cache:*:walk:*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := w.rdb.Del(t.Context(), keys...).Err(); err != nil {
		t.Fatal(err)
	}
	second := pageOf(t, anna.next(first.Offset)) // while the first page is still kept
	if len(second.Records) != 10 || second.Records[0].Fields.Name != "n10" {
		t.Errorf("%+v", second)
	}
	if third := pageOf(t, anna.next(second.Offset)); len(third.Records) != 5 {
		t.Errorf("%+v", third)
	}
}

func TestWalk_OfASlowReaderOutlivesItsFreshness(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	wholeWalkOf(t, anna)
	first := pageOf(t, is(t, anna.get(walked), "HIT"))
	w.now.Advance(freshness + time.Second)
	second := pageOf(t, is(t, anna.next(first.Offset), "STALE"))
	w.now.Advance(time.Hour)
	third := pageOf(t, is(t, anna.next(second.Offset), "MISS"))
	if len(third.Records) != 5 {
		t.Errorf("%+v", third)
	}
}

func TestWalk_WithoutRedisPassesThroughAndIsContinuedAfter(t *testing.T) {
	t.Parallel()
	server := redistest.OwnServer(t)
	w := newWorldOn(t, server.Client(t))
	anna := w.replica().client(w.connection(freshness))
	first := pageOf(t, anna.get(walked))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	second := anna.next(first.Offset)
	if p := pageOf(t, second); len(p.Records) != 10 || p.Records[0].Fields.Name != "n10" {
		t.Errorf("%s", second.Body)
	}
	wholeWalkOf(t, anna)
	third := pageOf(t, anna.next(pageOf(t, second).Offset))
	if len(third.Records) != 5 {
		t.Errorf("%+v", third)
	}
}

func TestWalk_OfAListThatIsTooLongPassesThrough(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	// Pages without end, of a megabyte each.
	filler := strings.Repeat("x", 1<<20)
	anna.link.on(func(c upstream.Call) (upstream.Answer, error, bool) {
		n := 0
		q, _ := url.ParseQuery(c.RawQuery)
		_, _ = fmt.Sscanf(q.Get("offset"), "itrFAR/rec%d", &n)
		body := fmt.Sprintf(`{"records":[{"id":"rec%d","fields":{"Name":"%s"}}],"offset":"itrFAR/rec%d"}`, n, filler, n+1)
		return upstream.Answer{Status: http.StatusOK, Header: http.Header{"Content-Type": {v0.ContentType}}, Body: []byte(body)}, nil, true
	}, nil)
	offset, own := "", 0
	for range 40 {
		a := anna.next(offset)
		offset = pageOf(t, a).Offset
		if strings.HasPrefix(offset, "itrFAR/") {
			break
		}
		own++
	}
	if own < 20 || own > 32 {
		t.Errorf("%d pages had offsets of the gateway's", own)
	}
	if a := is(t, anna.next(offset), "BYPASS"); !strings.HasPrefix(pageOf(t, a).Offset, "itrFAR/") {
		t.Errorf("then %.100s", a.Body)
	}
	anna.link.count()
	for range 2 { // who begins it now passes through from the start
		if a := anna.get(walked); !strings.HasPrefix(pageOf(t, a).Offset, "itrFAR/rec1") {
			t.Errorf("%s", pageOf(t, a).Offset)
		}
	}
	if n := anna.link.count(); n != 2 {
		t.Errorf("%d calls", n)
	}
}
