package emulator

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Forget drops the events of what the emulator stored, until ctx ends: nobody
// publishes them, and they would pile up. A failure is made good by the next try.
func Forget(ctx context.Context, pool *pgxpool.Pool) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = pool.Exec(ctx, `DELETE FROM outbox WHERE tenant_id = $1`, owner.Tenant)
		}
	}
}
