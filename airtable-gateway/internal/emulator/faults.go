package emulator

import (
	"context"
	"math/rand/v2"
	"time"
)

// Faults are what goes wrong, each at a rate between 0 and 1. The n-th request
// that the limits let through has a fate that depends on Seed and n alone.
type Faults struct {
	BadGateway   float64       // 502, nothing executed
	Unavailable  float64       // 503 RETRIABLE_ERROR, nothing executed
	BrokenWrites float64       // the write is applied, and the connection closed without an answer
	Latency      time.Duration // added to every request
	Jitter       time.Duration // added on top, evenly between 0 and this
	Seed         uint64
}

// fate is what becomes of one request.
type fate struct {
	badGateway, unavailable, broken bool
	wait                            time.Duration
}

func (f Faults) fate(n uint64) fate {
	// Every draw is made whether it is wanted or not: a change of one rate leaves the
	// other fates as they were.
	r := rand.New(rand.NewPCG(f.Seed, n))
	u, v, w := r.Float64(), r.Float64(), r.Float64()
	out := fate{
		badGateway: u < f.BadGateway, broken: v < f.BrokenWrites,
		wait: f.Latency + time.Duration(w*float64(f.Jitter)),
	}
	out.unavailable = !out.badGateway && u < f.BadGateway+f.Unavailable
	return out
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
