package repository

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Usage keeps what calls were made to Airtable, and which did not have to be: minutes
// for a week, days for ever.
type Usage struct{ pool *pgxpool.Pool }

// NewUsage returns the usage in pool's database.
func NewUsage(pool *pgxpool.Pool) *Usage { return &Usage{pool} }

// Why a call was made.
const (
	CauseRead    = "read"
	CauseWrite   = "write"
	CauseRetry   = "retry"
	CauseRefresh = "refresh" // nobody waited for it: it renewed what is kept
)

// Why a call did not have to be made.
const (
	SavedByCache      = "cache"
	SavedByCoalescing = "coalescing"
)

// Spending tells calls of one kind from those of another. User is zero for calls on
// nobody's behalf, Base "" for those that are for no base. Cause is why the call was
// made, or was not.
type Spending struct {
	Tenant     id.TenantID
	Minute     time.Time // its beginning
	Connection models.ConnectionID
	Base       string
	User       id.UserID
	Cause      string
}

// Nobody stands for the zero user, which is NULL elsewhere, in a primary key.
const Nobody = "00000000-0000-0000-0000-000000000000"

func userKey(user id.UserID) string {
	if user.IsZero() {
		return Nobody
	}
	return user.String()
}

// Add adds the counts to what is there, all or none but those of deleted tenants.
func (r *Usage) Add(ctx context.Context, counts map[Spending]int64) error {
	return postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		// In one order, so that replicas that add the same rows wait for each other
		// rather than deadlock.
		for _, s := range slices.SortedFunc(maps.Keys(counts), Spending.compare) {
			addTo(batch, s, counts[s])
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("add usage: %w", err)
		}
		return nil
	})
}

func (s Spending) compare(o Spending) int {
	return cmp.Or(
		cmp.Compare(s.Tenant.String(), o.Tenant.String()), s.Minute.Compare(o.Minute),
		cmp.Compare(s.Connection.String(), o.Connection.String()), cmp.Compare(s.Base, o.Base),
		cmp.Compare(s.User.String(), o.User.String()), cmp.Compare(s.Cause, o.Cause))
}

func addTo(batch *pgx.Batch, s Spending, n int64) {
	minutes, days := `
		INSERT INTO usage_minutes AS u (tenant_id, minute, connection_id, base_id, user_id, cause, calls)
		SELECT $1, $2, $3, $4, $5, $6, $7 WHERE`+notErased(`$1`)+`
		ON CONFLICT ON CONSTRAINT usage_minutes_pkey DO UPDATE SET calls = u.calls + excluded.calls`, `
		INSERT INTO usage_days AS u (tenant_id, day, connection_id, base_id, user_id, cause, calls)
		SELECT $1, ($2::timestamptz AT TIME ZONE 'UTC')::date, $3, $4, $5, $6, $7 WHERE`+notErased(`$1`)+`
		ON CONFLICT ON CONSTRAINT usage_days_pkey DO UPDATE SET calls = u.calls + excluded.calls`
	if s.Cause == SavedByCache || s.Cause == SavedByCoalescing {
		minutes, days = `
		INSERT INTO saved_minutes AS u (tenant_id, minute, connection_id, base_id, user_id, saver, calls)
		SELECT $1, $2, $3, $4, $5, $6, $7 WHERE`+notErased(`$1`)+`
		ON CONFLICT ON CONSTRAINT saved_minutes_pkey DO UPDATE SET calls = u.calls + excluded.calls`, `
		INSERT INTO saved_days AS u (tenant_id, day, connection_id, base_id, user_id, saver, calls)
		SELECT $1, ($2::timestamptz AT TIME ZONE 'UTC')::date, $3, $4, $5, $6, $7 WHERE`+notErased(`$1`)+`
		ON CONFLICT ON CONSTRAINT saved_days_pkey DO UPDATE SET calls = u.calls + excluded.calls`
	}
	batch.Queue(minutes, s.Tenant, s.Minute, s.Connection, s.Base, userKey(s.User), s.Cause, n)
	batch.Queue(days, s.Tenant, s.Minute, s.Connection, s.Base, userKey(s.User), s.Cause, n)
}

// MinuteUse is what a connection spent, or was saved, in a minute and was not
// announced yet.
type MinuteUse struct {
	Tenant                          id.TenantID
	Connection                      models.ConnectionID
	Minute                          time.Time
	Reads, Writes, Retry, Refresh   int64
	SavedByCache, SavedByCoalescing int64
	Bases                           map[string]BaseUse
}

// BaseUse is the part of one base.
type BaseUse struct{ Calls, Saved int64 }

// announcePiece bounds the rows of one transaction of Announce.
const announcePiece = 1_000

