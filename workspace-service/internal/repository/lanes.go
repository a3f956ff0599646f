package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// lane is a list whose items have an order. Positions are unique in it and leave gaps, so that putting an
// item elsewhere changes that item alone; when a gap is used up, all are spread again.
// Whoever changes a lane holds its lock: two who do it at once do it one after the other.
type lane struct {
	table, where string // where selects the items by $1, $2
	args         []any
}

const gap = 1 << 20

func workspacesOf(tenant id.TenantID) lane {
	return lane{"workspaces", "tenant_id = $1 AND $2::uuid IS NULL", []any{tenant, nil}}
}

func projectsOf(tenant id.TenantID, w models.WorkspaceID) lane {
	return lane{"projects", "tenant_id = $1 AND workspace_id = $2", []any{tenant, w}}
}

func basesOf(tenant id.TenantID, w models.WorkspaceID) lane {
	return lane{"bases", "tenant_id = $1 AND workspace_id = $2", []any{tenant, w}}
}

// behind is the position behind the last item, and how many there are.
func (l lane) behind(ctx context.Context, tx pgx.Tx) (position int64, count int, err error) {
	err = tx.QueryRow(ctx, `SELECT coalesce(max(position), 0), count(*) FROM `+l.table+` WHERE `+l.where, l.args...).Scan(&position, &count)
	if err != nil {
		return 0, 0, fmt.Errorf("measure %s: %w", l.table, err)
	}
	return position + gap, count, nil
}

// after is the position for item behind the other one, or before all for "". It returns
// workspaceapi.ErrNoSibling if the lane has no such other item.
func (l lane) after(ctx context.Context, tx pgx.Tx, item, other string) (int64, error) {
	if item == other {
		return 0, workspaceapi.ErrNoSibling
	}
	for range 2 {
		position, ok, err := l.between(ctx, tx, item, other)
		if err != nil || ok {
			return position, err
		}
		if err := l.spread(ctx, tx); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("order %s: no gap after spreading", l.table)
}

// between looks for a place behind other; false if it has to be made.
func (l lane) between(ctx context.Context, tx pgx.Tx, item, other string) (int64, bool, error) {
	var low int64
	if other != "" {
		err := tx.QueryRow(ctx, `SELECT position FROM `+l.table+` WHERE `+l.where+` AND id::text = $3`, slices.Concat(l.args, []any{other})...).Scan(&low)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, false, workspaceapi.ErrNoSibling
		}
		if err != nil {
			return 0, false, fmt.Errorf("find sibling: %w", err)
		}
	}
	var high int64
	err := tx.QueryRow(ctx, `
		SELECT position FROM `+l.table+` WHERE `+l.where+` AND id::text <> $3 AND position > $4 ORDER BY position LIMIT 1`,
		slices.Concat(l.args, []any{item, low})...).Scan(&high)
	if errors.Is(err, pgx.ErrNoRows) {
		return low + gap, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("find next sibling: %w", err)
	}
	return low + (high-low)/2, high-low > 1, nil
}

// spread makes all gaps even; the order stays.
func (l lane) spread(ctx context.Context, tx pgx.Tx) error {
	if _, err := exec(ctx, tx, "lock "+l.table, `SELECT FROM `+l.table+` WHERE `+l.where+` ORDER BY id FOR UPDATE`, l.args...); err != nil {
		return err
	}
	_, err := exec(ctx, tx, "spread "+l.table, `
		UPDATE `+l.table+` SET position = spread.n * `+fmt.Sprint(gap)+`
		FROM (SELECT id AS item, row_number() OVER (ORDER BY position, id) AS n FROM `+l.table+` WHERE `+l.where+`) spread
		WHERE `+l.where+` AND id = spread.item`, l.args...)
	return err
}
