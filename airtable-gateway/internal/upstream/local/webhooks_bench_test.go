package local_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// What webhooks cost writers: a base without any, with one and with ten, and a base's
// writers at once.
//
//	go test -tags nomsgpack ./internal/upstream/local -run '^$' -bench Watched
func BenchmarkWatched(b *testing.B) {
	for _, hooks := range []int{0, 1, 10} {
		bench := newBench(b).shop()
		for range hooks {
			bench.hook(everything, "")
		}
		rec := bench.made("People", `{"Name":"x"}`)
		var n atomic.Int64
		calls := map[string]func() upstream.Call{
			"create": func() upstream.Call {
				return create("People", fmt.Sprintf(`{"fields":{"Name":"%d"}}`, n.Add(1)))
			},
			"update": func() upstream.Call {
				return patch("People", rec, fmt.Sprintf(`{"fields":{"Name":"%d"}}`, n.Add(1)))
			},
		}
		for _, name := range []string{"create", "update"} {
			b.Run(fmt.Sprintf("%s webhooks=%d", name, hooks), func(b *testing.B) {
				for b.Loop() {
					bench.ok(calls[name]())
				}
			})
		}
		b.Run(fmt.Sprintf("creates at once webhooks=%d", hooks), func(b *testing.B) {
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					bench.ok(calls["create"]())
				}
			})
		})
	}
}
