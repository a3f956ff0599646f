package services

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/mail"
)

// MailWorker sends the mails that were committed. With keep what they say is
// kept for the dev inbox.
type MailWorker struct {
	river.WorkerDefaults[models.SendMail]
	repo   *repository.Repository
	mailer mail.Sender
	keep   bool
	now    func() time.Time
}

// NewMailWorker sends by mailer.
func NewMailWorker(repo *repository.Repository, mailer mail.Sender, keep bool, now func() time.Time) *MailWorker {
	return &MailWorker{repo: repo, mailer: mailer, keep: keep, now: now}
}

// Work implements river.Worker.
func (w *MailWorker) Work(ctx context.Context, job *river.Job[models.SendMail]) error {
	m, err := w.repo.Mail(ctx, job.Args.Mail)
	if errors.Is(err, errs.ErrNotFound) || err == nil && !m.SentAt.IsZero() {
		return nil // the user was deleted, or the mail was sent before
	}
	if err != nil {
		return err
	}
	err = w.mailer.Send(ctx, mail.Mail{
		ID: m.ID.String(), Tenant: m.Tenant, User: m.User, Kind: string(m.Kind), To: m.To, Subject: m.Subject, Text: m.Text,
	})
	if err != nil {
		return fmt.Errorf("send mail %s: %w", m.ID, err)
	}
	return w.repo.MarkSent(ctx, m.Tenant, m.ID, w.keep, w.now())
}

// AskWorker works models.AskMail.
type AskWorker struct {
	river.WorkerDefaults[models.AskMail]
	Auth *Auth
}

// Work implements river.Worker.
func (w *AskWorker) Work(ctx context.Context, job *river.Job[models.AskMail]) error {
	return w.Auth.MailAsked(ctx, job.Args)
}

// Sweep is the job that deletes what is over.
type Sweep struct{}

// Kind implements river.JobArgs.
func (Sweep) Kind() string { return "sweep" }

// SweepPeriodically is when, by one replica at a time.
func SweepPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
		func() (river.JobArgs, *river.InsertOpts) { return Sweep{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// SweepWorker works Sweep.
type SweepWorker struct {
	river.WorkerDefaults[Sweep]
	Repo *repository.Repository
	Now  func() time.Time
}

// Work implements river.Worker.
func (w *SweepWorker) Work(ctx context.Context, _ *river.Job[Sweep]) error {
	return w.Repo.Sweep(ctx, w.Now())
}

func (a *Auth) mail(u models.User, kind models.MailKind, subject, text string) models.Mail {
	return models.Mail{
		ID: id.New[models.MailName](), User: u.ID, Tenant: u.Tenant, Kind: kind, To: u.Email, Subject: subject,
		Text: "Hello " + u.Name + ",\n\n" + text + "\n", CreatedAt: a.Now(),
	}
}

func (a *Auth) notice(u models.User, subject, text string) models.Mail {
	return a.mail(u, models.NoticeMail, subject, text)
}

func (a *Auth) verifyMail(u models.User) models.Mail {
	token := models.NewSecret(models.MailPrefix)
	m := a.mail(u, models.VerifyMail, "Verify your email address",
		"to verify this address, send the token\n\n    "+token+"\n\nto "+a.PublicURL+"/api/v1/auth/email/verify within three days.")
	m.Token = token
	return m
}

func (a *Auth) resetMail(u models.User) models.Mail {
	token := models.NewSecret(models.MailPrefix)
	m := a.mail(u, models.ResetMail, "Set a new password",
		"to set a new password, send the token\n\n    "+token+"\n\nwith it to "+a.PublicURL+"/api/v1/auth/password/reset within an hour.\n"+
			"If you did not ask for this, do nothing: your password stays as it is.")
	m.Token = token
	return m
}
