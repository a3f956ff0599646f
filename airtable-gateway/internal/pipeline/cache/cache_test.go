package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/await"
)

func TestCache_AnswersTheSecondReadWithoutAsking(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	other := w.replica().client(anna.conn)
	for _, target := range []string{task, tasks, tasks + "?view=Grid+view", schema, schema + "?include=visibleFieldIds", "/v0/meta/bases"} {
		first := is(t, anna.get(target), "MISS")
		again := is(t, anna.get(target), "HIT")
		elsewhere := is(t, other.get(target), "HIT")
		if string(first.Body) != string(again.Body) || string(first.Body) != string(elsewhere.Body) || len(first.Body) == 0 {
			t.Errorf("%s: the bodies differ", target)
		}
		if got := again.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", target, got)
		}
		if first.Kept || !again.Kept {
			t.Errorf("%s: kept %v, then %v", target, first.Kept, again.Kept)
		}
	}
	if n, m := anna.link.count(), other.link.count(); n != 6 || m != 0 {
		t.Errorf("%d and %d calls", n, m)
	}
}

func TestCache_GetAndPostAndEverySpellingAreOneEntry(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	is(t, anna.get(tasks+"?fields[]=Name&fields[]=Points&pageSize=7&returnFieldsByFieldId=0"), "MISS")
	is(t, anna.get(tasks+"?pageSize=7&fields=Points&fields=Name&offset="), "HIT")
	is(t, anna.do("POST", tasks+"/listRecords", `{"fields":["Name","Points"],"pageSize":7,"returnFieldsByFieldId":false}`), "HIT")
	is(t, anna.get(tasks+"?fields[]=Name&pageSize=7"), "MISS")
	is(t, anna.get(tasks+"?fields[]=Name&pageSize=7&cellFormat=string&timeZone=utc&userLocale=de"), "MISS")
	is(t, anna.get(base+"/tblTasks000000001?fields[]=Name&pageSize=7"), "MISS") // by id: an entry of its own
}

func TestCache_RefusalsAreNotKept(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	for _, target := range []string{tasks + "/recNone0000000001", base + "/Nowhere", tasks + "?filterByFormula=%7BNone%7D%3D1"} {
		for range 2 {
			if a := anna.get(target); a.Status < 400 || a.Header.Get("X-Cache") != "MISS" {
				t.Errorf("%s: %d %s", target, a.Status, a.Header.Get("X-Cache"))
			}
		}
	}
	for range 2 { // Airtable says what is wrong with it
		if a := anna.get(tasks + "?pageSize=0"); a.Status != 422 || a.Header.Get("X-Cache") != "BYPASS" {
			t.Errorf("%d %s", a.Status, a.Header.Get("X-Cache"))
		}
	}
	if n := anna.link.count(); n != 8 {
		t.Errorf("%d calls, want 8", n)
	}
}

func TestCache_ConditionalRequestsAreAnsweredWithoutABody(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	first := anna.get(task)
	etag := first.Header.Get("ETag")
	w.now.Advance(7 * time.Second)
	a := anna.get(task, "If-None-Match", `"other", `+etag)
	if a.Status != http.StatusNotModified || len(a.Body) != 0 || a.Header.Get("ETag") != etag || a.Header.Get("X-Cache") != "HIT" || a.Header.Get("Age") != "7" {
		t.Errorf("%d %v %s", a.Status, a.Header, a.Body)
	}
	if a.Header.Get("Cache-Control") != "private, no-cache" || a.Header.Get("Vary") != "Authorization" {
		t.Errorf("%v", a.Header)
	}
	anna.setPoints(3)
	changed := is(t, anna.get(task, "If-None-Match", etag), "MISS")
	if points(t, changed) != 3 || changed.Header.Get("ETag") == etag {
		t.Errorf("%v %s", changed.Header, changed.Body)
	}
	if a := anna.get(task, "If-None-Match", changed.Header.Get("ETag")); a.Status != http.StatusNotModified {
		t.Errorf("%d", a.Status)
	}
}

