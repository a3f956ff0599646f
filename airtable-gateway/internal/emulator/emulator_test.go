package emulator

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// tally is a store that counts what reaches it.
type tally struct{ calls atomic.Int64 }

func (s *tally) Do(context.Context, upstream.Call) (upstream.Answer, error) {
	s.calls.Add(1)
	return v0.OK(map[string]any{"records": []any{}}), nil
}

// stand is an emulator with a clock that stands still until it is moved.
type stand struct {
	*Emulator
	t     *testing.T
	store *tally
	now   time.Time
}

func newStand(t *testing.T, change func(*Options)) *stand {
	t.Helper()
	s := &stand{t: t, store: &tally{}, now: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)}
	o := Options{Store: s.store, Limits: RealLimits(), Now: func() time.Time { return s.now }}
	if change != nil {
		change(&o)
	}
	s.Emulator = New(o)
	return s
}

func (s *stand) send(method, target, token string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(`{}`))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// want sends a read of the base and fails the test if it is answered otherwise.
func (s *stand) want(status int, base, token string) {
	s.t.Helper()
	if got := s.send("GET", "/v0/"+base+"/T", token).Code; got != status {
		s.t.Fatalf("%s of %s at %s: %d, want %d", base, token, s.now.Format("05.000"), got, status)
	}
}

func TestLimits_TheSixthRequestOfASecondIsRefused(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for i := range 5 {
		s.want(200, "app1", "pat"+string(rune('a'+i))) // of the base, whoever asks
		s.now = s.now.Add(100 * time.Millisecond)
	}
	s.want(200, "app2", "pata")
	s.now = s.now.Add(499 * time.Millisecond) // the first request is 999 ms old
	s.want(429, "app1", "pata")
	if got := s.Stats(); got.LockOuts != 1 || got.RateLimited != 1 || got.Busiest["app1"] != 5 || s.store.calls.Load() != 6 {
		t.Errorf("stats %+v, %d calls reached the store", got, s.store.calls.Load())
	}
}

func TestLimits_AWindowSlides(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for range 100 {
		s.want(200, "app1", "pata")
		s.now = s.now.Add(200 * time.Millisecond)
	}
}

func TestLimits_TheLockOutEndsAfterThirtySecondsWhateverIsTriedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for range 5 {
		s.want(200, "app1", "pata")
	}
	s.want(429, "app1", "pata")
	for range 29 {
		s.now = s.now.Add(time.Second)
		s.want(429, "app1", "patb")
		s.want(200, "app2", "pata")
	}
	s.now = s.now.Add(time.Second - time.Millisecond)
	s.want(429, "app1", "pata")
	s.now = s.now.Add(time.Millisecond)
	s.want(200, "app1", "pata")
	if got := s.Stats().LockOuts; got != 1 {
		t.Errorf("%d lock-outs, want 1", got)
	}
}

func TestLimits_OfATokenOverAllBases(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for i := range 50 {
		s.want(200, "app"+string(rune('A'+i/5)), "pata")
	}
	s.want(429, "appZ", "pata")
	s.want(200, "appZ", "patb")
}

func TestLimits_TheMonthsQuotaStopsRecordsButNotTheSchema(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(o *Options) { o.Limits = Limits{MonthlyCalls: 2} })
	s.want(200, "app1", "pata")
	s.want(200, "app1", "pata")
	w := s.send("GET", "/v0/app1/T", "pata")
	if w.Code != 429 || !strings.Contains(w.Body.String(), "PUBLIC_API_BILLING_LIMIT_EXCEEDED") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if got := s.send("GET", "/v0/meta/bases/app1/tables", "pata").Code; got != 200 {
		t.Errorf("schema: %d", got)
	}
}

