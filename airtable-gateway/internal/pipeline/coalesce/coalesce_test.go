package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/coalesce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/id"
)

func TestDo_ALoneCallLeavesAtOnceAndAsItCame(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		c := call("POST", "T", `{ "fields" : {"Log":"a"}, "typecast":false }`)
		c.Header.Set("User-Agent", "me")
		start := time.Now()
		got := b.all(t, c)[0]
		if took := time.Since(start); took != b.takes {
			t.Errorf("it took %v, the upstream %v", took, b.takes)
		}
		if string(got.Body) != `{"id":"rec0", "fields": {"Log":"a"} }` {
			t.Errorf("got %v", got)
		}
		if diff := cmp.Diff(c, b.calls[0]); diff != "" {
			t.Errorf("(-sent +arrived):\n%s", diff)
		}
	})
}

func TestDo_CallsGatherWhileTheirLikeIsUnderWay(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		start := time.Now()
		got := b.all(t, repeated(41, func(i int) upstream.Call { return call("POST", "T", fmt.Sprintf(`{"fields":{"Log":"%d"}}`, i)) })...)
		for i, r := range got {
			if want := fmt.Sprintf(`{"id":"rec%d", "fields": {"Log":"%d"} }`, i, i); string(r.Body) != want {
				t.Errorf("call %d: %v, want %s", i, r, want)
			}
			if got, want := r.Header.Get("Airtable-Uncompressed-Content-Length"), fmt.Sprint(len(r.Body)); got != want {
				t.Errorf("call %d: the header says %s bytes, the body has %s", i, got, want)
			}
		}
		if diff := cmp.Diff([]string{"POST 1", "POST 10", "POST 10", "POST 10", "POST 10"}, b.seen()); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(start); took > time.Second || b.saved.Load() != 36 {
			t.Errorf("it took %v and saved %d calls", took, b.saved.Load())
		}
	})
}

// What each form of a write is answered does not depend on who travels beside it.
func TestDo_EachCallerGetsTheAnswerThatItWouldHaveGotAlone(t *testing.T) {
	t.Parallel()
	calls := func() []upstream.Call {
		return []upstream.Call{
			call("POST", "T", `{"fields":{"Log":"c1"}}`), call("POST", "T", `{"records":[{"fields":{"Log":"c2"}}],"typecast":false}`),
			call("POST", "T", `{"records":[{"fields":{"Log":"c3"}},{"fields":{"Log":"c4"},"createdTime":"x"}],"returnFieldsByFieldId":false}`),
			call("PATCH", "T/recA", `{"fields":{"Log":"u1"}}`), call("PATCH", "T", `{"records":[{"id":"recB","fields":{"Log":"u2"}}]}`),
			call("PUT", "T/recC", `{"fields":{"Log":"u3"}}`), call("PUT", "T", `{"records":[{"id":"recD","fields":{"Log":"u4"}},{"fields":{"Log":"u5"},"id":"recE"}]}`),
			call("DELETE", "T/recF", ""), call("DELETE", "T?records[]=recG", ""), call("DELETE", "T?records%5B%5D=recH&records%5B%5D=recI", ""),
			call("PATCH", "T", `{"performUpsert":{"fieldsToMergeOn":["K"]},"records":[{"fields":{"K":"k1"}}]}`),
			call("PATCH", "T", `{"records":[{"fields":{"K":"k0","Log":"u6"}},{"fields":{"K":"k2"}}],"performUpsert":{"fieldsToMergeOn":["K"]}}`),
			call("PATCH", "T/recX", `{"fields":{"Log":"no"}}`), call("DELETE", "T/recX", ""), call("POST", "T", `{"fields":{"Bad":1}}`),
			call("DELETE", "T?records[]=recY", ""),
		}
	}
	run := func(t *testing.T, together bool) (out []string) {
		inTime(t, func(t *testing.T, b *bench) {
			for _, id := range []string{"recA", "recB", "recC", "recD", "recE", "recF", "recG", "recH", "recI", "recK"} {
				b.put(id)
			}
			b.rows["recK"].cells["K"] = "k0"
			var got []reply
			if together { // one of each kind is under way, so that all others gather
				block := []upstream.Call{
					call("POST", "T", `{"fields":{}}`), call("PATCH", "T/recA", `{"fields":{}}`), call("PUT", "T/recC", `{"fields":{}}`), call("DELETE", "T/recZ1", ""),
					call("PATCH", "T", `{"performUpsert":{"fieldsToMergeOn":["K"]},"records":[{"fields":{"K":"k9"}}]}`),
				}
				got = b.all(t, append(block, calls()...)...)[len(block):]
				if n := count(b.seen(), "POST 4") + count(b.seen(), "DELETE 4"); n == 0 {
					t.Errorf("nothing shared a batch: %v", b.seen())
				}
			} else {
				b.all(t, call("POST", "T", `{"fields":{}}`))
				b.all(t, call("PATCH", "T", `{"performUpsert":{"fieldsToMergeOn":["K"]},"records":[{"fields":{"K":"k9"}}]}`))
				for _, c := range calls() {
					got = append(got, b.all(t, c)...)
				}
			}
			ids := regexpID.ReplaceAllString
			for _, r := range got {
				out = append(out, ids(r.String(), `"rec#"`))
			}
		})
		return out
	}
	alone, together := run(t, false), run(t, true)
	if diff := cmp.Diff(alone, together); diff != "" {
		t.Errorf("(-alone +together):\n%s", diff)
	}
}

