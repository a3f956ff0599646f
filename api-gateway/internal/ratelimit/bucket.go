// Package ratelimit limits how often one client may call.
//
// A limit is a token bucket, kept as one number per client: the time at which the bucket
// will be full again (the generic cell rate algorithm). The decision is made in memory.
// Replicas share what they have let pass through Redis: every interval, and at once for
// a client that uses its share up quickly, a replica adds to Redis what it admitted and
// takes over what the others did.
//
// Bound: what N replicas admit of one client in any time t is at most
// burst + rate*t, plus (N-1) times what one replica admits between two exchanges, which
// is at most burst and in practice burst/4 plus the rate during one round trip. The
// surplus is debited: the client waits the longer, so that its rate over time is the
// limit's. Without Redis each replica keeps the limit by itself: never none, never an error.
package ratelimit

import (
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Policy is the limit of one class.
type Policy struct {
	Class  string
	Quota  int           // requests
	Window time.Duration // in which Quota requests may be made, all at once if need be
	// Strict asks Redis on each request, with a short timeout: for what is worth an
	// attacker's while and rare enough.
	Strict bool
}

// ParsePolicy reads "600/1m": the quota and the window.
func ParsePolicy(class, s string, strict bool) (Policy, error) {
	n, w, ok := strings.Cut(s, "/")
	quota, err := strconv.Atoi(strings.TrimSpace(n))
	window, err2 := time.ParseDuration(strings.TrimSpace(w))
	if !ok || err != nil || err2 != nil || quota < 1 || window < time.Millisecond || int64(window)/int64(quota) == 0 {
		return Policy{}, fmt.Errorf("limit %q of class %s: want requests/window, such as 600/1m", s, class)
	}
	return Policy{Class: class, Quota: quota, Window: window, Strict: strict}, nil
}

// Decision is the answer for one request.
type Decision struct {
	Allowed    bool
	Remaining  int           // requests that would pass now
	Reset      time.Duration // until the bucket is full
	RetryAfter time.Duration // until one more request passes, when not allowed
}

// Key is a client: an IPv4 address, or the /64 of an IPv6 one, since a host may choose
// any address of its network.
type Key struct{ hi, lo uint64 }

// KeyOf returns the client behind an address.
func KeyOf(a netip.Addr) Key {
	b := a.Unmap().As16()
	k := Key{hi: be(b[:8]), lo: be(b[8:])}
	if !a.Unmap().Is4() {
		k.lo = 0
	}
	return k
}

func be(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

func (k Key) String() string { return fmt.Sprintf("%016x%016x", k.hi, k.lo) }

const (
	shardCount = 64
	shardMost  = 4096 // clients in memory: 64 * 4096
	sweepEvery = time.Second
)

// bucket is one client's state.
type bucket struct {
	full   int64 // unix nanoseconds at which the bucket is full
	unsent int32 // requests admitted and not yet told to Redis
	queued bool  // among the shard's touched keys
}

type shard struct {
	mu      sync.Mutex
	buckets map[Key]bucket
	touched []Key // with unsent requests
	swept   int64 // when all buckets were last looked through
}

// Limiter keeps the limit of one class. It is safe for concurrent use.
type Limiter struct {
	Policy
	cost   int64 // nanoseconds that a request takes of the window
	window int64
	seed   maphash.Seed
	shards [shardCount]shard
	shared *Shared // nil: this replica alone
}

func newLimiter(p Policy, shared *Shared) *Limiter {
	l := &Limiter{Policy: p, cost: int64(p.Window) / int64(p.Quota), window: int64(p.Window), seed: maphash.MakeSeed(), shared: shared}
	for i := range l.shards {
		l.shards[i].buckets = map[Key]bucket{}
	}
	return l
}

func (l *Limiter) shard(k Key) *shard {
	return &l.shards[maphash.Comparable(l.seed, k)%shardCount]
}

// take decides in memory, and notes an admitted request for the other replicas. urgent
// says that they should hear of this client soon.
func (l *Limiter) take(k Key, now int64, note bool) (d Decision, urgent bool) {
	s := l.shard(k)
	s.mu.Lock()
	b, known := s.buckets[k]
	if b.full < now {
		b.full = now
	}
	next := b.full + l.cost
	if next-now > l.window {
		s.mu.Unlock()
		return l.decide(false, b.full, now), false
	}
	b.full = next
	if note {
		b.unsent++
		if !b.queued {
			b.queued = true
			s.touched = append(s.touched, k)
		}
		urgent = int(b.unsent) == max(1, l.Quota/4)
	}
	if !known && len(s.buckets) >= shardMost {
		s.makeRoom(now)
	}
	s.buckets[k] = b
	s.mu.Unlock()
	return l.decide(true, next, now), urgent
}

func (l *Limiter) decide(ok bool, full, now int64) Decision {
	used := max(0, full-now)
	d := Decision{Allowed: ok, Reset: time.Duration(used)}
	if left := l.window - used; left > 0 {
		d.Remaining = int(left / l.cost)
	}
	if !ok {
		d.Remaining = 0
		d.RetryAfter = time.Duration(full + l.cost - l.window - now)
	}
	return d
}

// makeRoom forgets full buckets, which loses nothing. If there are none, it forgets the
// fullest among a few, which lets that client off lightly rather than growing for ever.
func (s *shard) makeRoom(now int64) {
	if now-s.swept > int64(sweepEvery) { // a flood of new clients must not cost a sweep each
		s.swept = now
		for k, b := range s.buckets {
			if b.full <= now && !b.queued {
				delete(s.buckets, k)
			}
		}
	}
	for len(s.buckets) >= shardMost {
		best, least, n := Key{}, int64(math.MaxInt64), 0
		for k, b := range s.buckets {
			if b.full < least {
				best, least = k, b.full
			}
			if n++; n == 16 {
				break
			}
		}
		delete(s.buckets, best)
	}
}

// adopt takes over what the fleet has used of a client's bucket, given as the time until
// it is full; what this replica admitted since it asked comes on top.
func (l *Limiter) adopt(k Key, until, now int64) {
	s := l.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[k]
	if !ok && until <= 0 {
		return
	}
	b.full = now + until + int64(b.unsent)*l.cost
	s.buckets[k] = b
}

// owed is what a client used here that Redis does not know of.
type owed struct {
	key  Key
	cost int64 // nanoseconds
}

// collect hands over what is owed for at most n clients of the shard. What has been
// earned back in the meantime is not owed any more.
func (l *Limiter) collect(i int, now int64, n int, out []owed) []owed {
	s := &l.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.touched))
	for _, k := range s.touched[:n] {
		b, ok := s.buckets[k]
		if !ok {
			continue
		}
		if cost := min(int64(b.unsent)*l.cost, b.full-now); cost > 0 {
			out = append(out, owed{k, cost})
		}
		b.unsent, b.queued = 0, false
		s.buckets[k] = b
	}
	s.touched = append(s.touched[:0], s.touched[n:]...)
	return out
}

// restore takes back what could not be told to Redis.
func (l *Limiter) restore(list []owed) {
	for _, o := range list {
		s := l.shard(o.key)
		s.mu.Lock()
		if b, ok := s.buckets[o.key]; ok {
			b.unsent += int32(o.cost / l.cost)
			if !b.queued {
				b.queued = true
				s.touched = append(s.touched, o.key)
			}
			s.buckets[o.key] = b
		}
		s.mu.Unlock()
	}
}

// Len is the number of clients in memory.
func (l *Limiter) Len() int {
	n := 0
	for i := range l.shards {
		l.shards[i].mu.Lock()
		n += len(l.shards[i].buckets)
		l.shards[i].mu.Unlock()
	}
	return n
}
