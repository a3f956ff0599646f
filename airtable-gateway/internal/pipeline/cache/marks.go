package cache

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/redis"
)

// site is a base as one upstream knows it, whoever reaches it with whichever token:
// a write through one connection makes the answers of every other one stale. The base
// "" stands for what an upstream offers at all.
type site struct{ origin, base string }

// key names something of the site in Redis. All of a site's keys are on one node.
func (s site) key(kind string, rest ...string) string {
	return redis.Key(append([]string{"airtable", "cache", "{" + s.origin + "/" + s.base + "}", kind}, rest...)...)
}

// place is what a write makes stale: a part of a site.
type place struct {
	site
	part string
}

// The parts of a base.
const (
	whole      = "base"
	schemaPart = "schema"
)

// tablePart is a table as it was addressed, by id or by name. Two tables that differ
// in letter case alone are dropped together: whether Airtable tells such names apart
// is unconfirmed.
func tablePart(table string) string { return "table:" + lower(table) }

// stamps say when a place was last written to, by Redis's clock and never twice the
// same.
type stamps struct{ base, part int64 }

// mark is how a place stands. Of two answers with the same mark that were asked for
// after the mark was read, none is older than any write that had been answered then.
type mark struct {
	stamps
	alone bool   // Redis is away: seq is all that is known
	seq   uint64 // writes to the site through this replica
}

const (
	answerLimit = time.Second            // of Redis
	retryRedis  = 500 * time.Millisecond // after it did not answer
	marksKept   = 48 * time.Hour         // a mark that is made anew equals no other
)

var (
	//go:embed mark.lua
	markText string
	// markScript renews the fields, or with none makes the base's if it is absent, and
	// returns it.
	markScript = goredis.NewScript(markText)
)

// marks keeps the marks of all places in Redis. Reading one costs no round trip of its
// own: those who ask while one is under way share the next, so that each gets what
// Redis held after it asked.
type marks struct {
	rdb   goredis.UniversalClient
	log   *zap.Logger
	away  prometheus.Gauge
	lives context.Context

	rounds sync.WaitGroup

	mu      sync.Mutex
	next    *round
	running bool
	retryAt time.Time // Redis is not asked before; zero while it answers
	seq     map[site]uint64
	owed    map[site]map[string]bool // parts whose marks could not be renewed
}

type round struct {
	done chan struct{}
	at   map[place]stamps
	err  error
}

// of returns the place's mark as it was at some time after the call. The error is the
// context's.
func (m *marks) of(ctx context.Context, p place) (mark, error) {
	m.mu.Lock()
	seq := m.seq[p.site]
	if !m.retryAt.IsZero() && time.Now().Before(m.retryAt) {
		m.mu.Unlock()
		return mark{alone: true, seq: seq}, ctx.Err()
	}
	r := m.next
	if r == nil {
		r = &round{done: make(chan struct{}), at: map[place]stamps{}}
		m.next = r
	}
	r.at[p] = stamps{}
	if !m.running {
		m.running = true
		m.rounds.Go(m.run)
	}
	m.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		return mark{}, ctx.Err()
	}
	if r.err != nil {
		return mark{alone: true, seq: seq}, nil
	}
	return mark{stamps: r.at[p], seq: seq}, nil
}

// run makes rounds for as long as somebody asks.
func (m *marks) run() {
	for {
		m.mu.Lock()
		r := m.next
		m.next = nil
		if r == nil {
			m.running = false
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		ctx, cancel := context.WithTimeout(m.lives, answerLimit)
		r.err = m.read(ctx, r.at)
		cancel()
		m.heard(r.err)
		close(r.done)
	}
}

// read fills in the stamps, after paying what is owed.
func (m *marks) read(ctx context.Context, at map[place]stamps) error {
	if err := m.pay(ctx); err != nil {
		return err
	}
	places := slices.Collect(maps.Keys(at))
	answers := make([]*goredis.SliceCmd, len(places))
	pipe := m.rdb.Pipeline()
	for i, p := range places {
		answers[i] = pipe.HMGet(ctx, p.key("marks"), whole, p.part)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read marks: %w", err)
	}
	for i, p := range places {
		s, ok := readStamps(answers[i].Val())
		if !ok {
			var err error
			if s.base, err = m.renew(ctx, p.site); err != nil {
				return err
			}
			if p.part == whole {
				s.part = s.base
			}
		}
		at[p] = s
	}
	return nil
}

// readStamps is false if the base has no mark yet.
func readStamps(fields []any) (s stamps, ok bool) {
	if len(fields) != 2 {
		return s, false
	}
	for i, into := range []*int64{&s.base, &s.part} {
		if text, isText := fields[i].(string); isText {
			*into, _ = strconv.ParseInt(text, 10, 64)
		}
	}
	return s, s.base != 0
}

// renew gives the parts new marks, and returns that of the whole base.
func (m *marks) renew(ctx context.Context, s site, parts ...string) (int64, error) {
	args := []any{marksKept.Milliseconds()}
	for _, p := range parts {
		args = append(args, p)
	}
	base, err := markScript.Run(ctx, m.rdb, []string{s.key("marks")}, args...).Int64()
	var said goredis.Error
	if errors.As(err, &said) && len(parts) > 0 {
		// Its memory may be full. Without any mark nothing that is kept has the right one.
		if m.rdb.Del(ctx, s.key("marks")).Err() == nil {
			return 0, nil
		}
	}
	if err != nil {
		return 0, fmt.Errorf("renew marks: %w", err)
	}
	return base, nil
}

// drop makes stale what was answered about the parts so far. When it returns, no
// replica that reaches Redis answers from before. If Redis does not answer, this
// replica drops the whole site at once, and the others when Redis is back.
func (m *marks) drop(ctx context.Context, s site, parts ...string) {
	m.mu.Lock()
	m.seq[s]++
	away := !m.retryAt.IsZero() && time.Now().Before(m.retryAt)
	m.mu.Unlock()
	if !away {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
		defer cancel()
		_, err := m.renew(ctx, s, parts...)
		m.heard(err)
		if err == nil {
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owed[s] == nil {
		m.owed[s] = map[string]bool{}
	}
	for _, p := range parts {
		m.owed[s][p] = true
	}
}

// pay renews the marks that could not be renewed before.
func (m *marks) pay(ctx context.Context) error {
	m.mu.Lock()
	owed := m.owed
	m.owed = map[site]map[string]bool{}
	m.mu.Unlock()
	for s, parts := range owed {
		if _, err := m.renew(ctx, s, slices.Collect(maps.Keys(parts))...); err != nil {
			m.mu.Lock()
			for s, parts := range owed { // those that were paid are paid twice
				if m.owed[s] == nil {
					m.owed[s] = map[string]bool{}
				}
				maps.Copy(m.owed[s], parts)
			}
			m.mu.Unlock()
			return err
		}
	}
	return nil
}

// owes reports whether marks are still to be renewed.
func (m *marks) owes() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.owed) > 0
}

// heard notes whether Redis answered.
func (m *marks) heard(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil && m.lives.Err() == nil:
		if m.retryAt.IsZero() {
			m.log.Warn("cache without redis", zap.Error(err))
			m.away.Set(1)
		}
		m.retryAt = time.Now().Add(retryRedis)
	case err == nil && !m.retryAt.IsZero():
		m.log.Info("the cache is shared through redis again")
		m.away.Set(0)
		m.retryAt = time.Time{}
	}
}
