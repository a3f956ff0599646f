package repository_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

func TestTables_TenantsAreKeptApart(t *testing.T) {
	t.Parallel()
	pgtest.Isolation(t, "tenant-service", repository.Migrations, map[string]string{
		"plans": "the same ones for all tenants",
	})
}
