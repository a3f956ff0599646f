package services_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/mail"
)

// postbox fails as often as it is told to, and keeps what arrives.
type postbox struct {
	failures int
	arrived  []mail.Mail
}

func (p *postbox) Send(_ context.Context, m mail.Mail) error {
	if p.failures > 0 {
		p.failures--
		return errors.New("the server is away")
	}
	p.arrived = append(p.arrived, m)
	return nil
}

func TestMail_IsSentAfterAFailureOnceAndForgotten(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	m := b.mail(u, models.VerifyMail)
	box := &postbox{failures: 1}
	w := services.NewMailWorker(b.repo, box, false, b.clock.now)
	job := &river.Job[models.SendMail]{Args: models.SendMail{Mail: m.ID}}
	if err := w.Work(t.Context(), job); err == nil {
		t.Error("a failure is taken for success; nobody would try again")
	}
	for range 2 { // a job may run again after it has succeeded
		b.ok(w.Work(t.Context(), job))
	}
	if len(box.arrived) != 1 || !strings.Contains(box.arrived[0].Text, m.Token) || box.arrived[0].To != u.Email {
		t.Errorf("%+v", box.arrived)
	}
	kept, err := b.repo.Mail(t.Context(), m.ID)
	if err != nil || kept.Text != "" || kept.Token != "" || kept.SentAt.IsZero() {
		t.Errorf("%+v, %v", kept, err)
	}
	b.ok(w.Work(t.Context(), &river.Job[models.SendMail]{Args: models.SendMail{Mail: id.New[models.MailName]()}})) // its user was deleted
}

func TestMail_IsNotReadableInTheDatabase(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	token := b.mail(u, models.VerifyMail).Token
	var n int
	b.ok(b.all.QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM mails m WHERE position($1::bytea IN content) > 0) + (SELECT count(*) FROM mail_tokens m WHERE m::text LIKE '%' || $2 || '%')`,
		[]byte(token), token).Scan(&n))
	if n != 0 {
		t.Error("a token can be read")
	}
}

func TestMail_IsNotStoredWhenItsJobIsNot(t *testing.T) {
	t.Parallel()
	full := errors.New("no job")
	b := newBundle(t, nil)
	repo := b.repositoryWith(func(context.Context, pgx.Tx, river.JobArgs) error { return full })
	u := models.User{ID: id.New[id.User](), Tenant: id.New[id.Tenant](), Email: "x@example.com", Version: 1, CreatedAt: b.clock.now()}
	along := alongNothing
	along.Mails = []models.Mail{{ID: id.New[models.MailName](), User: u.ID, Tenant: u.Tenant, Kind: models.NoticeMail, To: u.Email, CreatedAt: u.CreatedAt}}
	if err := repo.CreateUser(t.Context(), u, u.Email, nil, along); !errors.Is(err, full) {
		t.Fatal(err)
	}
	if _, err := b.repo.User(t.Context(), u.Tenant, u.ID); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("an account without its mail: %v", err)
	}
}
