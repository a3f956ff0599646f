package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// copied copies the repository, as far as Go needs it.
func copied(t *testing.T) string {
	t.Helper()
	from, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	skip := []string{".git", ".run", ".bin", "node_modules", ".venv", "bench", "testdata"}
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && slices.Contains(skip, d.Name()):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func goes(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s in %s: %v\n%s", strings.Join(args, " "), dir, err, out)
	}
}

func lists(t *testing.T, top string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range edits(names{}) {
		text, err := os.ReadFile(filepath.Join(top, e.file))
		if err != nil {
			t.Fatal(err)
		}
		out[e.file] = string(text)
	}
	return out
}

func TestNewService_IsGreenAtOnceAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	top := copied(t)
	before := lists(t, top)
	goes(t, top, "run", "./pkg/cmd/newservice", "probe-two-service", "8099")
	if after := lists(t, top); cmp.Equal(before, after) {
		t.Error("nothing was registered")
	}
	goes(t, filepath.Join(top, "probe-two-service"), "vet", "./...")
	goes(t, filepath.Join(top, "probe-two-service"), "test", "./...")
	goes(t, filepath.Join(top, "pyairtable"), "build", "./...")
	goes(t, filepath.Join(top, "pkg"), "test", "./rules", "-run", "Catalog")
	goes(t, top, "run", "./pkg/cmd/newservice", "-remove", "probe-two-service")
	if diff := cmp.Diff(before, lists(t, top)); diff != "" {
		t.Error(diff)
	}
}

func TestFree_RefusesWhatIsTaken(t *testing.T) {
	t.Parallel()
	for name, port := range map[string]int{"auth-service": 8099, "Bad_Name": 8099, "fresh-service": 8001, "": 8099, "../x": 8099} {
		if err := free(t.TempDir(), forms(name, port)); err == nil {
			t.Errorf("%q on %d was allowed", name, port)
		}
	}
	if err := free(t.TempDir(), forms("fresh-service", 8099)); err != nil {
		t.Error(err)
	}
}
