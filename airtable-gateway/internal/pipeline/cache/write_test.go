package cache_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

func TestWrite_DropsItsTableAndThoseThatShowItsCells(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	bert := w.replica().client(w.connection(freshness)) // of another tenant, through another replica
	reads := []string{task, base + "/tblTasks000000001/recTask0000000001", tasks, people, base + "/tblPeople00000001", alone, schema}
	warm := func() {
		for _, c := range []*client{anna, bert} {
			for _, target := range reads {
				c.get(target)
				is(t, c.get(target), "HIT")
			}
		}
	}
	after := func(what string, dropped ...string) {
		t.Helper()
		for _, c := range []*client{anna, bert} {
			for _, target := range reads {
				want := "HIT"
				for _, d := range dropped {
					if d == target {
						want = "MISS"
					}
				}
				if got := c.get(target, "Cache-Control", "only-if-cached"); (got.Status == 200) != (want == "HIT") {
					t.Errorf("%s: %s is %d, want a %s", what, target, got.Status, want)
				}
			}
		}
	}
	linked := reads[:5]
	for _, tc := range []struct {
		what, method, target, body string
		dropped                    []string
	}{
		{"by name", "PATCH", task, `{"fields":{"Points":1}}`, linked},
		{"by id", "PATCH", base + "/tblTasks000000001/recTask0000000001", `{"fields":{"Points":2}}`, linked},
		{"in the linked table", "POST", people, `{"fields":{"Name":"Grace"}}`, linked},
		{"in a table by itself", "POST", alone, `{"fields":{"Name":"x"}}`, []string{alone}},
		{"with typecast", "POST", alone, `{"fields":{"Name":"y"},"typecast":true}`, []string{alone, schema}},
		{"a new field", "POST", schema + "/tblNumbers0000001/fields", `{"name":"More","type":"singleLineText"}`, reads},
	} {
		warm()
		anna.write(tc.method, tc.target, tc.body)
		after(tc.what, tc.dropped...)
	}
	anna.write("POST", alone, `{"fields":{"Name":"z"}}`) // the schema is not known any more
	for _, target := range reads[:6] {
		anna.get(target)
	}
	anna.write("POST", alone, `{"fields":{"Name":"z"}}`)
	after("without a schema", reads...)
}

func TestWrite_WhatWasAskedForBeforeIsNeverKeptAfter(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	bert := w.replica().client(anna.conn)
	answered, written := make(chan struct{}), make(chan struct{})
	anna.link.on(nil, func(c upstream.Call) {
		if c.Op == upstream.GetRecord { // Airtable has answered, and the answer travels
			close(answered)
			<-written
		}
	})
	old := make(chan upstream.Answer)
	go func() {
		a, err := anna.up.Do(t.Context(), anna.call("GET", task, ""))
		if err != nil {
			t.Error(err)
		}
		old <- a
	}()
	<-answered
	bert.setPoints(1)
	anna.link.on(nil, nil)
	if got := points(t, is(t, bert.get(task), "MISS")); got != 1 {
		t.Errorf("while the old answer travels: %d", got)
	}
	if got := points(t, anna.get(task)); got != 1 {
		t.Errorf("a read that began after the write joined one from before: %d", got)
	}
	close(written)
	if got := points(t, <-old); got != 0 {
		t.Errorf("the read from before: %d", got)
	}
	for _, c := range []*client{anna, bert} {
		if got := points(t, c.get(task)); got != 1 {
			t.Errorf("after it came: %d", got)
		}
	}
}

func TestWrite_OfUnknownOutcomeDropsAndOneThatDidNotLeaveDoesNot(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	anna.get(task)
	fail := func(err error) {
		anna.link.on(func(c upstream.Call) (upstream.Answer, error, bool) {
			return upstream.Answer{}, err, c.Op == upstream.UpdateRecords
		}, nil)
		if _, err := anna.up.Do(t.Context(), anna.call("PATCH", task, `{"fields":{"Points":1}}`)); err == nil {
			t.Error("no error")
		}
	}
	fail(fmt.Errorf("%w: no way", upstream.ErrNotSent))
	is(t, anna.get(task), "HIT")
	fail(errors.New("the connection broke"))
	is(t, anna.get(task), "MISS")
	is(t, anna.get(task), "HIT")
	anna.link.on(func(c upstream.Call) (upstream.Answer, error, bool) {
		return upstream.Answer{Status: http.StatusBadGateway}, nil, c.Op == upstream.UpdateRecords
	}, nil)
	anna.do("PATCH", task, `{"fields":{"Points":1}}`)
	is(t, anna.get(task), "MISS")
}

func TestWrite_ThatIsExecutedAfterItWasGivenUpIsSeen(t *testing.T) {
	t.Parallel()
	w, anna := one(t)
	anna.link.on(func(c upstream.Call) (upstream.Answer, error, bool) {
		return upstream.Answer{}, errors.New("nobody waits any more"), c.Op == upstream.UpdateRecords
	}, nil)
	if _, err := anna.up.Do(t.Context(), anna.call("PATCH", task, `{"fields":{"Points":1}}`)); err == nil {
		t.Error("no error")
	}
	is(t, anna.get(task), "MISS")
	w.emulate(anna, 1) // now it arrives
	is(t, anna.get(task), "HIT")
	w.now.Advance(5 * time.Second)
	await.True(t, "the late write", func() bool { return points(t, anna.get(task)) == 1 })
}

