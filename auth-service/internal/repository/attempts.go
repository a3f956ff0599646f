package repository

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/redis"
)

const (
	keepAttempts  = time.Hour // after the last one
	attemptRaces  = 8
	attemptWait   = time.Second // for who lost all the races
	localAttempts = 50_000
	redisPause    = time.Second // in which a Redis that failed is not asked again
)

// Attempts counts failures in Redis, for all replicas together, and in this
// process while Redis is away: limits get looser then, never infinite, and
// nobody is refused because of it.
type Attempts struct {
	rdb     goredis.UniversalClient
	log     *zap.Logger
	retryAt atomic.Int64 // Unix nanoseconds until which Redis is left alone

	mu    sync.Mutex
	local map[string]models.Tally
}

// NewAttempts counts in rdb.
func NewAttempts(rdb goredis.UniversalClient, log *zap.Logger) *Attempts {
	return &Attempts{rdb: rdb, log: log, local: map[string]models.Tally{}}
}

// count adds one if fewer than the rule's free ones were counted, or if the tally
// is still as the caller has seen it: so the rule is decided by models alone, and
// yet nobody slips through between its reading and its writing. Otherwise it
// returns the tally.
var count = goredis.NewScript(`
local n, at = redis.call('HGET', KEYS[1], 'n') or '0', redis.call('HGET', KEYS[1], 'at') or '0'
if tonumber(n) >= tonumber(ARGV[1]) and (n ~= ARGV[2] or at ~= ARGV[3]) then return {0, tonumber(n), tonumber(at)} end
redis.call('HSET', KEYS[1], 'n', n + 1, 'at', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {1, 0, 0}`)

// give takes one back, without letting a forgotten tally come to life below zero.
var give = goredis.NewScript(`
if tonumber(redis.call('HGET', KEYS[1], 'n') or '0') > 0 then redis.call('HINCRBY', KEYS[1], 'n', -1) end
return 1`)

// Take counts an attempt under the key and returns 0; or returns how long to
// wait, and counts nothing, if the rule forbids it now.
func (a *Attempts) Take(ctx context.Context, key string, rule models.Backoff, now time.Time) time.Duration {
	seen := models.Tally{Failures: -1} // nothing yet
	for range attemptRaces {
		if !a.up() {
			return a.takeLocal(key, rule, now)
		}
		said, err := count.Run(ctx, a.rdb, []string{attemptKey(key)},
			rule.Free, seen.Failures, unixMicro(seen.Last), now.UnixMicro(), keepAttempts.Milliseconds()).Int64Slice()
		if a.failed(ctx, err) {
			return a.takeLocal(key, rule, now)
		}
		if said[0] == 1 {
			return 0
		}
		seen = models.Tally{Failures: int(said[1]), Last: time.UnixMicro(said[2])}
		if wait := rule.Wait(seen, now); wait > 0 {
			return wait
		}
	}
	return attemptWait
}

// Give takes back one counted attempt.
func (a *Attempts) Give(ctx context.Context, key string) {
	a.mu.Lock()
	if t, ok := a.local[key]; ok && t.Failures > 0 {
		t.Failures--
		a.local[key] = t
	}
	a.mu.Unlock()
	if a.up() {
		a.failed(ctx, give.Run(ctx, a.rdb, []string{attemptKey(key)}).Err())
	}
}

// Forget takes back all counted attempts.
func (a *Attempts) Forget(ctx context.Context, key string) {
	a.mu.Lock()
	delete(a.local, key)
	a.mu.Unlock()
	if a.up() {
		a.failed(ctx, a.rdb.Del(ctx, attemptKey(key)).Err())
	}
}

func (a *Attempts) takeLocal(key string, rule models.Backoff, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.local[key]
	if now.Sub(t.Last) > keepAttempts {
		t = models.Tally{}
	}
	if wait := rule.Wait(t, now); wait > 0 {
		return wait
	}
	if len(a.local) >= localAttempts {
		a.makeRoom(now)
	}
	a.local[key] = models.Tally{Failures: t.Failures + 1, Last: now}
	return 0
}

// makeRoom drops what is old, or else anything: a flood of keys must not grow
// the process.
func (a *Attempts) makeRoom(now time.Time) {
	for k, t := range a.local {
		if now.Sub(t.Last) > keepAttempts || len(a.local) >= localAttempts {
			delete(a.local, k)
		}
	}
}

func (a *Attempts) up() bool { return time.Now().UnixNano() >= a.retryAt.Load() }

// failed notes an error of Redis, and that it should be left alone for a while.
func (a *Attempts) failed(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	if ctx.Err() == nil {
		a.retryAt.Store(time.Now().Add(redisPause).UnixNano())
		a.log.Warn("attempts are counted in this process only", zap.Error(err))
	}
	return true
}

func attemptKey(key string) string { return redis.Key("auth", "attempts", "{"+key+"}") }

func unixMicro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
