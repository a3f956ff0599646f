package repository

import (
	"context"
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

const domainColumns = `d.id, d.tenant_id, d.domain, d.token, d.role, d.auto_join, d.verified_at, d.missed_at, d.version, d.created_at`

// AddDomain stores a domain if allowed says so under the tenant's lock. It returns
// tenantapi.ErrDomainListed if the tenant has it already.
func (r *Repository) AddDomain(ctx context.Context, c models.Caller, d models.Domain, allowed func(*models.Scene) error) error {
	return r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		if err := allowed(s); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM domains WHERE tenant_id = $1`, c.Tenant).Scan(&n); err != nil {
			return fmt.Errorf("count domains: %w", err)
		}
		if n >= models.MaxDomains {
			return tenantapi.ErrTooManyDomains
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO domains (tenant_id, id, domain, token, role, auto_join, version, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			d.Tenant, d.ID, d.Domain, d.Token, d.Role, d.AutoJoin, d.Version, d.CreatedAt)
		if postgres.IsUnique(err, "domains_domain_key") {
			return tenantapi.ErrDomainListed.Because(err)
		}
		if err != nil {
			return fmt.Errorf("insert domain: %w", err)
		}
		return events.Emit(ctx, tx, domainEvent(ctx, d, d.Status(), c.User))
	})
}

// ChangeDomain has change decide about a domain under the tenant's lock, and stores what
// became of it; it is gone if change says that it is removed. It returns
// tenantapi.ErrDomainNotFound if there is none, and ErrDomainTaken if another tenant has
// verified the same.
func (r *Repository) ChangeDomain(ctx context.Context, c models.Caller, ref models.DomainID,
	change func(*models.Scene, *models.Domain) (removed bool, err error)) (d models.Domain, err error) {
	err = r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		list, err := domains(ctx, tx, `SELECT `+domainColumns+` FROM domains d WHERE d.tenant_id = $1 AND d.id = $2`, c.Tenant, ref)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			list = append(list, models.Domain{}) // who may not manage them must not learn it
		}
		d = list[0]
		removed, err := change(s, &d)
		switch {
		case err != nil:
			return err
		case d.ID.IsZero():
			return tenantapi.ErrDomainNotFound
		case !removed:
			return storeDomain(ctx, tx, d, c.User)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM domains WHERE tenant_id = $1 AND id = $2`, c.Tenant, ref); err != nil {
			return fmt.Errorf("delete domain: %w", err)
		}
		return events.Emit(ctx, tx, domainEvent(ctx, d, tenantapi.DomainRemoved, c.User))
	})
	return d, err
}

func storeDomain(ctx context.Context, tx pgx.Tx, d models.Domain, actor id.UserID) error {
	_, err := tx.Exec(ctx, `
		UPDATE domains SET role = $3, auto_join = $4, verified_at = $5, missed_at = $6, version = $7 WHERE tenant_id = $1 AND id = $2`,
		d.Tenant, d.ID, d.Role, d.AutoJoin, null(d.VerifiedAt), null(d.MissedAt), d.Version)
	if postgres.IsUnique(err, "domains_verified_key") {
		return tenantapi.ErrDomainTaken.Because(err)
	}
	if err != nil {
		return fmt.Errorf("update domain: %w", err)
	}
	return events.Emit(ctx, tx, domainEvent(ctx, d, d.Status(), actor))
}

// Domains returns at most limit of the tenant's domains, those after the given one, oldest
// first.
func (r *Repository) Domains(ctx context.Context, tenant id.TenantID, after models.DomainID, limit int) ([]models.Domain, error) {
	return domains(ctx, r.of(tenant), `
		SELECT `+domainColumns+` FROM domains d WHERE d.tenant_id = $1 AND ($2::uuid IS NULL OR d.id > $2) ORDER BY d.id LIMIT $3`, tenant, after, limit)
}

// Domain returns a domain of the tenant, or tenantapi.ErrDomainNotFound.
func (r *Repository) Domain(ctx context.Context, tenant id.TenantID, ref models.DomainID) (models.Domain, error) {
	list, err := domains(ctx, r.of(tenant), `SELECT `+domainColumns+` FROM domains d WHERE d.tenant_id = $1 AND d.id = $2`, tenant, ref)
	switch {
	case err != nil:
		return models.Domain{}, err
	case len(list) == 0:
		return models.Domain{}, tenantapi.ErrDomainNotFound
	}
	return list[0], nil
}

// VerifiedDomains returns at most limit verified domains of all tenants, those after the
// named one.
func (r *Repository) VerifiedDomains(ctx context.Context, after string, limit int) ([]models.Domain, error) {
	return domains(ctx, postgres.ForEveryTenant(r.pool), `
		SELECT `+domainColumns+` FROM domains d WHERE d.verified_at IS NOT NULL AND d.domain > $1 ORDER BY d.domain LIMIT $2`, after, limit)
}

// CheckDomain notes whether a verified domain still has its record. One that was changed
// meanwhile is left alone.
func (r *Repository) CheckDomain(ctx context.Context, d models.Domain, proved bool) error {
	return postgres.InTenant(ctx, r.pool, d.Tenant, func(tx pgx.Tx) error {
		list, err := domains(ctx, tx, `SELECT `+domainColumns+` FROM domains d WHERE d.tenant_id = $1 AND d.id = $2 AND d.version = $3 FOR UPDATE`, d.Tenant, d.ID, d.Version)
		if err != nil || len(list) == 0 || !list[0].Check(proved, r.now()) {
			return err
		}
		return storeDomain(ctx, tx, list[0], id.UserID{})
	})
}

