package pgtest_test

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

var shop = fstest.MapFS{
	"0001_create_items.sql": {Data: []byte("-- +goose Up\nCREATE TABLE items (name text CONSTRAINT items_pkey PRIMARY KEY);\n")},
}

func count(t *testing.T, pool *pgxpool.Pool, table string) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNew_EachTestHasItsOwnRows(t *testing.T) {
	t.Parallel()
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, "shop", shop)
			if n := count(t, pool, "items"); n != 0 {
				t.Errorf("%d rows at the start", n)
			}
			if _, err := pool.Exec(t.Context(), `INSERT INTO items VALUES ('one')`); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestNew_HasTheKitsTablesToo(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "kit", nil)
	for _, table := range []string{"outbox", "inbox", "idempotency_keys", "river_job"} {
		count(t, pool, table)
	}
}

func TestNew_OtherMigrationsMakeAnotherTemplate(t *testing.T) {
	t.Parallel()
	pgtest.New(t, "shop", shop)
	more := fstest.MapFS{
		"0001_create_items.sql":  shop["0001_create_items.sql"],
		"0002_create_prices.sql": {Data: []byte("-- +goose Up\nCREATE TABLE prices (cents bigint);\n")},
	}
	count(t, pgtest.New(t, "shop", more), "prices")
}

func TestNew_DatabaseIsDroppedAtTheEnd(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("a test", func(t *testing.T) {
		pool := pgtest.New(t, "shop", shop)
		name = pool.Config().ConnConfig.Database
		// A pool that is never closed must not keep the database.
		other, err := pgxpool.New(t.Context(), pool.Config().ConnString())
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	var there bool
	err := pgtest.New(t, "shop", shop).QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there)
	if err != nil || there {
		t.Errorf("the database of a finished test: there = %v, %v", there, err)
	}
}

func TestOwnServer_ComesBackWithItsDataAfterKill(t *testing.T) {
	t.Parallel()
	server := pgtest.OwnServer(t)
	pool := server.NewDatabase(t, "shop", shop)
	if _, err := pool.Exec(t.Context(), `INSERT INTO items VALUES ('one')`); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := pool.Ping(t.Context()); err == nil {
		t.Error("a killed server answers")
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, pool, "items"); n != 1 {
		t.Errorf("%d rows after the restart, want 1", n)
	}
}

func BenchmarkURL(b *testing.B) {
	pgtest.URL(b, "shop", shop)
	start := time.Now()
	for b.Loop() {
		pgtest.URL(b, "shop", shop)
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds())/float64(b.N), "ms/clone")
}
