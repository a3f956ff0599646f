// Package airtablegateway is the service that puts a tenant's Airtable behind one
// door: connections, the Airtable Web API under /v0, and the same bases as REST.
package airtablegateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/allowance"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/config"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/fetch"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/handlers"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/announce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/cache"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/coalesce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/ledger"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/stable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/policy"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/airtable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/watch"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/egress"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Service is airtable-gateway.
var Service = app.Define(airtableapi.Service.Name, Wire)

// Config is the service's configuration.
type Config = config.Config

// Wire makes the service out of its parts.
func Wire(ctx context.Context, a *app.App, cfg Config) error {
	allowed, err := models.ParseAllowedURLs(cfg.APIURL + "," + cfg.AllowedURLs)
	if err != nil {
		return err
	}
	weights, err := cfg.TenantWeights()
	if err != nil {
		return err
	}
	outside, err := cfg.Egress()
	if err != nil {
		return err
	}
	pool, err := a.Postgres(ctx, repository.Migrations)
	if err != nil {
		return err
	}
	box, err := a.Seal()
	if err != nil {
		return err
	}
	client := airtable.New(cfg.Timeout)
	a.Go("airtable client", func(ctx context.Context) error {
		<-ctx.Done()
		client.Close()
		return nil
	})
	rdb, err := a.Redis(ctx)
	if err != nil {
		return err
	}
	limits := budget.New(ctx, budget.Options{Redis: rdb, Log: a.Log, Metrics: a.Metrics, Wait: cfg.QueueWait, Weights: weights})
	a.Go("airtable budget", limits.Run)
	usage := repository.NewUsage(pool)
	spent := ledger.New(usage, a.Log, a.Metrics, time.Now)
	a.Go("airtable ledger", spent.Run)
	kept, err := cache.New(ctx, cache.Options{
		Redis: rdb, Box: box, Log: a.Log, Metrics: a.Metrics, Ledger: spent, Now: time.Now,
		Front: cfg.CacheMemory << 20, Site: cfg.CacheBase << 20,
	})
	if err != nil {
		return err
	}
	a.Go("airtable cache", kept.Run)
	plans, err := a.Limits(ctx)
	if err != nil {
		return err
	}
	within := allowance.New(plans, repository.NewUses(pool))
	a.Go("allowance", within.Run)
	keeper, err := openFiles(ctx, a, cfg, outside, pool, box, within)
	if err != nil {
		return err
	}
	var queue *jobs.Client // needs the workers, which need the store
	enqueue := func(ctx context.Context, tx pgx.Tx, args river.JobArgs) error { return queue.Insert(ctx, tx, args) }
	store := local.New(pool, local.Options{Now: time.Now, Box: box, Egress: outside, Files: keeper, Enqueue: enqueue, Allowance: within})
	pinger := local.NewPinger(store, local.PingerOptions{Now: time.Now, Log: a.Log, Metrics: a.Metrics})
	a.Go("webhook pings", pinger.Run)
	a.Go("webhook sweep", pinger.Sweep)
	told := announce.New(repository.NewJournal(pool), a.Log, a.Metrics, time.Now)
	a.Go("airtable announcer", told.Run)
	batches := coalesce.New(ctx, coalesce.Options{Log: a.Log, Metrics: a.Metrics, Wait: cfg.QueueWait})
	a.Go("airtable coalescer", batches.Run)
	var upstreams *services.Upstreams // needs the links, which reach accounts through it
	accounts := repository.NewConnections(pool)
	lasting := stable.New(stable.Options{
		Files: keeper, Repo: repository.NewStableFiles(pool, enqueue), Now: time.Now,
		Reach: func(ctx context.Context, tenant id.TenantID, connection models.ConnectionID) (upstream.Upstream, error) {
			return upstreams.Account(ctx, accounts, tenant, connection)
		},
	})
	watcher := watch.New(watch.Options{
		Repo: repository.NewWatches(pool, enqueue), Connections: accounts, Cache: kept, Box: box,
		At:      func(c models.Connection) (upstream.Upstream, error) { return upstreams.Bare(c) },
		Address: cfg.PingURL(), Now: time.Now, Metrics: a.Metrics,
	})
	upstreams = services.NewUpstreams(services.Parts{
		Local: store, Airtable: client, Cache: kept, Budget: limits, Ledger: spent,
		Coalesce: batches, Announce: told, Stable: lasting, Watch: watcher, Box: box, Allowed: allowed, Metrics: a.Metrics,
	})
	places := repository.NewPlaces(pool)
	connections := services.NewConnections(accounts, places, upstreams, time.Now)
	snapshotRepo := repository.NewSnapshots(pool, enqueue)
	snapshots := services.NewSnapshots(connections, local.NewSnapshots(store, snapshotRepo), snapshotRepo, time.Now)
	permits, err := a.Permit(ctx)
	if err != nil {
		return err
	}
	guard := policy.New(permits, store.Views)
	workers := river.NewWorkers()
	river.AddWorker(workers, &services.TakeSnapshotWorker{Snapshots: snapshots})
	river.AddWorker(workers, &services.RestoreSnapshotWorker{Snapshots: snapshots})
	live := func(ctx context.Context, args river.JobArgs) (bool, error) { return queue.Live(ctx, args) }
	river.AddWorker(workers, &services.EndLostWorker{Snapshots: snapshots, Live: live})
	river.AddWorker(workers, &services.PruneHistoryWorker{Store: repository.NewStore(pool), Keep: cfg.HistoryKept(), Now: time.Now})
	river.AddWorker(workers, &local.FetchWorker{Store: store})
	river.AddWorker(workers, &files.CollectWorker{Keeper: keeper})
	river.AddWorker(workers, &stable.CopyWorker{Links: lasting})
	river.AddWorker(workers, &policy.OwnWorker{Guard: guard})
	river.AddWorker(workers, &allowance.ReportWorker{Allowance: within})
	erasures := repository.NewErasures(pool, enqueue, services.NewEraseTenant, time.Now)
	river.AddWorker(workers, &services.EraseTenantWorker{Erasures: &services.Erasures{Repo: erasures, Files: keeper, Cache: kept, Watch: watcher}})
	river.AddWorker(workers, &services.EraseTenantsWorker{Repo: erasures})
	watcher.AddWorkers(workers)
	if queue, err = a.Jobs(workers, services.PruneHistoryPeriodically(), files.CollectPeriodically(), watch.SweepPeriodically(),
		allowance.ReportPeriodically(), services.EraseTenantsPeriodically(), services.EndLostWorkPeriodically()); err != nil {
		return err
	}
	directory := repository.NewDirectory(pool, time.Now)
	consumer, err := a.Consumer(ctx)
	if err != nil {
		return err
	}
	handlers.Listen(consumer, directory, places, erasures)
	people := services.NewPeople(directory, services.Users{Client: a.Client(userapi.Service)}, a.Log)
	a.Go("airtable people", people.Run)
	ownLater := func(ctx context.Context, o policy.Ownership) error {
		return postgres.InTx(ctx, pool, func(tx pgx.Tx) error { return queue.Insert(ctx, tx, o) })
	}
	handlers.Register(a.API, handlers.Deps{
		Gateway:     services.NewGateway(connections, upstreams, people, guard, within, ownLater),
		Connections: connections,
		Demo:        services.NewDemo(connections, store),
		Views:       services.NewViews(connections, store, guard),
		History:     services.NewHistory(connections, store, guard),
		Usage:       services.NewUsage(usage, connections, time.Now),
		Snapshots:   snapshots,
		Files:       keeper,
		Watcher:     watcher,
		APIURL:      cfg.APIURL,
	})
	return nil
}

// openFiles opens what keeps attachments.
func openFiles(ctx context.Context, a *app.App, cfg config.Config, guard egress.Guard, pool *pgxpool.Pool, box *seal.Box,
	within *allowance.Allowance,
) (*files.Keeper, error) {
	repo := repository.NewFiles(pool)
	stored, err := blobs.Open(ctx, cfg.BlobURL, repo, within, time.Now, a.Metrics)
	if err != nil {
		return nil, fmt.Errorf("AIRTABLE_BLOB_URL: %w", err)
	}
	fetcher := fetch.New(guard, fetch.DefaultStall)
	a.Go("files", func(ctx context.Context) error {
		<-ctx.Done()
		fetcher.Close()
		return stored.Close()
	})
	book, err := links.Open(ctx, repo, box, strings.TrimSuffix(cfg.PublicURL, "/")+airtableapi.Files.Prefix)
	if err != nil {
		return nil, err
	}
	return files.New(files.Parts{Blobs: stored, Fetch: fetcher, Repo: repo, Book: book, Now: time.Now}), nil
}
