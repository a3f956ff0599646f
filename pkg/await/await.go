// Package await lets tests wait for what they want to see, instead of sleeping.
package await

import (
	"context"
	"testing"
	"time"
)

// limit is how long a condition may take to come true; a busy machine is slow.
const (
	limit = time.Minute
	every = 10 * time.Millisecond
)

// True asks again and again until done says so. The test fails, naming what it
// waited for, if that does not happen within a minute.
func True(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s in vain: %s", limit, what)
		case <-tick.C:
		}
	}
}
