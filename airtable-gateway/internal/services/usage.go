package services

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Usage tells what tenants spend at Airtable.
type Usage struct {
	repo        *repository.Usage
	connections *Connections
	now         func() time.Time
}

// NewUsage returns the usage kept in repo. now tells the time.
func NewUsage(repo *repository.Usage, c *Connections, now func() time.Time) *Usage {
	return &Usage{repo, c, func() time.Time { return now().UTC().Truncate(time.Microsecond) }}
}

// Sums lists at most limit sums of the tenant's usage from behind the key after, by
// default of this month.
func (s *Usage) Sums(ctx context.Context, tenant id.TenantID, by string, f repository.UsageFilter, after *string, limit int) ([]repository.UsageSum, error) {
	if f.From.IsZero() && f.To.IsZero() {
		f.From = month(s.now())
	}
	return s.repo.Sums(ctx, tenant, by, f, after, limit)
}

// Quota forecasts the connection's month. It returns ErrConnectionNotFound if the
// tenant has no such connection.
func (s *Usage) Quota(ctx context.Context, tenant id.TenantID, connection models.ConnectionID) (Forecast, error) {
	now := s.now()
	q, err := s.repo.Quota(ctx, tenant, connection, month(now), now.Add(-forecastOver))
	if err != nil {
		return Forecast{}, notFound(err)
	}
	return forecast(q, now), nil
}

// SetQuota says what the connection may call in a month; 0: nobody knows. A local
// connection spends nothing: ErrFixedKind.
func (s *Usage) SetQuota(ctx context.Context, who auth.Principal, connection models.ConnectionID, calls int64) (Forecast, error) {
	c, err := s.connections.Connection(ctx, who.TenantID, connection)
	if err != nil {
		return Forecast{}, err
	}
	if c.Kind == models.LocalConnection {
		return Forecast{}, airtableapi.ErrFixedKind.Saying("A local connection calls no Airtable and has no quota.")
	}
	if err := s.repo.SetQuota(ctx, who.TenantID, connection, calls); err != nil {
		return Forecast{}, notFound(err)
	}
	return s.Quota(ctx, who.TenantID, connection)
}

// Forecast is a connection's month.
type Forecast struct {
	Month       time.Time // its beginning
	Quota, Used int64
	Calls       int64     // by the end of the month
	ExhaustedAt time.Time // zero: not this month, or there is no quota
}

// forecastOver is the time whose rate is expected to go on. The day it begins in
// counts whole.
const forecastOver = 6 * 24 * time.Hour

func month(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }

// forecast goes on from q at the rate of the days that q.Recent covers.
func forecast(q repository.Quota, now time.Time) Forecast {
	start := month(now)
	first := now.Add(-forecastOver).Truncate(24 * time.Hour)
	perSecond := float64(q.Recent) / now.Sub(first).Seconds()
	left := start.AddDate(0, 1, 0).Sub(now)
	f := Forecast{Month: start, Quota: q.MonthlyCalls, Used: q.Used, Calls: q.Used + int64(perSecond*left.Seconds())}
	switch {
	case q.MonthlyCalls == 0:
	case q.Used >= q.MonthlyCalls:
		f.ExhaustedAt = now
	case f.Calls > q.MonthlyCalls:
		seconds := float64(q.MonthlyCalls-q.Used) / perSecond
		f.ExhaustedAt = now.Add(time.Duration(seconds * float64(time.Second))).Truncate(time.Second)
	}
	return f
}
