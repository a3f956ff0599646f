package coalesce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// act is one write of the simulation and what its caller was told.
type act struct {
	call    upstream.Call
	creates []string // words of the records that it creates
	writes  []string // records that it writes, by id
	word    string   // that it writes into them
	bad     bool     // Airtable refuses it
	leaves  time.Duration
	got     reply
}

// outcome is what the caller may believe: "done", "not", "unknown".
func (a *act) outcome() string {
	switch {
	case a.got.err == nil && a.got.Status == http.StatusOK:
		return "done"
	case a.got.err != nil && !errors.Is(a.got.err, upstream.ErrNotSent), a.got.Status == http.StatusInternalServerError:
		return "unknown"
	}
	return "not"
}

// Many callers, random writes and faults: what a caller is told is true, nothing is
// done twice, and each record sees its writes in the order in which they came.
func TestSim_EveryWriteIsDoneOnceInItsOrderAndToldTruly(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T, b *bench) { simulate(t, b, rand.New(rand.NewPCG(7, seed))) })
		})
	}
}

func simulate(t *testing.T, b *bench, r *rand.Rand) {
	records := make([]string, 12)
	for i := range records {
		records[i] = fmt.Sprintf("recR%02d", i)
		b.put(records[i])
		b.rows[records[i]].cells["K"] = fmt.Sprintf("key%02d", i)
	}
	b.turns.every = time.Duration(1+r.IntN(200)) * time.Millisecond
	b.takes = time.Duration(1+r.IntN(300)) * time.Millisecond
	faults := []string{"", "503", "429", "lost", "500"}
	rate := r.Float64() * .3
	dice := rand.New(rand.NewPCG(r.Uint64(), 1))
	b.fate = func(int) string { // under the far end's lock
		if dice.Float64() < rate {
			return faults[dice.IntN(len(faults))]
		}
		return ""
	}
	acts := make([]*act, 250)
	var group sync.WaitGroup
	for i := range acts {
		a := random(r, records, i)
		acts[i] = a
		group.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if a.leaves > 0 {
				var end context.CancelFunc
				ctx, end = context.WithTimeout(ctx, a.leaves)
				defer end()
			}
			a.got.Answer, a.got.err = b.up.Do(ctx, a.call)
		})
		synctest.Wait() // it has its place now
		_ = rest(t.Context(), time.Duration(r.IntN(30))*time.Millisecond)
	}
	group.Wait()
	_ = rest(t.Context(), 2*time.Minute) // for those whose callers left
	synctest.Wait()
	check(t, b, acts, records)
}

// random is a write of any kind and form.
func random(r *rand.Rand, records []string, i int) *act {
	a := &act{word: fmt.Sprintf("w%03d", i)}
	if r.IntN(12) == 0 {
		a.leaves = time.Duration(1+r.IntN(2_000)) * time.Millisecond
	}
	n := 1 + r.IntN(2)*r.IntN(4)
	chosen := slices.Clone(records)
	r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	chosen = chosen[:n]
	a.bad = r.IntN(15) == 0
	cells := func(extra string) string {
		if a.bad {
			extra += `,"Bad":1`
		}
		return `{"Log":"` + a.word + `"` + extra + `}`
	}
	var items []string
	method, path, tail := "PATCH", "T", ""
	switch kind := r.IntN(10); {
	case kind < 4:
		method = "POST"
		for j := range n {
			word := fmt.Sprintf("%s-%d", a.word, j)
			a.creates = append(a.creates, word)
			items = append(items, `{"fields":`+strings.Replace(cells(""), a.word, word, 1)+`}`)
		}
		if n == 1 && r.IntN(2) == 0 {
			a.call = call(method, path, items[0])
			return a.with(r)
		}
	case kind < 8:
		if kind == 4 {
			method = "PUT"
		}
		a.writes = chosen
		if n == 1 && r.IntN(2) == 0 {
			a.call = call(method, "tblT/"+chosen[0], `{"fields":`+cells(kOf(method, chosen[0]))+`}`)
			return a.with(r)
		}
		for _, id := range chosen {
			items = append(items, `{"id":"`+id+`","fields":`+cells(kOf(method, id))+`}`)
		}
	default:
		a.writes = chosen
		for _, id := range chosen {
			items = append(items, `{"fields":`+cells(`,"K":"`+keyOf(id)+`"`)+`}`)
		}
		tail = `,"performUpsert":{"fieldsToMergeOn":["K"]}`
	}
	a.call = call(method, path, `{"records":[`+strings.Join(items, ",")+`]`+tail+`}`)
	return a.with(r)
}

