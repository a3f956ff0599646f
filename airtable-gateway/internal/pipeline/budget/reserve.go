package budget

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// Turn is the permission to make one call for a base now, whatever the call will be.
// Whoever has it uses it at once or ends it: others wait for the place that it fills.
// After turnLife it is void, as the place might be given to another after the lease.
type Turn struct {
	key   laneKey
	until time.Time

	mu    sync.Mutex
	grant *grant // nil: used up
}

const turnLife = 5 * time.Second

type turnKey struct{}

// Reserve waits as a call like c would, and gives the turn instead of making the
// call. A nil Turn without an error comes with the answer that the call would have
// been refused with.
func (q Queue) Reserve(ctx context.Context, c upstream.Call) (*Turn, upstream.Answer, error) {
	w := q.b.wish(ctx, c)
	g, err := q.b.acquire(ctx, q.key(c), w)
	if full, ok := isTooLong(err); ok {
		q.b.turned.WithLabelValues(string(w.priority)).Inc()
		return nil, refuse(full), nil
	}
	if err != nil {
		return nil, upstream.Answer{}, fmt.Errorf("%w: wait for the budget: %w", upstream.ErrNotSent, err)
	}
	return &Turn{key: q.key(c), until: time.Now().Add(turnLife), grant: g}, upstream.Answer{}, nil
}

// Carry lets the first call for the base that is made under the context it returns
// leave in this turn. Further ones wait for their own.
func (t *Turn) Carry(ctx context.Context) context.Context {
	return context.WithValue(ctx, turnKey{}, t)
}

// End gives the turn back, unless it was used.
func (t *Turn) End() {
	if g := t.take(); g != nil {
		g.finish(unsent)
	}
}

func (t *Turn) take() *grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.grant
	t.grant = nil
	return g
}

// reserved takes the turn that ctx carries for the call's base, if it has not been
// used.
func (q Queue) reserved(ctx context.Context, c upstream.Call) *grant {
	t, ok := ctx.Value(turnKey{}).(*Turn)
	if !ok || t.key != q.key(c) {
		return nil
	}
	if time.Now().After(t.until) {
		t.End()
		return nil
	}
	return t.take()
}
