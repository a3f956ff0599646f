package services

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Mailer sends mails. One that was sent may be sent again, when the note of it
// was lost.
type Mailer interface {
	Send(ctx context.Context, m models.Mail) error
}

// LogMailer writes mails to the log instead of sending them, until
// notification-service does.
type LogMailer struct {
	From string
	Log  *zap.Logger
	// Secrets lets the text be logged, which holds links that open accounts.
	Secrets bool
}

// Send implements Mailer.
func (l LogMailer) Send(_ context.Context, m models.Mail) error {
	fields := []zap.Field{
		zap.Stringer("mail", m.ID), zap.Stringer("tenant", m.Tenant), zap.Stringer("user", m.User),
		zap.String("kind", string(m.Kind)), zap.String("from", l.From), zap.String("subject", m.Subject),
	}
	if l.Secrets {
		fields = append(fields, zap.String("to", m.To), zap.String("text", m.Text))
	}
	l.Log.Info("mail", fields...)
	return nil
}

// MailWorker sends the mails that were committed. With keep what they say is
// kept for the dev inbox.
type MailWorker struct {
	river.WorkerDefaults[models.SendMail]
	repo   *repository.Repository
	mailer Mailer
	keep   bool
	now    func() time.Time
}

// NewMailWorker sends by mailer.
func NewMailWorker(repo *repository.Repository, mailer Mailer, keep bool, now func() time.Time) *MailWorker {
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
	if err := w.mailer.Send(ctx, m); err != nil {
		return fmt.Errorf("send mail %s: %w", m.ID, err)
	}
	return w.repo.MarkSent(ctx, m.ID, w.keep, w.now())
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
