package budget

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

// farAPI answers as the test says, after a while.
type farAPI struct {
	takes  time.Duration
	answer func(n int64) (upstream.Answer, error)
	n      atomic.Int64

	mu   sync.Mutex
	seen []time.Time
}

func (f *farAPI) Do(ctx context.Context, _ upstream.Call) (upstream.Answer, error) {
	if trace := httptrace.ContextClientTrace(ctx); trace != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	f.mu.Lock()
	f.seen = append(f.seen, time.Now())
	f.mu.Unlock()
	if err := rest(ctx, f.takes); err != nil {
		return upstream.Answer{}, err
	}
	n := f.n.Add(1)
	if f.answer != nil {
		return f.answer(n)
	}
	return v0.OK(struct{}{}), nil
}

func (f *farAPI) fullest() int {
	most, from := 0, 0
	for i, at := range f.seen {
		for at.Sub(f.seen[from]) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// inTime runs the test with a budget in virtual time, its queues in this process.
func inTime(t *testing.T, f *farAPI, test func(t *testing.T, b *Budget, up upstream.Upstream)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := newCourt(func() int64 { return time.Now().UnixMilli() })
		b := newBudget(ctx, Options{Log: zap.NewNop(), Metrics: prometheus.NewRegistry(), Wait: time.Minute}, d, real)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = b.Run(ctx)
		}()
		test(t, b, b.Of(f, "https://far", "pat"))
		synctest.Wait()
		cancel()
		<-ended
		if n := len(b.byKey); n > 0 {
			t.Errorf("%d lanes were left", n)
		}
	})
}

func read(base string) upstream.Call {
	return upstream.Call{Op: upstream.GetRecord, Method: http.MethodGet, Base: base, Caller: upstream.Caller{Tenant: id.New[id.Tenant]()}}
}

func TestDo_CallersWaitRatherThanSeeARefusal(t *testing.T) {
	t.Parallel()
	f := &farAPI{takes: 20 * time.Millisecond}
	inTime(t, f, func(t *testing.T, _ *Budget, up upstream.Upstream) {
		var calls sync.WaitGroup
		for range 60 {
			calls.Go(func() {
				if a, err := up.Do(t.Context(), read("app1")); err != nil || a.Status != 200 {
					t.Errorf("got %d, %v", a.Status, err)
				}
			})
		}
		start := time.Now()
		calls.Wait()
		if got := time.Since(start); got > 15*time.Second || f.fullest() != 5 {
			t.Errorf("60 calls took %v, up to %d in a second", got, f.fullest())
		}
		_ = rest(t.Context(), time.Second)
	})
}

func TestDo_TheHeaderGivesThePriority(t *testing.T) {
	t.Parallel()
	f := &farAPI{}
	inTime(t, f, func(t *testing.T, _ *Budget, up upstream.Upstream) {
		bulk := read("app1")
		bulk.Header = http.Header{"X-Pyairtable-Priority": {"bulk"}}
		urgent := read("app1")
		urgent.Caller = bulk.Caller
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() { _, _ = up.Do(t.Context(), bulk) })
		}
		_ = rest(t.Context(), 5*time.Second)
		start := time.Now()
		if _, err := up.Do(t.Context(), urgent); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("an interactive call waited %v behind the bulk: %v", time.Since(start), err)
		}
		calls.Wait()
		_ = rest(t.Context(), 2*time.Second)
	})
}

func TestDo_AFullQueueRefusesAtOnceAndSaysWhen(t *testing.T) {
	t.Parallel()
	inTime(t, &farAPI{}, func(t *testing.T, b *Budget, up upstream.Upstream) {
		var calls sync.WaitGroup
		var served, turned atomic.Int64
		start := time.Now()
		for range 500 { // a minute has room for 300
			calls.Go(func() {
				a, err := up.Do(t.Context(), read("app1"))
				switch {
				case err != nil:
					t.Error(err)
				case a.Status == 200:
					served.Add(1)
				case a.Status == 429 && a.Header.Get("Retry-After") != "" && time.Since(start) < time.Second:
					turned.Add(1)
				default:
					t.Errorf("got %d after %v: %v %s", a.Status, time.Since(start), a.Header, a.Body)
				}
			})
		}
		calls.Wait()
		if s, r := served.Load(), turned.Load(); s < 280 || s > 300 || s+r != 500 {
			t.Errorf("%d were served, %d turned away", s, r)
		}
		_ = rest(t.Context(), 2*time.Second)
	})
}

