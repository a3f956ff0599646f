// Package permissionservice is permission-service.
package permissionservice

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/config"
	"github.com/pyairtable/pyairtable/permission-service/internal/handlers"
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
	repo := repository.New(pool)
	items := services.NewItems(repo, cfg.MaxItems, time.Now)
	handlers.Register(a.API, handlers.Deps{Items: items, Repository: repo})
	return nil
}
