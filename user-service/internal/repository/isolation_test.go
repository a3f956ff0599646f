package repository_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/user-service/internal/repository"
)

func TestTables_TenantsAreKeptApart(t *testing.T) {
	t.Parallel()
	pgtest.Isolation(t, "user-service", repository.Migrations, map[string]string{
		"users": "a user may be in several tenants; whom a caller may see, his memberships say",
	})
}
