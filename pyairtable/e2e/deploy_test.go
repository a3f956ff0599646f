package e2e

import (
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

// What docker-compose runs makes a role for each database that enters that one alone
// and is held by row-level security, and adds what is missing to a server in use.
func TestPostgresInit_AddsRolesThatRowSecurityHolds(t *testing.T) {
	t.Parallel()
	server := pgtest.OwnServer(t)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	admin, _ := at.User.Password()
	env := []string{"PGHOST=" + at.Hostname(), "PGPORT=" + at.Port(), "PGUSER=" + at.User.Username(), "PGPASSWORD=" + admin}
	connect := func(role, secret, database string) (*pgx.Conn, error) {
		to := *at
		to.User, to.Path = url.UserPassword(role, secret), "/"+database
		return pgx.Connect(t.Context(), to.String())
	}
	run(t, ".", append(env, "PYAIRTABLE_AUTH_PASSWORD=first"), "sh", "deploy/postgres-init.sh")
	run(t, ".", append(env, "PYAIRTABLE_AUTH_PASSWORD=second", "PYAIRTABLE_AUDIT_PASSWORD=it's"), "sh", "deploy/postgres-init.sh")
	for role, secret := range map[string]string{"pyairtable_auth": "second", "pyairtable_audit": "it's"} {
		conn, err := connect(role, secret, role)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var mighty, owner bool
		err = conn.QueryRow(t.Context(), `
			SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb,
			       (SELECT datdba = r.oid FROM pg_database WHERE datname = current_database())
			FROM pg_roles r WHERE rolname = current_user`).Scan(&mighty, &owner)
		if err != nil || mighty || !owner {
			t.Errorf("%s: mighty %t, owner %t, %v", role, mighty, owner, err)
		}
	}
	if conn, err := connect("pyairtable_auth", "second", "pyairtable_audit"); err == nil {
		conn.Close(t.Context())
		t.Error("a role enters another's database")
	}
}
