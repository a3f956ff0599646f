package local_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/clocktest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// ping is one notification as it arrived.
type ping struct {
	body   string
	header http.Header
}

// receiver is a program that is told of changes.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	pings  []ping
	answer http.HandlerFunc
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.pings = append(r.pings, ping{req.Method + " " + req.URL.Path + " " + string(body), req.Header})
		answer := r.answer
		r.mu.Unlock()
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (r *receiver) answers(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) got() []ping {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]ping{}, r.pings...)
}

func (r *receiver) await(t *testing.T, n int) []ping {
	t.Helper()
	await.True(t, fmt.Sprintf("%d pings", n), func() bool { return len(r.got()) >= n })
	return r.got()
}

// startPinger pings for the bench until the test, or stop, ends.
func startPinger(b *bench, clock *clocktest.Clock) (stop func()) {
	b.t.Helper()
	p := local.NewPinger(b.store, local.PingerOptions{Now: clock.Now, Log: zap.NewNop(), Metrics: prometheus.NewRegistry()})
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	b.t.Cleanup(stop)
	return stop
}

func newWallClock() *clocktest.Clock {
	return clocktest.New(time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC)) // another one than the data's
}

func (b *bench) pinged(hook string) object {
	b.t.Helper()
	for _, h := range b.hooks() {
		if h["id"] == hook {
			return h
		}
	}
	b.t.Fatalf("%s is not listed", hook)
	return nil
}

// hmacSHA256 is RFC 2104 by its definition.
func hmacSHA256(key, text []byte) string {
	inner, outer := make([]byte, 64), make([]byte, 64)
	copy(inner, key)
	copy(outer, key)
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	first := sha256.Sum256(append(inner, text...))
	second := sha256.Sum256(append(outer, first[:]...))
	return hex.EncodeToString(second[:])
}

func TestPings_TellThatThereIsNews(t *testing.T) {
	t.Parallel()
	b, clock := newBench(t).shop(), newWallClock()
	r := newReceiver(t, status(204))
	startPinger(b, clock)
	made := b.ok(createHook(r.URL+"/hook", everything, ""))
	hook := made["id"].(string)
	r.await(t, 1) // Airtable pings a new webhook shortly after its creation
	await.True(t, "the success is noted", func() bool { return b.pinged(hook)["lastNotificationResult"] != nil })
	b.made("People", `{"Name":"x"}`)
	got := r.await(t, 2)[1]
	want := `POST /hook {"base":{"id":"` + string(b.base.ID) + `"},"webhook":{"id":"` + hook + `"},"timestamp":"2030-01-02T03:04:05.678Z"}`
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Error(diff)
	}
	key, err := base64.StdEncoding.DecodeString(made["macSecretBase64"].(string))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(got.body, "/hook ")
	if mac := got.header.Get("X-Airtable-Content-MAC"); mac != "hmac-sha256="+hmacSHA256(key, []byte(text)) {
		t.Errorf("MAC %s", mac)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/json" {
		t.Error(ct)
	}
	var listed object
	await.True(t, "both are noted", func() bool { listed = b.pinged(hook); return listed["cursorForNextPayload"] == 2.0 && b.quiet() })
	delete(listed["lastNotificationResult"].(object), "durationMs")
	if diff := cmp.Diff(object{"success": true, "completionTimestamp": "2030-01-02T03:04:05.678Z", "retryNumber": 0.0}, listed["lastNotificationResult"]); diff != "" {
		t.Error(diff)
	}
	if listed["lastSuccessfulNotificationTime"] != "2030-01-02T03:04:05.678Z" {
		t.Errorf("%v", listed)
	}
}

// quiet reports whether no ping is due or under way.
func (b *bench) quiet() bool {
	var due int
	if err := postgres.ForEveryTenant(b.pool).QueryRow(b.t.Context(), `SELECT count(*) FROM webhooks WHERE ping_due_at IS NOT NULL OR ping_held_until IS NOT NULL`).Scan(&due); err != nil {
		b.t.Fatal(err)
	}
	return due == 0
}