func TestWrite_OfAWebhookDropsNothing(t *testing.T) {
	t.Parallel()
	_, anna := one(t)
	anna.get(task)
	anna.do("POST", "/v0/bases/appCache000000001/webhooks", `{}`)
	is(t, anna.get(task), "HIT")
	anna.do("POST", task+"/comments", `{"text":"x"}`) // records may tell how many there are
	is(t, anna.get(task), "MISS")
}

// Readers and writers at two replicas, by connections of two tenants: a read that begins
// after a write was answered sees it, or a later one.
func TestCache_AReadAfterAWritesAnswerSeesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.connection(freshness)
	replicas := []*replica{w.replica(), w.replica()}
	var people []*client
	for _, r := range replicas {
		people = append(people, r.client(conn), r.client(w.connection(freshness)))
	}
	var answered atomic.Int64 // the last write whose answer came
	var all sync.WaitGroup
	done := make(chan struct{})
	all.Go(func() {
		defer close(done)
		for i := 1; i <= 60; i++ {
			people[i%len(people)].setPoints(i)
			answered.Store(int64(i))
		}
	})
	var kept atomic.Int64
	for i := range 16 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				at := answered.Load()
				a := people[i%len(people)].get(task)
				if a.Kept {
					kept.Add(1)
				}
				if got := points(t, a); int64(got) < at {
					t.Errorf("write %d was answered, %s shows %d", at, a.Header.Get("X-Cache"), got)
				}
			}
		})
	}
	all.Wait()
	if kept.Load() == 0 {
		t.Error("nothing came out of the cache: the test shows less than it says")
	}
}

func TestCache_WithoutRedisItAnswersAndForgetsAfterTwoSeconds(t *testing.T) {
	t.Parallel()
	server := redistest.OwnServer(t)
	w := newWorldOn(t, server.Client(t))
	r := w.replica()
	anna := r.client(w.connection(freshness))
	bert := w.replicaOn(server.Client(t)).client(anna.conn)
	is(t, anna.get(task), "MISS")
	is(t, bert.get(task), "HIT")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	is(t, anna.get(task), "HIT")
	is(t, bert.get(task), "HIT")
	anna.setPoints(1)
	if got := points(t, is(t, anna.get(task), "MISS")); got != 1 { // its own write it knows of
		t.Errorf("points %d", got)
	}
	is(t, anna.get(task), "HIT")
	is(t, bert.get(task), "HIT")
	w.now.Advance(2*time.Second + time.Millisecond)
	if got := points(t, is(t, bert.get(task), "MISS")); got != 1 {
		t.Errorf("after two seconds: %d", got)
	}
	is(t, anna.get(task), "MISS")
	for _, target := range []string{tasks, alone + "?pageSize=10", schema} {
		if a := anna.get(target); a.Status != http.StatusOK {
			t.Errorf("%s: %d", target, a.Status)
		}
	}
	anna.setPoints(2)
	bert.get(task)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{anna, bert} {
		await.True(t, "the last write", func() bool { return points(t, c.get(task)) == 2 })
	}
	await.True(t, "the shared cache", func() bool {
		return anna.get(task).Kept && bert.get(task).Kept && anna.link.count()+bert.link.count() == 0
	})
}

func TestWrite_WithoutRedisIsToldWhenItIsBack(t *testing.T) {
	t.Parallel()
	server := redistest.OwnDurableServer(t)
	w := newWorldOn(t, server.Client(t))
	anna := w.replica().client(w.connection(freshness))
	is(t, anna.get(task), "MISS")
	await.True(t, "the entry on the disk", func() bool { // Redis keeps all but its last second
		info, err := server.Client(t).Info(t.Context(), "persistence").Result()
		return err == nil && strings.Contains(info, "aof_pending_bio_fsync:0") && strings.Contains(info, "aof_delayed_fsync:0") && w.rested(1500*time.Millisecond)
	})
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	anna.setPoints(1)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := server.Client(t)
	marks := func() string {
		v, err := keys.HGet(t.Context(), "airtable:cache:{"+w.far.URL+"/appCache000000001}:marks", "base").Result()
		if err != nil {
			return ""
		}
		return v
	}
	before := marks()
	if before == "" {
		t.Fatal("Redis lost its memory: the test shows nothing")
	}
	await.True(t, "the mark of the write", func() bool { return marks() != before })
	other := w.replica().client(anna.conn) // it finds the old entry in Redis
	if got := points(t, other.get(task)); got != 1 {
		t.Errorf("points %d", got)
	}
}

var restStart sync.Map

// rested reports whether so much time has passed since it was asked first.
func (w *world) rested(d time.Duration) bool {
	first, _ := restStart.LoadOrStore(w, time.Now())
	return time.Since(first.(time.Time)) > d
}