// Announce stores the events that tell makes of the minutes that ended before the
// given time, each call in one event. more is true if it did not come to the end.
func (r *Usage) Announce(ctx context.Context, before time.Time, tell func(MinuteUse) events.Event) (more bool, err error) {
	err = postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			WITH due AS (
				SELECT tenant_id, minute, connection_id, base_id, user_id, cause, calls - announced AS new
				FROM usage_minutes WHERE calls > announced AND minute < $1
				ORDER BY minute LIMIT $2 FOR UPDATE SKIP LOCKED),
			told AS (
				UPDATE usage_minutes u SET announced = u.calls FROM due d
				WHERE u.tenant_id = d.tenant_id AND u.minute = d.minute AND u.connection_id = d.connection_id
					AND u.base_id = d.base_id AND u.user_id = d.user_id AND u.cause = d.cause
				RETURNING d.*),
			saved_due AS (
				SELECT tenant_id, minute, connection_id, base_id, user_id, saver, calls - announced AS new
				FROM saved_minutes WHERE calls > announced AND minute < $1
				ORDER BY minute LIMIT $2 FOR UPDATE SKIP LOCKED),
			saved_told AS (
				UPDATE saved_minutes u SET announced = u.calls FROM saved_due d
				WHERE u.tenant_id = d.tenant_id AND u.minute = d.minute AND u.connection_id = d.connection_id
					AND u.base_id = d.base_id AND u.user_id = d.user_id AND u.saver = d.saver
				RETURNING d.*)
			SELECT tenant_id, minute, connection_id, base_id, cause, new FROM told
			UNION ALL SELECT tenant_id, minute, connection_id, base_id, saver, new FROM saved_told`, before, announcePiece)
		if err != nil {
			return fmt.Errorf("announce usage: %w", err)
		}
		uses, n, err := sumUp(rows)
		if err != nil {
			return fmt.Errorf("announce usage: %w", err)
		}
		more = n >= announcePiece
		told := make([]events.Event, 0, len(uses))
		for _, u := range uses {
			told = append(told, tell(*u))
		}
		return events.Emit(ctx, tx, told...)
	})
	return more, err
}

// sumUp adds rows up by connection and minute, and counts them.
func sumUp(rows pgx.Rows) (uses []*MinuteUse, n int, err error) {
	type key struct {
		tenant     id.TenantID
		connection models.ConnectionID
		minute     int64
	}
	byKey := map[key]*MinuteUse{}
	var s Spending
	var calls int64
	_, err = pgx.ForEachRow(rows, []any{&s.Tenant, &s.Minute, &s.Connection, &s.Base, &s.Cause, &calls}, func() error {
		n++
		k := key{s.Tenant, s.Connection, s.Minute.Unix()}
		u := byKey[k]
		if u == nil {
			u = &MinuteUse{Tenant: s.Tenant, Connection: s.Connection, Minute: s.Minute.UTC(), Bases: map[string]BaseUse{}}
			byKey[k] = u
			uses = append(uses, u)
		}
		u.add(s.Base, s.Cause, calls)
		return nil
	})
	return uses, n, err
}

func (u *MinuteUse) add(base, cause string, calls int64) {
	b := u.Bases[base]
	switch cause {
	case SavedByCache:
		u.SavedByCache += calls
		b.Saved += calls
	case SavedByCoalescing:
		u.SavedByCoalescing += calls
		b.Saved += calls
	case CauseRead:
		u.Reads += calls
	case CauseWrite:
		u.Writes += calls
	case CauseRefresh:
		u.Refresh += calls
	default:
		u.Retry += calls
	}
	if cause != SavedByCache && cause != SavedByCoalescing {
		b.Calls += calls
	}
	u.Bases[base] = b
}

// Forget removes minutes before the given time that were announced.
func (r *Usage) Forget(ctx context.Context, before time.Time) error {
	every := postgres.ForEveryTenant(r.pool)
	_, err := every.Exec(ctx, `DELETE FROM usage_minutes WHERE minute < $1 AND calls = announced`, before)
	if err == nil {
		_, err = every.Exec(ctx, `DELETE FROM saved_minutes WHERE minute < $1 AND calls = announced`, before)
	}
	if err != nil {
		return fmt.Errorf("forget minutes of usage: %w", err)
	}
	return nil
}

// UsageFilter says which usage is asked for. Zero values do not restrict it.
type UsageFilter struct {
	From, To   time.Time // days, both included
	Connection models.ConnectionID
	Base       string
}

// UsageSum is the usage of one day, base, connection or user.
type UsageSum struct {
	Key                         string
	Calls, Reads, Writes, Retry int64
	Refresh                     int64
	SavedByCache                int64
	SavedByCoalescing           int64
}

// Sums lists at most limit sums of the tenant's usage by "day", "base", "connection"
// or "user", ascending by key, from behind the key after (nil: from the first).
func (r *Usage) Sums(ctx context.Context, tenant id.TenantID, by string, f UsageFilter, after *string, limit int) ([]UsageSum, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT key, coalesce(sum(calls) FILTER (WHERE NOT saved), 0)::bigint,
			coalesce(sum(calls) FILTER (WHERE cause = 'read'), 0)::bigint,
			coalesce(sum(calls) FILTER (WHERE cause = 'write'), 0)::bigint,
			coalesce(sum(calls) FILTER (WHERE cause = 'retry'), 0)::bigint,
			coalesce(sum(calls) FILTER (WHERE cause = 'refresh'), 0)::bigint,
			coalesce(sum(calls) FILTER (WHERE cause = 'cache'), 0)::bigint,
			coalesce(sum(calls) FILTER (WHERE cause = 'coalescing'), 0)::bigint
		FROM (
			SELECT calls, cause, saved, CASE $2::text
				WHEN 'day' THEN to_char(day, 'YYYY-MM-DD') WHEN 'base' THEN base_id
				WHEN 'connection' THEN connection_id::text ELSE user_id::text END COLLATE "C" AS key
			FROM (
				SELECT day, base_id, connection_id, user_id, cause, calls, false AS saved FROM usage_days WHERE tenant_id = $1
				UNION ALL
				SELECT day, base_id, connection_id, user_id, saver, calls, true FROM saved_days WHERE tenant_id = $1) d
			WHERE ($3::date IS NULL OR day >= $3) AND ($4::date IS NULL OR day <= $4)
				AND ($5::uuid IS NULL OR connection_id = $5) AND ($6 = '' OR base_id = $6)) u
		WHERE $7::text IS NULL OR key > $7
		GROUP BY key ORDER BY key LIMIT $8`,
		tenant, by, nullable(f.From), nullable(f.To), f.Connection, f.Base, after, limit)
	if err != nil {
		return nil, fmt.Errorf("sum usage: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s UsageSum, err error) {
		return s, row.Scan(&s.Key, &s.Calls, &s.Reads, &s.Writes, &s.Retry, &s.Refresh, &s.SavedByCache, &s.SavedByCoalescing)
	})
	if err != nil {
		return nil, fmt.Errorf("sum usage: %w", err)
	}
	return list, nil
}