func TestDo_ACancelledCallLeavesTheQueueAndWasNotSent(t *testing.T) {
	t.Parallel()
	f := &farAPI{}
	inTime(t, f, func(t *testing.T, b *Budget, up upstream.Upstream) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				if _, err := up.Do(ctx, read("app1")); !errors.Is(err, upstream.ErrNotSent) || !errors.Is(err, context.Canceled) {
					t.Errorf("err = %v", err)
				}
			})
		}
		synctest.Wait()
		cancel()
		calls.Wait()
		start := time.Now()
		if _, err := up.Do(t.Context(), read("app1")); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("the next call: %v after %v", err, time.Since(start))
		}
		if f.n.Load() != 1 {
			t.Errorf("%d calls were made", f.n.Load())
		}
		_ = rest(t.Context(), 2*time.Second)
	})
}

func TestDo_WhoComesAfterTheEndIsNotSent(t *testing.T) {
	t.Parallel()
	f := &farAPI{}
	ctx, cancel := context.WithCancel(t.Context())
	b := newBudget(ctx, Options{Log: zap.NewNop(), Metrics: prometheus.NewRegistry(), Wait: time.Minute}, newCourt(func() int64 { return 0 }), real)
	up := b.Of(f, "https://far", "pat")
	var late sync.WaitGroup
	for range 8 { // some of them while it ends
		late.Go(func() { _, _ = up.Do(t.Context(), read("app1")) })
	}
	cancel()
	_ = b.Run(ctx)
	if _, err := up.Do(t.Context(), read("app2")); !errors.Is(err, upstream.ErrNotSent) {
		t.Errorf("err = %v", err)
	}
	late.Wait()
}

func TestDo_AnUpstreamsRefusalIsWaitedOutInTheCallersStead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		refusals int64
		atLeast  time.Duration
		atMost   time.Duration
	}{"once": {1, 2 * time.Second, 5 * time.Second}, "twice: a lock-out": {2, 32 * time.Second, 35 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &farAPI{answer: func(n int64) (upstream.Answer, error) {
				if n <= tc.refusals {
					return v0.Refuse(models.ErrRateLimited), nil
				}
				return v0.OK(struct{}{}), nil
			}}
			inTime(t, f, func(t *testing.T, _ *Budget, up upstream.Upstream) {
				start := time.Now()
				a, err := up.Do(t.Context(), read("app1"))
				if err != nil || a.Status != 200 {
					t.Errorf("got %d %v", a.Status, err)
				}
				if got := time.Since(start); got < tc.atLeast || got > tc.atMost {
					t.Errorf("took %v", got)
				}
				_ = rest(t.Context(), 2*time.Second)
			})
		})
	}
}

func TestDo_ASpentQuotaIsNeverTriedAgain(t *testing.T) {
	t.Parallel()
	f := &farAPI{answer: func(int64) (upstream.Answer, error) { return v0.Refuse(v0.ErrQuotaSpent), nil }}
	inTime(t, f, func(t *testing.T, _ *Budget, up upstream.Upstream) {
		a, err := up.Do(t.Context(), read("app1"))
		if err != nil || a.Status != 429 || !v0.QuotaSpent(a) || f.n.Load() != 1 {
			t.Errorf("got %d %s %v after %d calls", a.Status, a.Body, err, f.n.Load())
		}
		_ = rest(t.Context(), 2*time.Second)
	})
}

func TestDo_ALongAnswerDoesNotHoldItsPlace(t *testing.T) {
	t.Parallel()
	f := &farAPI{takes: 20 * time.Second}
	inTime(t, f, func(t *testing.T, _ *Budget, up upstream.Upstream) {
		var calls sync.WaitGroup
		start := time.Now()
		for range 15 {
			calls.Go(func() { _, _ = up.Do(t.Context(), read("app1")) })
		}
		calls.Wait()
		if got := time.Since(start); got > 26*time.Second {
			t.Errorf("15 calls of 20 s took %v", got)
		}
		_ = rest(t.Context(), 2*time.Second)
	})
}

