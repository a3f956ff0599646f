// Package permissionservice is the service that says who may do what: grants, roles and
// policies of every tenant, and the answers that follow from them.
package permissionservice

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/config"
	"github.com/pyairtable/pyairtable/permission-service/internal/handlers"
	"github.com/pyairtable/pyairtable/permission-service/internal/relations"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/app"
)

// Service is permission-service.
var Service = app.Define(permissionapi.Service.Name, Wire)

// Wire makes the service out of its parts.
func Wire(ctx context.Context, a *app.App, cfg config.Config) error {
	pool, err := a.Postgres(ctx, repository.Migrations)
	if err != nil {
		return err
	}
	engine, err := relations.Open(ctx, pool)
	if err != nil {
		return err
	}
	a.OnClose("relations", func(context.Context) error { engine.Close(); return nil })
	repo := repository.New(pool, time.Now)
	decisions, err := services.NewDecisions(repo, engine, cfg.CacheSize, a.Log, time.Now)
	if err != nil {
		return err
	}
	consumer, err := a.Consumer(ctx)
	if err != nil {
		return err
	}
	handlers.Listen(consumer, repo)
	handlers.Register(a.API, handlers.Deps{Decisions: decisions, Repository: repo, Now: time.Now})
	a.Go("permissions", decisions.Run)
	return nil
}
