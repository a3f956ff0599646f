package ratelimit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	exchangeEvery = 250 * time.Millisecond
	batchMost     = 256 // clients in one round trip
	exchangeTime  = 500 * time.Millisecond
	strictTime    = 60 * time.Millisecond // a strict decision waits this long for Redis
	restTime      = time.Second           // strict decisions leave a Redis alone that was away
)

// Shared is the fleet's knowledge of its clients, in Redis. Times there are Redis's own,
// so that the replicas' clocks need not agree.
type Shared struct {
	rdb      redis.UniversalClient
	limiters []*Limiter
	wake     chan struct{}
	restsTil atomic.Int64

	// Exchanges, Failures and Fallbacks count round trips with Redis, those that failed,
	// and strict decisions that were made without it.
	Exchanges, Failures, Fallbacks atomic.Int64
}

// Set holds the limiters of all classes.
type Set struct {
	byClass map[string]*Limiter
	shared  *Shared
}

// New returns limiters for the policies. With rdb nil they are this replica's alone.
func New(policies []Policy, rdb redis.UniversalClient) *Set {
	s := &Set{byClass: map[string]*Limiter{}}
	if rdb != nil {
		s.shared = &Shared{rdb: rdb, wake: make(chan struct{}, 1)}
	}
	for _, p := range policies {
		l := newLimiter(p, s.shared)
		s.byClass[p.Class] = l
		if s.shared != nil && !p.Strict {
			s.shared.limiters = append(s.shared.limiters, l)
		}
	}
	return s
}

// Class returns the limiter of a class, nil if there is none.
func (s *Set) Class(name string) *Limiter { return s.byClass[name] }

// Classes are the names of the classes.
func (s *Set) Classes() []string { return slices.Sorted(maps.Keys(s.byClass)) }

// Shared is the connection with the other replicas; nil without Redis.
func (s *Set) Shared() *Shared { return s.shared }

// Run exchanges with the other replicas until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	if s.shared == nil {
		<-ctx.Done()
		return nil
	}
	return s.shared.run(ctx)
}

// Allow decides about one request of the client. It does not fail.
func (l *Limiter) Allow(ctx context.Context, k Key, now time.Time) Decision {
	n := now.UnixNano()
	d, urgent := l.take(k, n, l.shared != nil && !l.Strict)
	switch {
	case urgent:
		l.shared.kick()
	case d.Allowed && l.Strict && l.shared != nil:
		// What this replica refuses by itself, the fleet refuses: only a yes is asked for.
		return l.shared.strict(ctx, l, k, d)
	}
	return d
}

func (s *Shared) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// gcra takes one request in Redis: the bucket's key; cost and window in microseconds.
// It answers whether it passed, and the microseconds until the bucket is full.
var gcra = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local full = tonumber(redis.call('GET', KEYS[1]) or '0')
if full < now then full = now end
local cost, window = tonumber(ARGV[1]), tonumber(ARGV[2])
if full + cost - now > window then return {0, string.format('%.0f', full - now)} end
full = full + cost
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
return {1, string.format('%.0f', full - now)}`)

// debit adds what a replica has already admitted, whatever the limit says.
var debit = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local full = tonumber(redis.call('GET', KEYS[1]) or '0')
if full < now then full = now end
full = full + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
return string.format('%.0f', full - now)`)

func (l *Limiter) redisKey(k Key) string { return "gateway:limit:" + l.Class + ":{" + k.String() + "}" }

// strict asks the fleet; local is the decision of this replica alone, for the case that
// the fleet cannot be asked in time.
func (s *Shared) strict(ctx context.Context, l *Limiter, k Key, local Decision) Decision {
	now := time.Now()
	if now.UnixNano() < s.restsTil.Load() {
		s.Fallbacks.Add(1)
		return local
	}
	ctx, cancel := context.WithTimeout(ctx, strictTime)
	defer cancel()
	s.Exchanges.Add(1)
	res, err := gcra.Run(ctx, s.rdb, []string{l.redisKey(k)}, l.cost/1000, l.window/1000).Slice()
	ok, until, perr := reply(res)
	if err != nil || perr != nil {
		s.Failures.Add(1)
		s.Fallbacks.Add(1)
		s.restsTil.Store(now.Add(restTime).UnixNano())
		return local
	}
	n := now.UnixNano()
	l.adopt(k, until*1000, n)
	return l.decide(ok, n+until*1000, n)
}

func reply(res []any) (ok bool, until int64, err error) {
	if len(res) != 2 {
		return false, 0, fmt.Errorf("a reply of %d parts", len(res))
	}
	text, _ := res[1].(string)
	until, err = strconv.ParseInt(text, 10, 64)
	return res[0] == int64(1), until, err
}

func (s *Shared) run(ctx context.Context) error {
	t := time.NewTicker(exchangeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-s.wake:
		}
		for _, l := range s.limiters {
			s.exchange(ctx, l)
		}
	}
}

// exchange tells Redis what the limiter admitted, and adopts what the fleet did.
func (s *Shared) exchange(ctx context.Context, l *Limiter) {
	batch := make([]owed, 0, batchMost)
	for i := range l.shards {
		for {
			batch = l.collect(i, time.Now().UnixNano(), batchMost-len(batch), batch)
			if len(batch) < batchMost {
				break
			}
			if !s.send(ctx, l, batch) {
				return
			}
			batch = batch[:0]
		}
	}
	if len(batch) > 0 {
		s.send(ctx, l, batch)
	}
}

func (s *Shared) send(ctx context.Context, l *Limiter, batch []owed) bool {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	s.Exchanges.Add(1)
	cmds, err := s.pipeline(ctx, l, batch)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err = debit.Load(ctx, s.rdb).Err(); err == nil {
			cmds, err = s.pipeline(ctx, l, batch)
		}
	}
	now := time.Now().UnixNano()
	failed := batch[:0:0]
	for i, o := range batch {
		text, cerr := cmds[i].Text()
		until, perr := strconv.ParseInt(text, 10, 64)
		if cerr != nil || perr != nil {
			failed = append(failed, o)
			continue
		}
		l.adopt(o.key, until*1000, now)
	}
	if len(failed) > 0 {
		s.Failures.Add(1)
		l.restore(failed)
	}
	return err == nil
}

func (s *Shared) pipeline(ctx context.Context, l *Limiter, batch []owed) ([]*redis.Cmd, error) {
	cmds := make([]*redis.Cmd, len(batch))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, o := range batch {
			cmds[i] = debit.EvalSha(ctx, p, []string{l.redisKey(o.key)}, max(1, o.cost/1000))
		}
		return nil
	})
	return cmds, err
}
