// Package workspaceservice is workspace-service.
package workspaceservice

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/workspace-service/internal/config"
	"github.com/pyairtable/pyairtable/workspace-service/internal/handlers"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

// Service is workspace-service.
var Service = app.Define(workspaceapi.Service.Name, Wire)

// Wire makes the service out of its parts.
func Wire(ctx context.Context, a *app.App, cfg config.Config) error {
	pool, err := a.Postgres(ctx, repository.Migrations)
	if err != nil {
		return err
	}
	repo := repository.New(pool)
	items := services.NewItems(repo, cfg.MaxItems, time.Now)
	handlers.Register(a.API, handlers.Deps{Items: items, Repository: repo})
	return nil
}
