package budget

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// lane is this replica's part of one queue: one goroutine that goes to the desk for
// all calls that wait here. It ends when nothing waits and nothing is under way.
type lane struct {
	b    *Budget
	key  laneKey
	wake chan struct{}

	mu      sync.Mutex
	at      desk // where the waiters are queued
	queued  bool // it has been there before
	waiters map[string]*waiter
	joins   []*waiter
	leaves  []*waiter
	dones   []report
	flying  int // grants that are not finished
}

type waiter struct {
	wish
	id    string
	ready chan verdict // of one
}

// verdict is the grant of a waiter, or why it gets none.
type verdict struct {
	grant *grant
	err   error
}

// report is a done for the desk that gave the grant.
type report struct {
	done
	to desk
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) enter(p *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.id = fmt.Sprintf("%s/%012d", l.b.replica, l.b.tickets.Add(1)) // ascending in each lane
	l.waiters[p.id] = p
	l.joins = append(l.joins, p)
	l.nudge()
}

// leave takes the waiter out. late is true if its verdict was given already.
func (l *lane) leave(p *waiter) (late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.waiters[p.id]; !ok {
		return true
	}
	delete(l.waiters, p.id)
	l.leaves = append(l.leaves, p)
	l.nudge()
	return false
}

// tell hands in what became of a grant.
func (l *lane) tell(r report, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dones = append(l.dones, r)
	if last {
		l.flying--
	}
	l.nudge()
}

func (l *lane) run() {
	for {
		d, t := l.b.desk()
		if d == nil {
			if l.pause(-1) {
				continue
			}
			return
		}
		in, sent, ok := l.collect(d, t)
		if !ok {
			if l.close() {
				return
			}
			if !l.pause(-1) {
				return
			}
			continue
		}
		r, err := d.turn(l.b.lives, l.key, in)
		if err != nil {
			if l.b.lives.Err() != nil {
				return
			}
			l.takeBack(sent)
			l.b.away(err)
			continue
		}
		if l.deliver(r, d) && !l.pause(time.Duration(r.wait)*time.Millisecond) {
			return
		}
	}
}

// pause waits for news, and no longer than d unless that is negative. It is false
// when the budget ends.
func (l *lane) pause(d time.Duration) bool {
	var due <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-l.wake:
		return true
	case <-due:
		return true
	case <-l.b.lives.Done():
		return false
	}
}

// collect is what the desk has to hear. ok is false if it is nothing and nobody
// waits.
func (l *lane) collect(d desk, t terms) (in turn, sent []report, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at != d { // the queue is kept elsewhere now: everybody joins anew
		l.at, l.queued, l.joins, l.leaves = d, false, l.joins[:0], nil
		for _, p := range l.waiters {
			l.joins = append(l.joins, p)
		}
		slices.SortFunc(l.joins, func(a, b *waiter) int { return strings.Compare(a.id, b.id) })
	}
	in = turn{Replica: l.b.replica, Joins: []join{}, Leaves: []leave{}, Dones: []done{}, terms: t}
	for _, p := range l.joins {
		if l.waiters[p.id] != nil {
			in.Joins = append(in.Joins, join{p.id, p.flow, p.weight, max(0, time.Until(p.until).Milliseconds()), p.front})
		}
	}
	for _, p := range l.leaves {
		in.Leaves = append(in.Leaves, leave{p.id, p.flow, p.weight})
	}
	var kept []report
	for _, r := range l.dones {
		switch _, local := r.to.(*court); {
		case r.to == d:
			in.Dones, sent = append(in.Dones, r.done), append(sent, r)
		case !local: // for when Redis is back
			kept = append(kept, r)
		}
	}
	l.joins, l.leaves, l.dones = nil, nil, kept
	return in, sent, len(l.waiters)+len(in.Leaves)+len(in.Dones) > 0
}

// takeBack keeps what the desk did not hear. The others join anew anyway.
func (l *lane) takeBack(sent []report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dones = append(sent, l.dones...)
}

// deliver gives the waiters their verdicts, and says whether to wait for the others'.
func (l *lane) deliver(r ruling, d desk) (wait bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queued && !r.known {
		l.at = nil
		l.nudge()
	}
	l.queued = true
	for _, id := range r.granted {
		p := l.waiters[id]
		if p == nil { // it left meanwhile
			l.dones = append(l.dones, report{done{ID: id, Epoch: r.epoch, Outcome: unsent}, d})
			l.nudge()
			continue
		}
		delete(l.waiters, id)
		l.flying++
		p.ready <- verdict{grant: &grant{lane: l, at: d, id: id, epoch: r.epoch}}
	}
	for id, wait := range r.refused {
		if p := l.waiters[id]; p != nil {
			delete(l.waiters, id)
			p.ready <- verdict{err: tooLong{time.Duration(wait) * time.Millisecond}}
		}
	}
	return len(l.waiters) > 0
}

// close ends the lane unless something came up.
func (l *lane) close() bool {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiters)+len(l.joins)+len(l.leaves)+len(l.dones)+l.flying > 0 {
		return false
	}
	delete(l.b.byKey, l.key)
	return true
}

// grant is the permission to send one request now.
type grant struct {
	lane  *lane
	at    desk
	id    string
	epoch int64

	mu      sync.Mutex
	arrived *time.Timer
	over    bool
}

// sent says that the request has been written. It fills its place for a while from
// now on, however long the answer takes. Called again, when the request had to be
// written anew, it counts from then.
func (g *grant) sent() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return
	}
	transit := time.Duration(g.lane.b.terms.Transit) * time.Millisecond
	if g.arrived != nil {
		g.arrived.Reset(transit)
		return
	}
	g.arrived = time.AfterFunc(transit, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.over {
			g.lane.tell(report{done{g.id, g.epoch, sent}, g.at}, false)
		}
	})
}

// finish says what became of the request. It is called once.
func (g *grant) finish(outcome string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	if g.arrived != nil {
		g.arrived.Stop()
	}
	g.lane.tell(report{done{g.id, g.epoch, outcome}, g.at}, true)
}

// isTooLong finds the refusal in err.
func isTooLong(err error) (tooLong, bool) {
	var e tooLong
	return e, errors.As(err, &e)
}
