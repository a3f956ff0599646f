package tenantservice_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// BenchmarkLease takes leases over HTTP, each of which settles the one before, as the
// client of package limits does: by one replica, and by four that share a counter.
func BenchmarkLease(b *testing.B) {
	for _, replicas := range []int{1, 4} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) {
			w := start(b, nil)
			owner, service := w.organisation("Acme"), w.service()
			w.allow(owner, map[string]int64{tenantapi.LimitAPICalls: 1 << 50})
			took := make([][]time.Duration, replicas)
			var all sync.WaitGroup
			b.ResetTimer()
			for r := range replicas {
				all.Go(func() {
					var last []tenantapi.Spent
					for i := r; i < b.N; i += replicas {
						in := reserve(owner, fmt.Sprintf("lease:%d:%d", r, i), tenantapi.LimitAPICalls, 10)
						in.Body.Partial, in.Body.Settle = true, last
						began := time.Now()
						if _, err := rpc.Call(b.Context(), service.Client, tenantapi.Reserve, in); err != nil {
							b.Error(err)
							return
						}
						took[r] = append(took[r], time.Since(began))
						last = []tenantapi.Spent{{Key: in.Body.Key, Used: 10}}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			waits := slices.Concat(took...)
			slices.Sort(waits)
			for name, at := range map[string]float64{"p50-ms": .5, "p99-ms": .99} {
				if len(waits) > 0 {
					b.ReportMetric(float64(waits[int(at*float64(len(waits)-1))])/1e6, name)
				}
			}
		})
	}
}
