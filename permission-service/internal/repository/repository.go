// Package repository stores what permission-service owns.
//
// Every change of a tenant holds the lock of its row in tenants: versions rise in the
// order of the commits. What a change makes stale of the engine's tuples is noted with
// it, and derived again by Settle, which is safe to be cut off and run again.
package repository

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Migrations make the service's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Repository is the service's database.
type Repository struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// New returns the repository in the pool's database.
func New(pool *pgxpool.Pool, now func() time.Time) *Repository {
	return &Repository{pool, func() time.Time { return now().UTC().Truncate(time.Microsecond) }}
}

// errDeleted ends a change of a tenant that is no more.
var errDeleted = errors.New("the tenant was deleted")

// change is a change of one tenant under its lock.
type change struct {
	pgx.Tx
	tenant  id.TenantID
	version int64
	now     time.Time
	said    []permissionapi.Change
	stale   [][2]string
	last    bool // the tenant's last change: it has no feed any more
}

// change runs fn under the tenant's lock and stores what it said: versions, the feed, the
// events, the keys that are stale. It returns the version that the tenant is at then.
func (r *Repository) change(ctx context.Context, tenant id.TenantID, fn func(c *change) error) (int64, error) {
	var version int64
	err := postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		var err error
		version, err = r.changeIn(ctx, tx, tenant, fn)
		return err
	})
	if errors.Is(err, errDeleted) {
		return 0, errs.ErrNotFound.Because(err)
	}
	return version, err
}

// changeIn is change in a transaction that has entered the tenant.
func (r *Repository) changeIn(ctx context.Context, tx pgx.Tx, tenant id.TenantID, fn func(c *change) error) (int64, error) {
	c := &change{Tx: tx, tenant: tenant, now: r.now()}
	var deleted bool
	err := tx.QueryRow(ctx, `
		INSERT INTO tenants (tenant_id) VALUES ($1)
		ON CONFLICT (tenant_id) DO UPDATE SET version = tenants.version
		RETURNING version, deleted_at IS NOT NULL`, tenant).Scan(&c.version, &deleted)
	if err != nil {
		return 0, fmt.Errorf("lock tenant: %w", err)
	}
	if deleted {
		return 0, errDeleted
	}
	if err := fn(c); err != nil {
		return 0, err
	}
	return c.version, c.end(ctx)
}

// say adds a change to the feed.
func (c *change) say(w permissionapi.Change) {
	w.TenantID = c.tenant.String()
	if w.Objects == nil {
		w.Objects = []string{}
	}
	c.said = append(c.said, w)
}

// touch marks what the subject has on the object as stale, or the object's place if there
// is no subject.
func (c *change) touch(object, subject string) { c.stale = append(c.stale, [2]string{object, subject}) }

func (c *change) end(ctx context.Context) error {
	if len(c.said) == 0 && len(c.stale) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	var evs []events.Event
	for _, w := range c.said {
		c.version++
		text, err := json.Marshal(w)
		if err != nil {
			return fmt.Errorf("render change: %w", err)
		}
		if !c.last {
			batch.Queue(`INSERT INTO changes (tenant_id, version, at, object, change) VALUES ($1, $2, $3, $4, $5)`,
				c.tenant, c.version, c.now, w.Object, json.RawMessage(text))
		}
		evs = append(evs, permissionapi.PermissionsChanged.New(ctx, c.tenant, c.tenant.String(), c.version, w))
	}
	if len(c.said) == 0 {
		c.version++
	}
	var objects, subjects []string
	for _, k := range c.stale {
		objects, subjects = append(objects, k[0]), append(subjects, k[1])
	}
	batch.Queue(`INSERT INTO stale (tenant_id, object, subject)
		SELECT $1, o, s FROM unnest($2::text[], $3::text[]) AS k(o, s) ON CONFLICT DO NOTHING`, c.tenant, objects, subjects)
	batch.Queue(`
		UPDATE tenants SET version = $2::bigint, applied = CASE
			WHEN EXISTS (SELECT FROM stale WHERE tenant_id = $1) THEN least(applied, $2::bigint - 1) ELSE $2::bigint END
		WHERE tenant_id = $1`, c.tenant, c.version)
	if err := c.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("store change: %w", err)
	}
	return events.Emit(ctx, c.Tx, evs...)
}

// Token is the consistency token of a version.
func Token(version int64) string { return strconv.FormatInt(version, 36) }

// ReadToken is the version that the token stands for, or permissionapi.ErrBadToken.
func ReadToken(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	v, err := strconv.ParseInt(token, 36, 64)
	if err != nil || v < 0 {
		return 0, permissionapi.ErrBadToken
	}
	return v, nil
}
