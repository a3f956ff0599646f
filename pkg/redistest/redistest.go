// Package redistest gives every test a Redis database of its own, on a real server.
//
// The server is the one that PYAIRTABLE_TEST_REDIS_URL names (`make test` starts one
// for all packages, see cmd/withinfra), or else a throw-away one that this process
// starts at the first use. Channels of publish/subscribe are the one thing that Redis
// does not keep apart by database.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pkg/redis"
)

// URLVariable names the URL of a server for tests; all its databases are theirs.
const URLVariable = "PYAIRTABLE_TEST_REDIS_URL"

const (
	startLimit = 2 * time.Minute // Redis may have to be installed first
	// claimTime frees the database of a killed test.
	claimTime = time.Hour
)

// New returns a client of an empty database that no other test uses until this one
// ends, when it is emptied and the client closed.
func New(t testing.TB) goredis.UniversalClient {
	t.Helper()
	return open(t, URL(t))
}

// URL is New for a test that opens its own clients, such as one of a whole service.
func URL(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	db, err := s.claim(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.free(context.Background(), db); err != nil {
			t.Error(err)
		}
	})
	return s.urlOf(db)
}

// Server is a Redis of one test's own. Kill ends it as a crash would and Restart brings
// it back on the same port.
type Server struct {
	*localinfra.Redis
}

// OwnServer starts a server that loses its data when it is killed, and stops it at the
// test's end.
func OwnServer(t testing.TB) *Server {
	t.Helper()
	return ownServer(t, localinfra.Options{Profile: localinfra.Ephemeral})
}

// OwnDurableServer starts a server that finds its data again after Kill, all but what
// the last second brought, and stops it at the test's end.
func OwnDurableServer(t testing.TB) *Server {
	t.Helper()
	return ownServer(t, localinfra.Options{Profile: localinfra.Durable, Dir: t.TempDir()})
}

func ownServer(t testing.TB, o localinfra.Options) *Server {
	t.Helper()
	o.Install, o.Say = true, func(s string) { t.Log(s) }
	r, err := localinfra.StartRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &Server{Redis: r}
}

// Client returns a client of the server, closed at the test's end.
func (s *Server) Client(t testing.TB) goredis.UniversalClient {
	t.Helper()
	return open(t, s.URL)
}

func open(t testing.TB, url string) goredis.UniversalClient {
	t.Helper()
	c, err := redis.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a test may have closed it already
	return c
}

// shared returns this process's server, started or connected to at the first call.
// A process that it starts ends with this one.
var shared = sync.OnceValues(func() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if url, ok := config.Environ()(URLVariable); ok && url != "" {
		return newServer(ctx, url)
	}
	r, err := localinfra.StartRedis(ctx, localinfra.Options{Profile: localinfra.Ephemeral, Install: true})
	if err != nil {
		return nil, err
	}
	return newServer(ctx, r.URL)
})

// server hands out the databases of a server. Which are taken is written in its
// database 0, so that parallel test processes can share it.
type server struct {
	url       *url.URL
	claims    *goredis.Client
	databases int
}

func newServer(ctx context.Context, address string) (*server, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%s: want redis://:password@host:port/0", URLVariable)
	}
	s := &server{url: u, databases: 16}
	options, err := goredis.ParseURL(s.urlOf(0))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", URLVariable, err)
	}
	s.claims = goredis.NewClient(options)
	// The stand-in has no CONFIG, and any number of databases; Redis has 16 if not told otherwise.
	if n, err := strconv.Atoi(s.claims.ConfigGet(ctx, "databases").Val()["databases"]); err == nil {
		s.databases = n
	}
	return s, nil
}

func (s *server) urlOf(db int) string {
	u := *s.url
	u.Path = "/" + strconv.Itoa(db)
	return u.String()
}

// claim takes a free database, waiting for one if all are in use, and empties it.
func (s *server) claim(ctx context.Context, who string) (int, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		start := rand.IntN(s.databases)
		for i := range s.databases {
			db := (start + i) % s.databases
			if db == 0 {
				continue
			}
			took, err := s.claims.SetNX(ctx, claimKey(db), who, claimTime).Result()
			if err != nil {
				return 0, fmt.Errorf("claim a database: %w", err)
			}
			if took {
				return db, s.flush(ctx, db)
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for a free database: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *server) free(ctx context.Context, db int) error {
	return errors.Join(s.flush(ctx, db), s.claims.Del(ctx, claimKey(db)).Err())
}

func (s *server) flush(ctx context.Context, db int) error {
	options, err := goredis.ParseURL(s.urlOf(db))
	if err != nil {
		return fmt.Errorf("%s: %w", URLVariable, err)
	}
	c := goredis.NewClient(options)
	defer func() { _ = c.Close() }()
	if err := c.FlushDB(ctx).Err(); err != nil {
		return fmt.Errorf("empty database %d: %w", db, err)
	}
	return nil
}

func claimKey(db int) string { return redis.Key("redistest", "database", strconv.Itoa(db)) }
