// Package repository keeps what airtable-gateway owns in PostgreSQL: the local
// base store (Store) and the connections of tenants (Connections).
package repository

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Migrations are the service's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Store keeps bases: their schemas, records, links and the walks through them.
//
// What belongs to a tenant is read and written as that tenant (postgres.ForTenant): a
// statement that forgot its tenant finds nothing. Only sweepers see all of them.
//
// Locks are taken in one order, so that writers wait but do not deadlock: the
// base (LockBase), its tables by id (LockTables), records by id (LockRecords), the
// base's webhooks (Watchers, Tell).
type Store struct {
	Reader
	pool *pgxpool.Pool
}

// NewStore returns the store in pool's database.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{reader(pool), pool} }

// Reader reads: from the store, or from what a transaction sees.
type Reader struct {
	of func(tenant id.TenantID) postgres.Querier
}

// reader reads what is committed.
func reader(pool *pgxpool.Pool) Reader {
	return Reader{func(tenant id.TenantID) postgres.Querier { return postgres.ForTenant(pool, tenant) }}
}

// within reads what tx sees, which has entered the one tenant it is about.
func within(tx pgx.Tx) Reader {
	return Reader{func(id.TenantID) postgres.Querier { return tx }}
}

// Tx is one transaction of a writer.
type Tx struct {
	Reader
	tx pgx.Tx
}

// writeTries bounds how often Write starts again after PostgreSQL chose it as
// the victim of a deadlock.
const writeTries = 4

// Write runs fn in a transaction about the tenant, which holds if fn returns nil. fn
// may run more than once and must keep nothing from an earlier run.
func (s *Store) Write(ctx context.Context, tenant id.TenantID, fn func(tx *Tx) error) error {
	for try := 1; ; try++ {
		err := postgres.InTenant(ctx, s.pool, tenant, func(tx pgx.Tx) error { return fn(&Tx{within(tx), tx}) })
		if err == nil || try == writeTries || !repeatable(err) {
			return err
		}
	}
}

func repeatable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001")
}

// Emit announces evs if the transaction holds.
func (t *Tx) Emit(ctx context.Context, evs ...events.Event) error {
	if len(evs) == 0 {
		return nil
	}
	return events.Emit(ctx, t.tx, evs...)
}

// Analyze has PostgreSQL look at records and links now, rather than in a minute:
// a planner that believes them small reads whole tables for one record.
func (s *Store) Analyze(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, `ANALYZE record_rows, links`); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	return nil
}
