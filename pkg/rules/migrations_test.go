package rules_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/migrate"
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
	for _, dir := range append(dirs, filepath.Join(top(), "pkg", "migrate", "migrations")) {
		files := os.DirFS(dir)
		if *update {
			record(t, dir, files)
		}
		if err := migrate.CheckSums(files); err != nil {
			t.Errorf("%s:\n%v", dir, err)
		}
	}
}

func record(t *testing.T, dir string, files fs.FS) {
	t.Helper()
	sums, err := migrate.Sums(files)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, migrate.SumsFile), sums, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
