// Package auditservice is audit-service.
package auditservice

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/audit-service/internal/config"
	"github.com/pyairtable/pyairtable/audit-service/internal/handlers"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/app"
)

// Service is audit-service.
var Service = app.Define(auditapi.Service.Name, Wire)

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
