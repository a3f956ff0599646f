package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/catalog"
)

// The README's first programs, as they stand there but for the address, list the
// demo records.
func TestReadme_FirstProgramsRun(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	_, who := w.user(t)
	w.demo(t, who)
	env := []string{
		"PYAIRTABLE_TOKEN=" + w.pat(t, who, "data.records:read", "schema.bases:read"),
		"NODE_PATH=" + filepath.Join(top(t), clients, "node_modules"),
	}
	for language, program := range map[string]string{"python": filepath.Join(top(t), clients, ".venv", "bin", "python"), "javascript": "node"} {
		t.Run(language, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "first")
			source := strings.ReplaceAll(readmeBlock(t, language), "http://localhost:8080", w.urls[catalog.Gateway.Name])
			if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			out := run(t, ".", env, program, file)
			if !strings.Contains(out, "China") || strings.Count(out, "\n") != 5 {
				t.Errorf("the program printed %q", out)
			}
		})
	}
}

// readmeBlock is the first block of code in the language.
func readmeBlock(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("the README has no program in %s", language)
	}
	return string(m[1])
}
