package marker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/marker"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/retry"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

var errBroken = errors.New("the connection broke")

// far is the sample base behind a line that breaks.
type far struct {
	h http.Handler
	// breaks says of a write that was executed whether its answer is lost.
	breaks func(n int) bool

	mu     sync.Mutex
	writes []upstream.Call
}

func newFar(t *testing.T) *far {
	t.Helper()
	s := local.New(pgtest.New(t, "airtable-gateway", repository.Migrations), local.Options{Now: time.Now})
	if err := emulator.SampleSeed().Plant(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return &far{h: emulator.New(emulator.Options{Store: s, Now: time.Now}), breaks: func(int) bool { return false }}
}

func (f *far) Do(_ context.Context, c upstream.Call) (upstream.Answer, error) {
	r := httptest.NewRequest(c.Method, c.Path, bytes.NewReader(c.Body))
	r.Header.Set("Authorization", "Bearer patTest")
	w := httptest.NewRecorder()
	f.h.ServeHTTP(w, r)
	a := upstream.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
	f.mu.Lock()
	defer f.mu.Unlock()
	if v0.Reads(c) || a.Status != http.StatusOK {
		return a, nil
	}
	f.writes = append(f.writes, c)
	if f.breaks(len(f.writes)) {
		return upstream.Answer{}, errBroken
	}
	return a, nil
}

func (f *far) up() upstream.Upstream { return marker.Of(retry.New(prometheus.NewRegistry()).Of(f)) }

func create(body, field string) upstream.Call {
	c, _ := v0.Parse("POST", "/v0/appEmulator000001/Tasks")
	c.Body, c.Header = []byte(body), http.Header{}
	if field != "" {
		c.Header.Set(marker.Header, field)
	}
	return c
}

// points counts the records by their points.
func (f *far) points(t *testing.T) map[float64]int {
	t.Helper()
	out := map[float64]int{}
	c, _ := v0.Parse("GET", "/v0/appEmulator000001/Tasks")
	a, _ := f.Do(t.Context(), c)
	var page struct {
		Records []struct{ Fields struct{ Points float64 } }
		Offset  string
	}
	if err := json.Unmarshal(a.Body, &page); err != nil || page.Offset != "" {
		t.Fatal(err, page.Offset)
	}
	for _, r := range page.Records {
		out[r.Fields.Points]++
	}
	return out
}

func TestMarked_CreatesWhoseAnswersAreLostAreDoneOnceAndAnswered(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	dice := rand.New(rand.NewPCG(3, 1))
	broken := 0
	f.breaks = func(int) bool {
		if dice.Float64() < .7 {
			broken++
			return true
		}
		return false
	}
	up := f.up()
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			body := fmt.Sprintf(`{"fields":{"Points":%d}}`, 100+i)
			if i%2 == 0 {
				body = fmt.Sprintf(`{"records":[{"fields":{"Points":%d}},{"fields":{"Points":%d}}],"returnFieldsByFieldId":%v}`, 100+i, 200+i, i%4 == 0)
			}
			a, err := up.Do(t.Context(), create(body, "Name"))
			if err != nil || a.Status != 200 {
				t.Errorf("create %d: %d %s %v", i, a.Status, a.Body, err)
			}
			if n := strings.Count(string(a.Body), `"createdTime"`); n != 2-i%2 || strings.Contains(string(a.Body), "createdRecords") {
				t.Errorf("create %d: %s", i, a.Body)
			}
		})
	}
	group.Wait()
	got := f.points(t)
	for i := range 20 {
		if got[float64(100+i)] != 1 || i%2 == 0 && got[float64(200+i)] != 1 {
			t.Errorf("record %d is there %d times", i, got[float64(100+i)])
		}
	}
	if broken < 30 { // some have lost all four tries, and were found
		t.Errorf("%d answers were lost: the test shows less than it says", broken)
	}
}

