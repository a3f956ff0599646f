// Package airtablegateway is the service that puts a tenant's Airtable behind one
// door: connections, the Airtable Web API under /v0, and the same bases as REST.
package airtablegateway

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/config"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/handlers"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/announce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/coalesce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/ledger"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/airtable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/app"
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
	store := local.New(pool, local.Options{Now: time.Now, Box: box, Egress: outside})
	pinger := local.NewPinger(store, local.PingerOptions{Now: time.Now, Log: a.Log, Metrics: a.Metrics})
	a.Go("webhook pings", pinger.Run)
	a.Go("webhook sweep", pinger.Sweep)
	told := announce.New(repository.NewJournal(pool), a.Log, a.Metrics, time.Now)
	a.Go("airtable announcer", told.Run)
	batches := coalesce.New(ctx, coalesce.Options{Log: a.Log, Metrics: a.Metrics, Wait: cfg.QueueWait})
	a.Go("airtable coalescer", batches.Run)
	upstreams := services.NewUpstreams(services.Parts{
		Local: store, Airtable: client, Budget: limits, Ledger: spent,
		Coalesce: batches, Announce: told, Box: box, Allowed: allowed, Metrics: a.Metrics,
	})
	workers := river.NewWorkers()
	river.AddWorker(workers, &services.PruneHistoryWorker{Store: repository.NewStore(pool), Keep: cfg.HistoryKept(), Now: time.Now})
	if _, err := a.Jobs(workers, services.PruneHistoryPeriodically()); err != nil {
		return err
	}
	connections := services.NewConnections(repository.NewConnections(pool), upstreams, time.Now)
	directory := repository.NewDirectory(pool, time.Now)
	consumer, err := a.Consumer(ctx)
	if err != nil {
		return err
	}
	handlers.Listen(consumer, directory)
	people := services.NewPeople(directory, services.Users{Client: a.Client(userapi.Service)}, a.Log)
	a.Go("airtable people", people.Run)
	handlers.Register(a.API, handlers.Deps{
		Gateway:     services.NewGateway(connections, upstreams, people),
		Connections: connections,
		Demo:        services.NewDemo(connections, store),
		Views:       services.NewViews(connections, store),
		History:     services.NewHistory(connections, store),
		Usage:       services.NewUsage(usage, connections, time.Now),
		APIURL:      cfg.APIURL,
	})
	return nil
}
