package rules_test

import (
	"bytes"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

var (
	partition = regexp.MustCompile(`(?i)ATTACH\s+PARTITION\s+(\w+)|TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)\s+PARTITION\s+OF`)
	analyze   = regexp.MustCompile(`^\s*ANALYZE\s`) // PostgreSQL's own look at the rows, which tells nobody
)

// A policy is of the table that a statement names: one that names a partition is held by
// none. So migrations alone name partitions, for tables and views that ask for the tenant.
func TestIsolation_NoStatementNamesAPartition(t *testing.T) {
	t.Parallel()
	migrations, err := fs.Glob(os.DirFS(top()), "*/internal/repository/migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range migrations {
		for _, found := range partition.FindAllStringSubmatch(read(t, file), -1) {
			names = append(names, found[1]+found[2])
		}
	}
	if len(names) == 0 {
		t.Fatal("no migration makes a partition: this test looks for the wrong words")
	}
	named := regexp.MustCompile(`\b(` + strings.Join(names, "|") + `)\b`)
	eachFile(t, func(dir, file string, tree *ast.File) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			text, ok := n.(*ast.BasicLit)
			if !ok || text.Kind != token.STRING || analyze.MatchString(strings.Trim(text.Value, "\"`")) {
				return true
			}
			if name := named.FindString(text.Value); name != "" {
				t.Errorf("%s/%s names the partition %s, which no row-level security holds: name its table, or a view that asks for the tenant", dir, file, name)
			}
			return true
		})
	})
}