func keyOf(id string) string { return "key" + strings.TrimPrefix(id, "recR") }

// kOf keeps the key of a record that is replaced.
func kOf(method, id string) string {
	if method != "PUT" {
		return ""
	}
	return `,"K":"` + keyOf(id) + `"`
}

func (a *act) with(r *rand.Rand) *act {
	if r.IntN(4) == 0 {
		a.call.Header.Set("X-PyAirtable-Priority", "bulk")
	}
	if r.IntN(20) == 0 {
		a.call.Header.Set("X-PyAirtable-Coalesce", "off")
	}
	return a
}

func check(t *testing.T, b *bench, acts []*act, records []string) {
	times := map[string]int{} // each word, by record for writes
	for _, id := range b.order {
		for _, word := range b.rows[id].log {
			if slices.Contains(records, id) {
				word += " " + id
			}
			times[word]++
		}
	}
	done := 0
	for _, a := range acts {
		var words []string
		words = append(words, a.creates...)
		for _, id := range a.writes {
			words = append(words, a.word+" "+id)
		}
		outcome := a.outcome()
		if a.bad && outcome == "done" {
			t.Errorf("%s was to be refused: %v", a.word, a.got)
		}
		for i, word := range words {
			n := times[word]
			if outcome == "done" && n != 1 || outcome == "not" && n != 0 || n > 1 || n != times[words[0]] {
				t.Errorf("%s (%d of %d) was told %q and is there %d times: %v", word, i, len(words), outcome, n, a.got)
			}
		}
		if outcome == "done" {
			done++
			a.holds(t)
		}
	}
	if done < len(acts)/4 {
		t.Errorf("only %d of %d writes were done: the test shows less than it says", done, len(acts))
	}
	for _, id := range records {
		if log := b.rows[id].log; !slices.IsSorted(log) {
			t.Errorf("%s was written in the order %v", id, log)
		}
	}
}

// holds checks that the answer is about what the caller sent, and about no more.
func (a *act) holds(t *testing.T) {
	var one struct {
		ID     string
		Fields struct{ Log string }
	}
	var many struct {
		Records []struct {
			ID     string
			Fields struct{ Log string }
		}
		CreatedRecords, UpdatedRecords []string
	}
	if !strings.Contains(string(a.call.Body), `"records"`) {
		if err := json.Unmarshal(a.got.Body, &one); err != nil {
			t.Error(err)
		}
		many.Records = append(many.Records, one)
	} else if err := json.Unmarshal(a.got.Body, &many); err != nil {
		t.Error(err)
	}
	if len(many.Records) != len(a.creates)+len(a.writes) {
		t.Errorf("%s wrote %d records and got %s", a.word, len(a.creates)+len(a.writes), a.got.Body)
		return
	}
	for i, r := range many.Records {
		if a.creates != nil && r.Fields.Log != a.creates[i] || a.writes != nil && (r.ID != a.writes[i] || r.Fields.Log != a.word) {
			t.Errorf("%s got %s", a.word, a.got.Body)
		}
	}
	if upsert := strings.Contains(string(a.call.Body), "performUpsert"); upsert && !slices.Equal(many.UpdatedRecords, a.writes) {
		t.Errorf("%s upserted %v and got %s", a.word, a.writes, a.got.Body)
	}
}
