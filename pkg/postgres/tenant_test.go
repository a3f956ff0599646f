package postgres_test

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// twoTenants returns a database in which two tenants have a note each.
func twoTenants(t *testing.T) (pool *pgxpool.Pool, anna, bert id.TenantID) {
	t.Helper()
	pool = pgtest.New(t, "notes", fstest.MapFS{"0001_create_notes.sql": sql(`
		CREATE TABLE notes (tenant_id uuid NOT NULL, text text NOT NULL, CONSTRAINT notes_pkey PRIMARY KEY (tenant_id, text));
		SELECT isolate_tenants('notes');`)})
	anna, bert = id.New[id.Tenant](), id.New[id.Tenant]()
	for tenant, text := range map[id.TenantID]string{anna: "anna's", bert: "bert's"} {
		if _, err := postgres.ForTenant(pool, tenant).Exec(t.Context(), `INSERT INTO notes VALUES ($1, $2)`, tenant, text); err != nil {
			t.Fatal(err)
		}
	}
	return pool, anna, bert
}

func notes(t *testing.T, q postgres.Querier) []string {
	t.Helper()
	rows, err := q.Query(t.Context(), `SELECT text FROM notes ORDER BY text`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTenant_ForgottenConditionFindsOwnRowsOnly(t *testing.T) {
	t.Parallel()
	pool, anna, _ := twoTenants(t)
	if got := notes(t, pool); len(got) != 0 {
		t.Errorf("without a tenant: %v", got)
	}
	if d := cmp.Diff([]string{"anna's"}, notes(t, postgres.ForTenant(pool, anna))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"anna's", "bert's"}, notes(t, postgres.ForEveryTenant(pool))); d != "" {
		t.Error(d)
	}
	err := postgres.InTenant(t.Context(), pool, anna, func(tx pgx.Tx) error {
		if d := cmp.Diff([]string{"anna's"}, notes(t, tx)); d != "" {
			t.Error(d)
		}
		_, err := tx.Exec(t.Context(), `UPDATE notes SET text = 'read'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"bert's", "read"}, notes(t, postgres.ForEveryTenant(pool))); d != "" {
		t.Error(d)
	}
	if got := notes(t, pool); len(got) != 0 { // a connection keeps no tenant from its last transaction
		t.Errorf("without a tenant, afterwards: %v", got)
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
}

func TestTenant_RowsOfAnotherCannotBeWritten(t *testing.T) {
	t.Parallel()
	pool, anna, bert := twoTenants(t)
	_, err := postgres.ForTenant(pool, anna).Exec(t.Context(), `INSERT INTO notes VALUES ($1, 'forged')`, bert)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42501" {
		t.Errorf("insert for another: %v", err)
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
}

func TestForTenant_GivesConnectionsBackWhateverHappens(t *testing.T) {
	t.Parallel()
	pool, anna, _ := twoTenants(t)
	q := postgres.ForTenant(pool, anna)
	var text string
	if err := q.QueryRow(t.Context(), `SELECT text FROM notes`).Scan(&text); err != nil || text != "anna's" {
		t.Errorf("%q, %v", text, err)
	}
	if err := q.QueryRow(t.Context(), `SELECT text FROM notes WHERE false`).Scan(&text); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
	if err := q.QueryRow(t.Context(), `SELECT nonsense`).Scan(&text); err == nil {
		t.Error("a broken statement has no error")
	}
	if err := q.QueryRow(t.Context(), `SELECT 1/count(*)::int*0 + 1/(count(*)::int - 1) FROM notes`).Scan(&text); err == nil {
		t.Error("a division by zero has no error")
	}
	if _, err := q.Exec(t.Context(), `SELECT $1::int`, "x"); err == nil {
		t.Error("a bad argument has no error")
	}
	for _, mode := range [][]any{nil, {pgx.QueryExecModeDescribeExec}} {
		rows, err := q.Query(t.Context(), `SELECT generate_series(1, 100000)`, mode...)
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		rows.Close() // before the end
		rows.Close()
		if err := rows.Err(); err != nil {
			t.Error(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Exec(ended, `SELECT 1`); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	batch := &pgx.Batch{}
	batch.Queue(`SELECT text FROM notes`)
	batch.Queue(`SELECT count(*)::int FROM notes`)
	results := q.SendBatch(t.Context(), batch)
	var n int
	if err := errors.Join(results.QueryRow().Scan(&text), results.QueryRow().Scan(&n), results.Close()); err != nil || n != 1 {
		t.Errorf("batch: %q %d %v", text, n, err)
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
}

func TestForTenant_StatementsMayHaveAModeOfTheirOwn(t *testing.T) {
	t.Parallel()
	pool, anna, bert := twoTenants(t)
	for tenant, want := range map[id.TenantID]string{anna: "anna's", bert: "bert's"} {
		var text string
		if err := postgres.ForTenant(pool, tenant).QueryRow(t.Context(), `SELECT text FROM notes WHERE text <> $1`, pgx.QueryExecModeDescribeExec, "x").Scan(&text); err != nil || text != want {
			t.Errorf("%q, %v", text, err)
		}
	}
	var text string
	q := postgres.ForTenant(pool, anna)
	if err := q.QueryRow(t.Context(), `SELECT nonsense`, pgx.QueryExecModeDescribeExec).Scan(&text); err == nil {
		t.Error("a broken statement has no error")
	}
	if err := q.QueryRow(t.Context(), `SELECT 1/count(*)::int*0 + 1/(count(*)::int - 1) FROM notes`, pgx.QueryExecModeDescribeExec).Scan(&text); err == nil {
		t.Error("a division by zero has no error")
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
}

func TestCheckRole_RefusesWhomNoPolicyHoldsFor(t *testing.T) {
	t.Parallel()
	server := pgtest.OwnServer(t)
	if err := postgres.CheckRole(t.Context(), server.NewDatabase(t, "notes", nil)); err != nil {
		t.Errorf("a role like a service's: %v", err)
	}
	super, err := postgres.Open(t.Context(), server.URL, postgres.Options{AppName: t.Name(), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	if err := postgres.CheckRole(t.Context(), super); !errors.Is(err, postgres.ErrBypasses) {
		t.Errorf("a superuser: %v", err)
	}
}
