// Package migrate brings a service's database to the newest schema: the tables of
// the kit, of River and of the service.
package migrate

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// kitMigrations make the tables that this module's packages use in the database
// of every service: outbox, inbox, dead_events, idempotency_keys.
//
//go:embed migrations/*.sql
var kitMigrations embed.FS

// The advisory locks of the kit. They are per database.
const migrateLock int64 = 0x7079_6174_0001

const (
	kitVersions     = "kit_migrations"
	serviceVersions = "schema_migrations"
	lockPoll        = 50 * time.Millisecond
	closeWait       = 5 * time.Second
	// ddlLockTimeout keeps a migration that waits for a busy table from
	// stopping everybody who queues behind it.
	ddlLockTimeout = "30s"
)

// Up brings the pool's database to the newest schema: the kit's tables,
// River's, and those of the service, whose files are at the root of migrations
// or in its folder "migrations" (nil: none). Replicas that start together wait
// for each other until ctx ends. What a migration does is kept or undone as a
// whole; the error names the file that failed and why.
func Up(ctx context.Context, pool *pgxpool.Pool, service string, migrations fs.FS) error {
	err := withLock(ctx, pool.Config().ConnConfig, func() error {
		if err := up(ctx, pool, kitMigrations, kitVersions); err != nil {
			return fmt.Errorf("kit: %w", err)
		}
		if err := upRiver(ctx, pool); err != nil {
			return fmt.Errorf("river: %w", err)
		}
		if migrations == nil {
			return nil
		}
		return up(ctx, pool, migrations, serviceVersions)
	})
	if err != nil {
		return fmt.Errorf("migrate %s: %w", service, err)
	}
	return nil
}

// withLock runs fn while a connection of its own holds the migration lock.
//
// It polls: a session that waits inside pg_advisory_lock holds a snapshot, and
// CREATE INDEX CONCURRENTLY under the lock would wait for that snapshot.
func withLock(ctx context.Context, cfg *pgx.ConnConfig, fn func() error) error {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		defer cancel()
		_ = conn.Close(ctx) // the session's end frees the lock
	}()
	for {
		var got bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, migrateLock).Scan(&got); err != nil {
			return fmt.Errorf("take migration lock: %w", err)
		}
		if got {
			return fn()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another replica's migration: %w", ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

func up(ctx context.Context, pool *pgxpool.Pool, files fs.FS, versions string) error {
	files, err := migrationDir(files)
	if err != nil || files == nil {
		return err
	}
	cfg := pool.Config().ConnConfig
	cfg.RuntimeParams["statement_timeout"] = "0" // an index on a large table takes its time
	cfg.RuntimeParams["lock_timeout"] = ddlLockTimeout
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true), goose.WithSlog(silent()))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	_, err = p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return fmt.Errorf("%s: %w", partial.Failed.Source.Path, partial.Err)
	}
	return err
}

// migrationDir returns the folder with the .sql files, or nil if there are none.
func migrationDir(files fs.FS) (fs.FS, error) {
	if sub, err := fs.Stat(files, "migrations"); err == nil && sub.IsDir() {
		if files, err = fs.Sub(files, "migrations"); err != nil {
			return nil, fmt.Errorf("open migrations: %w", err)
		}
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return files, nil
}

func upRiver(ctx context.Context, pool *pgxpool.Pool) error {
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: silent()})
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// silent keeps the libraries from logging through the process's default logger:
// what matters is in the error.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