// Quota is what a connection may call in a month, 0 if nobody said, and what it
// called: from the first day of the month on, and from another day on.
type Quota struct {
	MonthlyCalls, Used, Recent int64
}

// Quota returns the connection's quota with its usage since the two days. It returns
// errs.ErrNotFound if the tenant has no such connection.
func (r *Usage) Quota(ctx context.Context, tenant id.TenantID, connection models.ConnectionID, month, recent time.Time) (q Quota, err error) {
	err = postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `
		SELECT coalesce(q.monthly_calls, 0),
			(SELECT coalesce(sum(calls), 0)::bigint FROM usage_days u WHERE u.tenant_id = c.tenant_id AND u.connection_id = c.id AND day >= $3::date),
			(SELECT coalesce(sum(calls), 0)::bigint FROM usage_days u WHERE u.tenant_id = c.tenant_id AND u.connection_id = c.id AND day >= $4::date)
		FROM connections c LEFT JOIN connection_quotas q ON q.tenant_id = c.tenant_id AND q.connection_id = c.id
		WHERE c.tenant_id = $1 AND c.id = $2`, tenant, connection, month, recent).Scan(&q.MonthlyCalls, &q.Used, &q.Recent)
	if err = postgres.NotFound(err); err != nil {
		return q, fmt.Errorf("select quota: %w", err)
	}
	return q, nil
}

// SetQuota sets what the connection may call in a month; 0 takes the quota away. It
// returns errs.ErrNotFound if the tenant has no such connection.
func (r *Usage) SetQuota(ctx context.Context, tenant id.TenantID, connection models.ConnectionID, calls int64) error {
	sql, args := `
		INSERT INTO connection_quotas (tenant_id, connection_id, monthly_calls) VALUES ($1, $2, $3)
		ON CONFLICT ON CONSTRAINT connection_quotas_pkey DO UPDATE SET monthly_calls = excluded.monthly_calls`,
		[]any{tenant, connection, calls}
	if calls == 0 {
		sql, args = `DELETE FROM connection_quotas WHERE tenant_id = $1 AND connection_id = $2`, args[:2]
	}
	_, err := postgres.ForTenant(r.pool, tenant).Exec(ctx, sql, args...)
	switch {
	case postgres.IsForeignKey(err, "connection_quotas_connection_fkey"):
		return errs.ErrNotFound
	case err != nil:
		return fmt.Errorf("set quota: %w", err)
	}
	return nil
}
