// Package postgres opens pools and runs transactions.
//
// SQL is written by hand with pgx; this package only holds what every
// repository would otherwise repeat.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Options tune a pool; the zero value is right for most services.
type Options struct {
	AppName  string          // application_name, seen in pg_stat_activity
	MaxConns int32           // 0 = 10
	Tracer   pgx.QueryTracer // nil = none
}

const (
	defaultMaxConns = 10
	connectTimeout  = 5 * time.Second
	// openWait is how long Open waits for a server that is still starting.
	openWait = 15 * time.Second
	// statementTimeout ends what no caller waits for any more; every caller
	// has a shorter deadline.
	statementTimeout = "60s"
	// idleTxTimeout frees the locks of a transaction whose owner hangs.
	idleTxTimeout = "60s"
	rollbackWait  = 5 * time.Second
)

// Querier is what a query needs: a pool, a connection or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Open returns a pool for url whose server has answered once. It waits for a
// server that is starting until ctx ends or 15 s have passed. Times are read in
// UTC. The caller closes the pool.
func Open(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse database url: %w", err) // pgx redacts the password
	}
	cfg.MaxConns = defaultMaxConns
	if o.MaxConns > 0 {
		cfg.MaxConns = o.MaxConns
	}
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.MaxConnLifetime = time.Hour
	cfg.MaxConnLifetimeJitter = 10 * time.Minute
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	cfg.ConnConfig.Tracer = o.Tracer
	params := cfg.ConnConfig.RuntimeParams
	params["timezone"] = "UTC"
	params["statement_timeout"] = statementTimeout
	params["idle_in_transaction_session_timeout"] = idleTxTimeout
	if o.AppName != "" {
		params["application_name"] = o.AppName
	}
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		readTimesInUTC(conn)
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make pool: %w", err)
	}
	if err := waitReady(ctx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reach database %q on %s: %w", cfg.ConnConfig.Database, cfg.ConnConfig.Host, err)
	}
	return pool, nil
}

// readTimesInUTC makes timestamptz scan as UTC rather than the process's zone.
func readTimesInUTC(conn *pgx.Conn) {
	m := conn.TypeMap()
	tz := &pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}}
	m.RegisterType(tz)
	m.RegisterType(&pgtype.Type{Name: "_timestamptz", OID: pgtype.TimestamptzArrayOID, Codec: &pgtype.ArrayCodec{ElementType: tz}})
}

func waitReady(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	var last error
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := pool.Ping(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, context.DeadlineExceeded) || last == nil {
			last = err
		}
		if refused(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(wait):
		}
	}
}

// refused reports whether the server answered with an error that waiting does
// not cure, such as a wrong password.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] != "57" && pg.Code[:2] != "53" // being started or stopped; too many connections
}

// InTx runs fn in a READ COMMITTED transaction and commits it if fn returns nil;
// the error of the commit is returned. Otherwise, and when fn panics, nothing of
// it remains, even if ctx has ended.
func InTx(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// After a commit this does nothing.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackWait)
		defer cancel()
		_ = tx.Rollback(ctx) // a connection that cannot roll back is closed, which does it too
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// IsUnique reports whether err is the violation of the named unique constraint
// or unique index.
func IsUnique(err error, constraint string) bool { return violates(err, "23505", constraint) }

// IsForeignKey reports whether err is the violation of the named foreign key.
func IsForeignKey(err error, constraint string) bool { return violates(err, "23503", constraint) }

func violates(err error, code, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code && pg.ConstraintName == constraint
}

// NotFound turns pgx.ErrNoRows into errs.ErrNotFound and leaves other errors,
// and nil, as they are.
func NotFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.ErrNotFound
	}
	return err
}
