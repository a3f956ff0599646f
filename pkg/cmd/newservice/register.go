package main

import (
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/pyairtable/pyairtable/pkg/config"
)

const module = "github.com/pyairtable/pyairtable/"

// edit is a line, or several, that the service has in a list of the repository.
type edit struct {
	file   string
	before string // it goes before the first line that begins with this, or, if "", is blank, counted from after
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
		{"deploy/services.txt", "", "", n.Name + " " + n.Database},
		{"deploy/prometheus.yml", "", "", fmt.Sprintf(`      - {targets: ["127.0.0.1:%d"], labels: {service: %s}}`, n.Port, n.Name)},
		{composeFile, "", "x-environment:", fmt.Sprintf("  %sURL: http://%s:%d", config.Prefix(n.Name), n.Name, n.Port)},
		{composeFile, "    volumes:", "    entrypoint:", fmt.Sprintf("      %[1]s_PASSWORD: ${%[1]s_PASSWORD:?run deploy/secrets.sh first}", strings.ToUpper(n.Database))},
		{composeFile, "  api-gateway:", "services:", container(n)},
	}
}

const composeFile = "docker-compose.yml"

// container is the service in docker-compose.yml.
func container(n names) string {
	return fmt.Sprintf(`  %[1]s:
    <<: *service
    build: {context: ., dockerfile: %[1]s/Dockerfile}
    environment:
      <<: *environment
      DATABASE_URL: postgres://%[2]s:${%[3]s_PASSWORD:?run deploy/secrets.sh first}@postgres:5432/%[2]s
      CLIENT_SECRET: ${%[4]sCLIENT_SECRET:?run deploy/secrets.sh first}
    ports: ["127.0.0.1:%[5]d:%[5]d"]
    healthcheck: {<<: *ready, test: ["CMD", "/%[1]s", "-health"]}
    depends_on: *needs-auth
`, n.Name, n.Database, strings.ToUpper(n.Database), config.Prefix(n.Name), n.Port)
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
		if err := change(top, e.file, func(lines []string) ([]string, error) { return e.without(lines), nil }); err != nil {
			return err
		}
	}
	return errors.Join(requirements(top, n, false), os.RemoveAll(filepath.Join(top, n.Name)),
		os.RemoveAll(filepath.Join(top, "pkg", "api", n.API)))
}

// without returns the lines without those of the edit, whatever their indentation.
func (e edit) without(lines []string) []string {
	own := strings.Split(e.line, "\n")
	for i := range len(lines) - len(own) + 1 {
		if slices.EqualFunc(lines[i:i+len(own)], own, func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }) {
			return slices.Delete(lines, i, i+len(own))
		}
	}
	return lines
}

func (e edit) insert(lines []string) ([]string, error) {
	begun := e.after == ""
	for i, l := range lines {
		if !begun {
			begun = strings.HasPrefix(l, e.after)
			continue
		}
		if e.before == "" && l == "" || e.before != "" && strings.HasPrefix(l, e.before) {
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
