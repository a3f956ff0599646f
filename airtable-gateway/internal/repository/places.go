package repository

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Places keeps what workspace-service tells of bases: which of them are withheld, since
// they, or what they are in, are in the trash. Where there is no workspace-service none is.
//
// Events come in any order: what is older than what is known changes nothing.
type Places struct{ pool *pgxpool.Pool }

// NewPlaces returns the places in pool's database.
func NewPlaces(pool *pgxpool.Pool) *Places { return &Places{pool} }

// Withheld returns the ids of the tenant's bases that are in the trash.
func (r *Places) Withheld(ctx context.Context, tenant id.TenantID) (map[string]bool, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `SELECT base_id FROM withheld_bases WHERE tenant_id = $1`, tenant)
	if err != nil {
		return nil, fmt.Errorf("list withheld bases: %w", err)
	}
	out := map[string]bool{}
	var base string
	if _, err := pgx.ForEachRow(rows, []any{&base}, func() error {
		out[base] = true
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list withheld bases: %w", err)
	}
	return out, nil
}

// BasePlaced notes where a base is.
func (r *Places) BasePlaced(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.BasePlaced) error {
	return place(ctx, tx, e, d.BaseID, d.WorkspaceID, d.ProjectID, d.Status)
}

// BaseChanged notes how a base is.
func (r *Places) BaseChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.BaseChanged) error {
	return place(ctx, tx, e, d.BaseID, d.WorkspaceID, d.ProjectID, d.Status)
}

func place(ctx context.Context, tx pgx.Tx, e events.Event, base, workspace, project, status string) error {
	return note(ctx, tx, e, "note place of base", `
		INSERT INTO base_places AS p (tenant_id, base_id, workspace_id, project_id, trashed, version)
		SELECT $1, $2, nullif($3, '')::uuid, nullif($4, '')::uuid, $5, $6 WHERE`+notErased(`$1`)+`
		ON CONFLICT ON CONSTRAINT base_places_pkey DO UPDATE SET workspace_id = excluded.workspace_id, project_id = excluded.project_id,
			trashed = excluded.trashed, version = excluded.version
		WHERE p.version < excluded.version`, e.TenantID, base, workspace, project, status == workspaceapi.StatusTrashed, e.Version)
}

// WorkspaceChanged notes how a workspace is.
func (r *Places) WorkspaceChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.WorkspaceChanged) error {
	return shelve(ctx, tx, e, d.WorkspaceID, d.Status)
}

// ProjectChanged notes how a project is.
func (r *Places) ProjectChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.ProjectChanged) error {
	return shelve(ctx, tx, e, d.ProjectID, d.Status)
}

func shelve(ctx context.Context, tx pgx.Tx, e events.Event, key, status string) error {
	return note(ctx, tx, e, "note shelf", `
		INSERT INTO shelves AS s (tenant_id, id, trashed, version)
		SELECT $1, $2::uuid, $3, $4 WHERE`+notErased(`$1`)+`
		ON CONFLICT ON CONSTRAINT shelves_pkey DO UPDATE SET trashed = excluded.trashed, version = excluded.version
		WHERE s.version < excluded.version`, e.TenantID, key, status == workspaceapi.StatusTrashed, e.Version)
}

func note(ctx context.Context, tx pgx.Tx, e events.Event, doing, sql string, args ...any) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