// Changes that come while a ping is under way share the next one, and are not lost.
func TestPings_AreCoalesced(t *testing.T) {
	t.Parallel()
	b, clock := newBench(t).shop(), newWallClock()
	release := make(chan struct{})
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) { <-release })
	startPinger(b, clock)
	b.ok(createHook(r.URL, everything, ""))
	r.await(t, 1)
	for i := range 20 {
		b.made("People", fmt.Sprintf(`{"Name":"%d"}`, i))
	}
	r.answers(status(200))
	close(release)
	await.True(t, "the first ping is done", func() bool { return b.heldPings() == 0 })
	clock.Advance(time.Second)
	r.await(t, 2)
	await.True(t, "nothing is due", b.quiet)
	clock.Advance(time.Hour)
	b.wait(t, 2)
	if got := len(r.got()); got != 2 {
		t.Errorf("%d pings for 20 changes at once", got)
	}
}

func (b *bench) heldPings() (held int) {
	if err := postgres.ForEveryTenant(b.pool).QueryRow(b.t.Context(), `SELECT count(*) FROM webhooks WHERE ping_held_until IS NOT NULL`).Scan(&held); err != nil {
		b.t.Fatal(err)
	}
	return held
}

// wait lets a pinger look for due pings n times: a probe's ping comes after any that
// was due before it.
func (b *bench) wait(t *testing.T, n int) {
	t.Helper()
	probe := newReceiver(t, status(200))
	for range n {
		hook := b.ok(createHook(probe.URL, `{"dataTypes":["tableMetadata"]}`, ""))["id"].(string)
		probe.await(t, 1)
		await.True(t, "the probe is done", func() bool { return b.pinged(hook)["lastNotificationResult"] != nil })
		b.ok(onHook(upstream.DeleteWebhook, hook, ""))
	}
}

func TestPings_FailuresAreRepeatedEverMoreSeldomAndThenNoMore(t *testing.T) {
	t.Parallel()
	b, clock := newBench(t).shop(), newWallClock()
	r := newReceiver(t, status(503))
	startPinger(b, clock)
	hook := b.ok(createHook(r.URL, everything, ""))["id"].(string)
	var pauses []time.Duration
	for n := 1; ; n++ {
		r.await(t, n)
		await.True(t, "the failure is noted", func() bool {
			last, _ := b.pinged(hook)["lastNotificationResult"].(object)
			return last["retryNumber"] == float64(n-1)
		})
		var due *time.Time
		if err := postgres.ForEveryTenant(b.pool).QueryRow(t.Context(), `SELECT ping_due_at FROM webhooks`).Scan(&due); err != nil {
			t.Fatal(err)
		}
		b.made("People", `{"Name":"news do not hurry it"}`)
		listed := b.pinged(hook)
		last := listed["lastNotificationResult"].(object)
		want := object{"success": false, "completionTimestamp": clock.Now().Format("2006-01-02T15:04:05.000Z"), "retryNumber": float64(n - 1),
			"willBeRetried": due != nil, "error": object{"message": "The HTTP request returned a 503 status code instead of 200 or 204"}}
		delete(last, "durationMs")
		if diff := cmp.Diff(want, last); diff != "" || listed["areNotificationsEnabled"] != (due != nil) {
			t.Fatalf("%v %s", listed, diff)
		}
		if due == nil {
			break
		}
		pause := due.Sub(clock.Now())
		if len(pauses) > 0 && pause <= pauses[len(pauses)-1] {
			t.Errorf("%s after %v", pause, pauses)
		}
		pauses = append(pauses, pause)
		clock.Advance(pause - time.Millisecond)
		b.wait(t, 1)
		if got := len(r.got()); got != n {
			t.Fatalf("pinged %d times before the pause was over", got)
		}
		clock.Advance(time.Millisecond)
	}
	if len(pauses) < 4 || len(r.got()) != len(pauses)+1 {
		t.Errorf("%d pings, pauses %v", len(r.got()), pauses)
	}
	clock.Advance(48 * time.Hour)
	b.made("People", `{"Name":"unheard"}`)
	b.wait(t, 1)
	if got := len(r.got()); got != len(pauses)+1 {
		t.Fatalf("pinged although its notifications are off: %d", got)
	}
	r.answers(status(200))
	b.ok(onHook(upstream.EnableWebhook, hook, `{"enable":true}`))
	r.await(t, len(pauses)+2) // of what happened meanwhile
	await.True(t, "it works again", func() bool {
		listed := b.pinged(hook)
		last := listed["lastNotificationResult"].(object)
		return listed["areNotificationsEnabled"] == true && last["success"] == true && last["retryNumber"] == 0.0
	})
}

