// Package awaittest lets tests wait for what comes about in its own time.
package awaittest

import (
	"testing"
	"time"
)

const every = 2 * time.Millisecond

// Until asks done again and again until it says yes. It ends the test after limit.
func Until(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(limit); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about in %v", what, limit)
		}
	}
}
