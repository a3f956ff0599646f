package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// ofEveryService are the tables that the kit and River give every service, which are no
// tenant's, and why.
var ofEveryService = map[string]string{
	"outbox":             "one relay publishes the events of all tenants",
	"outbox_marks":       "of streams, not of tenants",
	"inbox":              "ids of events, and nothing that they say",
	"dead_events":        "for operators, who replay them",
	"idempotency_keys":   "answers are sealed for their tenant and user, and who is nobody yet has a key too",
	"kit_migrations":     "of the schema",
	"schema_migrations":  "of the schema",
	"river_migration":    "of the schema",
	"river_job":          "one queue works for all tenants",
	"river_notification": "of processes",
	"river_leader":       "of processes",
	"river_queue":        "of queues",
	"river_client":       "of processes",
	"river_client_queue": "of processes",
}

// Isolation shows that PostgreSQL itself keeps tenants apart in every table and view of
// the service's database, for the role that services have: a statement that names no
// tenant sees and changes nothing, and one of a tenant nothing of another's. The tables
// come from PostgreSQL's catalog, so that a new one is covered as soon as it is made;
// one that cannot be isolated is in except, with the reason.
func Isolation(t *testing.T, service string, migrations fs.FS, except map[string]string) {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	own := c.clone(t, service, migrations)
	i := &isolation{T: t, pool: open(t, own), anna: id.New[id.Tenant](), bert: id.New[id.Tenant]()}
	i.admin = c.superuser(t, own)
	if err := postgres.CheckRole(t.Context(), i.pool); err != nil {
		t.Fatal(err)
	}
	i.dropChecks()
	tables := i.tables()
	for _, r := range tables {
		_, listed := except[r.name]
		_, ours := ofEveryService[r.name]
		switch {
		case ours:
		case listed && r.secured:
			t.Errorf("%s is isolated, and listed as if it were not", r.name)
		case listed:
		case !r.owned:
			t.Errorf("%s has no tenant_id: list it with a reason if it is no tenant's", r.name)
		case !r.secured && !r.view:
			t.Errorf("%s: want SELECT isolate_tenants('%s') in its migration, or a reason why not", r.name, r.name)
		default:
			t.Run(r.name, func(t *testing.T) { i.in(t).prove(r) })
		}
	}
	for name, reason := range except {
		if reason == "" || !slices.ContainsFunc(tables, func(r relation) bool { return r.name == name }) {
			t.Errorf("exception %q: there is no such table, or no reason", name)
		}
	}
}

// superuser connects to the database as one whom no policy, constraint or trigger keeps
// from making rows.
func (c *cluster) superuser(t *testing.T, own string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(own)
	if err != nil {
		t.Fatal(err)
	}
	as := c.admin.Config().ConnConfig
	cfg.User, cfg.Password = as.User, as.Password
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	if _, err := conn.Exec(t.Context(), `SET session_replication_role = replica; SET app.tenant = '*'`); err != nil {
		t.Fatal(err)
	}
	return conn
}

type isolation struct {
	*testing.T
	pool       *pgxpool.Pool
	admin      *pgx.Conn
	anna, bert id.TenantID
}

func (i *isolation) in(t *testing.T) *isolation {
	return &isolation{t, i.pool, i.admin, i.anna, i.bert}
}

// relation is a table or view.
type relation struct {
	name    string
	view    bool
	owned   bool // has a tenant_id
	secured bool
}

func (i *isolation) tables() []relation {
	rows, err := i.admin.Query(i.Context(), `
		SELECT c.oid::regclass::text, c.relkind IN ('v', 'm'),
			EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped),
			c.relrowsecurity AND c.relforcerowsecurity
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
		ORDER BY 1`)
	if err != nil {
		i.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r relation, err error) {
		return r, row.Scan(&r.name, &r.view, &r.owned, &r.secured)
	})
	if err != nil {
		i.Fatal(err)
	}
	return list
}

// dropChecks takes away what rows that are made up would not meet.
func (i *isolation) dropChecks() {
	rows, err := i.admin.Query(i.Context(), `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
		FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0 AND conislocal AND connamespace = 'public'::regnamespace`)
	if err != nil {
		i.Fatal(err)
	}
	drops, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		i.Fatal(err)
	}
	for _, sql := range drops {
		if _, err := i.admin.Exec(i.Context(), sql); err != nil {
			i.Fatal(err)
		}
	}
}

