package migrate_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/migrate"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

// emptyDatabase makes a database without any table and returns pools for it,
// one for each replica.
func emptyDatabase(t *testing.T, replicas int) []*pgxpool.Pool {
	t.Helper()
	admin := pgtest.New(t, "kit", nil)
	name := pgx.Identifier{"empty_" + strings.ReplaceAll(id.New[int]().String(), "-", "")}.Sanitize()
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	pools := make([]*pgxpool.Pool, replicas)
	for i := range pools {
		cfg := admin.Config()
		cfg.ConnConfig.Database = strings.Trim(name, `"`)
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		pools[i] = pool
	}
	return pools
}

func sql(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)} }

var shop = fstest.MapFS{
	"migrations/0001_create_items.sql": sql("CREATE TABLE items (id int CONSTRAINT items_pkey PRIMARY KEY, name text); SELECT pg_sleep(0.05);"),
	"migrations/0002_index_items.sql":  {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY items_name_idx ON items (name);")},
}

func tables(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'river%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestUp_RacedByReplicasAppliesEachFileOnce(t *testing.T) {
	t.Parallel()
	pools := emptyDatabase(t, 4)
	var wg sync.WaitGroup
	for _, pool := range pools {
		wg.Go(func() {
			if err := migrate.Up(t.Context(), pool, "shop", shop); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want := []string{"dead_events", "idempotency_keys", "inbox", "items", "kit_migrations", "outbox", "outbox_marks", "schema_migrations"}
	if d := cmp.Diff(want, tables(t, pools[0])); d != "" {
		t.Error(d)
	}
	var n int
	if err := pools[0].QueryRow(t.Context(), `SELECT count(*) FROM schema_migrations WHERE version_id > 0`).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d service migrations recorded, %v; want 2", n, err)
	}
	if err := pools[0].QueryRow(t.Context(), `SELECT count(*) FROM river_job`).Scan(&n); err != nil {
		t.Errorf("River's tables: %v", err)
	}
}

func TestUp_GoesOnFromWhereItWas(t *testing.T) {
	t.Parallel()
	pool := emptyDatabase(t, 1)[0]
	first := fstest.MapFS{"migrations/0001_create_items.sql": shop["migrations/0001_create_items.sql"]}
	for _, files := range []fstest.MapFS{first, shop, shop, first} { // the last is an older binary, beside the newer
		if err := migrate.Up(t.Context(), pool, "shop", files); err != nil {
			t.Fatal(err)
		}
	}
	if err := migrate.Up(t.Context(), pool, "shop", nil); err != nil {
		t.Errorf("a service without migrations: %v", err)
	}
}

func TestUp_FailureNamesFileAndReasonAndLeavesNothing(t *testing.T) {
	t.Parallel()
	pool := emptyDatabase(t, 1)[0]
	files := fstest.MapFS{
		"0001_create_items.sql": shop["migrations/0001_create_items.sql"],
		"0002_break_items.sql":  sql("CREATE TABLE half (id int); ALTER TABLE nothing ADD x int;"),
	}
	err := migrate.Up(t.Context(), pool, "shop", files)
	for _, want := range []string{"shop", "0002_break_items.sql", `relation "nothing" does not exist`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if got := tables(t, pool); !slices.Contains(got, "items") || slices.Contains(got, "half") {
		t.Errorf("tables %v: want those of 0001 and nothing of 0002", got)
	}
	files["0002_break_items.sql"] = sql("CREATE TABLE whole (id int);")
	if err := migrate.Up(t.Context(), pool, "shop", files); err != nil {
		t.Errorf("the repaired file: %v", err)
	}
}

func TestUp_WaitsOnlyAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	pools := emptyDatabase(t, 2)
	blocked := fstest.MapFS{"0001_create_items.sql": sql("SELECT pg_advisory_xact_lock(1); CREATE TABLE items (id int);")}
	holder, err := pools[1].Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_lock(1)`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- migrate.Up(t.Context(), pools[0], "shop", blocked) }()
	await.True(t, "the second migration waits", func() bool {
		var n int
		err := holder.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n)
		return err == nil && n == 1
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := migrate.Up(ctx, pools[1], "shop", blocked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Migrate behind a running one = %v, want the deadline", err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_unlock(1)`); err != nil {
		t.Fatal(err)
	}
	holder.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCheckSums_KitMigrationsAreUnchanged(t *testing.T) {
	t.Parallel()
	if err := migrate.CheckSums(os.DirFS("migrations")); err != nil {
		t.Error(err)
	}
}

func TestCheckSums_NamesEveryFault(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"0001_create_a.sql": sql("1"), "0002_create_b.sql": sql("2"), "0003_create_c.sql": sql("3")}
	sums, err := migrate.Sums(files)
	if err != nil {
		t.Fatal(err)
	}
	files[migrate.SumsFile] = &fstest.MapFile{Data: sums}
	if err := migrate.CheckSums(files); err != nil {
		t.Fatalf("unchanged files: %v", err)
	}
	files["0001_create_a.sql"] = sql("edited")
	delete(files, "0002_create_b.sql")
	files["0003_create_d.sql"] = sql("4")
	files["bad.sql"] = sql("5")
	err = migrate.CheckSums(files)
	for _, want := range []string{
		"0001_create_a.sql: was edited", "0002_create_b.sql: was removed",
		"0003_create_d.sql: add to migrations.sum: ", "has the number of", "bad.sql: want NNNN_verb_noun.sql",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckSums = %v; does not say %q", err, want)
		}
	}
}
