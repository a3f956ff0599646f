package proxy

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	breakerFailures = 5                // consecutive failures that open a closed breaker
	breakerFirst    = time.Second      // how long it stays open the first time
	breakerMost     = 30 * time.Second // and at most, as failures of probes double it
	breakerProbe    = 10 * time.Second // a probe that has not reported by then is forgotten
)

// BreakerState is what an address's circuit breaker does with the next request.
type BreakerState int

// The states, in the order of their badness.
const (
	Closed BreakerState = iota
	HalfOpen
	Open
)

// breaker is the passive health of one address. Only what the transport saw counts
// (connect, broken connection, no answer in time): an answer of any status is a sign of
// life, since one failing dependency of a service must not take all of it away.
type breaker struct {
	until atomic.Int64 // 0 closed; else the unix nanosecond at which a probe may pass
	fails atomic.Int32
	trips atomic.Int32
}

// allow says whether a request may go to the address, and whether it is the probe.
func (b *breaker) allow(now time.Time) (ok, probe bool) {
	until := b.until.Load()
	if until == 0 {
		return true, false
	}
	n := now.UnixNano()
	if n < until {
		return false, false
	}
	won := b.until.CompareAndSwap(until, n+int64(breakerProbe))
	return won, won
}

func (b *breaker) success() {
	if b.fails.Load() != 0 {
		b.fails.Store(0)
	}
	if b.until.Load() != 0 {
		b.trips.Store(0)
		b.until.Store(0)
	}
}

// failure counts one failure. Failures of requests that were under way when the breaker
// opened do not prolong it; the probe's does.
func (b *breaker) failure(now time.Time, probe bool) {
	n := b.fails.Add(1)
	if !probe && (b.until.Load() != 0 || n < breakerFailures) {
		return
	}
	d := breakerFirst << min(b.trips.Add(1)-1, 5)
	d = min(d, breakerMost)
	d -= time.Duration(rand.Int64N(int64(d) / 5)) // replicas do not probe in step
	b.until.Store(now.Add(d).UnixNano())
}

// release gives a probe back that proved nothing (its client went away).
func (b *breaker) release(now time.Time, probe bool) {
	if probe {
		b.until.Store(now.UnixNano())
	}
}

func (b *breaker) state(now time.Time) BreakerState {
	switch until := b.until.Load(); {
	case until == 0:
		return Closed
	case now.UnixNano() < until:
		return Open
	}
	return HalfOpen
}

// retryBudget keeps retries to a share of the requests, so that a service in trouble is
// not given twice the load.
type retryBudget struct{ credit atomic.Int64 }

const (
	retryPrice = 10  // each request earns 1: at most one retry in ten requests
	retryMost  = 200 // and a reserve of twenty for quiet hours
)

func newRetryBudget() *retryBudget {
	b := &retryBudget{}
	b.credit.Store(retryMost)
	return b
}

func (b *retryBudget) earn() {
	if c := b.credit.Load(); c < retryMost {
		b.credit.CompareAndSwap(c, c+1)
	}
}

func (b *retryBudget) spend() bool {
	for {
		c := b.credit.Load()
		if c < retryPrice {
			return false
		}
		if b.credit.CompareAndSwap(c, c-retryPrice) {
			return true
		}
	}
}