func (i *isolation) prove(r relation) {
	insert := i.insertInto(r)
	for _, tenant := range []id.TenantID{i.anna, i.bert} {
		if _, err := i.admin.Exec(i.Context(), insert, tenant.String()); err != nil {
			i.Fatalf("make a row: %v", err)
		}
	}
	all := i.count(i.admin, r, ``)

	nobody := i.pool
	if n := i.count(nobody, r, ``); n != 0 {
		i.Errorf("without a tenant %d of %d rows are seen", n, all)
	}
	anna := postgres.ForTenant(i.pool, i.anna)
	if n := i.count(anna, r, ``); n == 0 || n == all {
		i.Errorf("a tenant sees %d of %d rows", n, all)
	}
	if n := i.count(anna, r, ` WHERE tenant_id <> '`+i.anna.String()+`'`); n != 0 {
		i.Errorf("a tenant sees %d rows of others", n)
	}
	const ofBert = ` WHERE tenant_id = $1`
	for _, change := range []string{`UPDATE ` + r.name + ` SET tenant_id = tenant_id`, `DELETE FROM ` + r.name} {
		i.changesNothing(nobody, change)
		i.changesNothing(nobody, change+ofBert, i.bert)
		i.changesNothing(anna, change+ofBert, i.bert)
	}
	for _, q := range []postgres.Querier{nobody, anna} {
		if _, err := q.Exec(i.Context(), insert, i.bert.String()); !refused(err) {
			i.Errorf("a row for another tenant: %v", err)
		}
	}
	if n := i.count(i.admin, r, ``); n != all {
		i.Errorf("%d rows, %d are left", all, n)
	}
}

func (i *isolation) count(q postgres.Querier, r relation, where string) (n int) {
	i.Helper()
	if err := q.QueryRow(i.Context(), `SELECT count(*) FROM `+r.name+where).Scan(&n); err != nil {
		i.Fatal(err)
	}
	return n
}

func (i *isolation) changesNothing(q postgres.Querier, sql string, args ...any) {
	i.Helper()
	if tag, err := q.Exec(i.Context(), sql, args...); tag.RowsAffected() != 0 || err != nil && !refused(err) {
		i.Errorf("%s: %d rows, %v", sql, tag.RowsAffected(), err)
	}
}

// refused reports whether PostgreSQL did not allow it: by a policy, by want of the right,
// by a view's check, or since a view is for reading alone.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains([]string{"42501", "44000", "55000"}, pg.Code)
}

// made is what a column of the type gets, in SQL.
var made = map[string]string{
	"uuid": `gen_random_uuid()`, "text": `md5(random()::text)`, "character varying": `md5(random()::text)`, "bytea": `decode(md5(random()::text), 'hex')`,
	"smallint": `(random() * 30000)::smallint`, "integer": `(random() * 2000000000)::int`, "bigint": `(random() * 9000000000000000)::bigint`,
	"numeric": `random()::numeric`, "double precision": `random()`, "real": `random()::real`, "boolean": `false`,
	"timestamp with time zone": `now() + random() * interval '1 day'`, "timestamp without time zone": `localtimestamp`, "date": `current_date`,
	"json": `'{}'`, "jsonb": `'{}'`, "interval": `'1 day'`, "inet": `'192.0.2.1'`, "cidr": `'192.0.2.0/24'`,
}

// insertInto is the statement that makes a row of the tenant $1.
func (i *isolation) insertInto(r relation) string {
	rows, err := i.admin.Query(i.Context(), `
		SELECT quote_ident(attname), format_type(atttypid, NULL) FROM pg_attribute
		WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = '' AND attname <> 'tenant_id'
		ORDER BY attnum`, r.name)
	if err != nil {
		i.Fatal(err)
	}
	columns, values := []string{"tenant_id"}, []string{"$1::text::uuid"}
	var name, kind string
	_, err = pgx.ForEachRow(rows, []any{&name, &kind}, func() error {
		value, known := made[kind]
		switch {
		case strings.HasSuffix(kind, "[]"):
			value = `'{}'`
		case !known:
			return fmt.Errorf("%s: what to put into a %s? (%s)", name, kind, strings.Join(slices.Sorted(maps.Keys(made)), ", "))
		}
		columns, values = append(columns, name), append(values, value)
		return nil
	})
	if err != nil {
		i.Fatal(err)
	}
	return `INSERT INTO ` + r.name + ` (` + strings.Join(columns, ", ") + `) VALUES (` + strings.Join(values, ", ") + `)`
}