// admissions selects the tenants that have verified the domain of the user's ($1) verified
// address.
const admissions = `
	SELECT ` + tenantColumns + `, ` + domainColumns + `, a.email, EXISTS (SELECT FROM members m WHERE m.tenant_id = t.tenant_id AND m.user_id = $1)
	FROM accounts a JOIN domains d ON d.domain = split_part(a.email, '@', 2) AND d.verified_at IS NOT NULL
		JOIN tenants t ON t.tenant_id = d.tenant_id
	WHERE a.user_id = $1 AND a.verified AND a.deleted_at IS NULL AND ($2::uuid IS NULL OR t.tenant_id = $2)`

func findAdmissions(ctx context.Context, q postgres.Querier, user id.UserID, only id.TenantID) ([]models.Admission, error) {
	rows, err := q.Query(ctx, admissions, user, only)
	if err != nil {
		return nil, fmt.Errorf("find tenants to join: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a models.Admission, err error) {
		var verified, missed *time.Time
		d := &a.Domain
		a.Tenant, err = scanTenant(row, &d.ID, &d.Tenant, &d.Domain, &d.Token, &d.Role, &d.AutoJoin, &verified, &missed, &d.Version, &d.CreatedAt, &a.Email, &a.Already)
		d.VerifiedAt, d.MissedAt = zero(verified), zero(missed)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("find tenants to join: %w", err)
	}
	return list, nil
}

// Admissions are the tenants that the user may join, or has joined, by the domain of his
// verified address: one at the most, since one tenant has a domain.
func (r *Repository) Admissions(ctx context.Context, user id.UserID) ([]models.Admission, error) {
	return findAdmissions(ctx, postgres.ForEveryTenant(r.pool), user, id.TenantID{})
}

// Join makes the user a member of the tenant that has verified the domain of his address,
// under the tenant's lock. It returns tenantapi.ErrNotJoinable, ErrAlreadyMember or
// ErrLimitReached.
func (r *Repository) Join(ctx context.Context, user id.UserID, tenant id.TenantID) (m models.Member, err error) {
	err = postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		m, err = r.join(ctx, tx, user, tenant)
		return err
	})
	return m, err
}

func (r *Repository) join(ctx context.Context, tx pgx.Tx, user id.UserID, tenant id.TenantID) (models.Member, error) {
	if _, err := lockTenant(ctx, tx, tenant); err != nil {
		if isNone(err) {
			err = tenantapi.ErrNotJoinable.Because(err)
		}
		return models.Member{}, err
	}
	list, err := findAdmissions(ctx, tx, user, tenant)
	if err != nil {
		return models.Member{}, err
	}
	if len(list) == 0 {
		return models.Member{}, tenantapi.ErrNotJoinable
	}
	m, err := list[0].Admit(user, r.now().UTC().Truncate(time.Microsecond))
	if err != nil {
		return m, err
	}
	if err := insertMember(ctx, tx, m); err != nil {
		return m, err
	}
	return m, events.Emit(ctx, tx, MemberEvent(ctx, tenantapi.MemberAdded, m, user))
}

// autoJoin makes the user, whose address was verified just now, a member of the tenant
// that wants everybody of his domain. Whatever is in the way of that is no fault of the
// event that told of it.
func (r *Repository) autoJoin(ctx context.Context, tx pgx.Tx, user id.UserID) error {
	if err := postgres.EnterEvery(ctx, tx); err != nil {
		return err
	}
	list, err := findAdmissions(ctx, tx, user, id.TenantID{})
	if err != nil || len(list) == 0 || !list[0].Domain.AutoJoin {
		return err
	}
	err = pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
		_, err := r.join(ctx, inner, user, list[0].Tenant.ID)
		return err
	})
	for _, refusal := range []error{tenantapi.ErrNotJoinable, tenantapi.ErrAlreadyMember, tenantapi.ErrLimitReached} {
		if errors.Is(err, refusal) {
			return nil
		}
	}
	return err
}

func domains(ctx context.Context, q postgres.Querier, sql string, args ...any) ([]models.Domain, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read domains: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d models.Domain, err error) {
		var verified, missed *time.Time
		err = row.Scan(&d.ID, &d.Tenant, &d.Domain, &d.Token, &d.Role, &d.AutoJoin, &verified, &missed, &d.Version, &d.CreatedAt)
		d.VerifiedAt, d.MissedAt = zero(verified), zero(missed)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("read domains: %w", err)
	}
	return list, nil
}

func domainEvent(ctx context.Context, d models.Domain, status string, actor id.UserID) events.Event {
	return tenantapi.DomainChanged.New(ctx, d.Tenant, d.ID.String(), d.Version, tenantapi.DomainChangedData{
		DomainID: d.ID.String(), TenantID: d.Tenant.String(), Domain: d.Domain, Status: status, AutoJoin: d.AutoJoin, Role: d.Role, ActorID: actor.String(),
	})
}
