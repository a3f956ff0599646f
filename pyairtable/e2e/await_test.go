package e2e

import (
	"context"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen; a busy machine is slow.
const patience = 60 * time.Second

// awaitTrue waits until done says so, asking again and again.
func awaitTrue(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s in vain: %s", patience, what)
		case <-tick.C:
		}
	}
}
