package emulator

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
)

// IDs is the source of the ids that nobody chooses. What it gives depends on the
// seed and on how often an emulator was started on the database: a later start must
// not give out again what an earlier one has stored.
func IDs(ctx context.Context, pool *pgxpool.Pool, seed uint64) (*models.IDs, error) {
	if _, err := pool.Exec(ctx, `CREATE SEQUENCE IF NOT EXISTS emulator_starts`); err != nil {
		return nil, fmt.Errorf("count starts: %w", err)
	}
	var start int64
	if err := pool.QueryRow(ctx, `SELECT nextval('emulator_starts')`).Scan(&start); err != nil {
		return nil, fmt.Errorf("count starts: %w", err)
	}
	return models.SeededIDs(seed, uint64(start)), nil
}