var regexpID = regexp.MustCompile(`"rec[0-9]+"`)

func TestDo_OnlyTheGuiltyOneHearsOfARefusal(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		got := b.all(t, repeated(11, func(i int) upstream.Call {
			if i == 7 {
				return call("POST", "T", `{"fields":{"Bad":1}}`)
			}
			return call("POST", "T", `{"fields":{"Log":"x"}}`)
		})...)
		for i, r := range got {
			if want := 200; i == 7 && r.Status != 422 || i != 7 && r.Status != want {
				t.Errorf("call %d: %v", i, r)
			}
		}
		if diff := cmp.Diff([]string{"POST 1", "POST 10", "POST 9", "POST 1"}, b.seen()); diff != "" {
			t.Error(diff)
		}
		if len(b.order) != 10 || b.saved.Load() != 7 {
			t.Errorf("%d records, %d calls saved", len(b.order), b.saved.Load())
		}
	})
}

func TestDo_ARefusalThatNamesNobodyIsHalved(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		got := b.all(t, repeated(9, func(i int) upstream.Call {
			if i == 3 { // the message names Bad, which is in the text of all
				return call("POST", "T", `{"fields":{"Bad":"Bad"}}`)
			}
			return call("POST", "T", `{"fields":{"Log":"Bad"}}`)
		})...)
		for i, r := range got {
			if i == 3 && r.Status != 422 || i != 3 && r.Status != 200 {
				t.Errorf("call %d: %v", i, r)
			}
		}
	})
}