func TestPings_AreNotLostWhenAPingerDies(t *testing.T) {
	t.Parallel()
	b, clock := newBench(t).shop(), newWallClock()
	r := newReceiver(t, status(200))
	hook := b.ok(createHook(r.URL, everything, ""))["id"].(string)
	b.made("People", `{"Name":"while nobody pings"}`)
	// One died with the ping in its hands.
	if _, err := postgres.ForEveryTenant(b.pool).Exec(t.Context(), `UPDATE webhooks SET ping_held_until = $1`, clock.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	stop := startPinger(b, clock)
	b.wait(t, 1)
	if got := len(r.got()); got != 0 {
		t.Fatalf("two had it at once: %d pings", got)
	}
	clock.Advance(time.Minute)
	r.await(t, 1)
	await.True(t, "nothing is due", b.quiet)

	hold := make(chan struct{})
	defer close(hold)
	r.answers(func(http.ResponseWriter, *http.Request) { <-hold })
	b.made("People", `{"Name":"while the pinger is told to stop"}`)
	r.await(t, 2)
	stop() // in the middle of the ping
	r.answers(status(200))
	startPinger(b, clock)
	r.await(t, 3)
	await.True(t, "nothing is due", b.quiet)
	if last := b.pinged(hook)["lastNotificationResult"].(object); last["success"] != true || last["retryNumber"] != 0.0 {
		t.Errorf("the stop counts as a failure: %v", last)
	}
}

func TestPings_AreSharedByReplicas(t *testing.T) {
	t.Parallel()
	b, clock := newBench(t).shop(), newWallClock()
	r := newReceiver(t, status(200))
	for range 10 {
		b.ok(createHook(r.URL, everything, ""))
	}
	startPinger(b, clock)
	startPinger(b, clock)
	r.await(t, 10)
	await.True(t, "nothing is due", b.quiet)
	b.made("People", `{"Name":"x"}`)
	r.await(t, 20)
	await.True(t, "nothing is due", b.quiet)
	if got := len(r.got()); got != 20 {
		t.Errorf("%d pings of 10 webhooks with 2 pieces of news", got)
	}
}

func TestPings_GoNowhereTheyMust(t *testing.T) {
	t.Parallel()
	b, clock := newBench(t).shop(), newWallClock()
	inside := newReceiver(t, status(200))
	redirecting := newReceiver(t, func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, inside.URL, http.StatusFound) })
	startPinger(b, clock)
	says := func(b *bench, url, want string) {
		t.Helper()
		hook := b.ok(createHook(url, everything, ""))["id"].(string)
		await.True(t, "it was tried", func() bool { return b.pinged(hook)["lastNotificationResult"] != nil })
		if got := b.pinged(hook)["lastNotificationResult"].(object)["error"].(object)["message"]; got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
	says(b, redirecting.URL, "The HTTP request returned a 302 status code instead of 200 or 204")
	says(b, "http://127.0.0.1:1/", "The HTTP request could not be completed")

	strict := newBench(t).shop()
	strict.store = newStore(t, strict.pool, strict.now, "")
	startPinger(strict, clock)
	says(strict, strings.Replace(inside.URL, "127.0.0.1", "localhost", 1), "The notification URL does not point to a public address")
	if got := inside.got(); len(got) != 0 {
		t.Errorf("asked inside: %v", got)
	}
}
