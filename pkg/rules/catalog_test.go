package rules_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
)

func TestCatalog_NamesAreUnique(t *testing.T) {
	t.Parallel()
	ports, databases, names, routes := map[int]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	for _, s := range catalog.Services {
		claim(t, ports, s.Port, s.Name)
		if s.Database != "" {
			claim(t, databases, s.Database, s.Name)
		}
		for _, op := range s.Ops {
			claim(t, names, op.Name, s.Name)
			if op.Access.Routed() {
				claim(t, routes, op.Method+" "+op.Path, s.Name)
			}
		}
	}
}

func claim[K comparable](t *testing.T, taken map[K]string, key K, by string) {
	t.Helper()
	if other, ok := taken[key]; ok {
		t.Errorf("%v is taken by %s and by %s", key, other, by)
	}
	taken[key] = by
}

// Synchronous calls must not go round in a circle; the way back is an event.
func TestCatalog_NeedsAreAcyclic(t *testing.T) {
	t.Parallel()
	var visit func(s api.Service, path []string)
	visit = func(s api.Service, path []string) {
		for _, p := range path {
			if p == s.Name {
				t.Fatalf("a circle of calls: %s", strings.Join(append(path, s.Name), " > "))
			}
		}
		for _, need := range s.Needs {
			next, ok := catalog.Find(need)
			if !ok {
				t.Fatalf("%s needs %s, which is not in the catalog", s.Name, need)
			}
			visit(next, append(path, s.Name))
		}
	}
	for _, s := range catalog.Services {
		visit(s, nil)
	}
}

// Internal operations must be where the gateway never routes, and the others
// where it does.
func TestCatalog_InternalPathsAreInternal(t *testing.T) {
	t.Parallel()
	for _, s := range catalog.Services {
		for _, op := range s.Ops {
			if strings.HasPrefix(op.Path, "/internal/") == op.Access.Routed() {
				t.Errorf("%s: %s %s has access %d", s.Name, op.Method, op.Path, op.Access)
			}
		}
	}
}

// A struct embedded under the name of a field inside it hides that field, and the
// parameter would silently never be bound.
// An internal operation says who may call it: a service that calls it needs its service,
// and is a caller of no other one.
func TestCatalog_InternalOperationsNameTheirCallers(t *testing.T) {
	t.Parallel()
	for _, s := range catalog.Services {
		for _, op := range s.Ops {
			if (op.Access == api.Internal) != (len(op.Callers) > 0) {
				t.Errorf("%s: %s has access %d and the callers %v", s.Name, op.Name, op.Access, op.Callers)
			}
			for _, name := range op.Callers {
				if name == api.AnyService && len(op.Callers) == 1 || name == s.Name {
					continue
				}
				if caller, ok := catalog.Find(name); !ok || !slices.Contains(caller.Needs, s.Name) {
					t.Errorf("%s: %s may be called by %q, which does not need the service", s.Name, op.Name, name)
				}
			}
		}
	}
}

func TestCatalog_NoParameterIsHidden(t *testing.T) {
	t.Parallel()
	for _, s := range catalog.Services {
		for _, op := range s.Ops {
			for _, in := range []reflect.Type{op.In, op.Out} {
				if in.Kind() != reflect.Struct {
					continue
				}
				for _, f := range reflect.VisibleFields(in) {
					if !f.Anonymous || f.Type.Kind() != reflect.Struct {
						continue
					}
					if _, hidden := f.Type.FieldByName(f.Name); hidden {
						t.Errorf("%s: %s hides its field of the same name in %s", op.Name, f.Name, in)
					}
				}
			}
		}
	}
}

func TestServices_AreWholeDirectories(t *testing.T) {
	t.Parallel()
	for _, s := range catalog.Services {
		for _, file := range []string{"README.md", "Dockerfile", "go.mod", "service.go"} {
			if _, err := os.Stat(filepath.Join(top(), s.Name, file)); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
		docker := read(t, s.Name+"/Dockerfile")
		for _, want := range []string{"USER ", "HEALTHCHECK ", "GOWORK=off", fmt.Sprintf("EXPOSE %d", s.Port)} {
			if !strings.Contains(docker, want) {
				t.Errorf("%s/Dockerfile has no %q", s.Name, want)
			}
		}
	}
}

func TestEnvExample_DocumentsTheSharedVariables(t *testing.T) {
	t.Parallel()
	if !strings.Contains(read(t, ".env.example"), config.Example[config.Base]("")) {
		t.Error(".env.example does not have what config.Example renders for config.Base")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top(), path))
	if err != nil {
		t.Error(err)
	}
	return string(text)
}
