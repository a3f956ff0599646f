package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

const invitationColumns = `i.id, i.tenant_id, i.email, i.role, i.token_hash, i.invited_by, i.expires_at, i.version, i.created_at`

// Invite stores an invitation with its mail and the event, if allowed says so under the
// tenant's lock. One that has expired is replaced. It returns tenantapi.ErrAlreadyMember,
// or ErrAlreadyInvited.
func (r *Repository) Invite(ctx context.Context, c models.Caller, i models.Invitation, allowed func(*models.Scene) (models.Mail, []events.Event, error)) error {
	return r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		m, evs, err := allowed(s)
		if err != nil {
			return err
		}
		var member bool
		err = r.everywhere(ctx, tx, c.Tenant, func() error {
			return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM members m JOIN accounts a ON a.user_id = m.user_id WHERE m.tenant_id = $1 AND a.email = $2)`,
				c.Tenant, i.Email).Scan(&member)
		})
		if err != nil {
			return fmt.Errorf("look for member: %w", err)
		}
		if member {
			return tenantapi.ErrAlreadyMember
		}
		if _, err := tx.Exec(ctx, `DELETE FROM invitations WHERE tenant_id = $1 AND email = $2 AND expires_at <= $3`, c.Tenant, i.Email, i.CreatedAt); err != nil {
			return fmt.Errorf("drop expired invitation: %w", err)
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO invitations (tenant_id, id, email, role, token_hash, invited_by, expires_at, version, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			i.Tenant, i.ID, i.Email, i.Role, i.Hash, i.InvitedBy, i.ExpiresAt, i.Version, i.CreatedAt)
		if postgres.IsUnique(err, "invitations_email_key") {
			return tenantapi.ErrAlreadyInvited.Because(err)
		}
		if err != nil {
			return fmt.Errorf("insert invitation: %w", err)
		}
		if err := r.mail(ctx, tx, m); err != nil {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
}

// ChangeInvitation has change decide about an invitation under the tenant's lock. With a
// mail it is stored as change left it, without one it is gone. It returns
// tenantapi.ErrInvitationNotFound if there is none.
func (r *Repository) ChangeInvitation(ctx context.Context, c models.Caller, ref models.InvitationID,
	change func(*models.Scene, *models.Invitation) (*models.Mail, []events.Event, error)) (i models.Invitation, err error) {
	err = r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		list, err := invitations(ctx, tx, `SELECT `+invitationColumns+` FROM invitations i WHERE i.tenant_id = $1 AND i.id = $2`, c.Tenant, ref)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			list = append(list, models.Invitation{}) // who may not manage them must not learn it
		}
		i = list[0]
		m, evs, err := change(s, &i)
		if err != nil {
			return err
		}
		if i.ID.IsZero() {
			return tenantapi.ErrInvitationNotFound
		}
		if m == nil {
			_, err = tx.Exec(ctx, `DELETE FROM invitations WHERE tenant_id = $1 AND id = $2`, c.Tenant, ref)
		} else {
			_, err = tx.Exec(ctx, `UPDATE invitations SET token_hash = $3, expires_at = $4, version = $5 WHERE tenant_id = $1 AND id = $2`,
				c.Tenant, ref, i.Hash, i.ExpiresAt, i.Version)
		}
		if err != nil {
			return fmt.Errorf("change invitation: %w", err)
		}
		if m != nil {
			if err := r.mail(ctx, tx, *m); err != nil {
				return err
			}
		}
		return events.Emit(ctx, tx, evs...)
	})
	return i, err
}

// withScene runs fn on the tenant under its lock.
func (r *Repository) withScene(ctx context.Context, c models.Caller, fn func(tx pgx.Tx, s *models.Scene) error) error {
	return postgres.InTenant(ctx, r.pool, c.Tenant, func(tx pgx.Tx) error {
		t, err := lockTenant(ctx, tx, c.Tenant)
		if err != nil {
			return err
		}
		cast, err := members(ctx, tx, `SELECT `+memberColumns+` FROM members m WHERE m.tenant_id = $1 AND m.user_id = $2`, c.Tenant, c.User)
		if err != nil {
			return err
		}
		s, known := models.NewScene(t, cast, c, models.About{})
		if !known {
			return tenantapi.ErrTenantNotFound
		}
		return fn(tx, s)
	})
}

// everywhere reads what belongs to several tenants in a transaction about one.
func (r *Repository) everywhere(ctx context.Context, tx pgx.Tx, back id.TenantID, read func() error) error {
	if err := postgres.EnterEvery(ctx, tx); err != nil {
		return err
	}
	if err := read(); err != nil {
		return err
	}
	return postgres.Enter(ctx, tx, back)
}

// Invitations returns at most limit of the tenant's invitations, those after the given
// one, oldest first.
func (r *Repository) Invitations(ctx context.Context, tenant id.TenantID, after models.InvitationID, limit int) ([]models.Invitation, error) {
	return invitations(ctx, r.of(tenant), `
		SELECT `+invitationColumns+` FROM invitations i WHERE i.tenant_id = $1 AND ($2::uuid IS NULL OR i.id > $2) ORDER BY i.id LIMIT $3`,
		tenant, after, limit)
}

// Acceptance is what a user accepts an invitation with.
type Acceptance struct {
	models.Invitation
	Tenant  models.Tenant
	Email   string // of the user's account, in lower case; "" if it is not known yet
	Already bool   // a member
}

// Accept takes the invitation with that token away and stores the member that accept
// makes of it, with the events, under the tenant's lock. It returns
// tenantapi.ErrBadInvitation if there is no such token.
func (r *Repository) Accept(ctx context.Context, hash []byte, user id.UserID, accept func(Acceptance) (models.Member, []events.Event, error)) (m models.Member, err error) {
	err = postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		var a Acceptance
		var tenant id.TenantID
		err := tx.QueryRow(ctx, `SELECT tenant_id FROM invitations WHERE token_hash = $1`, hash).Scan(&tenant)
		if errors.Is(err, pgx.ErrNoRows) {
			return tenantapi.ErrBadInvitation
		}
		if err != nil {
			return fmt.Errorf("find invitation: %w", err)
		}
		if a.Tenant, err = lockTenant(ctx, tx, tenant); err != nil {
			return err
		}
		// Again, under the lock: of two who accept, the second finds it gone.
		list, err := invitations(ctx, tx, `DELETE FROM invitations i WHERE i.tenant_id = $1 AND i.token_hash = $2 RETURNING `+invitationColumns, tenant, hash)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return tenantapi.ErrBadInvitation
		}
		a.Invitation = list[0]
		err = tx.QueryRow(ctx, `
			SELECT coalesce((SELECT email FROM accounts WHERE user_id = $2), ''), EXISTS (SELECT FROM members WHERE tenant_id = $1 AND user_id = $2)`,
			tenant, user).Scan(&a.Email, &a.Already)
		if err != nil {
			return fmt.Errorf("read account: %w", err)
		}
		var evs []events.Event
		if m, evs, err = accept(a); err != nil {
			return err
		}
		if err := insertMember(ctx, tx, m); err != nil {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
	return m, err
}

func invitations(ctx context.Context, q postgres.Querier, sql string, args ...any) ([]models.Invitation, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read invitations: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Invitation])
	if err != nil {
		return nil, fmt.Errorf("read invitations: %w", err)
	}
	return found, nil
}

// content is what of a mail is sealed.
type content struct{ To, Subject, Text, Token string }

func mailContext(m models.MailID) []byte { return []byte("mail/" + m.String()) }

// mail stores a mail and the job that sends it.
func (r *Repository) mail(ctx context.Context, tx pgx.Tx, m models.Mail) error {
	plain, err := json.Marshal(content{m.To, m.Subject, m.Text, m.Token})
	if err != nil {
		return fmt.Errorf("render mail: %w", err)
	}
	sealed, err := r.box.Seal(plain, mailContext(m.ID))
	if err != nil {
		return fmt.Errorf("seal mail: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO mails (tenant_id, id, content, created_at) VALUES ($1, $2, $3, $4)`, m.Tenant, m.ID, sealed, m.CreatedAt); err != nil {
		return fmt.Errorf("insert mail: %w", err)
	}
	return r.enqueue(ctx, tx, models.SendMail{Tenant: m.Tenant, Mail: m.ID}, time.Time{})
}

