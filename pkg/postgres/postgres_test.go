package postgres_test

import (
	"context"
	"errors"
	"fmt"
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

	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
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

func TestMigrate_RacedByReplicasAppliesEachFileOnce(t *testing.T) {
	t.Parallel()
	pools := emptyDatabase(t, 4)
	var wg sync.WaitGroup
	for _, pool := range pools {
		wg.Go(func() {
			if err := postgres.Migrate(t.Context(), pool, "shop", shop); err != nil {
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

func TestMigrate_GoesOnFromWhereItWas(t *testing.T) {
	t.Parallel()
	pool := emptyDatabase(t, 1)[0]
	first := fstest.MapFS{"migrations/0001_create_items.sql": shop["migrations/0001_create_items.sql"]}
	for _, files := range []fstest.MapFS{first, shop, shop, first} { // the last is an older binary, beside the newer
		if err := postgres.Migrate(t.Context(), pool, "shop", files); err != nil {
			t.Fatal(err)
		}
	}
	if err := postgres.Migrate(t.Context(), pool, "shop", nil); err != nil {
		t.Errorf("a service without migrations: %v", err)
	}
}

func TestMigrate_FailureNamesFileAndReasonAndLeavesNothing(t *testing.T) {
	t.Parallel()
	pool := emptyDatabase(t, 1)[0]
	files := fstest.MapFS{
		"0001_create_items.sql": shop["migrations/0001_create_items.sql"],
		"0002_break_items.sql":  sql("CREATE TABLE half (id int); ALTER TABLE nothing ADD x int;"),
	}
	err := postgres.Migrate(t.Context(), pool, "shop", files)
	for _, want := range []string{"shop", "0002_break_items.sql", `relation "nothing" does not exist`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if got := tables(t, pool); !slices.Contains(got, "items") || slices.Contains(got, "half") {
		t.Errorf("tables %v: want those of 0001 and nothing of 0002", got)
	}
	files["0002_break_items.sql"] = sql("CREATE TABLE whole (id int);")
	if err := postgres.Migrate(t.Context(), pool, "shop", files); err != nil {
		t.Errorf("the repaired file: %v", err)
	}
}

func TestMigrate_WaitsOnlyAsLongAsItsContext(t *testing.T) {
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
	go func() { done <- postgres.Migrate(t.Context(), pools[0], "shop", blocked) }()
	waitFor(t, func() bool {
		var n int
		err := holder.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n)
		return err == nil && n == 1
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := postgres.Migrate(ctx, pools[1], "shop", blocked); !errors.Is(err, context.DeadlineExceeded) {
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

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); !ok(); {
		select {
		case <-deadline:
			t.Fatal("the condition did not come true in time")
		case <-tick.C:
		}
	}
}

func TestCheckSums_KitMigrationsAreUnchanged(t *testing.T) {
	t.Parallel()
	if err := postgres.CheckSums(os.DirFS("migrations")); err != nil {
		t.Error(err)
	}
}

func TestCheckSums_NamesEveryFault(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"0001_create_a.sql": sql("1"), "0002_create_b.sql": sql("2"), "0003_create_c.sql": sql("3")}
	sums, err := postgres.Sums(files)
	if err != nil {
		t.Fatal(err)
	}
	files[postgres.SumsFile] = &fstest.MapFile{Data: sums}
	if err := postgres.CheckSums(files); err != nil {
		t.Fatalf("unchanged files: %v", err)
	}
	files["0001_create_a.sql"] = sql("edited")
	delete(files, "0002_create_b.sql")
	files["0003_create_d.sql"] = sql("4")
	files["bad.sql"] = sql("5")
	err = postgres.CheckSums(files)
	for _, want := range []string{
		"0001_create_a.sql: was edited", "0002_create_b.sql: was removed",
		"0003_create_d.sql: add to migrations.sum: ", "has the number of", "bad.sql: want NNNN_verb_noun.sql",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckSums = %v; does not say %q", err, want)
		}
	}
}

func TestInTx_KeepsAllOrNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "shop", shop)
	insert := func(tx pgx.Tx, n int) error {
		_, err := tx.Exec(context.Background(), `INSERT INTO items (id) VALUES ($1)`, n)
		return err
	}
	if err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { return insert(tx, 1) }); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { return errors.Join(insert(tx, 2), refused) })
	if !errors.Is(err, refused) {
		t.Errorf("InTx = %v, want fn's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error { defer cancel(); return insert(tx, 3) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("InTx with an ended context = %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { _ = insert(tx, 4); panic("bug") })
	}()
	var got []int32
	if err := pool.QueryRow(t.Context(), `SELECT array_agg(id ORDER BY id) FROM items`).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int32{1}, got); d != "" {
		t.Error(d)
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
}

func TestInTx_ReturnsTheErrorOfTheCommit(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "shop", fstest.MapFS{"0001_create_items.sql": sql(
		"CREATE TABLE items (id int CONSTRAINT items_id_key UNIQUE DEFERRABLE INITIALLY DEFERRED);")})
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO items VALUES (1), (1)`)
		return err
	})
	if !postgres.IsUnique(err, "items_id_key") {
		t.Errorf("InTx = %v, want the violation found by the commit", err)
	}
}

func TestErrors_AreKnownByConstraintName(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "shop", fstest.MapFS{"0001_create_items.sql": sql(`
		CREATE TABLE items (id int CONSTRAINT items_pkey PRIMARY KEY);
		CREATE TABLE parts (item int CONSTRAINT parts_item_fkey REFERENCES items);
		INSERT INTO items VALUES (1);`)})
	_, err := pool.Exec(t.Context(), `INSERT INTO items VALUES (1)`)
	if err = fmt.Errorf("insert: %w", err); !postgres.IsUnique(err, "items_pkey") || postgres.IsUnique(err, "other") || postgres.IsForeignKey(err, "items_pkey") {
		t.Errorf("unique violation was not recognised: %v", err)
	}
	_, err = pool.Exec(t.Context(), `INSERT INTO parts VALUES (7)`)
	if !postgres.IsForeignKey(err, "parts_item_fkey") || postgres.IsUnique(err, "parts_item_fkey") {
		t.Errorf("foreign key violation was not recognised: %v", err)
	}
	err = pool.QueryRow(t.Context(), `SELECT id FROM items WHERE id = 9`).Scan(new(int))
	if !errors.Is(postgres.NotFound(err), errs.ErrNotFound) {
		t.Errorf("NotFound(%v) = %v", err, postgres.NotFound(err))
	}
	if err := postgres.NotFound(nil); err != nil {
		t.Errorf("NotFound(nil) = %v", err)
	}
}

func TestOpen_ReadsTimesInUTCAndIDsAsColumns(t *testing.T) {
	t.Parallel()
	base := pgtest.New(t, "shop", nil)
	pool, err := postgres.Open(t.Context(), base.Config().ConnString(), postgres.Options{AppName: "shop", MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	want := time.Date(2026, 7, 1, 12, 0, 0, 123456000, time.UTC)
	user, ids := id.New[id.User](), []id.UserID{id.New[id.User](), id.New[id.User]()}
	var (
		at      time.Time
		ats     []time.Time
		gotUser id.UserID
		gotIDs  []id.UserID
		none    id.UserID
		app     string
		isNull  bool
	)
	err = pool.QueryRow(t.Context(), `SELECT $1::timestamptz, ARRAY[$1::timestamptz], $2::uuid, $3::uuid[], NULL::uuid, $4::uuid IS NULL, current_setting('application_name')`,
		want, user, ids, id.UserID{}).Scan(&at, &ats, &gotUser, &gotIDs, &none, &isNull, &app)
	if err != nil {
		t.Fatal(err)
	}
	if at != want || len(ats) != 1 || ats[0] != want {
		t.Errorf("times %v %v, want %v in UTC", at, ats, want)
	}
	if gotUser != user || !cmp.Equal(gotIDs, ids) || !none.IsZero() || !isNull || app != "shop" {
		t.Errorf("got %v %v %v %v %q", gotUser, gotIDs, none, isNull, app)
	}
}

func TestOpen_RefusesWhatWaitingDoesNotCure(t *testing.T) {
	t.Parallel()
	base := pgtest.New(t, "shop", nil)
	cfg := base.Config().ConnConfig
	url := fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=no_such_database", cfg.Host, cfg.Port, cfg.User, cfg.Password)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := postgres.Open(ctx, url, postgres.Options{})
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "no_such_database") {
		t.Errorf("Open = %v (context: %v); want the server's refusal at once", err, ctx.Err())
	}
	if _, err := postgres.Open(ctx, "postgres://u:hunter2@[bad", postgres.Options{}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Open of a malformed url = %v; want an error without the password", err)
	}
}