// broken is a desk that can be away.
type broken struct {
	desk
	away atomic.Bool
}

var errAway = errors.New("redis is away")

func (d *broken) turn(ctx context.Context, key laneKey, t turn) (ruling, error) {
	if d.away.Load() {
		return ruling{}, errAway
	}
	return d.desk.turn(ctx, key, t)
}

func TestBudget_WithoutRedisItIsOneRequestASecondAndNeverMoreThanFive(t *testing.T) {
	t.Parallel()
	f := &farAPI{takes: 10 * time.Millisecond}
	inTime(t, f, func(t *testing.T, b *Budget, up upstream.Upstream) {
		d := &broken{desk: b.redis}
		b.redis, b.ping = d, func(context.Context) error {
			if d.away.Load() {
				return errAway
			}
			return nil
		}
		var calls sync.WaitGroup
		for range 60 {
			calls.Go(func() {
				if a, err := up.Do(t.Context(), read("app1")); err != nil || a.Status != 200 {
					t.Errorf("got %d %s, %v", a.Status, a.Body, err)
				}
			})
		}
		_ = rest(t.Context(), 5*time.Second)
		d.away.Store(true)
		_ = rest(t.Context(), 2*time.Second)
		before := f.n.Load()
		_ = rest(t.Context(), 10*time.Second)
		if got := f.n.Load() - before; got < 8 || got > 11 {
			t.Errorf("%d calls in 10 s without redis", got)
		}
		d.away.Store(false)
		calls.Wait()
		if got := f.fullest(); got > 5 {
			t.Errorf("a second saw %d", got)
		}
		_ = rest(t.Context(), 2*time.Second)
	})
}

// On a real Redis that dies and comes back without its memory.
func TestBudget_ARestartedRedisIsBelievedOnlyWhenWhatLeftBeforeIsOld(t *testing.T) {
	t.Parallel()
	server := redistest.OwnServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	b := New(ctx, Options{Redis: server.Client(t), Log: zap.NewNop(), Metrics: prometheus.NewRegistry(), Wait: time.Minute})
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	f := &farAPI{takes: time.Millisecond}
	up := b.Of(f, "https://far", "pat")
	var calls sync.WaitGroup
	for i := range 25 {
		calls.Go(func() {
			if a, err := up.Do(ctx, read("app1")); err != nil || a.Status != 200 {
				t.Errorf("call %d: %d, %v", i, a.Status, err)
			}
		})
	}
	if err := until(ctx, func() bool { return f.n.Load() >= 5 }); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	calls.Wait()
	if got := f.fullest(); got > 5 {
		t.Errorf("a second saw %d", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func until(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(limit) || ctx.Err() != nil {
			return fmt.Errorf("waited too long: %w", context.DeadlineExceeded)
		}
	}
	return nil
}

// Three replicas on one real Redis, in real time.
func TestBudget_ReplicasShareOneBudget(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	f := &farAPI{takes: 30 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	var replicas, calls sync.WaitGroup
	for range 3 {
		rdb, err := redis.Open(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = rdb.Close() })
		b := New(ctx, Options{Redis: rdb, Log: zap.NewNop(), Metrics: prometheus.NewRegistry(), Wait: time.Minute})
		replicas.Go(func() { _ = b.Run(ctx) })
		up := b.Of(f, "https://far", "pat")
		for range 10 {
			calls.Go(func() {
				if a, err := up.Do(ctx, read("app1")); err != nil || a.Status != 200 {
					t.Errorf("got %d, %v", a.Status, err)
				}
			})
		}
	}
	start := time.Now()
	calls.Wait()
	if got := f.fullest(); got > 5 || time.Since(start) > 12*time.Second {
		t.Errorf("30 calls took %v, up to %d in a second", time.Since(start), got)
	}
	cancel()
	replicas.Wait()
}
