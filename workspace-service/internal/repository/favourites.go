package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// PutFavourite marks an object for the user, unless he has most favourites already. Again
// changes nothing.
func (r *Repository) PutFavourite(ctx context.Context, tenant id.TenantID, user id.UserID, kind, object string, now time.Time, most int) error {
	stored, err := exec(ctx, r.of(tenant), "mark favourite", `
		INSERT INTO favourites AS f (tenant_id, user_id, kind, object_id, marked_at)
		SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM favourites WHERE tenant_id = $1 AND user_id = $2) < $6
			OR EXISTS (SELECT FROM favourites WHERE tenant_id = $1 AND user_id = $2 AND kind = $3 AND object_id = $4)
		ON CONFLICT ON CONSTRAINT favourites_pkey DO UPDATE SET marked_at = f.marked_at`, tenant, user, kind, object, now, most)
	if err == nil && stored == 0 {
		return workspaceapi.ErrTooManyHere
	}
	return err
}

// DeleteFavourite unmarks an object.
func (r *Repository) DeleteFavourite(ctx context.Context, tenant id.TenantID, user id.UserID, kind, object string) error {
	_, err := exec(ctx, r.of(tenant), "unmark favourite", `DELETE FROM favourites WHERE tenant_id = $1 AND user_id = $2 AND kind = $3 AND object_id = $4`,
		tenant, user, kind, object)
	return err
}

// FavouriteKey is the key of a page of favourites.
type FavouriteKey struct {
	At     time.Time `json:"a"`
	Kind   string    `json:"k"`
	Object string    `json:"o"`
}

// Favourites returns up to limit of the user's favourites, newest first, those behind
// after. What is in the trash is left out.
func (r *Repository) Favourites(ctx context.Context, tenant id.TenantID, user id.UserID, after FavouriteKey, limit int) ([]models.Favourite, error) {
	return query(ctx, r.of(tenant), "list favourites", pgx.RowToStructByPos[models.Favourite], `
		SELECT f.kind, f.object_id, coalesce(w.name, p.name, b.name), coalesce(w.id, p.workspace_id, b.workspace_id), f.marked_at
		FROM favourites f
		LEFT JOIN workspaces w ON f.kind = 'workspace' AND w.tenant_id = f.tenant_id AND w.id::text = f.object_id AND w.trashed_at IS NULL
		LEFT JOIN projects p ON f.kind = 'project' AND p.tenant_id = f.tenant_id AND p.id::text = f.object_id AND p.trashed_at IS NULL
		LEFT JOIN bases b ON f.kind = 'base' AND b.tenant_id = f.tenant_id AND b.id = f.object_id AND b.workspace_id IS NOT NULL AND b.trashed_at IS NULL
		WHERE f.tenant_id = $1 AND f.user_id = $2 AND coalesce(w.name, p.name, b.name) IS NOT NULL
			AND ($4 = '' OR (f.marked_at, f.kind, f.object_id) < ($3, $4, $5))
		ORDER BY f.marked_at DESC, f.kind DESC, f.object_id DESC LIMIT $6`, tenant, user, after.At, after.Kind, after.Object, limit)
}
