package events

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Batches says how a consumer takes everything of some streams, many at a time.
type Batches struct {
	Streams  []string
	Size     int // of a batch at the most; 0 = 500
	Parallel int // batches at a time; 0 = 2
	// Apply runs in a transaction that is committed together with the notes that the
	// events were applied; each event is given once. An error leaves nothing of the
	// batch: then each of its events is tried alone, so that one that cannot be applied
	// keeps no other from it.
	Apply func(ctx context.Context, tx pgx.Tx, list []Event) error
}

const (
	defaultBatch    = 500
	defaultParallel = 2
	// anyType labels the metrics of batches, whose types are not known beforehand.
	anyType = "any"
)

// OnBatches makes the consumer take every event of the streams, of whatever type, in
// batches. It is called once, before Run, on a consumer without other handlers; anything
// else is a programming error, and OnBatches panics.
func (c *Consumer) OnBatches(b Batches) {
	if len(c.handlers) > 0 || c.batches != nil || len(b.Streams) == 0 || b.Apply == nil {
		panic("events: batches beside other handlers, or of nothing")
	}
	if b.Size <= 0 {
		b.Size = defaultBatch
	}
	if b.Parallel <= 0 {
		b.Parallel = defaultParallel
	}
	c.batches = &b
}

// handlerOf finds who applies an event of the type.
func (c *Consumer) handlerOf(kind string) (h handler, label string, known bool) {
	if c.batches != nil {
		return handler{run: func(ctx context.Context, tx pgx.Tx, e Event) error {
			return c.batches.Apply(ctx, tx, []Event{e})
		}}, anyType, true
	}
	h, known = c.handlers[kind]
	if !known {
		return h, "other", false // types come from outside: a metric must not grow with them
	}
	return h, kind, true
}

// startBatches hands the deliveries out in batches, each as soon as there is a slot.
func (r *reader) startBatches(ctx context.Context, running *sync.WaitGroup, all []delivery) {
	for list := range slices.Chunk(all, r.batches.Size) {
		if !r.slot(ctx) {
			for _, d := range list {
				r.handBack(ctx, d, d.try-1, 0)
				r.done(d)
			}
			continue
		}
		running.Go(func() {
			defer func() { <-r.slots }()
			r.handleBatch(context.WithoutCancel(ctx), list)
			for _, d := range list {
				r.done(d)
			}
		})
	}
}

// handleBatch applies a batch and acknowledges it, or else treats its events one by one.
func (r *reader) handleBatch(ctx context.Context, list []delivery) {
	evs := make([]Event, 0, len(list))
	for _, d := range list {
		e, _, err := parse(d.topic, d.msg)
		if err != nil || d.try > maxTries {
			break
		}
		evs = append(evs, e)
	}
	if len(evs) == len(list) && len(list) > 1 {
		start := time.Now()
		n, err := r.applyBatch(ctx, evs)
		r.m.seconds.WithLabelValues(anyType).Observe(time.Since(start).Seconds())
		if err == nil {
			r.m.consumed.WithLabelValues(anyType, applied).Add(float64(n))
			r.m.consumed.WithLabelValues(anyType, duplicate).Add(float64(len(list) - n))
			r.ackBatch(ctx, list)
			return
		}
		r.log.Warn("a batch of events failed; trying each alone", zap.Int("events", len(list)), zap.Error(err))
		if blameless(err) {
			for _, d := range list {
				r.m.consumed.WithLabelValues(anyType, postponed).Inc()
				r.handBack(ctx, d, d.try-1, awayPause)
			}
			return
		}
	}
	for _, d := range list {
		r.handle(ctx, d)
	}
}

// applyBatch returns how many of the events had not been applied, or given up, before.
// The notes are taken in the order of the ids: two replicas with the same events do not
// wait for each other.
func (c *Consumer) applyBatch(ctx context.Context, evs []Event) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.HandlerTimeout)
	defer cancel()
	err = postgres.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		ids := make([]string, len(evs))
		for i, e := range evs {
			ids[i] = e.ID
		}
		rows, err := tx.Query(ctx, `
			INSERT INTO inbox (consumer, event_id)
			SELECT $1::text, e FROM (SELECT DISTINCT e FROM unnest($2::uuid[]) e) ids
			WHERE NOT EXISTS (SELECT FROM dead_events
				WHERE consumer = $1 AND event_id = e::text AND replayed_at IS NULL)
			ORDER BY e
			ON CONFLICT ON CONSTRAINT inbox_pkey DO NOTHING RETURNING event_id::text`, c.service, ids)
		if err != nil {
			return fmt.Errorf("note events: %w", err)
		}
		fresh := make(map[string]bool, len(evs))
		var eventID string
		if _, err := pgx.ForEachRow(rows, []any{&eventID}, func() error { fresh[eventID] = true; return nil }); err != nil {
			return fmt.Errorf("note events: %w", err)
		}
		once := evs[:0:0]
		for _, e := range evs {
			if key := strings.ToLower(e.ID); fresh[key] { // as PostgreSQL writes it
				delete(fresh, key)
				once = append(once, e)
			}
		}
		if n = len(once); n == 0 {
			return nil
		}
		if err := c.callBatch(ctx, tx, once); err != nil {
			return handlerError{err, tx.Conn().IsClosed() && ctx.Err() == nil}
		}
		return nil
	})
	return n, err
}

// callBatch runs the handler; a panic is its error.
func (c *Consumer) callBatch(ctx context.Context, tx pgx.Tx, evs []Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return c.batches.Apply(ctx, tx, evs)
}

func (r *reader) ackBatch(ctx context.Context, list []delivery) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	byTopic := map[string][]string{}
	for _, d := range list {
		byTopic[d.topic] = append(byTopic[d.topic], d.msg.ID)
	}
	var failures []error
	for name, ids := range byTopic {
		failures = append(failures, r.rdb.XAck(ctx, streamKey(name), r.service, ids...).Err())
	}
	if err := errors.Join(failures...); err != nil {
		// They are delivered again, and the inbox knows them.
		r.log.Warn("events were not acknowledged", zap.Error(err))
	}
}
