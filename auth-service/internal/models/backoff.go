package models

import (
	"net/netip"
	"time"
)

// Tally counts failures of one kind.
type Tally struct {
	Failures int
	Last     time.Time
}

// Backoff is how long to wait after a failure: nothing for the first Free ones,
// then Base, doubling up to Max.
type Backoff struct {
	Free      int
	Base, Max time.Duration
}

// Wait is how long the next attempt has to wait still; 0 if it may be made.
func (b Backoff) Wait(t Tally, now time.Time) time.Duration {
	over := t.Failures - b.Free
	if over < 0 {
		return 0
	}
	d := b.Max
	if over < 30 {
		d = min(b.Base<<over, b.Max)
	}
	return max(0, t.Last.Add(d).Sub(now))
}

// The limits on failed sign-ins.
//
// Pair, of an account and a network, is the one that stops a guesser. Account
// slows those who guess from many networks; it does not apply to networks that
// the user signed in from before, so that nobody can lock him out. Network slows
// those who try one password on many accounts.
var (
	PairBackoff    = Backoff{Free: 5, Base: time.Second, Max: 15 * time.Minute}
	AccountBackoff = Backoff{Free: 30, Base: time.Second, Max: 30 * time.Second}
	NetworkBackoff = Backoff{Free: 100, Base: time.Second, Max: time.Minute}
	CodeBackoff    = Backoff{Free: 5, Base: time.Second, Max: 15 * time.Minute}
)

// Network is what counts as one origin: an IPv4 address, or an IPv6 /64, which
// is what one customer has.
func Network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64)
	return p.String()
}
