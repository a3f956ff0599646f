package rules_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A service that isolates one table shows that it isolates all of them.
func TestIsolation_IsProvedByEveryService(t *testing.T) {
	t.Parallel()
	migrations, err := filepath.Glob(filepath.Join(top(), "*", "internal", "repository", "migrations", "*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, file := range migrations {
		repository := filepath.Dir(filepath.Dir(file))
		if !contains(t, file, "isolate_tenants(") || asked[repository] {
			continue
		}
		asked[repository] = true
		proved := false
		tests, err := filepath.Glob(filepath.Join(repository, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range tests {
			proved = proved || contains(t, file, "pgtest.Isolation(")
		}
		if !proved {
			t.Errorf("%s: no test calls pgtest.Isolation; copy isolation_test.go of tenant-service", repository)
		}
	}
	if len(asked) < 5 {
		t.Errorf("only %d services isolate tenants", len(asked))
	}
}

func contains(t *testing.T, file, text string) bool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(data, []byte(text))
}
