package repository_test

import (
	"os"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/migrate"
)

func TestMigrations_AreNotEditedAfterwards(t *testing.T) {
	t.Parallel()
	if err := migrate.CheckSums(os.DirFS("migrations")); err != nil {
		t.Error(err)
	}
}
