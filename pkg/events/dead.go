package events

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// DeadEvent is an event that a consumer has given up.
type DeadEvent struct {
	ID       int64
	EventID  string // or, for what is no event, the topic and the entry's id
	TenantID id.TenantID
	Type     string
	Topic    string
	Event    []byte // the envelope as it came
	Error    string // of the last try
	Attempts int
	DiedAt   time.Time
}

// bury stores what was given up. An event that dies again after a replay opens
// its row again.
func (c *Consumer) bury(ctx context.Context, d delivery, e Event, raw []byte, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.HandlerTimeout)
	defer cancel()
	eventID := e.ID
	if e.check() != nil {
		eventID = d.topic + "/" + d.msg.ID
	}
	if raw == nil {
		raw = []byte{}
	}
	_, err := c.pool.Exec(ctx, `
		INSERT INTO dead_events (consumer, event_id, tenant_id, type, topic, event, error, attempts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT ON CONSTRAINT dead_events_event_key DO UPDATE SET
			error = excluded.error, attempts = excluded.attempts, died_at = now(), replayed_at = NULL`,
		c.service, eventID, e.TenantID, clean(e.Type), d.topic, raw, clean(cause.Error()), d.try)
	if err != nil {
		return fmt.Errorf("insert dead event: %w", err)
	}
	return nil
}

// clean makes text that PostgreSQL stores.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Dead returns the consumer's dead events that were not replayed, oldest first:
// at most limit of them, those with an ID above after. It is for operators and
// spans all tenants.
func (c *Consumer) Dead(ctx context.Context, after int64, limit int) ([]DeadEvent, error) {
	rows, err := c.pool.Query(ctx, `
		SELECT id, event_id, tenant_id, type, topic, event, error, attempts, died_at FROM dead_events
		WHERE consumer = $1 AND replayed_at IS NULL AND id > $2 ORDER BY id LIMIT $3`, c.service, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list dead events: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DeadEvent])
	if err != nil {
		return nil, fmt.Errorf("list dead events: %w", err)
	}
	return list, nil
}

// Replay applies a dead event now, once, and closes its row in the same
// transaction. It returns errs.ErrNotFound if there is no such row open, and the
// handler's error, with everything as before, if it fails again.
func (c *Consumer) Replay(ctx context.Context, deadID int64) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.HandlerTimeout)
	defer cancel()
	return postgres.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		var raw []byte
		var name string
		err := tx.QueryRow(ctx, `SELECT event, topic FROM dead_events
			WHERE consumer = $1 AND id = $2 AND replayed_at IS NULL FOR UPDATE`, c.service, deadID).Scan(&raw, &name)
		if err != nil {
			return postgres.NotFound(err)
		}
		if _, err := tx.Exec(ctx, `UPDATE dead_events SET replayed_at = now() WHERE id = $1`, deadID); err != nil {
			return fmt.Errorf("close dead event: %w", err)
		}
		var e Event
		if err := json.Unmarshal(raw, &e); err != nil {
			return errNotReplayable.Because(err)
		}
		e.Stream = streamOf(name)
		h, _, known := c.handlerOf(e.Type)
		if err := e.check(); err != nil || !known {
			return errNotReplayable.Because(err)
		}
		tag, err := tx.Exec(ctx, `INSERT INTO inbox (consumer, event_id) VALUES ($1, $2::uuid)
			ON CONFLICT ON CONSTRAINT inbox_pkey DO NOTHING`, c.service, e.ID)
		if err != nil {
			return fmt.Errorf("note event: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil // applied in the meantime: there is nothing left to do
		}
		return call(e.causeContext(ctx), h, tx, e)
	})
}

var errNotReplayable = errs.New(errs.Conflict, "event_not_replayable", "The event cannot be read by this service.")
