package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func sql(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)} }

func TestInTx_KeepsAllOrNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "shop", fstest.MapFS{"0001_create_items.sql": sql("CREATE TABLE items (id int CONSTRAINT items_pkey PRIMARY KEY);")})
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
