package repository_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

func TestTables_TenantsAreKeptApart(t *testing.T) {
	t.Parallel()
	pgtest.Isolation(t, "permission-service", repository.Migrations, nil)
}
