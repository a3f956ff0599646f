package app

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/limits"
)

// Limits knows what tenants' plans allow, and counts what is used of it, at tenant-service.
// In a fleet without that (LIMITS) it is nil: there are none.
func (a *App) Limits(ctx context.Context) (*limits.Client, error) {
	if a.Base.Limits == config.LimitsOff {
		return nil, nil
	}
	rdb, err := a.Redis(ctx)
	if err != nil {
		return nil, err
	}
	c := limits.New(a.Client(tenantapi.Service), a.Metrics)
	a.Go("limits", func(ctx context.Context) error { return c.Run(ctx, rdb) })
	return c, nil
}
