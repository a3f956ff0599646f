package rules_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/pyairtable/pyairtable/pkg/catalog"
)

const root = "github.com/pyairtable/pyairtable/"

// top is the repository's top directory.
var top = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	panic("no go.work above the test")
})

type pack struct {
	ImportPath, Dir, Name, Doc         string
	Imports, TestImports, XTestImports []string
	GoFiles                            []string
}

// path is the package's path inside the repository: auth-service/internal/models.
func (p pack) path() string { return strings.TrimPrefix(p.ImportPath, root) }

// module is the first element of path.
func (p pack) module() string { m, _, _ := strings.Cut(p.path(), "/"); return m }

var packages = sync.OnceValue(func() []pack {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,Imports,TestImports,XTestImports,GoFiles", "work")
	cmd.Dir, cmd.Stderr = top(), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		panic(err)
	}
	var list []pack
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pack
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			panic(err)
		}
		list = append(list, p)
	}
})

func TestPackages_SayWhatTheyProvide(t *testing.T) {
	t.Parallel()
	for _, p := range packages() {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.path())
		}
	}
}

func TestPackages_HaveNoDrawerNames(t *testing.T) {
	t.Parallel()
	for _, p := range packages() {
		if slices.Contains([]string{"utils", "util", "common", "helpers", "helper", "types", "constants", "misc", "shared"}, p.Name) {
			t.Errorf("%s: the name says nothing", p.path())
		}
	}
}

// A service knows pkg and itself; pkg knows no service; pyairtable knows the
// services' root packages.
func TestImports_GoOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range packages() {
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			rest, ours := strings.CutPrefix(imp, root)
			if !ours {
				continue
			}
			to, inside, deep := strings.Cut(rest, "/")
			switch {
			case to == "pkg" || to == p.module():
			case p.module() != "pyairtable":
				t.Errorf("%s imports %s", p.path(), rest)
			case deep:
				t.Errorf("%s imports %s; only a service's root package is open, not %s", p.path(), rest, inside)
			}
		}
	}
}

// Each layer of a service leaves some libraries to its neighbours.
func TestLayers_KeepTheirLibraries(t *testing.T) {
	t.Parallel()
	const gin, pgx, http = "github.com/gin-gonic/gin", "github.com/jackc/pgx", "net/http"
	forbidden := map[string][]string{
		"handlers":   {pgx},
		"services":   {gin, http},
		"repository": {gin, http},
		"models":     {gin, pgx, http, "database/sql"},
	}
	for _, p := range packages() {
		_, layer, ok := strings.Cut(p.path(), "/internal/")
		if !ok {
			continue
		}
		for _, bad := range forbidden[layer] {
			for _, imp := range p.Imports {
				if imp == bad || strings.HasPrefix(imp, bad+"/") {
					t.Errorf("%s imports %s", p.path(), imp)
				}
			}
		}
	}
}

// What everything imports must stay light: Gin alone would bring a hundred
// packages into every test binary.
func TestContracts_ImportNoWebFramework(t *testing.T) {
	t.Parallel()
	args := []string{"list", "-deps"}
	for _, name := range []string{"errs", "api/...", "id", "page", "events"} {
		args = append(args, "./pkg/"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = top()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, heavy := range []string{"github.com/gin-gonic/gin", "github.com/danielgtaylor/huma", "github.com/riverqueue/river", "go.opentelemetry.io/otel/exporters"} {
		if bytes.Contains(out, []byte("\n"+heavy)) {
			t.Errorf("a contract package imports %s", heavy)
		}
	}
}

func TestWorkspace_OneVersionOfEachDependency(t *testing.T) {
	t.Parallel()
	type use struct{ module, version string }
	first := map[string]use{}
	for _, file := range modFiles(t) {
		for _, r := range file.Require {
			m := use{file.Module.Mod.Path, r.Mod.Version}
			if seen, ok := first[r.Mod.Path]; ok && seen.version != m.version && !r.Indirect {
				t.Errorf("%s: %s needs %s, %s needs %s", r.Mod.Path, seen.module, seen.version, m.module, m.version)
			} else if !ok && !r.Indirect {
				first[r.Mod.Path] = m
			}
		}
	}
}

func modFiles(t *testing.T) []*modfile.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(top(), "*", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*modfile.File
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := modfile.Parse(path, text, nil)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// environment lists who may read it: the package whose business it is, and
// commands and test servers, which run before any configuration exists.
var environment = regexp.MustCompile(`^(pkg/(config|cmd/.*|pgtest|redistest|localinfra)|pyairtable(/.*)?|.*/bench(/.*)?|.*/cmd/.*)$`)

func TestEnvironment_IsReadByConfigAlone(t *testing.T) {
	t.Parallel()
	eachFile(t, func(dir, file string, tree *ast.File) {
		if environment.MatchString(dir) || strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, name := range []string{"Getenv", "LookupEnv", "Environ"} {
			if calls(tree, "os", name) {
				t.Errorf("%s/%s calls os.%s", dir, file, name)
			}
		}
	})
}

func TestTests_DoNotSleep(t *testing.T) {
	t.Parallel()
	eachFile(t, func(dir, file string, tree *ast.File) {
		if strings.HasSuffix(file, "_test.go") && calls(tree, "time", "Sleep") && !imports(tree, "testing/synctest") {
			t.Errorf("%s/%s sleeps; wait for a condition, or use testing/synctest", dir, file)
		}
	})
}

// A service's main is the kit's; what a service is made of is in its Wire.
func TestMains_AreShort(t *testing.T) {
	t.Parallel()
	for _, s := range catalog.Services {
		text, err := os.ReadFile(filepath.Join(top(), s.Name, "cmd", s.Name, "main.go"))
		if err != nil {
			t.Error(err)
			continue
		}
		if n := bytes.Count(text, []byte("\n")); n >= 30 || !bytes.Contains(text, []byte("app.Main(")) {
			t.Errorf("%s: main.go has %d lines, or does not call app.Main", s.Name, n)
		}
	}
}

// eachFile parses every Go file of the repository.
func eachFile(t *testing.T, visit func(dir, file string, tree *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(top(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != top() || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top(), filepath.Dir(path))
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(rel), filepath.Base(path), tree)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func imports(tree *ast.File, path string) bool {
	return slices.ContainsFunc(tree.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"`+path+`"` })
}

func calls(tree *ast.File, pkg, name string) (found bool) {
	ast.Inspect(tree, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != name {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == pkg {
			found = true
		}
		return true
	})
	return found
}
