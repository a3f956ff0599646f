// Command newservice makes a service in the house's shape, registers it in the
// catalog, the workspace and the one binary, and leaves it green:
//
//	go run ./pkg/cmd/newservice quota-service 8021
//
// With -remove it takes such a service away again.
package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/migrate"
)

//go:embed all:template
var templates embed.FS

// names are the forms of a service's name that the templates use.
type names struct {
	Name     string // quota-service
	Short    string // quota
	Package  string // quotaservice
	API      string // quotaapi
	Type     string // Quota
	Title    string // Quota
	Database string // pyairtable_quota
	Port     int
}

var valid = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

func main() {
	remove := flag.Bool("remove", false, "remove the service instead")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: newservice NAME PORT\n       newservice -remove NAME")
	}
	flag.Parse()
	if err := run(context.Background(), *remove, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "newservice:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, remove bool, args []string) error {
	top, err := repository()
	if err != nil {
		return err
	}
	if remove {
		if len(args) != 1 {
			return errors.New("which service?")
		}
		known, _ := catalog.Find(args[0])
		return takeAway(top, forms(args[0], known.Port))
	}
	if len(args) != 2 {
		return errors.New("a name and a port are needed: newservice quota-service 8021")
	}
	port, err := strconv.Atoi(args[1])
	if err != nil || port < 1024 || port > 65535 {
		return fmt.Errorf("%q is not a port", args[1])
	}
	n := forms(args[0], port)
	if err := free(top, n); err != nil {
		return err
	}
	if err := write(top, n); err != nil {
		return err
	}
	if err := record(filepath.Join(top, n.Name, "internal", "repository", "migrations")); err != nil {
		return err
	}
	if err := register(top, n); err != nil {
		return err
	}
	for _, dir := range []string{n.Name, "pyairtable"} {
		if err := tidy(ctx, filepath.Join(top, dir)); err != nil {
			return err
		}
	}
	fmt.Printf("%s is in %s/ and pkg/api/%s/. Try: (cd %s && go test ./...), then make up and\n"+
		"  curl -H \"Authorization: Bearer $TOKEN\" http://localhost:8080/api/v1/%s/items\n", n.Name, n.Name, n.API, n.Name, n.Short)
	return nil
}

func forms(name string, port int) names {
	short := strings.TrimSuffix(name, "-service")
	var words []string
	for w := range strings.SplitSeq(short, "-") {
		if w != "" {
			words = append(words, strings.ToUpper(w[:1])+w[1:])
		}
	}
	flat := strings.ReplaceAll(short, "-", "")
	return names{
		Name: name, Short: short, Package: strings.ReplaceAll(name, "-", ""), API: flat + "api", Type: strings.Join(words, ""),
		Title: strings.Join(words, " "), Database: "pyairtable_" + strings.ReplaceAll(short, "-", "_"), Port: port,
	}
}

// free says why the service cannot be made, if it cannot.
func free(top string, n names) error {
	if !valid.MatchString(n.Name) {
		return fmt.Errorf("%q is not a service's name: want lower-case words with hyphens, such as quota-service", n.Name)
	}
	for _, s := range catalog.Services {
		switch {
		case s.Name == n.Name:
			return fmt.Errorf("%s exists", n.Name)
		case s.Port == n.Port:
			return fmt.Errorf("port %d is %s's", n.Port, s.Name)
		case s.Database == n.Database:
			return fmt.Errorf("database %s is %s's", n.Database, s.Name)
		}
	}
	for _, dir := range []string{n.Name, filepath.Join("pkg", "api", n.API)} {
		if _, err := os.Stat(filepath.Join(top, dir)); err == nil {
			return fmt.Errorf("%s exists", dir)
		}
	}
	return nil
}

// write renders the templates.
func write(top string, n names) error {
	return fs.WalkDir(templates, "template", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := templates.ReadFile(path)
		if err != nil {
			return err
		}
		t, err := template.New(path).Parse(string(text))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, n); err != nil {
			return err
		}
		out := b.Bytes()
		to := target(strings.TrimSuffix(strings.TrimPrefix(path, "template/"), ".tmpl"), n)
		if filepath.Ext(to) == ".go" {
			if out, err = format.Source(out); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		to = filepath.Join(top, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, out, 0o644)
	})
}

// record writes the checksums that keep merged migrations from being edited.
func record(migrations string) error {
	sums, err := migrate.Sums(os.DirFS(migrations))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(migrations, migrate.SumsFile), sums, 0o644)
}

// target is where a template's file goes.
func target(path string, n names) string {
	part, rest, _ := strings.Cut(path, "/")
	switch {
	case part == "api":
		return filepath.Join("pkg", "api", n.API, rest)
	case rest == "cmd/main.go":
		return filepath.Join(n.Name, "cmd", n.Name, "main.go")
	}
	return filepath.Join(n.Name, rest)
}

func tidy(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go mod tidy in %s: %w", dir, err)
	}
	return nil
}

// repository is the top directory that the command was called in or below.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run it inside the repository")
		}
	}
}
