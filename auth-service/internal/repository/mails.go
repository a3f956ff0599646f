package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const mailColumns = `id, tenant_id, user_id, kind, recipient, subject, content, created_at, sent_at`

// content is what of a mail is sealed.
type content struct{ Text, Token string }

// mail stores a mail, the hash of its token, and the job that sends it. Earlier
// tokens of the kind stop working: the newest mail is the one that counts.
func (r *Repository) mail(ctx context.Context, tx pgx.Tx, m models.Mail) error {
	sealed, err := r.sealJSON(content{m.Text, m.Token}, mailContext(m.ID))
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO mails (id, tenant_id, user_id, kind, recipient, subject, content, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		m.ID, m.Tenant, m.User, string(m.Kind), m.To, m.Subject, sealed, m.CreatedAt)
	if m.Token != "" {
		b.Queue(`DELETE FROM mail_tokens WHERE tenant_id = $1 AND user_id = $2 AND kind = $3`, m.Tenant, m.User, string(m.Kind))
		b.Queue(`INSERT INTO mail_tokens (hash, tenant_id, user_id, kind, email, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			models.Hash(m.Token), m.Tenant, m.User, string(m.Kind), m.To, m.TokenExpiresAt())
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert mail: %w", err)
	}
	return r.enqueue(ctx, tx, models.SendMail{Mail: m.ID})
}

// AskMail stores the job that mails to the address with that key.
func (r *Repository) AskMail(ctx context.Context, kind models.MailKind, key string) error {
	sealed, err := r.sealJSON(key, askContext)
	if err != nil {
		return err
	}
	return postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		return r.enqueue(ctx, tx, models.AskMail{MailKind: kind, Sealed: sealed})
	})
}

// Asked returns the key of the address that the job is about.
func (r *Repository) Asked(job models.AskMail) (key string, err error) {
	return key, r.openJSON(job.Sealed, askContext, &key)
}

const askContext = "ask_mail"

// MailUser stores mails to the user under his row lock, unless he got one of the
// kind within the pause; it reports whether it did.
func (r *Repository) MailUser(ctx context.Context, m models.Mail, pause time.Duration) (bool, error) {
	var mailed bool
	err := postgres.InTenant(ctx, r.pool, m.Tenant, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT NOT EXISTS (SELECT FROM mails m WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id AND m.kind = $3 AND m.created_at > $4)
			FROM users u WHERE u.tenant_id = $1 AND u.id = $2 FOR UPDATE`,
			m.Tenant, m.User, string(m.Kind), m.CreatedAt.Add(-pause)).Scan(&mailed)
		if err != nil {
			return fmt.Errorf("look earlier mails up: %w", postgres.NotFound(err))
		}
		if !mailed {
			return nil
		}
		return r.mail(ctx, tx, m)
	})
	return mailed && err == nil, err
}

// RedeemMailToken takes the token with that hash away and applies change to its
// user, or neither. It returns errs.ErrNotFound if there is no such token, and
// for one that is expired, of another kind, or for another address than the
// user's.
func (r *Repository) RedeemMailToken(ctx context.Context, hash []byte, kind models.MailKind, now time.Time,
	change func(*models.User) (Along, error)) error {
	// Of every tenant until the token has said of which.
	return postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		var tenant id.TenantID
		var user id.UserID
		err := tx.QueryRow(ctx, `SELECT tenant_id, user_id FROM mail_tokens WHERE hash = $1 AND kind = $2`, hash, string(kind)).Scan(&tenant, &user)
		if err != nil {
			return fmt.Errorf("find mail token: %w", postgres.NotFound(err))
		}
		if err := postgres.Enter(ctx, tx, tenant); err != nil {
			return err
		}
		// The user is locked first, as everywhere; of two who redeem, the second
		// finds the token gone.
		return r.updateUser(ctx, tx, tenant, user, now, func(u *models.User) (Along, error) {
			tag, err := tx.Exec(ctx, `DELETE FROM mail_tokens WHERE hash = $1 AND email = $2 AND expires_at > $3`, hash, u.Email, now)
			if err != nil {
				return Along{}, fmt.Errorf("redeem mail token: %w", err)
			}
			if tag.RowsAffected() == 0 {
				return Along{}, errs.ErrNotFound
			}
			return change(u)
		})
	})
}

// HasMailToken reports whether such a token could be redeemed.
func (r *Repository) HasMailToken(ctx context.Context, hash []byte, kind models.MailKind, now time.Time) (string, error) {
	var email string
	err := postgres.ForEveryTenant(r.pool).QueryRow(ctx, `SELECT email FROM mail_tokens WHERE hash = $1 AND kind = $2 AND expires_at > $3`, hash, string(kind), now).Scan(&email)
	if err != nil {
		return "", fmt.Errorf("look mail token up: %w", postgres.NotFound(err))
	}
	return email, nil
}

// Mail returns a mail, or errs.ErrNotFound.
func (r *Repository) Mail(ctx context.Context, mail models.MailID) (models.Mail, error) {
	return r.scanMail(postgres.ForEveryTenant(r.pool).QueryRow(ctx, `SELECT `+mailColumns+` FROM mails WHERE id = $1`, mail))
}

// MarkSent notes that the mail is on its way. Unless keep, which the dev inbox
// needs, what it said is forgotten.
func (r *Repository) MarkSent(ctx context.Context, tenant id.TenantID, mail models.MailID, keep bool, now time.Time) error {
	empty, err := r.sealJSON(content{}, mailContext(mail))
	if err != nil {
		return err
	}
	_, err = postgres.ForTenant(r.pool, tenant).Exec(ctx, `
		UPDATE mails SET sent_at = $3, content = CASE WHEN $4 THEN content ELSE $5 END WHERE tenant_id = $1 AND id = $2`,
		tenant, mail, now, keep, empty)
	if err != nil {
		return fmt.Errorf("mark mail sent: %w", err)
	}
	return nil
}

// Mails returns the newest mails of all tenants, to one address unless it is
// "". It is for the dev inbox alone.
func (r *Repository) Mails(ctx context.Context, to string, limit int) ([]models.Mail, error) {
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `SELECT `+mailColumns+` FROM mails WHERE ($1 = '' OR recipient = $1) ORDER BY id DESC LIMIT $2`, to, limit)
	if err != nil {
		return nil, fmt.Errorf("list mails: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Mail, error) { return r.scanMail(row) })
	if err != nil {
		return nil, fmt.Errorf("list mails: %w", err)
	}
	return list, nil
}

func (r *Repository) scanMail(row pgx.Row) (models.Mail, error) {
	var (
		m      models.Mail
		kind   string
		sealed []byte
		sent   *time.Time
		c      content
	)
	if err := row.Scan(&m.ID, &m.Tenant, &m.User, &kind, &m.To, &m.Subject, &sealed, &m.CreatedAt, &sent); err != nil {
		return m, fmt.Errorf("read mail: %w", postgres.NotFound(err))
	}
	if err := r.openJSON(sealed, mailContext(m.ID), &c); err != nil {
		return m, err
	}
	m.Kind, m.SentAt, m.Text, m.Token = models.MailKind(kind), zero(sent), c.Text, c.Token
	return m, nil
}

func mailContext(m models.MailID) string { return "mail/" + m.String() }
