package migrate

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// SumsFile lists the checksums of a folder of migrations and lies in it.
const SumsFile = "migrations.sum"

var migrationName = regexp.MustCompile(`^\d{4}_[a-z0-9]+(_[a-z0-9]+)+\.sql$`)

// Sums returns what migrations.sum has to hold for the migrations in files: a
// line "sha256  name" for each.
func Sums(files fs.FS) ([]byte, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var b bytes.Buffer
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(text), name)
	}
	return b.Bytes(), nil
}

// CheckSums compares a folder of migrations, such as os.DirFS of it, with its
// migrations.sum. A migration that has been applied somewhere must not change:
// the error names every file that was edited, removed, misnamed or numbered
// twice, and every new one with the line that it still needs.
func CheckSums(files fs.FS) error {
	want, err := Sums(files)
	if err != nil {
		return err
	}
	have, err := fs.ReadFile(files, SumsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read checksums: %w", err)
	}
	recorded, current := sumLines(have), sumLines(want)
	var faults []error
	numbers := map[string]string{}
	for name, sum := range current {
		switch old, ok := recorded[name]; {
		case !migrationName.MatchString(name):
			faults = append(faults, fmt.Errorf("%s: want NNNN_verb_noun.sql", name))
		case !ok:
			faults = append(faults, fmt.Errorf("%s: add to %s: %s  %s", name, SumsFile, sum, name))
		case old != sum:
			faults = append(faults, fmt.Errorf("%s: was edited; write a new migration instead", name))
		}
		number, _, _ := strings.Cut(name, "_")
		if other, ok := numbers[number]; ok {
			faults = append(faults, fmt.Errorf("%s: has the number of %s", name, other))
		}
		numbers[number] = name
	}
	for name := range recorded {
		if _, ok := current[name]; !ok {
			faults = append(faults, fmt.Errorf("%s: was removed", name))
		}
	}
	return errors.Join(faults...)
}

func sumLines(b []byte) map[string]string {
	m := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if sum, name, ok := strings.Cut(s.Text(), "  "); ok {
			m[name] = sum
		}
	}
	return m
}