const mailColumns = `id, tenant_id, content, created_at, sent_at`

// Mail returns a mail, or errs.ErrNotFound.
func (r *Repository) Mail(ctx context.Context, tenant id.TenantID, mail models.MailID) (models.Mail, error) {
	return r.scanMail(r.of(tenant).QueryRow(ctx, `SELECT `+mailColumns+` FROM mails WHERE tenant_id = $1 AND id = $2`, tenant, mail))
}

// MarkSent notes that the mail is on its way, and forgets it unless keep, which the dev
// inbox needs.
func (r *Repository) MarkSent(ctx context.Context, m models.Mail, keep bool, now time.Time) error {
	sql, args := `DELETE FROM mails WHERE tenant_id = $1 AND id = $2`, []any{m.Tenant, m.ID}
	if keep {
		sql, args = `UPDATE mails SET sent_at = $3 WHERE tenant_id = $1 AND id = $2`, append(args, now)
	}
	if _, err := r.of(m.Tenant).Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("mark mail sent: %w", err)
	}
	return nil
}

// Inbox returns the newest mails of all tenants. It is for the dev inbox alone.
func (r *Repository) Inbox(ctx context.Context, limit int) ([]models.Mail, error) {
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `SELECT `+mailColumns+` FROM mails ORDER BY id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list mails: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Mail, error) { return r.scanMail(row) })
	if err != nil {
		return nil, fmt.Errorf("list mails: %w", err)
	}
	return found, nil
}

func (r *Repository) scanMail(row pgx.Row) (models.Mail, error) {
	var m models.Mail
	var sealed []byte
	var sent *time.Time
	if err := row.Scan(&m.ID, &m.Tenant, &sealed, &m.CreatedAt, &sent); err != nil {
		return m, fmt.Errorf("read mail: %w", postgres.NotFound(err))
	}
	plain, err := r.box.Open(sealed, mailContext(m.ID))
	if err != nil {
		return m, fmt.Errorf("open mail: %w", err)
	}
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		return m, fmt.Errorf("read mail: %w", err)
	}
	m.To, m.Subject, m.Text, m.Token, m.SentAt = c.To, c.Subject, c.Text, c.Token, zero(sent)
	return m, nil
}
