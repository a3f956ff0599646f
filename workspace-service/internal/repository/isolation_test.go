package repository_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

func TestTables_TenantsAreKeptApart(t *testing.T) {
	t.Parallel()
	pgtest.Isolation(t, "workspace-service", repository.Migrations, nil)
}
