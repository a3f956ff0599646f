package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Connections keeps the connections of tenants, and which bases each of them
// offered when it was asked last. A tenant that was deleted has none from then on.
type Connections struct{ pool *pgxpool.Pool }

// NewConnections returns the connections in pool's database.
func NewConnections(pool *pgxpool.Pool) *Connections { return &Connections{pool} }

// MostConnections is how many connections a tenant may have: a base is looked for
// in all of them.
const MostConnections = 100

// ErrTooManyConnections says that the tenant has MostConnections already.
var ErrTooManyConnections = errors.New("the tenant has as many connections as it may")

// ErrLocalExists says that the tenant has a local connection already.
var ErrLocalExists = errors.New("the tenant has a local connection")

const connectionColumns = `c.tenant_id, c.id, c.name, c.kind, c.api_url, c.token, c.status, c.version,
	c.checked_at, c.created_at, c.updated_at, c.freshness, c.stable_attachments, c.before_images, c.watch_changes`

// scanConnection reads connectionColumns, and into further what follows them.
func scanConnection(row pgx.CollectableRow, further ...any) (models.Connection, error) {
	var c models.Connection
	var checked *time.Time
	var seconds int
	into := []any{&c.Tenant, &c.ID, &c.Name, &c.Kind, &c.APIURL, &c.Token, &c.Status, &c.Version,
		&checked, &c.CreatedAt, &c.UpdatedAt, &seconds, &c.Settings.StableAttachments, &c.Settings.BeforeImages, &c.Settings.Watch}
	err := row.Scan(append(into, further...)...)
	if checked != nil {
		c.CheckedAt = *checked
	}
	c.Settings.Freshness = time.Duration(seconds) * time.Second
	return c, err
}

func asConnection(row pgx.CollectableRow) (models.Connection, error) { return scanConnection(row) }

// CreateConnection stores c with its events. It returns ErrLocalExists for a
// second local connection, ErrTooManyConnections, and errs.ErrForbidden for a tenant that
// was deleted.
func (r *Connections) CreateConnection(ctx context.Context, c models.Connection, announced ...events.Event) error {
	return postgres.InTenant(ctx, r.pool, c.Tenant, func(tx pgx.Tx) error {
		if err := mustLive(ctx, tx, c.Tenant); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO connections (tenant_id, id, name, kind, api_url, token, status, version, checked_at,
				created_at, updated_at, freshness, stable_attachments, before_images, watch_changes)
			SELECT $1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
			WHERE (SELECT count(*) FROM connections WHERE tenant_id = $1) < $16`,
			c.Tenant, c.ID, c.Name, c.Kind, c.APIURL, c.Token, c.Status, c.Version,
			nullable(c.CheckedAt), c.CreatedAt, c.UpdatedAt,
			seconds(c.Settings.Freshness), c.Settings.StableAttachments, c.Settings.BeforeImages, c.Settings.Watch, MostConnections)
		if postgres.IsUnique(err, "connections_local_key") {
			return ErrLocalExists
		}
		if err != nil {
			return fmt.Errorf("insert connection: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return ErrTooManyConnections
		}
		return events.Emit(ctx, tx, announced...)
	})
}

// Connection returns errs.ErrNotFound if the tenant has no such connection.
func (r *Connections) Connection(ctx context.Context, tenant id.TenantID, key models.ConnectionID) (models.Connection, error) {
	return one(ctx, postgres.ForTenant(r.pool, tenant), `
		SELECT `+connectionColumns+` FROM connections c WHERE tenant_id = $1 AND id = $2 AND`+notErased(`c.tenant_id`), tenant, key)
}

// LocalConnection returns errs.ErrNotFound if the tenant has none.
func (r *Connections) LocalConnection(ctx context.Context, tenant id.TenantID) (models.Connection, error) {
	return one(ctx, postgres.ForTenant(r.pool, tenant), `
		SELECT `+connectionColumns+` FROM connections c WHERE tenant_id = $1 AND kind = 'local' AND`+notErased(`c.tenant_id`), tenant)
}

func one(ctx context.Context, q postgres.Querier, sql string, args ...any) (models.Connection, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return models.Connection{}, fmt.Errorf("select connection: %w", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, asConnection)
	if err = postgres.NotFound(err); err != nil {
		return models.Connection{}, fmt.Errorf("select connection: %w", err)
	}
	return c, nil
}

// Connections lists at most limit connections of the tenant, the oldest first,
// that were made after the given one (zero: from the first).
func (r *Connections) Connections(ctx context.Context, tenant id.TenantID, after models.ConnectionID, limit int) ([]models.Connection, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT `+connectionColumns+` FROM connections c
		WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id > $2) AND`+notErased(`c.tenant_id`)+`
		ORDER BY id LIMIT $3`, tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	list, err := pgx.CollectRows(rows, asConnection)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return list, nil
}

// UpdateConnection applies change to the connection under its row lock and stores
// the result, with its version raised, together with the events that change
// returns. With ifVersion above 0 it returns errs.ErrPreconditionFailed when the
// connection has another version, and errs.ErrNotFound if the tenant has none.
func (r *Connections) UpdateConnection(ctx context.Context, tenant id.TenantID, key models.ConnectionID, ifVersion int64,
	change func(*models.Connection) ([]events.Event, error),
) (models.Connection, error) {
	var c models.Connection
	err := postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) (err error) {
		if c, err = lock(ctx, tx, tenant, key, ifVersion); err != nil {
			return err
		}
		c.Version++
		announced, err := change(&c)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE connections SET name = $3, api_url = $4, token = $5, status = $6, version = $7,
				checked_at = $8, updated_at = $9, freshness = $10, stable_attachments = $11, before_images = $12, watch_changes = $13
			WHERE tenant_id = $1 AND id = $2`,
			tenant, key, c.Name, c.APIURL, c.Token, c.Status, c.Version, nullable(c.CheckedAt), c.UpdatedAt,
			seconds(c.Settings.Freshness), c.Settings.StableAttachments, c.Settings.BeforeImages, c.Settings.Watch)
		if err != nil {
			return fmt.Errorf("update connection: %w", err)
		}
		return events.Emit(ctx, tx, announced...)
	})
	return c, err
}

// DeleteConnection removes a connection, and what is remembered of its bases,
// under the same conditions as UpdateConnection. What leave adds to the transaction is
// done before.
func (r *Connections) DeleteConnection(ctx context.Context, tenant id.TenantID, key models.ConnectionID, ifVersion int64,
	leave func(pgx.Tx, models.Connection) ([]events.Event, error),
) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		c, err := lock(ctx, tx, tenant, key, ifVersion)
		if err != nil {
			return err
		}
		announced, err := leave(tx, c)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM connections WHERE tenant_id = $1 AND id = $2`, tenant, key); err != nil {
			return fmt.Errorf("delete connection: %w", err)
		}
		return events.Emit(ctx, tx, announced...)
	})
}

