package main

import (
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

const module = "github.com/pyairtable/pyairtable/"

// edit is a line that the service has in a list of the repository.
type edit struct {
	file   string
	before string // the line goes before the first one that has this, counted from after
	after  string
	line   string
}

func edits(n names) []edit {
	return []edit{
		{"pkg/catalog/catalog.go", ")", "import (", "\t\"" + module + "pkg/api/" + n.API + "\""},
		{"pkg/catalog/catalog.go", "}", "var Services", "\t" + n.API + ".Service,"},
		{"pyairtable/services.go", ")", "import (", "\t" + n.Package + " \"" + module + n.Name + "\""},
		{"pyairtable/services.go", "}", "var Services", "\t" + n.Package + ".Service,"},
		{"go.work", ")", "use (", "\t./" + n.Name},
	}
}

// register adds the service to the lists.
func register(top string, n names) error {
	for _, e := range edits(n) {
		if err := change(top, e.file, func(lines []string) ([]string, error) { return e.insert(lines) }); err != nil {
			return err
		}
	}
	return requirements(top, n, true)
}

// takeAway undoes write and register.
func takeAway(top string, n names) error {
	if n.Short == "" || !valid.MatchString(n.Name) {
		return fmt.Errorf("%q is not a service's name", n.Name)
	}
	for _, e := range edits(n) {
		err := change(top, e.file, func(lines []string) ([]string, error) {
			var kept []string
			for _, l := range lines {
				if strings.TrimSpace(l) != strings.TrimSpace(e.line) {
					kept = append(kept, l)
				}
			}
			return kept, nil
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(requirements(top, n, false), os.RemoveAll(filepath.Join(top, n.Name)),
		os.RemoveAll(filepath.Join(top, "pkg", "api", n.API)))
}

func (e edit) insert(lines []string) ([]string, error) {
	begun := false
	for i, l := range lines {
		if strings.HasPrefix(l, e.after) {
			begun = true
			continue
		}
		if begun && strings.HasPrefix(l, e.before) {
			return append(append(append([]string{}, lines[:i]...), e.line), lines[i:]...), nil
		}
	}
	return nil, fmt.Errorf("%s has no %q ... %q", e.file, e.after, e.before)
}

// change rewrites a file line by line, formatted.
func change(top, file string, by func([]string) ([]string, error)) error {
	path := filepath.Join(top, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines, err := by(strings.Split(string(text), "\n"))
	if err != nil {
		return err
	}
	out := []byte(strings.Join(lines, "\n"))
	if filepath.Ext(file) == ".go" {
		if out, err = format.Source(out); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return os.WriteFile(path, out, 0o644)
}

// requirements adds the service to pyairtable's go.mod, or drops it.
func requirements(top string, n names, add bool) error {
	path := filepath.Join(top, "pyairtable", "go.mod")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	mod, err := modfile.Parse(path, text, nil)
	if err != nil {
		return err
	}
	if add {
		err = errors.Join(mod.AddRequire(module+n.Name, "v0.0.0"), mod.AddReplace(module+n.Name, "", "../"+n.Name, ""))
	} else {
		err = errors.Join(mod.DropRequire(module+n.Name), mod.DropReplace(module+n.Name, ""))
	}
	if err != nil {
		return err
	}
	mod.Cleanup()
	out, err := mod.Format()
	if err != nil {
		return err
	}
	return os.WriteFile(path, out, 0o644)
}
