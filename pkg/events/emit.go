package events

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// The advisory locks, per database.
const (
	// relayLock is held by the one active relay.
	relayLock int64 = 0x7079_6174_0002
	// sleepLock is held by the relay while it sleeps and must be woken.
	sleepLock int64 = 0x7079_6174_0003
)

const channel = "outbox"

// wake notifies the relay at commit, but only if it sleeps. A NOTIFY makes the
// commits of the whole cluster wait for each other, which a busy producer cannot
// afford and a busy relay does not need. Whoever gets the shared lock keeps it
// until its commit, and the relay does not fall asleep before: it sees the rows.
// Whoever does not get it, notifies.
const wake = `SELECT pg_notify('` + channel + `', '') WHERE NOT pg_try_advisory_xact_lock_shared($1)`

// Emit writes the events to the outbox in the caller's transaction: they are
// announced if it commits, and only then.
func Emit(ctx context.Context, tx pgx.Tx, evs ...Event) error {
	if len(evs) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	if err := Queue(batch, evs...); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("emit events: %w", err)
	}
	return nil
}

// Queue adds to batch what Emit would send, for who has more to send at once. The
// batch must be sent in a transaction, and the statements of Queue return no rows.
func Queue(batch *pgx.Batch, evs ...Event) error {
	for _, e := range evs {
		if err := e.check(); err != nil {
			return fmt.Errorf("emit %s: %w", e.Type, err)
		}
		if e.Stream == "" {
			return fmt.Errorf("emit %s: the type names no stream", e.Type)
		}
		body, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("emit %s: %w", e.Type, err)
		}
		eventID, err := id.Parse[id.Event](e.ID)
		if err != nil {
			return fmt.Errorf("emit %s: %w", e.Type, err)
		}
		batch.Queue(`INSERT INTO outbox (event_id, tenant_id, topic, event) VALUES ($1, $2, $3, $4)`,
			eventID, e.TenantID, topic(e.Stream, e.TenantID), json.RawMessage(body))
	}
	if len(evs) > 0 {
		batch.Queue(wake, sleepLock)
	}
	return nil
}
