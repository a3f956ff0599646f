// Package pgtest gives every test a PostgreSQL database of its own, on a real server.
//
// The server is the one that PYAIRTABLE_TEST_POSTGRES_URL names (`make test` starts one
// for all packages, see cmd/withinfra), or else a throw-away one that this process
// starts at the first use. The schema is migrated once, into a template database that
// parallel test processes share, and cloned for each test.
package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pkg/migrate"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// URLVariable names the administrator's URL of a server for tests.
const URLVariable = "PYAIRTABLE_TEST_POSTGRES_URL"

// ownerRole owns the databases and is what the tests connect as, with its name as its
// password. Like a service's role it is no superuser: those pass row-level security by.
const ownerRole = "pyairtable_test"

const (
	startLimit = 2 * time.Minute // PostgreSQL may have to be installed first
	dropLimit  = 30 * time.Second
	closeLimit = 10 * time.Second
	maxConns   = 8
)

// New returns a pool on a new database with the kit's tables and the service's
// migrations (nil: none). At the test's end the pool is closed and the database
// dropped, whoever is still connected; a connection that the test never gave back
// fails it.
func New(t testing.TB, service string, migrations fs.FS) *pgxpool.Pool {
	t.Helper()
	return open(t, URL(t, service, migrations))
}

// URL is New for a test that opens its own pools, such as one of a whole service.
func URL(t testing.TB, service string, migrations fs.FS) string {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return c.clone(t, service, migrations)
}

// Server is a PostgreSQL of one test's own, to be killed and restarted.
type Server struct {
	*localinfra.Postgres
	cluster *cluster
}

// OwnServer starts a server for this test alone and stops it at the end. It takes a
// second: use it to show what happens when the database goes away.
func OwnServer(t testing.TB) *Server {
	t.Helper()
	p, err := localinfra.StartPostgres(t.Context(), localinfra.Options{Profile: localinfra.Ephemeral, Install: true, Say: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	c, err := newCluster(t.Context(), p.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.disposable = true
	t.Cleanup(c.admin.Close)
	return &Server{Postgres: p, cluster: c}
}

// NewDatabase is New on this server.
func (s *Server) NewDatabase(t testing.TB, service string, migrations fs.FS) *pgxpool.Pool {
	t.Helper()
	return open(t, s.NewDatabaseURL(t, service, migrations))
}

// NewDatabaseURL is URL on this server.
func (s *Server) NewDatabaseURL(t testing.TB, service string, migrations fs.FS) string {
	t.Helper()
	return s.cluster.clone(t, service, migrations)
}

func open(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, postgres.Options{AppName: t.Name(), MaxConns: maxConns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() { // ends at the latest when the database is dropped by force
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(closeLimit):
			t.Errorf("%d connections were never given back to the pool", pool.Stat().AcquiredConns())
		}
	})
	return pool
}

// shared returns this process's server, started or connected to at the first call.
// A process that it starts ends with this one.
var shared = sync.OnceValues(func() (*cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if url, ok := config.Environ()(URLVariable); ok && url != "" {
		return newCluster(ctx, url)
	}
	p, err := localinfra.StartPostgres(ctx, localinfra.Options{Profile: localinfra.Ephemeral, Install: true})
	if err != nil {
		return nil, err
	}
	return newCluster(ctx, p.URL)
})

// cluster is a server with its template databases.
type cluster struct {
	admin      *pgxpool.Pool
	url        *url.URL
	fileCopy   string // how to copy a template quickly, where the release knows it
	disposable bool   // goes with the test, no need to drop what is in it

	mu        sync.Mutex
	templates map[string]*sync.Once
	errs      map[string]error
}

func newCluster(ctx context.Context, address string) (*cluster, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%s: want postgres://user:password@host:port/postgres", URLVariable)
	}
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", URLVariable, err)
	}
	cfg.MaxConns = 2 // each process has one of these
	admin, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the test server: %w", err)
	}
	c := &cluster{admin: admin, url: at, templates: map[string]*sync.Once{}, errs: map[string]error{}}
	var version int
	if err := admin.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		admin.Close()
		return nil, fmt.Errorf("reach the test server: %w", err)
	}
	// Two processes may make it at the same moment.
	if _, err := admin.Exec(ctx, `DO $$ BEGIN CREATE ROLE `+ownerRole+` LOGIN CREATEDB PASSWORD '`+ownerRole+`';
		EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`); err != nil {
		admin.Close()
		return nil, fmt.Errorf("make the tests' role: %w", err)
	}
	if version >= 150000 {
		c.fileCopy = " STRATEGY FILE_COPY" // 20 ms rather than 60 to 250
	}
	return c, nil
}

