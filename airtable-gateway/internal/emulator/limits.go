package emulator

import (
	"sync"
	"time"
)

// Limits are how much Airtable lets through. A count of 0 switches a limit off.
type Limits struct {
	BasePerSecond  int           // requests for one base, by all tokens together
	TokenPerSecond int           // requests of one token, over all bases
	LockOut        time.Duration // how long whoever was refused stays refused
	MonthlyCalls   int           // calls for records, since the start
}

// RealLimits are Airtable's as documented.
func RealLimits() Limits {
	return Limits{BasePerSecond: 5, TokenPerSecond: 50, LockOut: 30 * time.Second}
}

// gate holds the windows of every base and token. A request that is refused counts
// for nothing and does not make the lock-out longer.
type gate struct {
	limits Limits

	mu       sync.Mutex
	bases    map[string]*window
	tokens   map[string]*window
	metered  int
	lockOuts int
}

func newGate(l Limits) *gate {
	return &gate{limits: l, bases: map[string]*window{}, tokens: map[string]*window{}}
}

// window is the requests admitted within the last second.
type window struct {
	admitted    []time.Time
	lockedUntil time.Time
	busiest     int // most requests that a second ever held
}

const span = time.Second

// full reports whether one more request at now would be more than limit in a
// second, or falls into a lock-out.
func (w *window) full(now time.Time, limit int) (full, locked bool) {
	if now.Before(w.lockedUntil) {
		return true, true
	}
	old := 0
	for old < len(w.admitted) && now.Sub(w.admitted[old]) >= span {
		old++
	}
	w.admitted = w.admitted[old:]
	return limit > 0 && len(w.admitted) >= limit, false
}

func (w *window) admit(now time.Time) {
	w.admitted = append(w.admitted, now)
	w.busiest = max(w.busiest, len(w.admitted))
}

// verdict is what the gate says to a request.
type verdict int

const (
	admitted verdict = iota
	limited          // too fast
	spent            // the month's calls are used up
)

// admit decides on a request of the token for the base ("" for none) that is made
// at now. metered requests count against the month.
func (g *gate) admit(now time.Time, base, token string, metered bool) verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	ok := g.pass(windowOf(g.tokens, token), now, g.limits.TokenPerSecond)
	if base != "" {
		ok = g.pass(windowOf(g.bases, base), now, g.limits.BasePerSecond) && ok
	}
	switch {
	case !ok:
		return limited
	case metered && g.limits.MonthlyCalls > 0 && g.metered >= g.limits.MonthlyCalls:
		return spent
	}
	windowOf(g.tokens, token).admit(now)
	if base != "" {
		windowOf(g.bases, base).admit(now)
	}
	if metered {
		g.metered++
	}
	return admitted
}

// pass reports whether the window has room, and begins a lock-out if it has none.
func (g *gate) pass(w *window, now time.Time, limit int) bool {
	full, locked := w.full(now, limit)
	if full && !locked {
		w.lockedUntil = now.Add(g.limits.LockOut)
		g.lockOuts++
	}
	return !full
}

func windowOf(in map[string]*window, key string) *window {
	w := in[key]
	if w == nil {
		w = &window{}
		in[key] = w
	}
	return w
}

// busiest is the most requests that a second ever held, by base.
func (g *gate) busiest() (byBase map[string]int, lockOuts int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	byBase = make(map[string]int, len(g.bases))
	for base, w := range g.bases {
		byBase[base] = w.busiest
	}
	return byBase, g.lockOuts
}
