package repository_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

func TestTables_TenantsAreKeptApart(t *testing.T) {
	t.Parallel()
	pgtest.Isolation(t, "airtable-gateway", repository.Migrations, map[string]string{
		"record_rows":    "the rows of records, which is isolated and named in its place: see migration 0031",
		"link_keys":      "the service's own key",
		"withheld_bases": "a view of isolated tables with the rights of who asks",
	})
}