// clone makes a database for the test and returns its URL.
func (c *cluster) clone(t testing.TB, service string, migrations fs.FS) string {
	t.Helper()
	template, err := templateName(service, migrations)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ensureTemplate(template, service, migrations); err != nil {
		t.Fatal(err)
	}
	name := "test_" + strings.ReplaceAll(id.New[testing.TB]().String(), "-", "")
	if _, err := c.admin.Exec(t.Context(), "CREATE DATABASE "+name+" OWNER "+ownerRole+" TEMPLATE "+template+c.fileCopy); err != nil {
		t.Fatalf("clone %s: %v", template, err)
	}
	if !c.disposable {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), dropLimit)
			defer cancel()
			if _, err := c.admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
				t.Errorf("drop the test's database: %v", err)
			}
		})
	}
	return c.urlOf(name)
}

func (c *cluster) urlOf(database string) string {
	u := *c.url
	u.User = url.UserPassword(ownerRole, ownerRole)
	u.Path = "/" + database
	return u.String()
}

// templateName names the template after everything that its schema is made from.
func templateName(service string, migrations fs.FS) (string, error) {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s\n", service) // a hash takes everything
	if migrations != nil {
		err := fs.WalkDir(migrations, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			f, err := migrations.Open(path)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			_, _ = fmt.Fprintf(h, "\n%s\n", path)
			_, err = io.Copy(h, f)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("read migrations: %w", err)
		}
	}
	return "template_" + hex.EncodeToString(h.Sum(nil)[:12]), nil
}

// ensureTemplate makes the template if no process has done so yet.
func (c *cluster) ensureTemplate(name, service string, migrations fs.FS) error {
	c.mu.Lock()
	once, ok := c.templates[name]
	if !ok {
		once = &sync.Once{}
		c.templates[name] = once
	}
	c.mu.Unlock()
	once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		defer cancel()
		err := c.makeTemplate(ctx, name, service, migrations)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.errs[name] = err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errs[name]
}

// makeTemplate migrates a database under another name and renames it when it is
// complete, all under a lock that the other test processes respect: a template that
// can be seen can be used.
func (c *cluster) makeTemplate(ctx context.Context, name, service string, migrations fs.FS) error {
	conn, err := c.admin.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("template of %s: %w", service, err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, name); err != nil {
		return fmt.Errorf("template of %s: lock: %w", service, err)
	}
	defer func() {
		_, _ = conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, name)
	}()
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil || there {
		return err
	}
	draft := name + "_draft"
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + draft + " WITH (FORCE)", "CREATE DATABASE " + draft + " OWNER " + ownerRole} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("template of %s: %w", service, err)
		}
	}
	if err := c.migrate(ctx, draft, service, migrations); err != nil {
		return err
	}
	// Nobody may connect to it: a clone needs it unused.
	for _, sql := range []string{"ALTER DATABASE " + draft + " ALLOW_CONNECTIONS false", "ALTER DATABASE " + draft + " RENAME TO " + name} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("template of %s: %w", service, err)
		}
	}
	return nil
}

func (c *cluster) migrate(ctx context.Context, database, service string, migrations fs.FS) error {
	pool, err := postgres.Open(ctx, c.urlOf(database), postgres.Options{AppName: "pgtest", MaxConns: 2})
	if err != nil {
		return err
	}
	defer pool.Close()
	return migrate.Up(ctx, pool, service, migrations)
}
