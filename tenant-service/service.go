// Package tenantservice is the service that keeps organisations, the personal tenants of
// users, and who is a member of them.
package tenantservice

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/mail"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/tenant-service/internal/config"
	"github.com/pyairtable/pyairtable/tenant-service/internal/handlers"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

// Service is tenant-service.
var Service = app.Define(tenantapi.Service.Name, Wire)

// Wire makes the service out of its parts.
func Wire(ctx context.Context, a *app.App, cfg config.Config) error {
	if err := cfg.Check(); err != nil {
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
	var queue *jobs.Client // needs the workers, which need the repository
	repo := repository.New(pool, box, func(ctx context.Context, tx pgx.Tx, args river.JobArgs, due time.Time) error {
		return queue.InsertWith(ctx, tx, args, &river.InsertOpts{ScheduledAt: due})
	}, services.Clock)
	workers := river.NewWorkers()
	river.AddWorker(workers, &services.EndWorker{Repo: repo, Now: services.Clock})
	river.AddWorker(workers, &services.MailWorker{
		Repo: repo, To: mail.Log{From: cfg.MailFrom, Log: a.Log, Secrets: !cfg.Production()}, Keep: cfg.DevInbox, Now: services.Clock,
	})
	river.AddWorker(workers, &services.AnnounceWorker{Repo: repo})
	river.AddWorker(workers, &services.SweepWorker{Repo: repo})
	dns := services.Resolver(cfg.DNSAddress)
	river.AddWorker(workers, &services.CheckDomainsWorker{Repo: repo, DNS: dns})
	if queue, err = a.Jobs(workers, services.SweepPeriodically(), services.CheckDomainsPeriodically()); err != nil {
		return err
	}
	consumer, err := a.Consumer(ctx)
	if err != nil {
		return err
	}
	handlers.Listen(consumer, repo)
	checker, err := a.Permit(ctx)
	if err != nil {
		return err
	}
	permissions := a.Client(permissionapi.Service)
	rights := services.NewRights(checker, func(ctx context.Context, in permissionapi.HandOnRequest) (permissionapi.HandOnAnswer, error) {
		return rpc.Call(ctx, permissions, permissionapi.HandOn, in)
	})
	tenants := services.NewTenants(repo, rights, cfg.DeletionGrace, services.Clock)
	handlers.Register(a.API, tenants, services.NewInvitations(repo, tenants, cfg.PublicURL, services.Clock), cfg.DevInbox)
	handlers.RegisterLimits(a.API, services.NewLimits(repo, tenants), repo)
	handlers.RegisterDomains(a.API, services.NewDomains(repo, tenants, dns, services.Clock))
	handlers.RegisterGroups(a.API, services.NewGroups(repo, tenants, services.Clock))
	accounts := a.Client(authapi.Service)
	handlers.RegisterSCIM(a.API, services.NewDirectory(repo, tenants, func(ctx context.Context, in authapi.AccountRequest) (authapi.ProvisionedAccount, error) {
		return rpc.Call(ctx, accounts, authapi.ProvisionAccount, in)
	}, cfg.PublicURL, services.Clock))
	return nil
}
