package events_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

// Two who listen hear all of it, from when they began, whatever shard it is on.
func TestTail_EveryListenerHearsEverything(t *testing.T) {
	t.Parallel()
	pool, rdb := pgtest.New(t, "tail", nil), redistest.New(t)
	kind := events.Type[map[string]string]{Name: "com.pyairtable.tail.tested.v1", Source: "/test", Stream: "tailtest"}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = events.NewRelay(pool, rdb, events.RelayOptions{}).Run(ctx) })
	say := func(subject string) {
		t.Helper()
		err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			return events.Emit(t.Context(), tx, kind.New(t.Context(), id.New[id.Tenant](), subject, 1, nil))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	say("before")
	await.True(t, "it is published", func() bool { return len(rdb.Keys(t.Context(), "events:*tailtest*").Val()) > 0 })
	var mu sync.Mutex
	heard, began := [2][]string{}, make(chan struct{}, 2)
	for i := range heard {
		wg.Go(func() {
			events.Tail(ctx, rdb, "tailtest", func() { began <- struct{}{} }, func(e events.Event) {
				mu.Lock()
				defer mu.Unlock()
				heard[i] = append(heard[i], e.Subject)
			})
		})
	}
	<-began
	<-began
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("%02d", i))
		say(want[i])
	}
	for i := range heard {
		await.True(t, "all is heard", func() bool {
			mu.Lock()
			defer mu.Unlock()
			got := slices.Sorted(slices.Values(heard[i]))
			return slices.Equal(got, want)
		})
	}
}
