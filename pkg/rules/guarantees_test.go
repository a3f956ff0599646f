package rules_test

import (
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

var namedTest = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")

// A promise without a test is an opinion: each one in docs/guarantees.md names
// tests that exist.
func TestGuarantees_NameTestsThatExist(t *testing.T) {
	t.Parallel()
	exists := map[string]bool{}
	eachFile(t, func(_, file string, tree *ast.File) {
		for _, d := range tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasSuffix(file, "_test.go") {
				exists[f.Name.Name] = true
			}
		}
	})
	for row := range strings.SplitSeq(read(t, "docs/guarantees.md"), "\n") {
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| promise") || strings.HasPrefix(row, "| ---") {
			continue
		}
		named := namedTest.FindAllStringSubmatch(row, -1)
		if len(named) == 0 {
			t.Errorf("no test shows: %s", row)
		}
		for _, m := range named {
			if !exists[m[1]] {
				t.Errorf("there is no %s, named in: %s", m[1], row)
			}
		}
	}
}