func TestErrors_HaveAirtablesShapes(t *testing.T) {
	t.Parallel()
	list := []Token{{Token: "patKnown", Scopes: []string{v0.ScopeRecordsRead, v0.ScopeSchemaRead}, Bases: []string{"app1"}}}
	s := newStand(t, func(o *Options) { o.Limits.BasePerSecond, o.Tokens = 1, list })
	plain := newStand(t, func(o *Options) { o.Limits.BasePerSecond, o.PlainRateLimit = 1, true })
	plain.want(200, "app1", "patAny")
	for _, tc := range []struct {
		on                    *stand
		method, target, token string
		status                int
		body                  string
	}{
		{s, "GET", "/v0/junk/T", "", 404, `{"error":"NOT_FOUND"}`},
		{s, "GET", "/v0/app1/T", "", 401, `{"error":{"type":"AUTHENTICATION_REQUIRED","message":"Authentication required"}}`},
		{s, "GET", "/v0/app1/T", "patUnknown", 401, `{"error":{"type":"UNAUTHORIZED","message":"Invalid authentication token"}}`},
		{s, "GET", "/v0/meta/bases/app2/tables", "patKnown", 404, `{"error":{"type":"NOT_FOUND"}}`},
		{s, "POST", "/v0/app1/T", "patKnown", 403, `{"error":{"type":"INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",`},
		{s, "GET", "/v0/app1/T", "patKnown", 429, `{"errors":[{"error":"RATE_LIMIT_REACHED","message":"Rate limit exceeded. Please try again later"}]}`},
		{plain, "GET", "/v0/app1/T", "patAny", 429, `{"error":{"type":"RATE_LIMIT_REACHED","message":"Rate limit exceeded. Please try again later"}}`},
		{s, "GET", "/v0/app1/T?x=" + strings.Repeat("y", 16_000), "patKnown", 413, `{"error":{"type":"REQUEST_TOO_LARGE",`},
	} {
		w := tc.on.send(tc.method, tc.target, tc.token)
		if w.Code != tc.status || !strings.HasPrefix(w.Body.String(), tc.body) {
			t.Errorf("%s %.40s: %d %s", tc.method, tc.target, w.Code, w.Body)
		}
	}
}

func TestFaults_AreDecidedByTheSeedAlone(t *testing.T) {
	t.Parallel()
	fates := func(f Faults) (out []fate) {
		for n := range uint64(2_000) {
			out = append(out, f.fate(n))
		}
		return out
	}
	f := Faults{BadGateway: .1, Unavailable: .2, BrokenWrites: .05, Latency: time.Millisecond, Jitter: time.Second, Seed: 7}
	same, other := f, f
	other.Seed = 8
	if diff := cmp.Diff(fates(f), fates(same), cmp.AllowUnexported(fate{})); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(fates(f), fates(other), cmp.AllowUnexported(fate{})) {
		t.Error("another seed gives the same fates")
	}
	var bad, away, broken int
	for _, x := range fates(f) {
		if x.badGateway && x.unavailable {
			t.Error("a request has two answers")
		}
		if x.wait < time.Millisecond || x.wait > time.Second+time.Millisecond {
			t.Errorf("waits %v", x.wait)
		}
		bad, away, broken = bad+one(x.badGateway), away+one(x.unavailable), broken+one(x.broken)
	}
	for name, got := range map[string][3]int{"502": {bad, 150, 250}, "503": {away, 340, 460}, "broken": {broken, 60, 140}} {
		if got[0] < got[1] || got[0] > got[2] {
			t.Errorf("%s: %d of 2,000", name, got[0])
		}
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestFaults_BadGatewayAndUnavailableExecuteNothing(t *testing.T) {
	t.Parallel()
	for status, f := range map[int]Faults{502: {BadGateway: 1}, 503: {Unavailable: 1}} {
		s := newStand(t, func(o *Options) { o.Faults = f })
		s.want(status, "app1", "pata")
		if s.store.calls.Load() != 0 {
			t.Errorf("%d: the call was executed", status)
		}
	}
}

func TestFaults_ABrokenWriteIsAppliedAndNotAnswered(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(o *Options) { o.Faults.BrokenWrites = 1 })
	server := httptest.NewServer(s)
	defer server.Close()
	do := func(method string) error {
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/v0/app1/T", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer patA")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := do("POST"); err == nil || s.store.calls.Load() != 1 {
		t.Errorf("a write: err %v, %d calls executed", err, s.store.calls.Load())
	}
	if err := do("GET"); err != nil {
		t.Errorf("a read: %v", err)
	}
}

func TestFaults_LatencyIsAddedToEveryRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, func(o *Options) { o.Faults.Latency = 150 * time.Millisecond })
		start := time.Now()
		s.want(200, "app1", "pata")
		if got := time.Since(start); got != 150*time.Millisecond {
			t.Errorf("took %v", got)
		}
	})
}

func TestStepClock_DependsOnNothingOutside(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := NewStepClock(start, time.Second)
	c.Now()
	if got := c.Now(); !got.Equal(start.Add(time.Second)) {
		t.Errorf("second look: %v", got)
	}
}

func TestLimits_CallsAboutWebhooksCount(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for range 5 {
		if got := s.send("GET", "/v0/bases/app1/webhooks/ach1/payloads", "pata").Code; got != 200 {
			t.Fatal(got)
		}
	}
	s.want(429, "app1", "patb")
	s.want(200, "app2", "patb")
}
