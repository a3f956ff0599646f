package rules_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/postgres"
)

var update = flag.Bool("update", false, "record the checksums of new migrations")

// A migration that is merged has been applied somewhere: it is never edited.
//
//	go test ./pkg/rules -run Migrations -update
func TestMigrations_AreNeverEdited(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(top(), "*", "internal", "repository", "migrations"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, filepath.Join(top(), "pkg", "postgres", "migrations")) {
		files := os.DirFS(dir)
		if *update {
			record(t, dir, files)
		}
		if err := postgres.CheckSums(files); err != nil {
			t.Errorf("%s:\n%v", dir, err)
		}
	}
}

func record(t *testing.T, dir string, files fs.FS) {
	t.Helper()
	sums, err := postgres.Sums(files)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, postgres.SumsFile), sums, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