func TestDo_WritesOfOneRecordKeepTheirOrder(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		for i := range 12 {
			b.put(fmt.Sprintf("rec%c", 'a'+i))
		}
		big := func(method, word string) upstream.Call {
			var items []string
			for i := range 10 {
				items = append(items, fmt.Sprintf(`{"id":"rec%c","fields":{"Log":"%s"}}`, 'a'+i, word))
			}
			return call(method, "T", `{"records":[`+strings.Join(items, ",")+`]}`)
		}
		got := b.all(t,
			call("PATCH", "T/reca", `{"fields":{"Log":"1"}}`), call("PUT", "tblT/reca", `{"fields":{"Log":"2"}}`), call("PATCH", "T/reca", `{"fields":{"Log":"3"}}`),
			big("PATCH", "4"), call("PATCH", "T/reca", `{"fields":{"Log":"5"}}`), call("PATCH", "T/recb", `{"fields":{"Log":"5"}}`),
			big("PUT", "6"), call("DELETE", "T/reca", ""), call("PATCH", "T/reca", `{"fields":{"Log":"too late"}}`), call("PATCH", "T/recb", `{"fields":{"Log":"7"}}`))
		for i, r := range got {
			if want := i != 8; want != (r.Status == 200) {
				t.Errorf("call %d: %v", i, r)
			}
		}
		if diff := cmp.Diff([]string{"1", "2", "3", "4", "5", "6", "gone"}, b.rows["reca"].log); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"4", "5", "6", "7"}, b.rows["recb"].log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDo_AnUpsertKeepsItsPlaceAmongTheWritesOfItsTable(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		b.put("recA")
		b.rows["recA"].cells["K"] = "k"
		upsert := func(key, word string) upstream.Call {
			return call("PATCH", "T", `{"performUpsert":{"fieldsToMergeOn":["K"]},"records":[{"fields":{"K":"`+key+`","Log":"`+word+`"}}]}`)
		}
		b.all(t, call("PATCH", "T/recA", `{"fields":{"Log":"1"}}`), upsert("k", "2"), upsert("other", "x"), upsert("k", "3"), upsert("K ", "y"), call("PATCH", "T/recA", `{"fields":{"Log":"4"}}`))
		if diff := cmp.Diff([]string{"1", "2", "3", "4"}, b.rows["recA"].log); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"PATCH 1", "PATCH 2", "PATCH 1", "PATCH 1", "PATCH 1"}, b.seen()); diff != "" {
			t.Errorf("keys that might be equal shared a batch, or others did not: %s", diff)
		}
	})
}

func TestDo_WhatDiffersSharesNoBatch(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		other := call("POST", "T", `{"fields":{}}`)
		other.Header.Set("X-API-Version", "0.1.0")
		fetching := call("POST", "T", `{"fields":{"Files":[{"url":"https://x"}]}}`)
		calls := []upstream.Call{
			call("POST", "T", `{"fields":{}}`), call("POST", "U", `{"fields":{}}`), call("POST", "T", `{"fields":{},"typecast":true}`),
			call("POST", "T", `{"fields":{},"returnFieldsByFieldId":true}`), other, fetching,
		}
		b.all(t, slices.Concat(calls, calls, calls)...)
		for _, c := range b.calls {
			if strings.Contains(string(c.Body), "url") && strings.Contains(string(c.Body), "records") {
				t.Errorf("a call that fetches files shared a batch: %s", c.Body)
			}
		}
		if diff := cmp.Diff(map[string]int{"POST 1": 4, "POST 2": 1, "POST 3": 4}, tally(b.seen())); diff != "" {
			t.Error(diff)
		}
	})
}

func tally(in []string) map[string]int {
	out := map[string]int{}
	for _, s := range in {
		out[s]++
	}
	return out
}

func TestDo_ACallerMayKeepItsCallsAlone(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		got := b.all(t, repeated(5, func(int) upstream.Call {
			c := call("POST", "T", `{"fields":{}}`)
			c.Header.Set(coalesce.Header, "off")
			return c
		})...)
		if n := count(b.seen(), "POST 1"); n != 5 || got[4].Status != 200 {
			t.Errorf("%v, %v", b.seen(), got)
		}
		if n := b.counted(t, "airtable_coalesce_opt_outs_total"); n != 5 {
			t.Errorf("%v opt-outs are counted", n)
		}
	})
}

