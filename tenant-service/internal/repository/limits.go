package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

// The locks of counting are taken in this order: the tenant's row, shared, so that it is
// not erased meanwhile; the counters in the order of their periods; reservations.

// roomForMember locks the tenant and returns the error that the member, once he is
// inserted, is one too many; nil if he is not. The first member always has room.
func roomForMember(ctx context.Context, tx pgx.Tx, m models.Member) (exceeded, err error) {
	if m.Kind != tenantapi.MemberUser {
		return nil, nil
	}
	p, err := readPlan(ctx, tx, m.Tenant, ` FOR UPDATE OF t`)
	if err != nil {
		return nil, err
	}
	c := models.Counter{Limit: tenantapi.LimitMembers, Allowed: p.Allowed(tenantapi.LimitMembers)}
	if c.Used, err = countMembers(ctx, tx, m.Tenant); err != nil {
		return nil, err
	}
	if c.Used > 0 && c.Left() == 0 {
		return c.Exceeded(p.Plan, m.JoinedAt), nil
	}
	return nil, nil
}

func countMembers(ctx context.Context, q postgres.Querier, tenant id.TenantID) (n int64, err error) {
	if err := q.QueryRow(ctx, `SELECT count(*) FROM members WHERE tenant_id = $1 AND kind = 'user'`, tenant).Scan(&n); err != nil {
		return 0, fmt.Errorf("count members: %w", err)
	}
	return n, nil
}

// Uses returns what the tenant's plan allows, and a counter for each limit. What has not
// been counted yet is not used.
func (r *Repository) Uses(ctx context.Context, tenant id.TenantID) (p models.TenantPlan, list []models.Counter, err error) {
	err = postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		if p, err = readPlan(ctx, tx, tenant, ""); err != nil {
			return err
		}
		now, err := clock(ctx, tx)
		if err != nil {
			return err
		}
		for _, limit := range tenantapi.Limits {
			c := models.Counter{Limit: limit, Allowed: p.Allowed(limit)}
			period, ends := models.Period(limit, now)
			c.Resets = ends
			if limit == tenantapi.LimitMembers {
				c.Used, err = countMembers(ctx, tx, tenant)
			} else {
				err = tx.QueryRow(ctx, `
					SELECT coalesce((SELECT used FROM limit_uses WHERE tenant_id = $1 AND name = $2 AND period = $3), 0), `+heldNow,
					tenant, limit, period).Scan(&c.Used, &c.Held)
			}
			if err != nil {
				return fmt.Errorf("read use of %s: %w", limit, err)
			}
			list = append(list, c)
		}
		return nil
	})
	return p, list, err
}

// heldNow is what open reservations of the tenant $1, the limit $2 and the period $3 hold.
const heldNow = `(SELECT coalesce(sum(amount), 0)::bigint FROM reservations
	WHERE tenant_id = $1 AND name = $2 AND period = $3 AND status = 'open' AND expires_at > clock_timestamp())`

// clock is the database's: that of all replicas.
func clock(ctx context.Context, tx pgx.Tx) (now time.Time, err error) {
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return now, fmt.Errorf("read clock: %w", err)
	}
	return now, nil
}

// counting is a transaction that counts.
type counting struct {
	ctx    context.Context
	tx     pgx.Tx
	plan   models.TenantPlan
	tenant id.TenantID
}

func (r *Repository) count(ctx context.Context, tenant id.TenantID, fn func(c counting) error) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		p, err := readPlan(ctx, tx, tenant, ` FOR KEY SHARE OF t`)
		if err != nil {
			return err
		}
		return fn(counting{ctx, tx, p, tenant})
	})
}

