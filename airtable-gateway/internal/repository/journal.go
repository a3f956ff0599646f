package repository

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Journal takes the events of what was done elsewhere than in this database.
type Journal struct{ pool *pgxpool.Pool }

// NewJournal returns the journal in pool's database.
func NewJournal(pool *pgxpool.Pool) *Journal { return &Journal{pool} }

// Announce puts the events into the outbox, all or none. Doing so again with the same
// events changes nothing.
func (r *Journal) Announce(ctx context.Context, evs []events.Event) error {
	err := postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error { return events.Emit(ctx, tx, evs...) })
	if postgres.IsUnique(err, "outbox_event_id_key") {
		return nil // a commit whose answer was lost
	}
	return err
}