func TestDo_ACallerThatGoesAwayIsTakenOut(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		ctx, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _, _ = b.up.Do(t.Context(), call("POST", "T", `{"fields":{"Log":"first"}}`)) })
		synctest.Wait()
		var early, late error
		group.Go(func() { _, early = b.up.Do(ctx, call("POST", "T", `{"fields":{"Log":"early"}}`)) })
		group.Go(func() { _, _ = b.up.Do(t.Context(), call("POST", "T", `{"fields":{"Log":"stays"}}`)) })
		synctest.Wait()
		leave()
		group.Wait()
		if !errors.Is(early, upstream.ErrNotSent) || !errors.Is(early, context.Canceled) {
			t.Errorf("the caller that left got %v", early)
		}
		ctx, leave = context.WithCancel(t.Context())
		group.Go(func() { _, late = b.up.Do(ctx, call("POST", "T", `{"fields":{"Log":"late"}}`)) })
		_ = rest(t.Context(), 150*time.Millisecond+b.takes/2) // its turn is 200 ms after the one before
		leave()
		group.Wait()
		if errors.Is(late, upstream.ErrNotSent) || !errors.Is(late, context.Canceled) {
			t.Errorf("the caller whose record had left got %v", late)
		}
		_ = rest(t.Context(), time.Second)
		synctest.Wait()
		var words []string
		for _, id := range b.order {
			words = append(words, b.rows[id].log...)
		}
		if diff := cmp.Diff([]string{"first", "stays", "late"}, words); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDo_FailuresGoToEveryCaller(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fate   string
		status int
		err    error
	}{{"503", 503, nil}, {"429", 429, nil}, {"500", 500, nil}, {"lost", 0, errLost}} {
		inTime(t, func(t *testing.T, b *bench) {
			b.fate = func(n int) string {
				if n == 1 {
					return tc.fate
				}
				return ""
			}
			got := b.all(t, repeated(6, func(int) upstream.Call { return call("POST", "T", `{"fields":{}}`) })...)
			for i, r := range got[1:] {
				if r.Status != tc.status || !errors.Is(r.err, tc.err) {
					t.Errorf("%s: call %d: %v", tc.fate, i, r)
				}
			}
		})
	}
}

func TestDo_DeletesWhoseOutcomeIsUnknownAreRepeatedOneByOne(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		for _, id := range []string{"recA", "recB", "recC", "recD"} {
			b.put(id)
		}
		b.fate = func(n int) string { return map[int]string{1: "lost"}[n] }
		got := b.all(t, call("DELETE", "T/recA", ""), call("DELETE", "T/recB", ""), call("DELETE", "T/recC", ""), call("DELETE", "T?records[]=recD", ""))
		for _, c := range b.calls[2:] {
			if c.Record == "" || !c.MayBeDone || c.Attempt != 1 {
				t.Errorf("%s %+v", c.Path, c)
			}
		}
		if len(b.calls) != 4 || !errors.Is(got[3].err, errLost) {
			t.Errorf("%v, %v", b.seen(), got)
		}
	})
}

func TestDo_APanicIsAnAnswerToEveryCaller(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		b.fate = func(n int) string { return map[int]string{1: "panic"}[n] }
		got := b.all(t, repeated(4, func(int) upstream.Call { return call("POST", "T", `{"fields":{}}`) })...)
		for i, r := range got[1:] {
			if r.err == nil || errors.Is(r.err, upstream.ErrNotSent) {
				t.Errorf("call %d: %v", i, r)
			}
		}
		if again := b.all(t, call("POST", "T", `{"fields":{}}`)); again[0].Status != 200 {
			t.Errorf("afterwards: %v", again)
		}
	})
}

func TestRun_StopRefusesWhatWaitsAndAwaitsWhatLeft(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		b.turns.every = time.Hour
		var group sync.WaitGroup
		var left, waiting, after reply
		group.Go(func() { left.Answer, left.err = b.up.Do(t.Context(), call("POST", "T", `{"fields":{}}`)) })
		synctest.Wait()
		group.Go(func() { waiting.Answer, waiting.err = b.up.Do(t.Context(), call("POST", "T", `{"fields":{}}`)) })
		synctest.Wait()
		b.stop()
		group.Wait()
		after.Answer, after.err = b.up.Do(t.Context(), call("POST", "T", `{"fields":{}}`))
		if left.Status != 200 || !errors.Is(waiting.err, upstream.ErrNotSent) || !errors.Is(after.err, upstream.ErrNotSent) {
			t.Errorf("left %v, waiting %v, after %v", left, waiting, after)
		}
	})
}

func TestDo_WhoWaitsTooLongIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		b.turns.every = 2 * time.Minute
		start := time.Now()
		got := b.all(t, call("PATCH", "T/recA", `{"fields":{}}`), call("PATCH", "T/recA", `{"fields":{}}`))
		if got[1].Status != http.StatusTooManyRequests || got[1].Header.Get("Retry-After") == "" || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), got[1])
		}
		_ = rest(t.Context(), 2*time.Minute)
	})
}

