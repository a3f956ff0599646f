package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

const (
	listenTick   = time.Second      // silence after which the connection is asked whether it lives
	silenceMost  = 3                // ticks without an answer that end it
	pollEvery    = 15 * time.Second // the set is read again, whatever was heard
	retryFirst   = 50 * time.Millisecond
	retryMost    = 2 * time.Second
	readTimeout  = 5 * time.Second
	revokedMost  = 1 << 20 // entries held
	loadPageSize = 10_000
)

// Revocations are the sessions, personal access tokens and users whose tokens must not be
// honoured although they have not expired. Until Run is called it has none and hears
// nothing.
type Revocations struct {
	count atomic.Int64
	live  atomic.Bool // subscribed, and the set has been read since

	mu       sync.RWMutex
	sessions map[id.SessionID]int64 // until, unix seconds
	pats     map[string]int64
	users    map[id.UserID]int64

	// Heard counts announcements, Gaps the times that the subscription was lost.
	Heard, Gaps atomic.Int64
}

// NewRevocations returns an empty set that Run fills from Redis.
func NewRevocations() *Revocations {
	return &Revocations{sessions: map[id.SessionID]int64{}, pats: map[string]int64{}, users: map[id.UserID]int64{}}
}

// Live reports whether announcements are being heard.
func (r *Revocations) Live() bool { return r.live.Load() }

// Len is the number of revoked things that are remembered.
func (r *Revocations) Len() int { return int(r.count.Load()) }

// Revoked reports whether the token that says p must not be honoured.
func (r *Revocations) Revoked(p Principal) bool {
	if r.count.Load() == 0 {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	now := time.Now().Unix()
	if !p.SessionID.IsZero() && r.sessions[p.SessionID] > now {
		return true
	}
	// What expires later was made of the personal access token afterwards, by
	// auth-service, which knew.
	if until := r.pats[p.PAT]; p.PAT != "" && until > now && p.ExpiresAt.Unix() <= until {
		return true
	}
	return r.users[p.UserID] > now
}

// add remembers one member of the set: "sid:ID", "pat:ID" or "user:ID".
func (r *Revocations) add(member string, until int64) {
	kind, value, ok := strings.Cut(member, ":")
	if !ok || value == "" || until <= time.Now().Unix() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count.Load() >= revokedMost {
		return
	}
	switch kind {
	case "sid":
		if v, err := id.Parse[id.Session](value); err == nil {
			r.sessions[v] = max(r.sessions[v], until)
		}
	case "pat":
		r.pats[value] = max(r.pats[value], until)
	case "user":
		if v, err := id.Parse[id.User](value); err == nil {
			r.users[v] = max(r.users[v], until)
		}
	}
	r.count.Store(int64(len(r.sessions) + len(r.pats) + len(r.users)))
}

func (r *Revocations) forgetExpired(now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	drop(r.sessions, now)
	drop(r.pats, now)
	drop(r.users, now)
	r.count.Store(int64(len(r.sessions) + len(r.pats) + len(r.users)))
}

func drop[K comparable](m map[K]int64, now int64) {
	for k, until := range m {
		if until <= now {
			delete(m, k)
		}
	}
}

// Run listens to what auth-service announces until ctx ends. What was known stays known
// while Redis is away.
func (r *Revocations) Run(ctx context.Context, rdb redis.UniversalClient) error {
	wait := retryFirst
	for ctx.Err() == nil {
		began := time.Now()
		_ = r.listen(ctx, rdb) // whatever it was: try again
		r.live.Store(false)
		if ctx.Err() != nil {
			break
		}
		r.Gaps.Add(1)
		if time.Since(began) > retryMost {
			wait = retryFirst
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, retryMost)
	}
	return nil
}

// listen subscribes, then reads the set (in this order, so that nothing falls between),
// then takes announcements until the connection breaks.
func (r *Revocations) listen(ctx context.Context, rdb redis.UniversalClient) error {
	sub := rdb.Subscribe(ctx, authapi.RevocationsChannel)
	defer func() { _ = sub.Close() }()
	if _, err := sub.ReceiveTimeout(ctx, readTimeout); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := r.load(ctx, rdb); err != nil {
		return err
	}
	r.live.Store(true)
	loaded, silent := time.Now(), 0
	for ctx.Err() == nil {
		msg, err := sub.ReceiveTimeout(ctx, listenTick)
		switch {
		case err == nil:
			silent = 0
			if m, ok := msg.(*redis.Message); ok {
				r.hear(m.Payload)
			}
		case isTimeout(err) && silent < silenceMost:
			silent++
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("ping: %w", err)
			}
		default:
			return fmt.Errorf("receive: %w", err)
		}
		if time.Since(loaded) > pollEvery {
			if err := r.load(ctx, rdb); err != nil {
				return err
			}
			loaded = time.Now()
		}
	}
	return ctx.Err()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func (r *Revocations) hear(payload string) {
	var m authapi.Revocation
	if json.Unmarshal([]byte(payload), &m) != nil {
		return
	}
	r.Heard.Add(1)
	r.add(m.Member(), m.Until)
}

// load reads the whole set.
func (r *Revocations) load(ctx context.Context, rdb redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	now := time.Now().Unix()
	r.forgetExpired(now)
	for offset := int64(0); ; offset += loadPageSize {
		page, err := rdb.ZRangeByScoreWithScores(ctx, authapi.RevokedSet, &redis.ZRangeBy{
			Min: strconv.FormatInt(now, 10), Max: "+inf", Offset: offset, Count: loadPageSize,
		}).Result()
		if err != nil {
			return fmt.Errorf("read revoked tokens: %w", err)
		}
		for _, z := range page {
			if member, ok := z.Member.(string); ok {
				r.add(member, int64(z.Score))
			}
		}
		if len(page) < loadPageSize {
			return nil
		}
	}
}

// Observe registers the figures of the subscription.
func (r *Revocations) Observe(m prometheus.Registerer) {
	m.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "auth_revocations", Help: "Revoked sessions, tokens and users that are remembered."},
			func() float64 { return float64(r.Len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "auth_revocations_live", Help: "1 while announcements of revocations are heard."},
			func() float64 {
				if r.Live() {
					return 1
				}
				return 0
			}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "auth_revocation_gaps_total", Help: "Times that the subscription was lost."},
			func() float64 { return float64(r.Gaps.Load()) }),
	)
}