func TestCache_IsAsFreshAsTheConnectionSays(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	is(t, anna.get(task), "MISS")
	w.now.Advance(freshness)
	is(t, anna.get(task), "HIT")
	w.now.Advance(freshness + time.Second) // past what is given while it is renewed
	is(t, anna.get(task), "MISS")

	off := anna.conn
	off.Settings.Freshness = 0
	never := w.replica().client(off)
	for range 2 {
		is(t, never.get(task), "BYPASS")
	}
	is(t, anna.get(task), "HIT")
	never.setPoints(5) // what caches nothing makes stale what others cached
	if got := points(t, is(t, anna.get(task), "MISS")); got != 5 {
		t.Errorf("points %d", got)
	}
	for _, passed := range []string{task + "/comments", "/v0/bases/appCache000000001/webhooks"} {
		if a := anna.get(passed); a.Header.Get("X-Cache") != "BYPASS" {
			t.Errorf("%s: %s", passed, a.Header.Get("X-Cache"))
		}
	}
}

func TestCache_GivesWhatIsStaleWhileItIsRenewed(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	w.emulate(anna, 1) // written by somebody else, who does not come through here
	is(t, anna.get(task), "MISS")
	w.emulate(anna, 2)
	anna.link.count()
	w.now.Advance(freshness + time.Second)
	if got := points(t, is(t, anna.get(task), "STALE")); got != 1 {
		t.Errorf("points %d", got)
	}
	await.True(t, "the refresh", func() bool { return anna.get(task, "Cache-Control", "only-if-cached").Header.Get("X-Cache") == "HIT" })
	if got := points(t, is(t, anna.get(task), "HIT")); got != 2 {
		t.Errorf("points %d after the refresh", got)
	}
	if c := anna.link.last(); !c.Refresh || c.Header.Get("X-PyAirtable-Priority") != "automation" {
		t.Errorf("the refresh was %+v", c)
	}
	if n := anna.link.count(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// emulate changes the task without any cache hearing of it.
func (w *world) emulate(c *client, n int) {
	w.t.Helper()
	if _, err := c.link.Upstream.Do(w.t.Context(), c.call("PATCH", task, `{"fields":{"Points":`+string(rune('0'+n))+`}}`)); err != nil {
		w.t.Fatal(err)
	}
}

func failing(status int, body string) func(upstream.Call) (upstream.Answer, error, bool) {
	return func(c upstream.Call) (upstream.Answer, error, bool) {
		if status == 0 {
			return upstream.Answer{}, errors.New("away"), true
		}
		return upstream.Answer{Status: status, Header: http.Header{"Content-Type": {v0.ContentType}}, Body: []byte(body)}, nil, true
	}
}

func TestCache_GivesWhatIsStaleWhenAirtableFails(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	is(t, anna.get(task), "MISS")
	w.now.Advance(10 * freshness)
	for name, broken := range map[string]func(upstream.Call) (upstream.Answer, error, bool){
		"away": failing(0, ""), "500": failing(500, ""), "503": failing(503, ""), "limit": failing(429, ""),
		"quota": failing(429, string(v0.Refuse(v0.ErrQuotaSpent).Body)),
	} {
		anna.link.on(broken, nil)
		if a := anna.get(task); a.Header.Get("X-Cache") != "STALE" || a.Header.Get("Age") != "300" {
			t.Errorf("%s: %d %v", name, a.Status, a.Header)
		}
		if a, err := anna.up.Do(t.Context(), anna.call("GET", task, "", "Cache-Control", "max-age=60")); err == nil && a.Status == 200 {
			t.Errorf("%s: a request for what is fresh got %v", name, a.Header)
		}
	}
	anna.link.on(failing(403, ""), nil) // no failure: that is the answer
	if a := anna.get(task); a.Status != 403 {
		t.Errorf("%d", a.Status)
	}
	anna.link.on(nil, nil)
	anna.setPoints(4)
	anna.link.on(failing(500, ""), nil)
	if a := anna.get(task); a.Status != 500 {
		t.Errorf("after a write: %d %v", a.Status, a.Header)
	}
	anna.link.on(nil, nil)
	is(t, anna.get(task), "MISS")
	anna.link.on(failing(500, ""), nil)
	w.now.Advance(freshness + time.Hour + time.Second)
	if a := anna.get(task); a.Status != 500 {
		t.Errorf("after an hour: %d %v", a.Status, a.Header)
	}
}

func TestCache_DoesNotWaitLongForALockOutWhenThereIsAnOldAnswer(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	is(t, anna.get(task), "MISS")
	w.now.Advance(10 * freshness)
	locked := make(chan struct{})
	anna.link.on(func(upstream.Call) (upstream.Answer, error, bool) { <-locked; return upstream.Answer{}, nil, false }, nil)
	is(t, anna.get(task), "STALE")
	close(locked)
	await.True(t, "the answer that was not waited for", func() bool { return anna.get(task).Header.Get("X-Cache") == "HIT" })
}

func TestCache_DoesWhatTheRequestSays(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	if a := anna.get(task, "Cache-Control", "only-if-cached"); a.Status != http.StatusGatewayTimeout {
		t.Errorf("nothing is cached: %d", a.Status)
	}
	if a := anna.get(task+"/comments", "Cache-Control", "only-if-cached"); a.Status != http.StatusGatewayTimeout {
		t.Errorf("nothing is ever cached: %d", a.Status)
	}
	is(t, anna.get(task, "Cache-Control", "no-store"), "BYPASS")
	is(t, anna.get(task), "MISS")
	w.now.Advance(10 * time.Second)
	for _, tc := range [][2]string{
		{"max-age=9", "MISS"}, {"max-age=9", "HIT"}, {"no-cache", "MISS"}, {"max-age=0, max-stale", "HIT"},
		{"min-fresh=30", "HIT"}, {"max-age=x", "HIT"}, {"no-store", "BYPASS"}, {"", "HIT"},
	} {
		if got := anna.get(task, "Cache-Control", tc[0]).Header.Get("X-Cache"); got != tc[1] {
			t.Errorf("%q: %s, want %s", tc[0], got, tc[1])
		}
	}
	is(t, anna.get(task, "Pragma", "no-cache"), "MISS")
	anna.link.count()
	w.now.Advance(freshness + 10*time.Second)
	for _, tc := range [][2]string{{"max-stale=9", "MISS"}, {"max-stale", "HIT"}} {
		if got := anna.get(task, "Cache-Control", tc[0]).Header.Get("X-Cache"); got != tc[1] {
			t.Errorf("%q: %s, want %s", tc[0], got, tc[1])
		}
	}
	w.now.Advance(freshness + 10*time.Second)
	is(t, anna.get(task, "Cache-Control", "max-stale=10"), "STALE")
	is(t, anna.get(task, "Cache-Control", "max-stale"), "STALE")
	if n := anna.link.count(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestCache_CrowdsAskOnce(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	people := []*client{anna, w.replica().client(anna.conn)}
	gate := make(chan struct{})
	for _, p := range people {
		p.link.on(func(upstream.Call) (upstream.Answer, error, bool) { <-gate; return upstream.Answer{}, nil, false }, nil)
	}
	var crowd sync.WaitGroup
	for i := range 60 {
		crowd.Go(func() {
			if a := people[i%2].get(task); a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	await.True(t, "the first call", func() bool {
		for _, p := range people {
			p.link.mu.Lock()
			n := len(p.link.calls)
			p.link.mu.Unlock()
			if n > 0 {
				return true
			}
		}
		return false
	})
	close(gate)
	crowd.Wait()
	if n := people[0].link.count() + people[1].link.count(); n != 1 {
		t.Errorf("%d calls of 60 callers at two replicas", n)
	}
}

func TestCache_NothingCrossesConnectionsAndTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replica()
	anna := w.connection(freshness)
	bert := w.connection(freshness) // another tenant with the same account
	again := anna                   // the same connection with a new token
	again.Token = []byte("sealed anew")
	second := anna // another connection of the tenant
	second.ID = w.connection(0).ID
	stable := anna
	stable.Settings.StableAttachments = true
	is(t, r.client(anna).get(task), "MISS")
	for name, c := range map[string]models.Connection{"tenant": bert, "token": again, "connection": second, "treatment": stable} {
		is(t, r.client(c).get(task), "MISS")
		if got := r.client(c).get(task).Header.Get("X-Cache"); got != "HIT" {
			t.Errorf("%s: %s", name, got)
		}
	}
	is(t, r.client(anna).get(task), "HIT")
}

func TestCache_InRedisCellsAreSealed(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	is(t, anna.get(people), "MISS")
	is(t, anna.get(schema), "MISS")
	keys, err := w.rdb.Keys(t.Context(), "airtable:cache:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for _, k := range keys {
		if !strings.Contains(k, ":entry:") {
			continue
		}
		entries++
		v, err := w.rdb.Get(t.Context(), k).Result()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(v, "Ada") || strings.Contains(v, "People") {
			t.Errorf("%s holds %q", k, v)
		}
		// Another key's value is nobody's answer.
		if err := w.rdb.Set(t.Context(), k, v+"x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if entries != 3 { // with the graph of the base
		t.Errorf("%d entries in %v", entries, keys)
	}
	is(t, w.replica().client(anna.conn).get(people), "MISS")
}

func TestCache_KeepsSoManyBytesOfABaseInRedis(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	text := make([]byte, 20<<10) // does not compress
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range text {
		text[i] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"[rnd.IntN(64)]
	}
	anna.link.on(func(upstream.Call) (upstream.Answer, error, bool) {
		return upstream.Answer{Status: 200, Header: http.Header{"Content-Type": {v0.ContentType}}, Body: []byte(`{"id":"` + string(text) + `"}`)}, nil, true
	}, nil)
	for i := range 40 {
		is(t, anna.get(fmt.Sprintf("%s/rec%d", tasks, i)), "MISS")
		w.now.Advance(time.Millisecond)
	}
	keys, err := w.rdb.Keys(t.Context(), "airtable:cache:*:entry:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, k := range keys {
		n, err := w.rdb.StrLen(t.Context(), k).Result()
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total > siteBytes || total < siteBytes/2 {
		t.Errorf("%d bytes in %d entries, of at most %d", total, len(keys), siteBytes)
	}
	counted, err := w.rdb.HGet(t.Context(), "airtable:cache:{"+w.far.URL+"/appCache000000001}:sizes", "").Int64()
	if want := total + 256*int64(len(keys)); err != nil || counted != want {
		t.Errorf("%d bytes are counted, %d are there: %v", counted, want, err)
	}
	other := w.replica().client(anna.conn)
	is(t, other.get(tasks+"/rec39"), "HIT")
	other.link.on(failing(404, ""), nil)
	if a := other.get(tasks + "/rec0"); a.Status != 404 {
		t.Errorf("the oldest is still there: %d", a.Status)
	}
}

func TestCache_WhoLeavesDoesNotSpoilItForOthersAndTheLastOneEndsTheCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replica()
	conn := w.connection(freshness)
	began, ended := make(chan struct{}, 1), make(chan error, 1)
	stuck := r.cache.Of(upstreamFunc(func(ctx context.Context) (upstream.Answer, error) {
		began <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return upstream.Answer{}, ctx.Err()
	}), conn)
	call := r.client(conn).call("GET", task, "")
	gone := make(chan error, 2)
	first, leave := context.WithCancel(t.Context())
	second, leaveToo := context.WithCancel(t.Context())
	ask := func(ctx context.Context) {
		_, err := stuck.Do(ctx, call)
		gone <- err
	}
	go ask(first)
	<-began
	go ask(second)
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves gets %v", err)
	}
	// Whether the second has joined or not yet: he is not answered by the first one's end.
	select {
	case err := <-gone:
		t.Errorf("who stays gets %v", err)
	case <-ended: // he came too late to join
		<-began
	case <-time.After(100 * time.Millisecond):
	}
	leaveToo()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the last one gets %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
}

type upstreamFunc func(context.Context) (upstream.Answer, error)

func (f upstreamFunc) Do(ctx context.Context, _ upstream.Call) (upstream.Answer, error) {
	return f(ctx)
}

func TestCache_LinksThatExpireAreKeptForAShorterTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.connection(24 * time.Hour)
	anna := w.replica().client(conn)
	anna.link.on(func(c upstream.Call) (upstream.Answer, error, bool) {
		return upstream.Answer{Status: 200, Header: http.Header{"Content-Type": {v0.ContentType}},
			Body: []byte(`{"id":"recTask0000000001","fields":{"F":[{"id":"att00000000000001","url":"https://v5.airtableusercontent.com/x"}]}}`)}, nil, true
	}, nil)
	is(t, anna.get(task), "MISS")
	w.now.Advance(15 * time.Minute)
	is(t, anna.get(task), "HIT")
	w.now.Advance(2 * time.Minute)
	is(t, anna.get(task), "MISS")
	anna.link.on(failing(500, ""), nil)
	w.now.Advance(29 * time.Minute)
	is(t, anna.get(task), "STALE")
	w.now.Advance(2 * time.Minute)
	if a := anna.get(task); a.Status != 500 {
		t.Errorf("%d: a link that may have expired was given", a.Status)
	}
}