// lock locks a counter, which is made if there is none, and reads it.
func (c counting) lock(limit, period string) (models.Counter, error) {
	n := models.Counter{Limit: limit, Allowed: c.plan.Allowed(limit)}
	err := c.tx.QueryRow(c.ctx, `
		INSERT INTO limit_uses AS u (tenant_id, name, period, used) VALUES ($1, $2, $3, 0)
		ON CONFLICT ON CONSTRAINT limit_uses_pkey DO UPDATE SET used = u.used RETURNING used`, c.tenant, limit, period).Scan(&n.Used)
	if err != nil {
		return n, fmt.Errorf("lock counter: %w", err)
	}
	// In a statement of its own: it has to see what was committed while this one waited.
	if err := c.tx.QueryRow(c.ctx, `SELECT `+heldNow, c.tenant, limit, period).Scan(&n.Held); err != nil {
		return n, fmt.Errorf("sum reservations: %w", err)
	}
	return n, nil
}

func (c counting) use(limit, period string, used int64) error {
	_, err := c.tx.Exec(c.ctx, `UPDATE limit_uses SET used = $4 WHERE tenant_id = $1 AND name = $2 AND period = $3`, c.tenant, limit, period, used)
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	return nil
}

// found is a reservation, and whether it still holds what it is about.
type found struct {
	models.Reservation
	Live bool
}

// reservation returns that with the key, or tenantapi.ErrReservationGone.
func (c counting) reservation(key string) (f found, err error) {
	err = c.tx.QueryRow(c.ctx, `
		SELECT key, name, period, amount, status, expires_at, status = 'open' AND expires_at > clock_timestamp()
		FROM reservations WHERE tenant_id = $1 AND key = $2`, c.tenant, key).
		Scan(&f.Key, &f.Limit, &f.Period, &f.Amount, &f.Status, &f.ExpiresAt, &f.Live)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, tenantapi.ErrReservationGone
	}
	if err != nil {
		return f, fmt.Errorf("read reservation: %w", err)
	}
	return f, nil
}

