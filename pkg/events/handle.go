package events

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// awayPause is how long a delivery waits when the database is away. It is no
// failed try.
const awayPause = time.Second

// handle applies a delivery and tells Redis what became of it. A stop does not
// interrupt it.
func (r *reader) handle(ctx context.Context, d delivery) {
	ctx = context.WithoutCancel(ctx)
	e, raw, err := parse(d.topic, d.msg)
	h, label, known := r.handlerOf(e.Type)
	outcome := ignored
	if err == nil && d.try > maxTries {
		err = malformed{fmt.Errorf("delivered %d times without an outcome: it may have ended the process", d.try)}
	}
	if err == nil && known {
		start := time.Now()
		outcome, err = r.apply(e.causeContext(ctx), h, e)
		r.m.seconds.WithLabelValues(label).Observe(time.Since(start).Seconds())
	}
	if err != nil {
		outcome = r.fail(ctx, d, e, raw, err)
	}
	r.m.consumed.WithLabelValues(label, outcome).Inc()
	if outcome == dead {
		r.m.dead.WithLabelValues(label).Inc()
	}
	if outcome == failed || outcome == postponed {
		return
	}
	actx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if err := r.rdb.XAck(actx, streamKey(d.topic), r.service, d.msg.ID).Err(); err != nil {
		// It is delivered again, and the inbox knows it.
		r.log.Warn("event was not acknowledged", zap.String("event", e.ID), zap.Error(err))
	}
}

// apply runs the handler unless the event has been applied, or given up, before.
func (c *Consumer) apply(ctx context.Context, h handler, e Event) (outcome string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.HandlerTimeout)
	defer cancel()
	outcome = applied
	err = postgres.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO inbox (consumer, event_id)
			SELECT $1::text, $2::uuid WHERE NOT EXISTS (SELECT FROM dead_events
				WHERE consumer = $1 AND event_id = $2::uuid::text AND replayed_at IS NULL)
			ON CONFLICT ON CONSTRAINT inbox_pkey DO NOTHING`, c.service, e.ID)
		if err != nil {
			return fmt.Errorf("note event: %w", err)
		}
		if tag.RowsAffected() == 0 {
			outcome = duplicate
			return nil
		}
		if err := call(ctx, h, tx, e); err != nil {
			return handlerError{err, tx.Conn().IsClosed() && ctx.Err() == nil}
		}
		return nil
	})
	return outcome, err
}

// call runs the handler; a panic is its error.
func call(ctx context.Context, h handler, tx pgx.Tx, e Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return h.run(ctx, tx, e)
}

// handlerError is what a handler returned.
type handlerError struct {
	error
	disconnected bool // the database went away under it
}

func (h handlerError) Unwrap() error { return h.error }

// blameless reports whether an error says nothing about the event: the database
// was away. Such an event is tried for as long as it takes, since giving up
// would bury everything that happens during an outage.
func blameless(err error) bool {
	var bad malformed
	if errors.As(err, &bad) {
		return false
	}
	var h handlerError
	fromHandler := errors.As(err, &h)
	if fromHandler && h.disconnected {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "58": // connection, resources, shutdown, system
			return pg.Code != "57014" // a query that was cancelled for its length is the handler's
		}
		return false
	}
	return !fromHandler
}

// fail decides what becomes of a delivery that was not applied.
func (r *reader) fail(ctx context.Context, d delivery, e Event, raw []byte, err error) string {
	log := r.log.With(zap.String("event", e.ID), zap.String("type", e.Type), zap.Int("try", d.try), zap.Error(err))
	if blameless(err) {
		log.Warn("event is postponed: the database is away")
		r.handBack(ctx, d, d.try-1, awayPause)
		return postponed
	}
	var bad malformed
	if d.try < maxTries && !errors.As(err, &bad) {
		log.Warn("event failed")
		r.handBack(ctx, d, d.try, r.o.Backoff(d.try))
		return failed
	}
	if err := r.bury(ctx, d, e, raw, err); err != nil {
		log.Warn("dead event was not stored", zap.NamedError("cause", err))
		r.handBack(ctx, d, d.try-1, awayPause)
		return postponed
	}
	log.Error("event is given up; see dead_events")
	return dead
}
