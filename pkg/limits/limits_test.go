package limits_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/limits"
)

// fake stands for tenant-service over the wire, with one tenant and one limit.
type fake struct {
	mu      sync.Mutex
	allowed int64
	used    int64
	open    map[string]int64
	calls   int
	reads   int
	fail    error
}

func newFake(allowed int64) *fake { return &fake{allowed: allowed, open: map[string]int64{}} }

func (f *fake) left() int64 {
	n := f.allowed - f.used
	for _, held := range f.open {
		n -= held
	}
	return n
}

func (f *fake) spend(key string, used int64) bool {
	held, ok := f.open[key]
	if ok {
		f.used += min(used, held)
		delete(f.open, key)
	}
	return ok
}

func (f *fake) source() limits.Source {
	return limits.Source{
		Read: func(context.Context, tenantapi.TenantRef) (tenantapi.TenantPlan, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.reads++
			return tenantapi.TenantPlan{Limits: map[string]int64{"bases": f.allowed}}, f.fail
		},
		Reserve: func(_ context.Context, in tenantapi.ReserveRequest) (tenantapi.Reservation, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.calls++
			if f.fail != nil {
				return tenantapi.Reservation{}, f.fail
			}
			for _, s := range in.Body.Settle {
				f.spend(s.Key, s.Used)
			}
			n := in.Body.Amount
			if in.Body.Partial {
				n = min(n, max(1, f.left()/4))
			}
			if n > f.left() {
				return tenantapi.Reservation{}, tenantapi.ErrQuotaExceeded
			}
			f.open[in.Body.Key] = n
			return tenantapi.Reservation{Key: in.Body.Key, Amount: n}, nil
		},
		Commit: func(_ context.Context, in tenantapi.CommitRequest) (tenantapi.Reservation, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.fail != nil {
				return tenantapi.Reservation{}, f.fail
			}
			used := f.open[in.Key]
			if in.Body.Used != nil {
				used = *in.Body.Used
			}
			if !f.spend(in.Key, used) {
				return tenantapi.Reservation{}, tenantapi.ErrReservationGone
			}
			return tenantapi.Reservation{}, nil
		},
		Release: func(_ context.Context, in tenantapi.ReservationRef) (tenantapi.Reservation, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.open, in.Key)
			return tenantapi.Reservation{}, f.fail
		},
		SetUse: func(_ context.Context, in tenantapi.UseUpdate) (tenantapi.LimitUse, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.used = in.Body.Used
			for _, key := range in.Body.Settle {
				delete(f.open, key)
			}
			return tenantapi.LimitUse{}, f.fail
		},
	}
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(1_000_000_000, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

func TestTake_ReplicasTogetherTakeWhatThereIsAndNoMore(t *testing.T) {
	t.Parallel()
	const allowed = 500
	f, now := newFake(allowed), &clock{}
	var replicas []*limits.Client
	for range 3 {
		replicas = append(replicas, limits.NewFrom(f.source(), prometheus.NewRegistry(), now.now))
	}
	tenant := id.New[id.Tenant]()
	var took, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 3 * 8 {
		all.Go(func() {
			for range 100 {
				switch err := replicas[i%3].Take(t.Context(), tenant, "api_calls"); {
				case err == nil:
					took.Add(1)
				case errors.Is(err, tenantapi.ErrQuotaExceeded):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, c := range replicas {
		c.Settle(t.Context(), true)
	}
	if took.Load() > allowed || f.used != took.Load() || len(f.open) != 0 || took.Load()+refused.Load() != 2400 {
		t.Errorf("%d were taken of %d, %d refused, %d counted, %d leases open", took.Load(), allowed, refused.Load(), f.used, len(f.open))
	}
	if f.calls > 300 {
		t.Errorf("%d calls for %d", f.calls, took.Load())
	}
}

func TestTake_ALeaseIsNotUsedBeyondItsTimeAndIsSettled(t *testing.T) {
	t.Parallel()
	f, now := newFake(1000), &clock{}
	c := limits.NewFrom(f.source(), prometheus.NewRegistry(), now.now)
	tenant := id.New[id.Tenant]()
	take := func() {
		t.Helper()
		if err := c.Take(t.Context(), tenant, "api_calls"); err != nil {
			t.Fatal(err)
		}
	}
	take()
	take()
	c.Settle(t.Context(), false)
	if f.used != 0 || f.calls != 1 {
		t.Errorf("within its time: %d counted, %d calls", f.used, f.calls)
	}
	now.pass(limits.LeaseUse)
	take()
	if f.used != 2 || f.calls != 2 {
		t.Errorf("beyond its time: %d counted, %d calls", f.used, f.calls)
	}
	now.pass(limits.LeaseUse)
	c.Settle(t.Context(), false)
	if f.used != 3 || len(f.open) != 0 {
		t.Errorf("settled: %d counted, %d open", f.used, len(f.open))
	}
	now.pass(time.Hour)
	c.Settle(t.Context(), false)
	take() // by an account that was forgotten
	c.Settle(t.Context(), true)
	if f.used != 4 {
		t.Errorf("in the end %d counted", f.used)
	}
}

func TestTake_FailsOpenAndSaysSo(t *testing.T) {
	t.Parallel()
	f, now, metrics := newFake(10), &clock{}, prometheus.NewRegistry()
	c := limits.NewFrom(f.source(), metrics, now.now)
	tenant := id.New[id.Tenant]()
	if err := c.Take(t.Context(), tenant, "api_calls"); err != nil {
		t.Fatal(err)
	}
	now.pass(limits.LeaseUse)
	for _, fail := range []error{errs.ErrUnavailable, tenantapi.ErrTenantNotFound} {
		f.set(func() { f.fail = fail })
		before := f.calls
		for range 3 {
			if err := c.Take(t.Context(), tenant, "api_calls"); err != nil {
				t.Errorf("%v became %v", fail, err)
			}
		}
		if f.calls != before+1 {
			t.Errorf("asked %d times while it was away", f.calls-before)
		}
		now.pass(time.Second)
	}
	if n, err := testutil.GatherAndCount(metrics, "limits_unchecked_total"); err != nil || n != 1 {
		t.Errorf("the metric: %d, %v", n, err)
	}
	// What was used before is counted when it is back.
	f.set(func() { f.fail = nil })
	if err := c.Take(t.Context(), tenant, "api_calls"); err != nil || f.used != 1 {
		t.Errorf("back again: %v, %d counted", err, f.used)
	}
}

func TestTake_ARefusalIsRememberedForAMoment(t *testing.T) {
	t.Parallel()
	f, now := newFake(0), &clock{}
	c := limits.NewFrom(f.source(), prometheus.NewRegistry(), now.now)
	tenant := id.New[id.Tenant]()
	for range 5 {
		if err := c.Take(t.Context(), tenant, "api_calls"); !errors.Is(err, tenantapi.ErrQuotaExceeded) {
			t.Error(err)
		}
	}
	if f.calls != 1 {
		t.Errorf("asked %d times", f.calls)
	}
	f.set(func() { f.allowed = 1 })
	now.pass(time.Second)
	if err := c.Take(t.Context(), tenant, "api_calls"); err != nil {
		t.Error(err)
	}
}

// While tenant-service takes its time, what is left of the lease goes on.
func TestTake_NobodyWaitsForTheNextLease(t *testing.T) {
	t.Parallel()
	f, now := newFake(1_000_000), &clock{}
	source, slow := f.source(), make(chan struct{})
	asked := make(chan struct{}, 10)
	reserve := source.Reserve
	source.Reserve = func(ctx context.Context, in tenantapi.ReserveRequest) (tenantapi.Reservation, error) {
		asked <- struct{}{}
		if len(in.Body.Settle) > 0 || in.Body.Amount > 10 {
			<-slow
		}
		return reserve(ctx, in)
	}
	c := limits.NewFrom(source, prometheus.NewRegistry(), now.now)
	tenant := id.New[id.Tenant]()
	take := func(times int) {
		t.Helper()
		for range times {
			if err := c.Take(t.Context(), tenant, "api_calls"); err != nil {
				t.Fatal(err)
			}
		}
	}
	take(5) // half of the first one
	<-asked
	<-asked // for the second, twice as large, which does not come
	take(5)
	close(slow)
	take(10) // half of that
	<-asked
	take(5)
	now.pass(limits.LeaseUse * 9 / 10)
	take(1)
	if len(asked) != 0 {
		t.Error("asked for more than the next one")
	}
}

func TestTake_WhatWasRefusedIsAskedForAnewOnceThePlanChanged(t *testing.T) {
	t.Parallel()
	f, now := newFake(0), &clock{}
	c := limits.NewFrom(f.source(), prometheus.NewRegistry(), now.now)
	tenant := id.New[id.Tenant]()
	if err := c.Take(t.Context(), tenant, "api_calls"); !errors.Is(err, tenantapi.ErrQuotaExceeded) {
		t.Error(err)
	}
	f.set(func() { f.allowed = 1 })
	c.Heard(tenant)
	if err := c.Take(t.Context(), tenant, "api_calls"); err != nil {
		t.Error(err)
	}
}

func TestClient_NilAllowsEverything(t *testing.T) {
	t.Parallel()
	var c *limits.Client
	tenant := id.New[id.Tenant]()
	n, err := c.Limit(t.Context(), tenant, "bases")
	err = errors.Join(err, c.Take(t.Context(), tenant, "api_calls"), c.Reserve(t.Context(), tenant, "bases", "a", 1),
		c.Commit(t.Context(), tenant, "a"), c.Release(t.Context(), tenant, "a"), c.Report(t.Context(), tenant, "bases", 1, 1, "a"))
	if n != tenantapi.Unlimited || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestReport_GivesBackWhatItContains(t *testing.T) {
	t.Parallel()
	f := newFake(2)
	c := limits.NewFrom(f.source(), prometheus.NewRegistry(), time.Now)
	tenant := id.New[id.Tenant]()
	for _, key := range []string{"a", "b"} {
		if err := c.Reserve(t.Context(), tenant, "bases", key, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Report(t.Context(), tenant, "bases", 1, 7, "a"); err != nil || f.used != 1 || len(f.open) != 1 {
		t.Errorf("%v: %d used, %d set aside", err, f.used, len(f.open))
	}
}

func TestReserve_RefusesAndFailsOpen(t *testing.T) {
	t.Parallel()
	f := newFake(1)
	c := limits.NewFrom(f.source(), prometheus.NewRegistry(), time.Now)
	tenant := id.New[id.Tenant]()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	ok(c.Reserve(t.Context(), tenant, "bases", "a", 1))
	if err := c.Reserve(t.Context(), tenant, "bases", "b", 1); !errors.Is(err, tenantapi.ErrQuotaExceeded) {
		t.Error(err)
	}
	ok(c.Release(t.Context(), tenant, "a"))
	ok(c.Reserve(t.Context(), tenant, "bases", "b", 1))
	ok(c.Commit(t.Context(), tenant, "b"))
	if err := c.Commit(t.Context(), tenant, "b"); f.used != 1 || !errors.Is(err, tenantapi.ErrReservationGone) {
		t.Errorf("%d counted, %v", f.used, err)
	}
	f.set(func() { f.fail = errs.ErrUnavailable })
	ok(c.Reserve(t.Context(), tenant, "bases", "c", 1))
}

func TestLimit_IsRememberedUntilItsChangeIsHeardOf(t *testing.T) {
	t.Parallel()
	f := newFake(3)
	c := limits.NewFrom(f.source(), prometheus.NewRegistry(), time.Now)
	tenant := id.New[id.Tenant]()
	want := func(limit string, n int64) {
		t.Helper()
		if got, err := c.Limit(t.Context(), tenant, limit); err != nil || got != n {
			t.Errorf("%s: %d, %v", limit, got, err)
		}
	}
	want("bases", 3)
	want("unheard of", tenantapi.Unlimited)
	if f.reads != 1 {
		t.Errorf("asked %d times", f.reads)
	}
	f.set(func() { f.allowed = 4 })
	c.Heard(tenant)
	want("bases", 4)
	f.set(func() { f.fail = errors.New("status 418") })
	c.Heard(tenant)
	if _, err := c.Limit(t.Context(), tenant, "bases"); !errors.Is(err, errs.ErrUnavailable) {
		t.Error(err)
	}
}

func BenchmarkTake(b *testing.B) {
	f := newFake(1 << 40)
	c := limits.NewFrom(f.source(), prometheus.NewRegistry(), time.Now)
	tenant := id.New[id.Tenant]()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := c.Take(b.Context(), tenant, "api_calls"); err != nil {
				b.Error(err)
			}
		}
	})
}