func TestDo_AuthorsAreThoseOfTheirRecords(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		bea := id.New[id.User]()
		b.all(t, repeated(5, func(i int) upstream.Call {
			c := call("POST", "T", fmt.Sprintf(`{"records":[{"fields":{"Log":"%d"}},{"fields":{"Log":"%d"}}]}`, i, i))
			if i%2 == 0 {
				c.Caller.User = bea
			}
			return c
		})...)
		if diff := cmp.Diff([]id.UserID{anna, anna, bea, bea, anna, anna, bea, bea}, b.calls[1].Authors); diff != "" {
			t.Error(diff)
		}
	})
}

// Bulk waits behind what somebody waits for, but never overtakes it on one record.
func TestDo_ABatchIsAsUrgentAsItsMostUrgentCall(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		b.turns.every = time.Second
		b.put("recA")
		bulk := func(c upstream.Call) upstream.Call {
			c.Header.Set("X-PyAirtable-Priority", "bulk")
			return c
		}
		b.all(t, call("POST", "T", `{"fields":{"Log":"first"}}`),
			bulk(call("PATCH", "T/recA", `{"fields":{"Log":"1"}}`)),
			bulk(call("POST", "U", `{"fields":{"Log":"bulk"}}`)), bulk(call("POST", "V", `{"fields":{"Log":"joined"}}`)),
			call("POST", "V", `{"fields":{"Log":"urgent"}}`), call("PATCH", "T/recA", `{"fields":{"Log":"2"}}`))
		var got []string
		for _, c := range b.calls {
			got = append(got, c.Header.Get("X-PyAirtable-Priority")+" "+string(c.Body))
		}
		want := []string{
			` {"fields":{"Log":"first"}}`, `interactive {"records":[{"fields":{"Log":"joined"}},{"fields":{"Log":"urgent"}}]}`,
			`bulk {"fields":{"Log":"1"}}`, ` {"fields":{"Log":"2"}}`, `bulk {"fields":{"Log":"bulk"}}`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDo_TablesThatAreKnownToDifferDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		known := map[string]string{"T": "tblT", "tblT": "tblT", "U": "tblU"}
		b.up = b.c.Of(b.far, coalesce.Account{
			Key: "known", Turns: b.turns, Saved: func(upstream.Call) {}, Table: func(_, name string) string { return known[name] },
		})
		b.turns.every, b.takes = time.Millisecond, time.Second
		upsert := func(table string) upstream.Call {
			return call("PATCH", table, `{"performUpsert":{"fieldsToMergeOn":["K"]},"records":[{"fields":{"K":"`+table+`"}}]}`)
		}
		b.put("recA")
		start := time.Now()
		b.all(t, upsert("T"), call("PATCH", "U/recA", `{"fields":{}}`))
		if took := time.Since(start); took > 2*time.Second-1 {
			t.Errorf("another table's write waited: %v", took)
		}
		for _, table := range []string{"tblT", "Unknown"} {
			start = time.Now()
			b.all(t, upsert("T"), call("PATCH", table+"/recA", `{"fields":{}}`))
			if took := time.Since(start); took < 2*time.Second {
				t.Errorf("a write of %s did not wait: %v", table, took)
			}
		}
		n := len(b.calls)
		b.all(t, call("POST", "T", `{"fields":{}}`), call("POST", "tblT", `{"fields":{}}`), call("POST", "T", `{"fields":{}}`))
		if got := len(b.calls) - n; got != 2 {
			t.Errorf("two spellings of a table shared no batch: %v", b.seen()[n:])
		}
	})
}

func TestDo_ARefusalOfTheQueueGoesToWhoCameLast(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, b *bench) {
		full := &crowded{pace: pace{every: 200 * time.Millisecond}, room: 2}
		b.up = b.c.Of(b.far, coalesce.Account{Key: "full", Turns: full, Saved: func(upstream.Call) {}})
		got := b.all(t, repeated(40, func(i int) upstream.Call { return call("POST", "T", `{"fields":{}}`) })...)
		for i, r := range got {
			if i < 10 && r.Status != 200 || i == len(got)-1 && r.Status != 429 {
				t.Errorf("call %d: %v", i, r)
			}
		}
	})
}
