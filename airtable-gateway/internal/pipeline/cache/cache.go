// Package cache answers reads without asking Airtable, where nothing was written since.
//
// What is kept: lists of records, single records, schemas, views, and the list of an
// account's bases; of these the answers with status 200 and nothing else, no refusal.
// Comments, webhooks and what the gateway does not know pass through: people change
// them outside of the API, and programs seldom read them.
//
// An entry belongs to a connection and the token it had, and to what is asked for,
// however that is spelled (models.CanonicalList). It is kept in Redis, compressed and
// sealed for its key, and in each process in a front bounded by bytes. One replica asks
// for an entry at a time (a lease in Redis), and one goroutine of it for all that wait.
//
// # Writes
//
// Each table, schema and base has a mark in Redis, renewed after every write that may
// have been executed, before its answer is given. An entry has the mark that was read
// before Airtable was asked; it is good as long as that is the mark. Marks are read at
// every request, those of concurrent requests in one round trip. So no read that began
// after a write was answered gives the state before it, through whichever connection,
// tenant or replica either went. A write makes stale its table and those that show its
// cells by links, lookups and rollups, or the whole base if no schema is kept that is
// still fresh.
//
// A write without an answer may still be executed: it drops again four times within the
// 70 s after.
//
// What is written without this gateway is seen when the entry is no longer fresh, or when
// Airtable has told of it (package watch, by Drop). So is a write whose replica was killed
// before it was answered.
//
// # Without Redis
//
// Each replica answers from its front what was known to be good no more than 2 s ago,
// and not written to by itself since. All else passes through. A write renews its marks
// when Redis is back; until then replicas that do reach Redis may give what was before
// it, as long as that is fresh. The same holds for the last second before a Redis lost
// its memory and came back with an older one.
//
// # Walks
//
// The pages of a list have offsets of the gateway's own. A page is fetched when it is
// asked for first, by Airtable's offset, which is kept for 10 minutes; it is kept only
// if nothing was written since the walk began. A walk that goes on after a write, or
// when its pages are no longer fresh, gets its next page from Airtable. Where Airtable
// has forgotten the walk, the list is read again up to the place, which goes well if the
// same record ends the page before it; else the answer is Airtable's
// LIST_RECORDS_ITERATOR_NOT_AVAILABLE. A list that is too long to be kept passes
// through, with Airtable's offsets, and so do all lists of several pages without Redis.
//
// # Time
//
// An entry is fresh as long as the connection says. For as long again, a minute at the
// most, it is given while it is renewed in the background, and for an hour when Airtable
// fails, refuses or lets wait for more than 2 s. Entries with links to attachments,
// which Airtable lets expire after two hours, are fresh for 15 minutes and kept for 30.
package cache

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/ledger"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Options are what a Cache is made of.
type Options struct {
	Redis   goredis.UniversalClient
	Box     *seal.Box
	Log     *zap.Logger
	Metrics prometheus.Registerer
	Ledger  *ledger.Ledger // is told of calls that were saved
	Front   int64          // bytes in this process
	Site    int64          // bytes in Redis of one base
	Now     func() time.Time
}

// Cache keeps answers. It is safe for concurrent use; Run must be running.
type Cache struct {
	opts    Options
	end     context.CancelFunc
	marks   *marks
	store   *store
	flights *flights
	spare   chan struct{} // places for refreshes
	results map[string]prometheus.Counter
	dropped *prometheus.CounterVec

	mu     sync.Mutex
	unsure []unsure
}

// unsure is a write that may be executed yet, and when it is to drop once more.
type unsure struct {
	at    site
	parts []string
	due   time.Time
}

// unsureFor says when a write without an answer drops again, counted from when it was
// given up.
var unsureFor = []time.Duration{time.Second, 5 * time.Second, 20 * time.Second, 70 * time.Second}

// refreshes bounds those at the same time. Without a place an old answer is given all
// the same.
const refreshes = 64

