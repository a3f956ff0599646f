package repository_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func TestTables_TenantsAreKeptApart(t *testing.T) {
	t.Parallel()
	pgtest.Isolation(t, "auth-service", repository.Migrations, map[string]string{
		"revocations":  "nothing but ids of sessions, tokens and users; one announcer tells every service all of them",
		"signing_keys": "the service's own keys, which sign the tokens of all tenants",
	})
}

// What is an account's and for another tenant is seen from both, and from nowhere else.
func TestTables_WhatIsForATenantIsSeenFromItAndFromHome(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "auth-service", repository.Migrations)
	home, in, other, user := id.New[id.Tenant](), id.New[id.Tenant](), id.New[id.Tenant](), id.New[id.User]()
	for _, sql := range []string{
		`INSERT INTO users (id, tenant_id, email, email_key, name, service_of, created_at) VALUES ($1, $2, '', 'x', '', $3, now())`,
		`INSERT INTO sessions (id, tenant_id, user_id, in_tenant_id, method, user_agent, ip, created_at, last_used_at, expires_at)
			VALUES (gen_random_uuid(), $2, $1, $3, '', '', '', now(), now(), now())`,
		`INSERT INTO personal_tokens (id, tenant_id, user_id, in_tenant_id, name, prefix, hash, scopes, bases, created_at)
			VALUES (gen_random_uuid(), $2, $1, $3, '', '', '', '{}', '{}', now())`,
	} {
		var pg *pgconn.PgError
		if _, err := postgres.ForTenant(pool, other).Exec(t.Context(), sql, user, home, in); !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("another tenant stores it: %v", err)
		}
		if _, err := postgres.ForTenant(pool, in).Exec(t.Context(), sql, user, home, in); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"users", "sessions", "personal_tokens"} {
		for tenant, want := range map[id.TenantID]int{home: 1, in: 1, other: 0} {
			q := postgres.ForTenant(pool, tenant)
			var n int
			if err := q.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d rows, %v; want %d", table, n, err, want)
			}
		}
		for _, change := range []string{`UPDATE ` + table + ` SET tenant_id = tenant_id`, `DELETE FROM ` + table} {
			if tag, err := postgres.ForTenant(pool, other).Exec(t.Context(), change); tag.RowsAffected() != 0 || err != nil {
				t.Errorf("another tenant: %s: %d rows, %v", change, tag.RowsAffected(), err)
			}
		}
	}
}
