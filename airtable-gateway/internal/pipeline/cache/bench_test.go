package cache_test

import (
	"fmt"
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// BenchmarkRead reads 20 lists again and again: straight from Airtable, here an emulator
// without limits in the same process, and out of the cache.
//
//	go test -tags nomsgpack ./internal/pipeline/cache -run - -bench Read -benchmem
func BenchmarkRead(b *testing.B) {
	w := newWorld(b)
	c := w.replica().client(w.connection(freshness))
	for _, bench := range []struct {
		name string
		up   upstream.Upstream
	}{{"straight", c.link.Upstream}, {"hit", c.up}} {
		b.Run(bench.name, func(b *testing.B) {
			var calls []upstream.Call
			for i := range 20 {
				calls = append(calls, c.call("GET", fmt.Sprintf("%s?pageSize=100&maxRecords=%d&fields[]=Name", alone, i+5), ""))
			}
			b.ReportAllocs()
			b.SetParallelism(16) // a crowd, as at a gateway
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if a, err := bench.up.Do(b.Context(), calls[i%len(calls)]); err != nil || a.Status != 200 {
						b.Error(a.Status, err)
						return
					}
				}
			})
		})
	}
}
