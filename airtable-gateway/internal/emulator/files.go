package emulator

import (
	"context"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/fetch"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/jobs"
)

// Attachments are what a store keeps files with: in a directory, fetched from
// anywhere, this machine too.
type Attachments struct {
	Keeper  *files.Keeper
	stored  *blobs.Store
	fetcher *fetch.Client
	queue   *jobs.Client
}

// OpenAttachments keeps files in the directory. Links to them begin with address, the
// emulator's own, and go by the clock; they die with the process.
func OpenAttachments(ctx context.Context, pool *pgxpool.Pool, dir, address string, clock func() time.Time) (*Attachments, error) {
	repo := repository.NewFiles(pool)
	stored, err := blobs.Open(ctx, (&url.URL{Scheme: "file", Path: dir}).String(), repo, nil, clock, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	a := &Attachments{stored: stored, fetcher: fetch.New(Everywhere(), fetch.DefaultStall)}
	a.Keeper = files.New(files.Parts{
		Blobs: stored, Fetch: a.fetcher, Repo: repo, Book: links.New(links.NewKey(), address+FilesPrefix), Now: clock,
	})
	return a, nil
}

// Enqueue adds jobs, which Run works.
func (a *Attachments) Enqueue(ctx context.Context, tx pgx.Tx, args river.JobArgs) error {
	return a.queue.Insert(ctx, tx, args)
}

// Serve makes ready to fetch what the store's writes did not wait for. It is called
// before the store is used.
func (a *Attachments) Serve(pool *pgxpool.Pool, store *local.Store) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, &local.FetchWorker{Store: store})
	river.AddWorker(workers, &files.CollectWorker{Keeper: a.Keeper})
	var err error
	a.queue, err = jobs.New(pool, nil, jobs.Options{
		Workers: workers, Periodic: []*river.PeriodicJob{files.CollectPeriodically()}, StopTimeout: 5 * time.Second,
	})
	return err
}

// Run fetches until ctx ends.
func (a *Attachments) Run(ctx context.Context) error { return a.queue.Run(ctx) }

// Close gives the directory back.
func (a *Attachments) Close() error {
	a.fetcher.Close()
	return a.stored.Close()
}
