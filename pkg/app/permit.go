package app

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// Permit decides what callers may do: by permission-service, or by the role of the token
// in a fleet without it (PERMISSIONS).
func (a *App) Permit(ctx context.Context) (permit.Authority, error) {
	if a.Base.Permissions == config.PermissionsByRole {
		return permit.ByRole{}, nil
	}
	rdb, err := a.Redis(ctx)
	if err != nil {
		return nil, err
	}
	c := permit.New(a.Client(permissionapi.Service))
	a.Go("permissions", func(ctx context.Context) error { return c.Run(ctx, rdb) })
	return c, nil
}
