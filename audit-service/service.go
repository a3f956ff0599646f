// Package auditservice is audit-service.
package auditservice

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/audit-service/internal/collectors"
	"github.com/pyairtable/pyairtable/audit-service/internal/config"
	"github.com/pyairtable/pyairtable/audit-service/internal/handlers"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/app"
)

// Service is audit-service.
var Service = app.Define(auditapi.Service.Name, Wire)

// forwardEvery is how long an entry waits at the most before it is forwarded.
const forwardEvery = time.Second

// Wire makes the service out of its parts.
func Wire(ctx context.Context, a *app.App, cfg config.Config) error {
	guard, err := cfg.Egress()
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
	repo := repository.New(pool)
	vault := services.NewVault(repo, box)
	notary, err := services.NewNotary(ctx, repo, vault, box, a.Log, time.Now)
	if err != nil {
		return err
	}
	keeper := services.NewKeeper(repo, vault, box, collectors.New(guard, nil), a.Log, time.Now)
	a.Go("signing", func(ctx context.Context) error { return notary.Run(ctx, cfg.SignEvery) })
	a.Go("pruning", func(ctx context.Context) error { return keeper.Prune(ctx, cfg.PruneEvery) })
	a.Go("forwarding", func(ctx context.Context) error { return keeper.Forward(ctx, forwardEvery) })

	consumer, err := a.Consumer(ctx)
	if err != nil {
		return err
	}
	handlers.Listen(consumer, services.NewRecorder(repo, vault, time.Now), cfg.Batch)
	permits, err := a.Permit(ctx)
	if err != nil {
		return err
	}
	handlers.Register(a.API, handlers.Deps{
		Reader: services.NewReader(repo, vault), Notary: notary, Keeper: keeper,
		Exporter: services.NewExporter(repo, notary), Repository: repo, Permits: permits,
	})
	return nil
}