func lock(ctx context.Context, tx pgx.Tx, tenant id.TenantID, key models.ConnectionID, ifVersion int64) (models.Connection, error) {
	c, err := one(ctx, tx, `
		SELECT `+connectionColumns+` FROM connections c WHERE tenant_id = $1 AND id = $2 AND`+notErased(`c.tenant_id`)+` FOR UPDATE`, tenant, key)
	if err == nil && ifVersion > 0 && c.Version != ifVersion {
		return c, errs.ErrPreconditionFailed
	}
	return c, err
}

// NoteStatus records what the upstream said to the token. It is no change of the
// connection itself: the version stays.
func (r *Connections) NoteStatus(ctx context.Context, c models.Connection, status models.ConnectionStatus, now time.Time) error {
	_, err := postgres.ForTenant(r.pool, c.Tenant).Exec(ctx, `
		UPDATE connections SET status = $4, checked_at = $5
		WHERE tenant_id = $1 AND id = $2 AND version = $3`, c.Tenant, c.ID, c.Version, status, now)
	if err != nil {
		return fmt.Errorf("note status of connection: %w", err)
	}
	return nil
}

// ClaimRead reports whether the caller is to read the connection's bases now: of
// all callers, one may in each interval.
func (r *Connections) ClaimRead(ctx context.Context, c models.Connection, now time.Time, interval time.Duration) (bool, error) {
	tag, err := postgres.ForTenant(r.pool, c.Tenant).Exec(ctx, `
		UPDATE connections SET read_at = $3
		WHERE tenant_id = $1 AND id = $2 AND (read_at IS NULL OR read_at <= $4)`,
		c.Tenant, c.ID, now, now.Add(-interval))
	if err != nil {
		return false, fmt.Errorf("claim reading of bases: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// SaveBases replaces what is remembered of the connection's bases.
func (r *Connections) SaveBases(ctx context.Context, c models.Connection, bases []models.OfferedBase) error {
	ids, names, levels := make([]string, len(bases)), make([]string, len(bases)), make([]string, len(bases))
	for i, b := range bases {
		ids[i], names[i], levels[i] = b.ID, b.Name, b.PermissionLevel
	}
	return postgres.InTenant(ctx, r.pool, c.Tenant, func(tx pgx.Tx) error {
		// A connection that was deleted meanwhile remembers nothing; the lock also
		// keeps two savings of one connection apart.
		_, err := lock(ctx, tx, c.Tenant, c.ID, 0)
		if errors.Is(err, errs.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			DELETE FROM connection_bases WHERE tenant_id = $1 AND connection_id = $2 AND base_id <> ALL ($3)`,
			c.Tenant, c.ID, ids)
		if err != nil {
			return fmt.Errorf("forget bases: %w", err)
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO connection_bases (tenant_id, connection_id, base_id, name, permission_level)
			SELECT DISTINCT ON (base_id) $1::uuid, $2::uuid, base_id, name, level
			FROM unnest($3::text[], $4::text[], $5::text[]) AS b (base_id, name, level)
			ON CONFLICT ON CONSTRAINT connection_bases_pkey DO UPDATE
			SET name = excluded.name, permission_level = excluded.permission_level
			WHERE (connection_bases.name, connection_bases.permission_level) IS DISTINCT FROM (excluded.name, excluded.permission_level)`,
			c.Tenant, c.ID, ids, names, levels)
		if err != nil {
			return fmt.Errorf("remember bases: %w", err)
		}
		return nil
	})
}

// AddBase remembers one more base of the connection.
func (r *Connections) AddBase(ctx context.Context, c models.Connection, b models.OfferedBase) error {
	_, err := postgres.ForTenant(r.pool, c.Tenant).Exec(ctx, `
		INSERT INTO connection_bases (tenant_id, connection_id, base_id, name, permission_level)
		VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT ON CONSTRAINT connection_bases_pkey DO UPDATE
		SET name = excluded.name, permission_level = excluded.permission_level`,
		c.Tenant, c.ID, b.ID, b.Name, b.PermissionLevel)
	if err != nil {
		return fmt.Errorf("remember base: %w", err)
	}
	return nil
}

// Bases returns what is remembered of the connection's bases.
func (r *Connections) Bases(ctx context.Context, c models.Connection) ([]models.OfferedBase, error) {
	rows, err := postgres.ForTenant(r.pool, c.Tenant).Query(ctx, `
		SELECT connection_id, base_id, name, permission_level FROM connection_bases
		WHERE tenant_id = $1 AND connection_id = $2 ORDER BY base_id`, c.Tenant, c.ID)
	if err != nil {
		return nil, fmt.Errorf("list bases: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b models.OfferedBase, err error) {
		return b, row.Scan(&b.Connection, &b.ID, &b.Name, &b.PermissionLevel)
	})
	if err != nil {
		return nil, fmt.Errorf("list bases: %w", err)
	}
	return list, nil
}

// ErrWithheld says that a base is in the trash.
var ErrWithheld = errors.New("the base is in the trash")

// BaseConnection returns the oldest connection of the tenant that offers the base,
// errs.ErrNotFound if none is remembered to, and ErrWithheld.
func (r *Connections) BaseConnection(ctx context.Context, tenant id.TenantID, base string) (models.Connection, models.OfferedBase, error) {
	b := models.OfferedBase{ID: base}
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT `+connectionColumns+`, b.name, b.permission_level,
			EXISTS (SELECT FROM withheld_bases w WHERE w.tenant_id = b.tenant_id AND w.base_id = b.base_id)
		FROM connection_bases b JOIN connections c ON c.tenant_id = b.tenant_id AND c.id = b.connection_id
		WHERE b.tenant_id = $1 AND b.base_id = $2 AND`+notErased(`c.tenant_id`)+` ORDER BY c.id LIMIT 1`, tenant, base)
	if err != nil {
		return models.Connection{}, b, fmt.Errorf("select connection of base: %w", err)
	}
	var withheld bool
	c, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (models.Connection, error) {
		return scanConnection(row, &b.Name, &b.PermissionLevel, &withheld)
	})
	if err = postgres.NotFound(err); err != nil {
		return models.Connection{}, b, fmt.Errorf("select connection of base: %w", err)
	}
	if withheld {
		return models.Connection{}, b, ErrWithheld
	}
	b.Connection = c.ID
	return c, b, nil
}

func seconds(d time.Duration) int { return int(d / time.Second) }

func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
