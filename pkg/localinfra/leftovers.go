package localinfra

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// StopLeftovers stops servers that still work on the data in dir although the process
// that started them is dead. The caller holds whatever lock tells that it is.
func StopLeftovers(ctx context.Context, dir string, say func(sentence string)) error {
	o := Options{Dir: dir, Say: say}
	p := &Postgres{opts: o, Dir: filepath.Join(postgresHome(dir), "data")}
	r := &Redis{opts: o, home: filepath.Join(dir, "redis"), pidFile: filepath.Join(dir, "redis.pid")}
	return errors.Join(p.takeOver(ctx), r.takeOver(ctx))
}

// RemoveData removes the data, logs and passwords of the servers in dir, and
// PostgreSQL's data where it had to be kept outside. The servers must not run.
func RemoveData(dir string) error {
	for _, name := range []string{"postgres", "redis"} {
		lock, err := lockInstance(filepath.Join(dir, name+".lock"), name)
		if err != nil {
			return err
		}
		defer func() { _ = lock.Unlock() }()
	}
	var errs []error
	if home := postgresHome(dir); home != filepath.Join(dir, "postgres") {
		if !strings.HasPrefix(filepath.Base(filepath.Dir(home)), "pyairtable-") {
			return fmt.Errorf("%s names %s, which is none of ours: remove it by hand", filepath.Join(dir, "postgres.path"), home)
		}
		errs = append(errs, os.RemoveAll(filepath.Dir(home)))
	}
	for _, name := range []string{
		"postgres", "postgres.path", "postgres.password", "postgres.port", "postgres.log", "postgres.log.1", "postgres.lock",
		"redis", "redis.password", "redis.port", "redis.pid", "redis.log", "redis.log.1", "redis.lock",
	} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// postgresHome is where place has put PostgreSQL's data.
func postgresHome(dir string) string {
	home := filepath.Join(dir, "postgres")
	if raw, err := os.ReadFile(home + ".path"); err == nil {
		return strings.TrimSpace(string(raw))
	}
	return home
}
