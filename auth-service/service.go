// Package authservice is who you are: accounts, sessions, second factors,
// personal access tokens, and the only signer of access tokens.
package authservice

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/auth-service/internal/config"
	"github.com/pyairtable/pyairtable/auth-service/internal/handlers"
	"github.com/pyairtable/pyairtable/auth-service/internal/provider"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	kit "github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/mail"
)

// Service is auth-service, to be run by the kit.
var Service = app.Define(catalog.Auth, Wire)

// Wire puts the service together.
func Wire(ctx context.Context, a *app.App, cfg config.Config) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	providers, err := provider.Parse(cfg.Providers.Reveal(), cfg.PublicURL)
	if err != nil {
		return fmt.Errorf("OIDC_PROVIDERS: %w", err)
	}
	pool, err := a.Postgres(ctx, repository.Migrations)
	if err != nil {
		return err
	}
	rdb, err := a.Redis(ctx)
	if err != nil {
		return err
	}
	box, err := a.Seal()
	if err != nil {
		return err
	}
	var queue *jobs.Client // needs the workers, which need the repository
	repo := repository.New(pool, box, func(ctx context.Context, tx pgx.Tx, args river.JobArgs) error {
		return queue.Insert(ctx, tx, args)
	}, services.AccessTTL, services.Clock)
	keys := services.NewKeys(repo, cfg.KeyPeriod, services.Clock)
	if err := keys.Rotate(ctx); err != nil {
		return err
	}
	a.Go("signing keys", keys.Run)
	a.VerifyWith(keys)
	announcer := services.NewAnnouncer(repo, repository.NewAnnouncements(rdb), services.Clock)
	a.Go("announcer", announcer.Run)
	metrics := services.NewMetrics(a.Metrics)
	passwords, err := services.NewPasswords(cfg.BcryptCost, max(1, runtime.GOMAXPROCS(0)/2), metrics)
	if err != nil {
		return err
	}
	auth := services.New(services.Options{
		Repo: repo, Attempts: repository.NewAttempts(rdb, a.Log), Keys: keys, Passwords: passwords, Announcer: announcer,
		Metrics: metrics, Now: services.Clock, Issuer: cfg.Issuer, Idle: cfg.SessionIdle, Max: cfg.SessionMax,
		PublicURL: cfg.PublicURL, VerifyFirst: cfg.VerifyFirst,
		ServiceSecret: func(service string) string {
			return app.ClientSecret(kit.Base{ServiceSecret: cfg.ServiceSecret}, service)
		},
		KnownService: func(name string) bool { _, ok := catalog.Find(name); return ok },
	})
	a.Go("token uses", auth.NoteUses)

	if queue, err = work(a, cfg, repo, auth); err != nil {
		return err
	}
	consumer, err := a.Consumer(ctx)
	if err != nil {
		return err
	}
	handlers.Listen(consumer, repo)

	handlers.Register(a.API, handlers.Deps{
		Auth: auth, Repo: repo, Keys: keys, Providers: providers, Box: box, Now: services.Clock,
		Secure: strings.HasPrefix(cfg.PublicURL, "https:"), DevInbox: cfg.DevInbox,
	})
	return nil
}

// work is what the service does later: mails, and tidying up.
func work(a *app.App, cfg config.Config, repo *repository.Repository, auth *services.Auth) (*jobs.Client, error) {
	mailer := mail.Log{From: cfg.MailFrom, Log: a.Log, Secrets: !cfg.Production()}
	workers := river.NewWorkers()
	river.AddWorker(workers, services.NewMailWorker(repo, mailer, cfg.DevInbox, services.Clock))
	river.AddWorker(workers, &services.AskWorker{Auth: auth})
	river.AddWorker(workers, &services.SweepWorker{Repo: repo, Now: services.Clock})
	return a.Jobs(workers, services.SweepPeriodically())
}