// Reserve sets some of a limit aside, having counted what was used of reservations that are
// over. It returns tenantapi.ErrLimitReached or ErrQuotaExceeded if there is too little, and
// ErrKeyReused if the key is another reservation's. What was settled is counted even then.
func (r *Repository) Reserve(ctx context.Context, tenant id.TenantID, o models.Order) (res models.Reservation, resets time.Time, err error) {
	keys, used := make([]string, 0, len(o.Settle)), make([]int64, 0, len(o.Settle))
	for key, n := range o.Settle {
		keys, used = append(keys, key), append(used, n)
	}
	var outcome string
	var plan, status *string
	var allowed, amount *int64
	var at, expires *time.Time
	err = r.of(tenant).QueryRow(ctx, `
		SELECT outcome, plan, allowed, asked_at, amount, status, expires_at FROM reserve_limit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		tenant, o.Key, o.Limit, models.Monthly(o.Limit), o.Amount, o.Partial, models.Share, o.For, keys, used).
		Scan(&outcome, &plan, &allowed, &at, &amount, &status, &expires)
	switch {
	case err != nil:
		return res, resets, fmt.Errorf("reserve: %w", err)
	case outcome == "no_tenant":
		return res, resets, tenantapi.ErrTenantNotFound
	case outcome == "key_reused":
		return res, resets, tenantapi.ErrKeyReused
	}
	period, resets := models.Period(o.Limit, *at)
	if outcome == "refused" {
		return res, resets, models.Counter{Limit: o.Limit, Allowed: *allowed, Resets: resets}.Exceeded(*plan, *at)
	}
	return models.Reservation{Key: o.Key, Limit: o.Limit, Period: period, Amount: *amount, Status: *status, ExpiresAt: *expires}, resets, nil
}

// spend counts what was used of an open reservation.
func spend(n models.Counter, f found, used int64) models.Counter {
	if f.Live {
		n.Held -= f.Amount
	} else {
		used = min(used, n.Left())
	}
	n.Used += used
	return n
}

// Commit counts a reservation as used; all of it if used is nil. It returns
// tenantapi.ErrReservationGone for one that is unknown or was released, and
// tenantapi.ErrLimitReached for one that ran out and has no room now.
func (r *Repository) Commit(ctx context.Context, tenant id.TenantID, key string, used *int64) (res models.Reservation, err error) {
	err = r.count(ctx, tenant, func(c counting) error {
		f, err := c.reservation(key)
		if err != nil {
			return err
		}
		n, err := c.lock(f.Limit, f.Period)
		if err != nil {
			return err
		}
		if f, err = c.reservation(key); err != nil { // again, under the lock
			return err
		}
		res = f.Reservation
		amount := f.Amount
		if used != nil {
			amount = *used
		}
		switch {
		case f.Status == tenantapi.ReservationCommitted:
			return nil
		case f.Status == tenantapi.ReservationReleased:
			return tenantapi.ErrReservationGone
		case amount > f.Amount:
			return tenantapi.ErrBadLimit.Saying("Only %d are reserved.", f.Amount)
		case !f.Live && amount > n.Left():
			return n.Exceeded(c.plan.Plan, f.ExpiresAt)
		}
		if err := c.use(f.Limit, f.Period, spend(n, f, amount).Used); err != nil {
			return err
		}
		res.Status, res.Amount = tenantapi.ReservationCommitted, amount
		return c.close(key, res.Status, amount)
	})
	return res, err
}

// Release gives a reservation back. One that was committed stays so; what is unknown is
// left alone.
func (r *Repository) Release(ctx context.Context, tenant id.TenantID, key string) (res models.Reservation, err error) {
	err = r.count(ctx, tenant, func(c counting) error {
		f, err := c.reservation(key)
		if errors.Is(err, tenantapi.ErrReservationGone) {
			res = models.Reservation{Key: key, Status: tenantapi.ReservationReleased}
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := c.lock(f.Limit, f.Period); err != nil {
			return err
		}
		if f, err = c.reservation(key); err != nil { // again, under the lock
			return err
		}
		res = f.Reservation
		if f.Status != tenantapi.ReservationOpen {
			return nil
		}
		res.Status = tenantapi.ReservationReleased
		return c.close(key, res.Status, f.Amount)
	})
	return res, err
}

func (c counting) close(key, status string, amount int64) error {
	_, err := c.tx.Exec(c.ctx, `UPDATE reservations SET status = $3, amount = $4 WHERE tenant_id = $1 AND key = $2`, c.tenant, key, status, amount)
	if err != nil {
		return fmt.Errorf("close reservation: %w", err)
	}
	return nil
}

// SetUse says how much of a limit that is not counted by the time is used, and gives back
// the reservations that are in it. What was said with a higher version stands.
func (r *Repository) SetUse(ctx context.Context, tenant id.TenantID, u models.Use) (n models.Counter, err error) {
	err = r.count(ctx, tenant, func(c counting) error {
		if _, err := c.lock(u.Limit, ""); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`
			UPDATE limit_uses SET used = $3, version = $4
			WHERE tenant_id = $1 AND name = $2 AND period = '' AND ($4 = 0 OR version <= $4)`, tenant, u.Limit, u.Used, u.Version)
		batch.Queue(`DELETE FROM reservations WHERE tenant_id = $1 AND key = ANY($2) AND name = $3 AND status = 'open'`, tenant, u.Settle, u.Limit)
		if err := c.tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("set use: %w", err)
		}
		n, err = c.lock(u.Limit, "")
		return err
	})
	return n, err
}

// SweepReservations deletes reservations that have been over for a day, and counters of
// more than a year ago.
func (r *Repository) SweepReservations(ctx context.Context) error {
	return postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM reservations WHERE expires_at < now() - $1::interval`, models.ReservationKept); err != nil {
			return fmt.Errorf("sweep reservations: %w", err)
		}
		_, err := tx.Exec(ctx, `DELETE FROM limit_uses WHERE period <> '' AND period < to_char((now() AT TIME ZONE 'UTC') - interval '13 months', 'YYYY-MM')`)
		if err != nil {
			return fmt.Errorf("sweep counters: %w", err)
		}
		return nil
	})
}
