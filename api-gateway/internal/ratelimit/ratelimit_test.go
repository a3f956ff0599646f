package ratelimit

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

func policy(quota int, window time.Duration, strict bool) []Policy {
	return []Policy{{Class: "c", Quota: quota, Window: window, Strict: strict}}
}

func key(s string) Key { return KeyOf(netip.MustParseAddr(s)) }

func TestAllow_LetsTheQuotaPassAndRefills(t *testing.T) {
	t.Parallel()
	l := New(policy(10, time.Second, false), nil).Class("c")
	now := time.Now()
	for i := range 10 {
		if d := l.Allow(t.Context(), key("192.0.2.1"), now); !d.Allowed || d.Remaining != 9-i {
			t.Fatalf("request %d: %+v", i+1, d)
		}
	}
	d := l.Allow(t.Context(), key("192.0.2.1"), now)
	if d.Allowed || d.RetryAfter != 100*time.Millisecond || d.Reset != time.Second {
		t.Errorf("request 11: %+v, want a refusal for 100 ms", d)
	}
	if d := l.Allow(t.Context(), key("192.0.2.2"), now); !d.Allowed {
		t.Error("another client was refused")
	}
	if d := l.Allow(t.Context(), key("192.0.2.1"), now.Add(100*time.Millisecond)); !d.Allowed || d.Remaining != 0 {
		t.Errorf("after the wait that was asked for: %+v", d)
	}
}

func TestKeyOf_TakesIPv6ByNetwork(t *testing.T) {
	t.Parallel()
	if key("2001:db8:1:2::1") != key("2001:db8:1:2:ffff::9") {
		t.Error("two addresses of one /64 are two clients")
	}
	if key("2001:db8:1:2::1") == key("2001:db8:1:3::1") {
		t.Error("two /64 are one client")
	}
	if key("192.0.2.1") == key("192.0.2.2") || key("192.0.2.1") != key("::ffff:192.0.2.1") {
		t.Error("IPv4 addresses are not told apart, or differ from their IPv6 form")
	}
}

func TestAllow_IsExactUnderConcurrency(t *testing.T) {
	t.Parallel()
	l := New(policy(500, time.Hour, false), nil).Class("c")
	var passed atomic.Int64
	var wg sync.WaitGroup
	now := time.Now()
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if l.Allow(t.Context(), key("192.0.2.1"), now).Allowed {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 500 {
		t.Errorf("%d of 500 passed", passed.Load())
	}
}

func TestAllow_ForgetsFullBucketsFirst(t *testing.T) {
	t.Parallel()
	l := New(policy(10, time.Second, false), nil).Class("c")
	now := time.Now()
	hog := key("203.0.113.1")
	for range 10 {
		l.Allow(t.Context(), hog, now)
	}
	for i := range 2 * shardCount * shardMost {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l.Allow(t.Context(), KeyOf(a), now)
	}
	if n := l.Len(); n > shardCount*shardMost {
		t.Errorf("%d clients in memory, want at most %d", n, shardCount*shardMost)
	}
	if l.Allow(t.Context(), hog, now).Allowed {
		t.Error("a client emptied the memory of its own use by way of many others")
	}
}

func run(t *testing.T, s *Set) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestShared_ReplicasTogetherKeepTheLimit(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	const replicas, quota = 3, 90
	var sets []*Set
	for range replicas {
		s := New(policy(quota, time.Hour, false), rdb)
		run(t, s)
		sets = append(sets, s)
	}
	// One client goes round the replicas, no faster than they can talk to each other.
	passed, k := 0, key("192.0.2.9")
	for i := range 3 * quota {
		s := sets[i%replicas]
		if s.Class("c").Allow(t.Context(), k, time.Now()).Allowed {
			passed++
		}
		if i%10 == 9 { // let them exchange
			for _, s := range sets {
				s.shared.exchange(t.Context(), s.Class("c"))
			}
		}
	}
	if passed < quota || passed > quota+replicas*10 {
		t.Errorf("%d passed, want %d and not much more", passed, quota)
	}
	for i, s := range sets {
		if s.Class("c").Allow(t.Context(), k, time.Now()).Allowed {
			t.Errorf("replica %d still lets the client pass", i)
		}
	}
}

func TestShared_SurplusIsBoundedAndDebited(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	const quota = 40
	a, b := New(policy(quota, time.Hour, false), rdb), New(policy(quota, time.Hour, false), rdb)
	k, passed := key("192.0.2.9"), 0
	for range 2 * quota { // both at once, before they could talk: the worst case
		for _, s := range []*Set{a, b} {
			if s.Class("c").Allow(t.Context(), k, time.Now()).Allowed {
				passed++
			}
		}
	}
	if passed != 2*quota {
		t.Errorf("%d passed, want burst + (N-1)*burst = %d", passed, 2*quota)
	}
	a.shared.exchange(t.Context(), a.Class("c"))
	b.shared.exchange(t.Context(), b.Class("c"))
	d := b.Class("c").Allow(t.Context(), k, time.Now())
	if d.Allowed || d.RetryAfter < 50*time.Minute {
		t.Errorf("after the exchange: %+v; want the surplus paid back before anything passes", d)
	}
}

func TestStrict_CountsInRedisAtOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	a, b := New(policy(10, time.Hour, true), rdb), New(policy(10, time.Hour, true), rdb)
	passed := 0
	for range 20 {
		for _, s := range []*Set{a, b} {
			if s.Class("c").Allow(t.Context(), key("192.0.2.9"), time.Now()).Allowed {
				passed++
			}
		}
	}
	if passed != 10 {
		t.Errorf("two replicas let %d pass, want exactly 10", passed)
	}
}

func TestLimits_HoldWhileRedisIsAwayAndAfter(t *testing.T) {
	t.Parallel()
	srv := redistest.OwnServer(t)
	rdb := srv.Client(t)
	strict := New(policy(5, time.Hour, true), rdb)
	common := New(policy(5, time.Hour, false), rdb)
	run(t, common)
	if err := srv.Kill(); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Set{"strict": strict, "common": common} {
		passed, began := 0, time.Now()
		for range 20 {
			if s.Class("c").Allow(t.Context(), key("192.0.2.9"), time.Now()).Allowed {
				passed++
			}
		}
		if passed != 5 {
			t.Errorf("%s without Redis: %d passed, want 5: neither none nor all", name, passed)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s without Redis: 20 decisions took %v", name, took)
		}
	}
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What was used in the meantime is told to Redis when it is back.
	await.True(t, "another replica hearing of what was used while Redis was away", func() bool {
		other := New(policy(5, time.Hour, false), rdb)
		l := other.Class("c")
		l.take(key("192.0.2.9"), time.Now().UnixNano(), true)
		other.shared.exchange(t.Context(), l)
		return !l.Allow(t.Context(), key("192.0.2.9"), time.Now()).Allowed
	})
}

func TestParsePolicy_RefusesNonsense(t *testing.T) {
	t.Parallel()
	if p, err := ParsePolicy("c", "600/1m", true); err != nil || p.Quota != 600 || p.Window != time.Minute || !p.Strict {
		t.Errorf("%+v %v", p, err)
	}
	for _, s := range []string{"", "600", "0/1m", "-1/1m", "x/1m", "600/", "600/0s", "1/1ns", "9999999999/1s"} {
		if _, err := ParsePolicy("c", s, false); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}
