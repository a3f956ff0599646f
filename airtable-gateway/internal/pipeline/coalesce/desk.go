package coalesce

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/id"
)

type deskKey struct{ account, base string }

// desk is where the writes of one base wait. It sends carriers into the budget's
// queue, one for each batch that could leave; the carrier whose turn has come takes
// the batch that is first in that moment.
type desk struct {
	c       *Coalescer
	key     deskKey
	account Account
	tenant  id.TenantID
	wake    chan struct{}

	mu       sync.Mutex
	waiting  []*rider // in the order in which they came
	flying   []*rider
	carriers map[*carrier]bool // that wait for their turn
	shut     bool
}

// carrier waits for a turn.
type carrier struct {
	priority budget.Priority
	ctx      context.Context
	cancel   context.CancelFunc
}

func (d *desk) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// enter is false if there is no room.
func (d *desk) enter(r *rider) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) >= mostWaiting {
		return false
	}
	r.desk = d
	d.waiting = append(d.waiting, r)
	d.c.waiting.Inc()
	d.nudge()
	return true
}

// leave takes the rider out, unless it has left or has its verdict.
func (d *desk) leave(r *rider) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.left {
		return false
	}
	d.depart(r)
	d.nudge()
	return true
}

// depart ends the rider's wait.
func (d *desk) depart(r *rider) {
	r.left = true
	d.waiting = slices.DeleteFunc(d.waiting, func(o *rider) bool { return o == r })
	d.c.waiting.Dec()
}

// arrived says that the rider's write is over.
func (d *desk) arrived(r *rider) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flying = slices.DeleteFunc(d.flying, func(o *rider) bool { return o == r })
	d.nudge()
}

// close refuses what waits.
func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	for _, r := range slices.Clone(d.waiting) {
		d.depart(r)
		r.tell(upstream.Answer{}, errStopped)
	}
	d.nudge()
}

// run keeps as many carriers waiting as there are batches, until nothing is left to do.
func (d *desk) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, over := d.review()
		if over && d.end() {
			return
		}
		if next > 0 {
			timer.Reset(next)
		}
		select {
		case <-d.wake:
		case <-timer.C:
		}
	}
}

// end takes the desk away unless something came up.
func (d *desk) end() bool {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting)+len(d.flying)+len(d.carriers) > 0 {
		return false
	}
	if d.c.desks[d.key] == d {
		delete(d.c.desks, d.key)
	}
	return true
}

// review sends out carriers and calls back those that are not needed. It says when
// a batch will be ready that is not yet, and whether nothing is left to do.
func (d *desk) review() (next time.Duration, over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := map[budget.Priority]int{}
	now := time.Now()
	for _, b := range plan(d.waiting, d.flying, d.same) {
		if until := b.ready.Sub(now); until <= 0 {
			wanted[b.priority]++
		} else if next == 0 || until < next {
			next = until
		}
	}
	have := map[budget.Priority]int{}
	for c := range d.carriers {
		if have[c.priority]++; have[c.priority] > wanted[c.priority] {
			have[c.priority]--
			delete(d.carriers, c)
			c.cancel()
		}
	}
	for _, p := range priorities {
		for ; have[p] < wanted[p] && !d.shut; have[p]++ {
			c := &carrier{priority: p}
			c.ctx, c.cancel = context.WithCancel(d.c.lives)
			d.carriers[c] = true
			d.c.busy.Go(func() { d.carry(c) })
		}
	}
	return next, len(d.waiting)+len(d.flying)+len(d.carriers) == 0
}

// same reports whether two spellings may mean the same table.
func (d *desk) same(a, b string) bool {
	if a == b || d.account.Table == nil {
		return true
	}
	x, y := d.account.Table(d.key.base, a), d.account.Table(d.key.base, b)
	return x == "" || y == "" || x == y
}

// carry waits for a turn and sends the batch that is first then.
func (d *desk) carry(c *carrier) {
	defer c.cancel()
	turn, refusal, err := d.account.Turns.Reserve(c.ctx, d.probe(c.priority))
	if turn == nil {
		d.turnAway(c, refusal, err)
		return
	}
	defer turn.End()
	if b := d.take(c); b != nil {
		d.c.send(turn.Carry(context.WithoutCancel(b.riders[0].ctx)), d, b)
	}
}

// probe is a call that waits like those that the desk sends.
func (d *desk) probe(p budget.Priority) upstream.Call {
	c := upstream.Call{
		Op: upstream.UpdateRecords, Base: d.key.base, Header: http.Header{}, Caller: upstream.Caller{Tenant: d.tenant},
	}
	c.Header.Set(budget.Header, string(p))
	return c
}

// take is the batch that leaves in the carrier's turn, nil if there is none.
func (d *desk) take(c *carrier) *batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.carriers, c)
	d.nudge()
	now := time.Now()
	for _, b := range plan(d.waiting, d.flying, d.same) {
		if b.ready.After(now) {
			continue
		}
		for _, r := range b.riders {
			d.depart(r)
			d.flying = append(d.flying, r)
		}
		return b
	}
	return nil
}

// turnAway gives the latest batch of the carrier's priority what the carrier got.
// One that was called back got nothing.
func (d *desk) turnAway(c *carrier, refusal upstream.Answer, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.carriers[c] {
		return
	}
	delete(d.carriers, c)
	d.nudge()
	now := time.Now()
	for _, b := range slices.Backward(plan(d.waiting, d.flying, d.same)) {
		if b.priority != c.priority || b.ready.After(now) {
			continue
		}
		for _, r := range b.riders {
			d.depart(r)
			r.tell(copied(refusal), err)
		}
		return
	}
}
