package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Entry is a change in the feed.
type Entry struct {
	Version int64
	At      time.Time
	Change  permissionapi.Change
}

// Changes returns up to limit changes after the version, in order. None that is committed
// later comes before one that was returned.
func (r *Repository) Changes(ctx context.Context, tenant id.TenantID, after int64, limit int) ([]Entry, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT version, at, change FROM changes WHERE tenant_id = $1 AND version > $2 ORDER BY version LIMIT $3`, tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Entry])
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	return list, nil
}
