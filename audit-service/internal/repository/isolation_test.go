package repository_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

func TestTables_TenantsAreKeptApart(t *testing.T) {
	t.Parallel()
	pgtest.Isolation(t, "audit-service", repository.Migrations, map[string]string{
		"erased_subjects": "who was erased is so in every tenant",
		"signing_keys":    "the service's own keys",
	})
}
