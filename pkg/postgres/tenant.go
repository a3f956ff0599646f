package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// Tables that isolate_tenants (a function of the kit's migrations) has been called
// for show the rows of the tenant that the transaction names, and take no others:
// PostgreSQL itself keeps a statement that forgot its tenant from another's rows. A
// transaction that names none finds those tables empty.

// enter names the tenant until the transaction ends.
const enter = `SELECT set_config('app.tenant', $1, true)`

// every stands for all tenants.
const every = "*"

// ErrBypasses says that row-level security does not hold for a role.
var ErrBypasses = errors.New("the role is a superuser's or has BYPASSRLS, which no row-level security holds for")

// CheckRole returns ErrBypasses if the pool's role sees every tenant's rows whatever it
// names.
func CheckRole(ctx context.Context, pool *pgxpool.Pool) error {
	var bypasses bool
	if err := pool.QueryRow(ctx, `SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user`).Scan(&bypasses); err != nil {
		return fmt.Errorf("look at the role: %w", err)
	}
	if bypasses {
		return ErrBypasses
	}
	return nil
}

// InTenant is InTx for what belongs to one tenant.
func InTenant(ctx context.Context, pool *pgxpool.Pool, tenant id.TenantID, fn func(tx pgx.Tx) error) error {
	return inScope(ctx, pool, tenant.String(), fn)
}

// InEveryTenant is InTx for work that is no tenant's: sweepers, schedulers, reports.
func InEveryTenant(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	return inScope(ctx, pool, every, fn)
}

func inScope(ctx context.Context, pool *pgxpool.Pool, scope string, fn func(tx pgx.Tx) error) error {
	return InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, enter, scope); err != nil {
			return fmt.Errorf("enter tenant: %w", err)
		}
		return fn(tx)
	})
}

// Enter names the tenant for the rest of a transaction that began without one, such as
// that of an event's handler.
func Enter(ctx context.Context, tx pgx.Tx, tenant id.TenantID) error {
	if _, err := tx.Exec(ctx, enter, tenant.String()); err != nil {
		return fmt.Errorf("enter tenant: %w", err)
	}
	return nil
}

// EnterEvery is Enter for an event that concerns several tenants.
func EnterEvery(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, enter, every); err != nil {
		return fmt.Errorf("enter every tenant: %w", err)
	}
	return nil
}

// ForTenant returns a Querier whose statements are each a transaction about the tenant.
// Naming it costs no round trip of its own.
func ForTenant(pool *pgxpool.Pool, tenant id.TenantID) Querier { return scoped{pool, tenant.String()} }

// ForEveryTenant is ForTenant for work that is no tenant's.
func ForEveryTenant(pool *pgxpool.Pool) Querier { return scoped{pool, every} }

// scoped sends what names the tenant and the statement as one batch, which PostgreSQL
// runs as one transaction.
type scoped struct {
	pool  *pgxpool.Pool
	scope string
}

func (s scoped) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	all := &pgx.Batch{}
	all.Queue(enter, s.scope)
	all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
	results := s.pool.SendBatch(ctx, all)
	// A failure shows again at the first of b's own results.
	_, _ = results.Exec()
	return results
}

func (s scoped) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	b := &pgx.Batch{}
	b.Queue(sql, args...)
	results := s.SendBatch(ctx, b)
	tag, err := results.Exec()
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return tag, err
}

func (s scoped) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if len(args) > 0 {
		if _, given := args[0].(pgx.QueryExecMode); given {
			return s.queryInMode(ctx, sql, args)
		}
	}
	b := &pgx.Batch{}
	b.Queue(sql, args...)
	results := s.SendBatch(ctx, b)
	rows, err := results.Query()
	if err != nil {
		_ = results.Close() // tells the same error again
		return rows, err
	}
	return &scopedRows{rows, results.Close, nil}, nil
}

// queryInMode is Query for a statement with a mode of its own, which those of a batch
// cannot have.
func (s scoped) queryInMode(ctx context.Context, sql string, args []any) (pgx.Rows, error) {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	end := func() error { return tx.Rollback(context.WithoutCancel(ctx)) }
	if _, err := tx.Exec(ctx, enter, s.scope); err != nil {
		return nil, errors.Join(fmt.Errorf("enter tenant: %w", err), end())
	}
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return &scopedRows{rows, func() error {
		if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxClosed) {
			return err
		}
		return nil
	}, nil}, nil
}

func (s scoped) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := s.Query(ctx, sql, args...)
	return scopedRow{rows, err}
}

// scopedRows gives the connection back when they end.
type scopedRows struct {
	pgx.Rows
	end func() error // may be called again
	err error
}

func (r *scopedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *scopedRows) Close() {
	r.Rows.Close()
	if err := r.end(); r.err == nil {
		r.err = err
	}
}

func (r *scopedRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

type scopedRow struct {
	rows pgx.Rows
	err  error
}

func (r scopedRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
