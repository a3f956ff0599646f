package tenantservice_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/limits"
	"github.com/pyairtable/pyairtable/pkg/redis"
)

// The client of the kit, in two services that call two replicas of this one.
func TestLimitsClient_NeverOvershootsAndHearsOfPlans(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	const allowed = 60
	w.allow(owner, map[string]int64{"api_calls": allowed})
	clients := []*limits.Client{
		limits.New(w.service().Client, prometheus.NewRegistry()), limits.New(w.replica().Client, prometheus.NewRegistry()),
	}
	var took, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				switch err := clients[i%2].Take(t.Context(), owner.tenant, "api_calls"); {
				case err == nil:
					took.Add(1)
				case errors.Is(err, tenantapi.ErrQuotaExceeded):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	rdb, err := redis.Open(t.Context(), w.env["REDIS_URL"])
	w.ok(err)
	defer func() { w.ok(rdb.Close()) }()
	ctx, stop := context.WithCancel(t.Context())
	for _, c := range clients {
		all.Go(func() { w.ok(c.Run(ctx, rdb)) })
	}
	if n, err := clients[0].Limit(t.Context(), owner.tenant, "api_calls"); err != nil || n != allowed {
		t.Errorf("the limit is %d, %v", n, err)
	}
	w.allow(owner, map[string]int64{"api_calls": 61})
	await.True(t, "the change is heard of", func() bool {
		n, err := clients[0].Limit(t.Context(), owner.tenant, "api_calls")
		return err == nil && n == 61
	})
	stop()
	all.Wait()
	if u := w.use(owner, "api_calls"); u.Used != took.Load() || u.Used > allowed || u.Reserved != 0 || refused.Load() == 0 {
		t.Errorf("%d were taken, %d refused, counted are %+v", took.Load(), refused.Load(), u)
	}
}
