package events

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// ConsumerOptions tune a Consumer; the zero value is right.
type ConsumerOptions struct {
	Log            *zap.Logger
	Metrics        prometheus.Registerer
	Concurrency    int                         // handlers at a time; 0 = 16
	HandlerTimeout time.Duration               // for one try; 0 = 10 s: long work is a job
	ClaimAfter     time.Duration               // after which a delivery counts as abandoned; 0 = twice HandlerTimeout, which it must exceed
	Backoff        func(try int) time.Duration // pause after the given failed try, at most ClaimAfter; nil = 1, 2, 4 ... s
}

const (
	defaultConcurrency    = 16
	defaultHandlerTimeout = 10 * time.Second
	// maxTries is after how many failures an event is given up.
	maxTries = 8
	// blockFor is how long a read waits in Redis; a stop takes as long.
	blockFor     = 500 * time.Millisecond
	minBlock     = 5 * time.Millisecond
	lagEvery     = 15 * time.Second
	inboxEvery   = 10 * time.Minute
	idleConsumer = 24 * time.Hour
	// inboxRetention must exceed the time in which an event can be delivered
	// again: that of the outbox plus that of an unread stream.
	inboxRetention = 14 * 24 * time.Hour
)

// Consumer runs a service's handlers for the events of other services.
type Consumer struct {
	service  string // the consumer group
	name     string // of this replica in the group
	pool     *pgxpool.Pool
	rdb      redis.UniversalClient
	o        ConsumerOptions
	log      *zap.Logger
	m        consumerMetrics
	handlers map[string]handler // by type
	batches  *Batches           // in the place of handlers
}

type handler struct {
	stream string
	run    func(ctx context.Context, tx pgx.Tx, e Event) error
}

// NewConsumer returns a consumer that reads as the group of the service. Any
// number of replicas share the work. Register handlers by On, then call Run.
func NewConsumer(service string, pool *pgxpool.Pool, rdb redis.UniversalClient, o ConsumerOptions) *Consumer {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.HandlerTimeout <= 0 {
		o.HandlerTimeout = defaultHandlerTimeout
	}
	if o.ClaimAfter <= 0 {
		o.ClaimAfter = 2 * o.HandlerTimeout
	}
	if o.Backoff == nil {
		o.Backoff = exponential
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Consumer{
		service: service, name: host + "-" + id.New[Consumer]().String(), pool: pool, rdb: rdb, o: o,
		log: o.Log.Named("consumer"), m: newConsumerMetrics(o.Metrics), handlers: map[string]handler{},
	}
}

// exponential is 1, 2, 4 ... 64 s, up to a quarter more or less, so that what
// failed together is not tried together.
func exponential(try int) time.Duration {
	d := time.Second << min(try-1, 6)
	return d + time.Duration((rand.Float64()-0.5)/2*float64(d))
}

// On registers the handler of a type. fn runs in a transaction that is committed
// together with the note that the event was applied; if fn returns an error,
// nothing of it remains and it runs again, up to 8 times. What fn does outside
// tx may happen more than once. Call it before Run; a second handler for a type
// is a programming error, and On panics.
func On[D any](c *Consumer, t Type[D], fn func(ctx context.Context, tx pgx.Tx, e Event, d D) error) {
	if _, taken := c.handlers[t.Name]; taken || c.batches != nil || t.Name == "" || t.Stream == "" {
		panic(fmt.Sprintf("events: handler for type %q on stream %q: no name, no stream, a second one, or one beside batches", t.Name, t.Stream))
	}
	c.handlers[t.Name] = handler{stream: t.Stream, run: func(ctx context.Context, tx pgx.Tx, e Event) error {
		d, err := t.Decode(e)
		if err != nil {
			return malformed{err}
		}
		return fn(ctx, tx, e, d)
	}}
}

// malformed marks an event that no try can mend.
type malformed struct{ error }

func (m malformed) Unwrap() error { return m.error }

// Run consumes until ctx ends, finishes the handlers in hand, and returns nil.
// It outlives every outage of PostgreSQL and Redis, and creates its groups again
// when Redis has lost them.
func (c *Consumer) Run(ctx context.Context) error {
	var streams []string
	for _, h := range c.handlers {
		streams = append(streams, h.stream)
	}
	if c.batches != nil {
		streams = slices.Clone(c.batches.Streams)
	}
	slices.Sort(streams)
	streams = slices.Compact(streams)
	if len(streams) == 0 {
		<-ctx.Done()
		return nil
	}
	var all []string
	for _, s := range streams {
		all = append(all, topics(s)...)
	}
	var wg sync.WaitGroup
	for _, r := range c.readers(all) {
		wg.Go(func() { r.run(ctx) })
	}
	wg.Go(func() { c.measure(ctx, streams) })
	wg.Go(func() { c.sweepInbox(ctx) })
	wg.Wait()
	return nil
}

// readers divides the topics: one read can wait for many streams of a server,
// but not across the nodes of a cluster.
func (c *Consumer) readers(all []string) []*reader {
	parallel, least := c.o.Concurrency, 2
	if c.batches != nil {
		parallel, least = c.batches.Parallel, 1
	}
	if _, cluster := c.rdb.(*redis.ClusterClient); !cluster {
		return []*reader{newReader(c, all, parallel)}
	}
	var list []*reader
	for _, name := range all {
		list = append(list, newReader(c, []string{name}, max(least, parallel/len(all))))
	}
	return list
}

// measure reports how far behind the group is.
func (c *Consumer) measure(ctx context.Context, streams []string) {
	for pause(ctx, lagEvery) {
		for _, s := range streams {
			var behind float64
			for _, name := range topics(s) {
				groups, err := c.rdb.XInfoGroups(ctx, streamKey(name)).Result()
				if err != nil {
					continue // away or not there yet: the reader says so
				}
				for _, g := range groups {
					if g.Name == c.service {
						behind += float64(max(g.Lag, 0) + g.Pending)
					}
				}
			}
			c.m.lag.WithLabelValues(s).Set(behind)
		}
	}
}

// sweepInbox deletes the notes of events that can no longer be delivered again.
func (c *Consumer) sweepInbox(ctx context.Context) {
	for pause(ctx, inboxEvery) {
		_, err := c.pool.Exec(ctx, `DELETE FROM inbox WHERE applied_at < now() - $1::interval`, inboxRetention)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("inbox was not swept", zap.Error(err))
		}
	}
}

// parse reads the envelope of a stream entry.
func parse(name string, msg redis.XMessage) (Event, []byte, error) {
	text, ok := msg.Values[field].(string)
	if !ok {
		return Event{}, nil, malformed{fmt.Errorf("entry %s has no field %q", msg.ID, field)}
	}
	var e Event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return e, []byte(text), malformed{fmt.Errorf("decode envelope: %w", err)}
	}
	e.Stream = streamOf(name)
	if err := e.check(); err != nil {
		return e, []byte(text), malformed{err}
	}
	return e, []byte(text), nil
}
