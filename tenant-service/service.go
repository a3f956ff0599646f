// Package tenantservice is tenant-service.
package tenantservice

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/tenant-service/internal/config"
	"github.com/pyairtable/pyairtable/tenant-service/internal/handlers"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

// Service is tenant-service.
var Service = app.Define(tenantapi.Service.Name, Wire)

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
