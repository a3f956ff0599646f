// Package filestest is what tests of attachments stand on: a keeper of files in a
// directory of the test's own that may fetch from this machine, the queue of its
// jobs, and a server of files.
package filestest

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/allowance"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/fetch"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/egress"
	"github.com/pyairtable/pyairtable/pkg/jobs"
)

// Base is what the links of a Keeper made here begin with when none is given.
const Base = "http://files.test/files"

// Keeper keeps files in a directory of the test's own.
func Keeper(t testing.TB, pool *pgxpool.Pool, base string, now func() time.Time) *files.Keeper {
	t.Helper()
	return KeeperWithin(t, nil, pool, base, now)
}

// KeeperWithin is Keeper where tenants have what their plans allow.
func KeeperWithin(t testing.TB, within *allowance.Allowance, pool *pgxpool.Pool, base string, now func() time.Time) *files.Keeper {
	t.Helper()
	return KeeperIn(t, t.TempDir(), within, pool, base, now)
}

// KeeperIn is KeeperWithin that keeps its files in the directory, those of a tenant under
// its id.
func KeeperIn(t testing.TB, dir string, within *allowance.Allowance, pool *pgxpool.Pool, base string, now func() time.Time) *files.Keeper {
	t.Helper()
	repo := repository.NewFiles(pool)
	store := open(t, "file://"+dir, repo, within, now)
	guard, err := egress.Parse("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	fetcher := fetch.New(guard, fetch.DefaultStall)
	t.Cleanup(fetcher.Close)
	return files.New(files.Parts{Blobs: store, Fetch: fetcher, Repo: repo, Book: links.New(links.NewKey(), base), Now: now})
}

// Store opens the bucket at the address until the test ends.
func Store(t testing.TB, address string, repo *repository.Files, now func() time.Time) *blobs.Store {
	t.Helper()
	return open(t, address, repo, nil, now)
}

func open(t testing.TB, address string, repo *repository.Files, within *allowance.Allowance, now func() time.Time) *blobs.Store {
	t.Helper()
	store, err := blobs.Open(t.Context(), address, repo, within, now, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// Queue works the jobs of workers until the test ends.
func Queue(t testing.TB, pool *pgxpool.Pool, workers *river.Workers) *jobs.Client {
	t.Helper()
	queue, err := jobs.New(pool, nil, jobs.Options{Workers: workers, StopTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := queue.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return queue
}

// Site serves files, each at its path, and counts the requests.
type Site struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	hits  map[string]int
}

// NewSite starts one.
func NewSite(t testing.TB) *Site {
	t.Helper()
	s := &Site{pages: map[string]http.HandlerFunc{}, hits: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	page := s.pages[r.URL.Path]
	s.hits[r.URL.Path]++
	s.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	page(w, r)
}

// Handle has the path answered by h, and returns its address.
func (s *Site) Handle(path string, h http.HandlerFunc) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = h
	return s.URL + path
}

// Put serves the content at the path, and returns its address.
func (s *Site) Put(path, kind string, content []byte) string {
	return s.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(content)
	})
}

// Hits is how often the path was asked for.
func (s *Site) Hits(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[path]
}

// Picture is a PNG of that size.
func Picture(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
