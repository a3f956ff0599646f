package repository_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

// ofAccounts is why most tables here are no tenant's: an account is a person's, who may
// be in many tenants. It is found by an address, a cookie or a token before anybody knows
// for which of them; tenant_id is that of the personal tenant, a part of the account's key.
const ofAccounts = "of an account, which is found before its tenant is known"

func TestTables_TenantsAreKeptApart(t *testing.T) {
	t.Parallel()
	pgtest.Isolation(t, "auth-service", repository.Migrations, map[string]string{
		"users": ofAccounts, "identities": ofAccounts, "networks": ofAccounts, "mails": ofAccounts, "mail_tokens": ofAccounts,
		"challenges": ofAccounts, "sessions": ofAccounts, "refresh_tokens": ofAccounts, "personal_tokens": ofAccounts,
		"revocations":  "ids of sessions, tokens and users that are announced to all services",
		"signing_keys": "the service's own keys",
	})
}