// But for the marker's cell, nobody can tell a marked create from another.
func TestMarked_TheAnswerIsACreatesOwn(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	up := f.up()
	same := regexp.MustCompile(`rec[A-Za-z0-9]{14}|"[0-9T:.-]+Z"|[A-Z2-7]{26}`)
	for _, body := range []string{`{"fields":{%s"Points":1}}`, `{"fields": {%s "Points":1 },"returnFieldsByFieldId":true}`, `{"records":[{"fields":{%s"State":"todo"}},{"fields":{%s"State":"done"}}]}`} {
		plain, err := up.Do(t.Context(), create(strings.ReplaceAll(body, "%s", `"Name":"AAAAAAAAAAAAAAAAAAAAAAAAAA",`), ""))
		marked, err2 := up.Do(t.Context(), create(strings.ReplaceAll(body, "%s", ""), "Name"))
		a, b := same.ReplaceAllString(string(plain.Body), "#"), same.ReplaceAllString(string(marked.Body), "#")
		if err != nil || err2 != nil || plain.Status != 200 || a != b {
			t.Errorf("plain  %s\nmarked %s", plain.Body, marked.Body)
		}
	}
}

func TestMarked_OnlyWhatHasNoValueOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	for _, tc := range []struct {
		body, field string
		keyed       bool
	}{
		{`{"fields":{"Points":1}}`, "Name", true},
		{`{"fields":{}}`, "fldTasksName00001", true},
		{`{"fields":{"fldTasksPts000001":1}}`, "fldTasksName00001", true},
		{`{"fields":{"Name":"mine"}}`, "Name", false},
		{`{"fields":{"Points":1}}`, "fldTasksName00001", false}, // Name could be meant
		{`{"fields":{"fldTasksName00001":"mine"}}`, "Name", false},
		{`{"fields":{"Points":1}}`, "", false},
	} {
		a, err := f.up().Do(t.Context(), create(tc.body, tc.field))
		if last := f.writes[len(f.writes)-1]; err != nil || a.Status != 200 || last.Keyed != tc.keyed {
			t.Errorf("%s by %q: %d %s %v, keyed %v", tc.body, tc.field, a.Status, a.Body, err, last.Keyed)
		}
	}
}

func TestMarked_AFieldThatCannotBeMatchedByIsRefused(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	for _, field := range []string{"Owner", "None"} {
		a, err := f.up().Do(t.Context(), create(`{"fields":{"Points":1}}`, field))
		if err != nil || a.Status != 422 {
			t.Errorf("%s: %d %s %v", field, a.Status, a.Body, err)
		}
	}
}

// The first try is executed, the others are not: the record is found all the same.
func TestMarked_ARecordOfALostTryIsFound(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	n := 0
	up := marker.Of(retry.New(prometheus.NewRegistry()).Of(do(func(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
		if v0.Reads(c) {
			return f.Do(ctx, c)
		}
		if n++; n > 1 {
			return v0.Retry(), nil
		}
		_, _ = f.Do(ctx, c)
		return upstream.Answer{}, errBroken
	})))
	a, err := up.Do(t.Context(), create(`{"fields":{"Points":55}}`, "Name"))
	if err != nil || a.Status != 200 || !strings.Contains(string(a.Body), `"Points":55`) || f.points(t)[55] != 1 {
		t.Errorf("%d %s %v", a.Status, a.Body, err)
	}
}

type do func(ctx context.Context, c upstream.Call) (upstream.Answer, error)

func (d do) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) { return d(ctx, c) }

func TestUnmarked_ALostCreateStaysUnknown(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.breaks = func(int) bool { return true }
	_, err := f.up().Do(t.Context(), create(`{"fields":{"Points":77}}`, ""))
	if !errors.Is(err, errBroken) || len(f.writes) != 1 || f.points(t)[77] != 1 {
		t.Errorf("%v after %d writes", err, len(f.writes))
	}
}
