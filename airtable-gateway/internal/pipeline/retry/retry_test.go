package retry

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// script gives its results one after the other, the last one for ever.
type script struct {
	results []result
	tries   int
}

type result struct {
	answer upstream.Answer
	err    error
}

func (s *script) Do(_ context.Context, c upstream.Call) (upstream.Answer, error) {
	if c.Attempt != s.tries {
		panic("the attempts are not numbered")
	}
	r := s.results[min(s.tries, len(s.results)-1)]
	s.tries++
	return r.answer, r.err
}

var (
	fine     = result{answer: v0.OK(struct{}{})}
	away     = result{answer: v0.Refuse(models.ErrRetriable)}
	gateway  = result{answer: upstream.Answer{Status: http.StatusBadGateway}}
	fault    = result{answer: v0.Refuse(models.ErrServer)}
	cut      = result{err: errors.New("connection reset")}
	unsent   = result{err: upstream.ErrNotSent}
	missing  = result{answer: v0.Refuse(models.ErrRecordNotFound)}
	limited  = result{answer: v0.Refuse(models.ErrRateLimited)}
	invalid  = result{answer: v0.Refuse(models.ErrInvalidRequest)}
	create   = upstream.Call{Op: upstream.CreateRecords, Method: "POST", Body: []byte(`{"fields":{}}`)}
	list     = upstream.Call{Op: upstream.ListRecords, Method: "POST"}
	patch    = upstream.Call{Op: upstream.UpdateRecords, Method: "PATCH", Record: "rec1", Body: []byte(`{}`)}
	batch    = upstream.Call{Op: upstream.UpdateRecords, Method: "PATCH", Body: []byte(`{"records":[{"id":"rec1","fields":{}}]}`)}
	upsert   = upstream.Call{Op: upstream.UpdateRecords, Method: "PATCH", Body: []byte(`{"performUpsert":{"fieldsToMergeOn":["N"]},"records":[]}`)}
	remove   = upstream.Call{Op: upstream.DeleteRecords, Method: "DELETE", Record: "rec1"}
	several  = upstream.Call{Op: upstream.DeleteRecords, Method: "DELETE", RawQuery: "records[]=rec1"}
	comment  = upstream.Call{Op: upstream.Other, Method: "POST"}
	hooks    = upstream.Call{Op: upstream.Other, Method: "GET"}
	newTable = upstream.Call{Op: upstream.CreateTable, Method: "POST"}
)

func run(t *testing.T, c upstream.Call, results ...result) (a upstream.Answer, tries int, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &script{results: results}
		a, err = New(prometheus.NewRegistry()).Of(s).Do(t.Context(), c)
		tries = s.tries
	})
	return a, tries, err
}

func TestDo_RepeatsOnlyWhatCannotHappenTwice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		call   upstream.Call
		first  result
		repeat bool
	}{
		{"a create that was not sent", create, unsent, true},
		{"a create after a 503", create, away, true},
		{"a create after a 502", create, gateway, true},
		{"a create without an answer", create, cut, false},
		{"a create after a 500", create, fault, false},
		{"a read without an answer", list, cut, true},
		{"a read after a 500", list, fault, true},
		{"an update by id without an answer", patch, cut, true},
		{"updates by id without an answer", batch, cut, true},
		{"an upsert without an answer", upsert, cut, false},
		{"a keyed upsert without an answer", keyed(upsert), cut, true},
		{"a keyed upsert after a 500", keyed(upsert), fault, true},
		{"an upsert after a 503", upsert, away, true},
		{"a delete without an answer", remove, cut, true},
		{"deletes without an answer", several, cut, false},
		{"a comment without an answer", comment, cut, false},
		{"a list of webhooks without an answer", hooks, cut, true},
		{"a table without an answer", newTable, cut, false},
		{"a read that is refused", list, invalid, false},
		{"a read over the limit, which is the budget's", list, limited, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want := 1
			if tc.repeat {
				want = 2
			}
			a, tries, err := run(t, tc.call, tc.first, fine)
			if tries != want {
				t.Errorf("%d tries, want %d (%d, %v)", tries, want, a.Status, err)
			}
		})
	}
}

func TestDo_GivesUpWithTheLastAnswer(t *testing.T) {
	t.Parallel()
	a, tries, err := run(t, list, away)
	if tries != mostTries || a.Status != http.StatusServiceUnavailable || err != nil {
		t.Errorf("%d tries: %d, %v", tries, a.Status, err)
	}
}

func TestDo_ARecordThatALostDeleteDeletedIsDeleted(t *testing.T) {
	t.Parallel()
	a, _, err := run(t, remove, cut, missing)
	if a.Status != http.StatusOK || string(a.Body) != `{"id":"rec1","deleted":true}` || err != nil {
		t.Errorf("got %d %s, %v", a.Status, a.Body, err)
	}
	again := remove
	again.MayBeDone = true
	if a, _, _ := run(t, again, missing); a.Status != http.StatusOK {
		t.Errorf("after a try that somebody else made: %d", a.Status)
	}
	if a, _, _ := run(t, remove, away, missing); a.Status != http.StatusNotFound {
		t.Errorf("after a 503, which executed nothing: %d", a.Status)
	}
}

func TestDo_WaitsAsLongAsItIsToldOrTellsTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := v0.Refuse(models.ErrRetriable)
		told.Header.Set("Retry-After", "7")
		start := time.Now()
		r := New(prometheus.NewRegistry())
		if _, err := r.Of(&script{results: []result{{answer: told}, fine}}).Do(t.Context(), list); err != nil || time.Since(start) < 7*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		a, err := r.Of(&script{results: []result{{answer: told}, fine}}).Do(ctx, list)
		if a.Status != http.StatusServiceUnavailable || err != nil || time.Since(start) > time.Second {
			t.Errorf("without the time: %d, %v after %v", a.Status, err, time.Since(start))
		}
	})
}

func keyed(c upstream.Call) upstream.Call {
	c.Keyed = true
	return c
}

// Who hears that nothing was executed comes again, with another key.
func TestDo_AKeyedCallThatMayBeDoneIsNeverToldNotToBe(t *testing.T) {
	t.Parallel()
	for _, then := range []result{unsent, away, gateway, limited, invalid} {
		a, _, err := run(t, keyed(upsert), cut, then, then, then, then)
		if !errors.Is(err, errMayBeDone) || errors.Is(err, upstream.ErrNotSent) {
			t.Errorf("%d %v, after a lost try: %d, %v", then.answer.Status, then.err, a.Status, err)
		}
		if a, _, err := run(t, keyed(upsert), then, then, then, then); a.Status != then.answer.Status || !errors.Is(err, then.err) {
			t.Errorf("%d %v alone: %d, %v", then.answer.Status, then.err, a.Status, err)
		}
	}
	if a, _, err := run(t, keyed(upsert), cut, fine); a.Status != http.StatusOK || err != nil {
		t.Errorf("%d, %v", a.Status, err)
	}
}
