// Package userservice is the service that keeps what users say about themselves:
// name, picture, language, time zone and preferences.
package userservice

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/user-service/internal/config"
	"github.com/pyairtable/pyairtable/user-service/internal/handlers"
	"github.com/pyairtable/pyairtable/user-service/internal/repository"
	"github.com/pyairtable/pyairtable/user-service/internal/services"
)

// Service is user-service.
var Service = app.Define(userapi.Service.Name, Wire)

// Config is the service's configuration.
type Config = config.Config

// Wire makes the service out of its parts.
func Wire(ctx context.Context, a *app.App, _ Config) error {
	pool, err := a.Postgres(ctx, repository.Migrations)
	if err != nil {
		return err
	}
	consumer, err := a.Consumer(ctx)
	if err != nil {
		return err
	}
	permits, err := a.Permit(ctx)
	if err != nil {
		return err
	}
	repo := repository.New(pool, time.Now)
	handlers.Listen(consumer, repo)
	handlers.Register(a.API, services.NewUsers(repo, permits, a.Metrics, time.Now))
	return nil
}
