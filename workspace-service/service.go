// Package workspaceservice is the service that keeps workspaces: the projects and bases in
// them, their order and trash, who shares them, and what
// happens in them.
package workspaceservice

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/workspace-service/internal/config"
	"github.com/pyairtable/pyairtable/workspace-service/internal/gallery"
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
	checker, err := a.Permit(ctx)
	if err != nil {
		return err
	}
	box, err := a.Seal()
	if err != nil {
		return err
	}
	repo := repository.New(pool, services.Clock)
	workers := river.NewWorkers()
	river.AddWorker(workers, &services.SweepWorker{Repo: repo, Trash: cfg.TrashRetention, Feed: cfg.ActivityRetention, Now: services.Clock})
	consumer, err := a.Consumer(ctx)
	if err != nil {
		return err
	}
	handlers.Listen(consumer, repo)
	rights := services.NewRights(checker, a.Client(permissionapi.Service))
	tree := services.NewTree(repo, rights, a.Client(airtableapi.Service), services.Limits{Workspaces: cfg.MaxWorkspaces}, services.Clock)
	shares := services.NewShares(tree)
	links := services.NewLinks(shares, box)
	var queue *jobs.Client // needs the workers, which need the service
	seeds, err := gallery.Open()
	if err != nil {
		return err
	}
	snapshots := services.NewSnapshots(repository.NewSnapshots(pool), tree, seeds, a.Metrics, func(ctx context.Context, tx pgx.Tx, args river.JobArgs) error {
		return queue.Insert(ctx, tx, args)
	})
	river.AddWorker(workers, &services.FollowSnapshotWorker{Snapshots: snapshots})
	river.AddWorker(workers, &services.FollowRestoreWorker{Snapshots: snapshots})
	live := func(ctx context.Context, args river.JobArgs) (bool, error) { return queue.Live(ctx, args) }
	river.AddWorker(workers, &services.FollowLostWorker{Snapshots: snapshots, Live: live})
	river.AddWorker(workers, &services.RunSchedulesWorker{Snapshots: snapshots})
	river.AddWorker(workers, &services.RecallSharesWorker{Links: links})
	templates := services.NewTemplates(repository.NewTemplates(pool), snapshots)
	river.AddWorker(workers, &services.FollowEditionWorker{Templates: templates})
	river.AddWorker(workers, &services.DropContentWorker{Templates: templates})
	if queue, err = a.Jobs(workers, services.SweepEvery(cfg.SweepInterval), services.RunSchedulesPeriodically(), services.RecallEvery(), services.FollowLostPeriodically()); err != nil {
		return err
	}
	handlers.Register(a.API, handlers.Deps{
		Tree: tree, Shares: shares, Links: links, Snapshots: snapshots, Templates: templates,
		Retention: cfg.TrashRetention,
	})
	return nil
}
