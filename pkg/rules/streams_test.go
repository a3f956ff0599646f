package rules_test

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/catalog"
)

// audit-service records the streams of the catalog: an event on any other one would
// never be heard of.
func TestEvents_TravelOnStreamsOfTheCatalog(t *testing.T) {
	t.Parallel()
	consts, used := map[string]string{}, map[string]string{} // by directory and name; by literal or directory and name
	eachFile(t, func(dir, file string, tree *ast.File) {
		if !strings.HasPrefix(dir, "pkg/api/") || strings.HasSuffix(file, "_test.go") {
			return
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i < len(n.Values) {
						if text, ok := literal(n.Values[i]); ok {
							consts[dir+"."+name.Name] = text
						}
					}
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Stream" {
					if text, ok := literal(n.Value); ok {
						used[strconv.Quote(text)] = dir + "/" + file
					} else if name, ok := n.Value.(*ast.Ident); ok {
						used[dir+"."+name.Name] = dir + "/" + file
					} else {
						t.Errorf("%s/%s: a stream is neither a constant nor a literal", dir, file)
					}
				}
			}
			return true
		})
	})
	if len(used) == 0 {
		t.Fatal("no event was found")
	}
	for key, where := range used {
		stream, err := strconv.Unquote(key)
		if err != nil {
			stream = consts[key]
		}
		if !slices.Contains(catalog.Streams(), stream) {
			t.Errorf("%s: no service of the catalog lists the stream %q", where, stream)
		}
	}
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}