// New registers its metrics.
func New(ctx context.Context, o Options) (*Cache, error) {
	front, err := otter.New(&otter.Options[key, *entry]{
		MaximumWeight: uint64(max(o.Front, 1)),
		Weigher:       func(_ key, e *entry) uint32 { return uint32(e.weight()) },
		Logger:        &otter.NoopLogger{},
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache's front: %w", err)
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "airtable_cache_requests_total", Help: "Reads of Airtable connections, by what the cache did.",
	}, []string{"result"})
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "airtable_cache_drops_total", Help: "Changes that made cached answers stale, by what they dropped.",
	}, []string{"part"})
	away := prometheus.NewGauge(prometheus.GaugeOpts{Name: "airtable_cache_without_redis", Help: "1 while this replica caches for itself."})
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "airtable_cache_front_bytes", Help: "What this process keeps."},
		func() float64 { return float64(front.WeightedSize()) })
	o.Metrics.MustRegister(requests, dropped, away, bytes)
	lives, end := context.WithCancel(context.WithoutCancel(ctx))
	m := &marks{rdb: o.Redis, log: o.Log, away: away, lives: lives, seq: map[site]uint64{}, owed: map[site]map[string]bool{}}
	c := &Cache{
		opts: o, end: end, marks: m, spare: make(chan struct{}, refreshes), dropped: dropped,
		store:   &store{front: front, rdb: o.Redis, box: o.Box, marks: m, most: o.Site},
		flights: &flights{lives: lives, now: map[question]*flight{}},
		results: map[string]prometheus.Counter{},
	}
	for _, state := range []string{hit, miss, stale, bypass} {
		c.results[state] = requests.WithLabelValues(lower(state))
	}
	return c, nil
}

// Run renews marks that could not be renewed when they had to, and those of writes
// without an answer, until ctx ends; then it ends what runs in the background.
func (c *Cache) Run(ctx context.Context) error {
	defer c.store.front.StopAllGoroutines()
	defer c.marks.rounds.Wait()
	defer c.flights.all.Wait()
	defer c.end()
	tick := time.NewTicker(retryRedis)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c.dropUnsure(ctx)
		if c.marks.owes() {
			asked, cancel := context.WithTimeout(ctx, answerLimit)
			c.marks.heard(c.marks.pay(asked))
			cancel()
		}
	}
}

// Of puts the cache in front of up, through which the connection reaches Airtable.
func (c *Cache) Of(up upstream.Upstream, conn models.Connection) upstream.Upstream {
	return door{c, up, conn, scopeOf(conn)}
}

// Drop makes stale what a change of the tables, made without the gateway, made stale at
// Airtable: they and those that show their cells. Without tables, or where one is not
// known, that is the whole base.
func (c *Cache) Drop(ctx context.Context, conn models.Connection, base string, tables ...string) {
	d := door{c, nil, conn, scopeOf(conn)}
	at := site{conn.APIURL, base}
	g := d.graph(ctx, at)
	var parts []string
	for _, table := range tables {
		if !g.knows(table) {
			parts = nil
			break
		}
		parts = append(parts, g.shownIn(table)...)
	}
	if len(parts) == 0 {
		parts = []string{whole}
	}
	c.drop(ctx, at, parts...)
}

func (c *Cache) drop(ctx context.Context, at site, parts ...string) {
	what := "tables"
	if len(parts) > 0 && parts[0] == whole {
		what = "base"
	}
	c.dropped.WithLabelValues(what).Inc()
	c.marks.drop(ctx, at, parts...)
}

// dropAgain has a write without an answer drop again later.
func (c *Cache) dropAgain(at site, parts []string) {
	now := c.opts.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range unsureFor {
		c.unsure = append(c.unsure, unsure{at, parts, now.Add(d)})
	}
}

// dropUnsure drops what is due.
func (c *Cache) dropUnsure(ctx context.Context) {
	now := c.opts.Now()
	c.mu.Lock()
	var due []unsure
	c.unsure = slices.DeleteFunc(c.unsure, func(u unsure) bool {
		if now.Before(u.due) {
			return false
		}
		due = append(due, u)
		return true
	})
	c.mu.Unlock()
	for _, u := range due {
		c.drop(ctx, u.at, u.parts...)
	}
}
