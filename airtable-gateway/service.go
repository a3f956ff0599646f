// Package airtablegateway is the service that puts a tenant's Airtable behind one
// door: connections, the Airtable Web API under /v0, and the same bases as REST.
package airtablegateway

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/config"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/handlers"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/airtable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
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
	store := local.New(pool, time.Now)
	upstreams := services.NewUpstreams(store, client, box, allowed, a.Metrics)
	connections := services.NewConnections(repository.NewConnections(pool), upstreams, time.Now)
	handlers.Register(a.API, handlers.Deps{
		Gateway:     services.NewGateway(connections, upstreams),
		Connections: connections,
		Demo:        services.NewDemo(connections, store),
		APIURL:      cfg.APIURL,
	})
	return nil
}
