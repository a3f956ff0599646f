package budget

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
)

// court keeps queues in this process, by the rules of turn.lua. It serves a replica
// that cannot reach Redis.
type court struct {
	now  func() int64
	born int64 // what left before, it does not know

	mu     sync.Mutex
	queues map[laneKey]*queue
	tokens map[string]slots
}

func newCourt(now func() int64) *court {
	return &court{now: now, born: now(), queues: map[laneKey]*queue{}, tokens: map[string]slots{}}
}

// slots are requests that fill a window; see turn.lua.
type slots map[string]int64

// queue is what waits for one base, and what the base was learned to bear.
type queue struct {
	waiting []place // in their order
	slots   slots
	flows   map[string]float64
	alive   map[string]int64
	hold    int64

	v            float64
	epoch        int64
	phase        string
	closed, grow int64
	limit, ceil  int
}

type place struct {
	id  string
	tag float64
}

func before(a, b place) int {
	switch {
	case a.tag != b.tag && a.tag < b.tag:
		return -1
	case a.tag != b.tag:
		return 1
	}
	return strings.Compare(a.id, b.id)
}

func (c *court) turn(_ context.Context, key laneKey, t turn) (ruling, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Now = c.now()
	token := c.tokens[key.origin+" "+key.token]
	if token == nil {
		token = slots{}
		c.tokens[key.origin+" "+key.token] = token
	}
	of := laneKey{origin: key.origin, base: key.base}
	q := c.queues[of]
	if q == nil {
		q = &queue{
			slots: slots{}, flows: map[string]float64{}, alive: map[string]int64{},
			hold: c.born + t.Window + t.Transit, limit: t.Limit, ceil: t.Limit,
		}
		c.queues[of] = q
	}
	for _, d := range t.Dones {
		q.slots.release(d, t)
		token.release(d, t)
		q.hear(d, t)
	}
	q.recover(t)
	used, tokens := q.slots.occupied(t), token.occupied(t)
	for _, l := range t.Leaves {
		if q.remove(l.ID) {
			q.flows[l.Flow] -= 1 / l.Weight
		}
	}
	r := ruling{now: t.Now, refused: map[string]int64{}}
	for _, j := range t.Joins {
		q.join(j, t, used.n, r.refused)
	}
	seen, ok := q.alive[t.Replica]
	r.known = ok && seen >= 0
	q.alive[t.Replica] = t.Now
	r.granted, r.wait = q.grant(t, used, tokens, token)
	if len(q.waiting) == 0 {
		clear(q.flows)
		q.v = 0
	}
	r.epoch, r.limit, r.waiting = q.epoch, q.limit, len(q.waiting)
	return r, nil
}

func (s slots) release(d done, t turn) {
	held, ok := s[d.ID]
	switch {
	case !ok:
	case d.Outcome == unsent:
		delete(s, d.ID)
	case held < 0:
		s[d.ID] = t.Now + t.Window
	}
}

// load is how many slots are taken, and when the next one can be free.
type load struct {
	n    int
	free int64
}

func (s slots) occupied(t turn) load {
	l := load{free: math.MaxInt64}
	for id, at := range s {
		if max(at, -at) <= t.Now {
			delete(s, id)
			continue
		}
		l.n++
		if at < 0 {
			at = min(-at, t.Now+t.Window)
		}
		l.free = min(l.free, at)
	}
	return l
}

// hear takes in what the upstream said. News from before the last refusal is none.
func (q *queue) hear(d done, t turn) {
	switch {
	case d.Epoch != q.epoch:
	case d.Outcome == answered:
		q.phase = ""
	case d.Outcome == refused:
		q.epoch++
		if q.phase == "" {
			q.phase, q.closed = "trial", t.Now+t.Backoff
			q.ceil, q.limit = max(1, q.limit-2), max(1, q.limit/2)
		} else {
			q.phase, q.closed = "locked", t.Now+t.Lockout
		}
		q.grow = q.closed + t.Calm
	}
}

// recover raises a lowered rate in time.
func (q *queue) recover(t turn) {
	switch {
	case t.Now < q.grow:
	case q.limit < q.ceil:
		q.limit, q.grow = q.limit+1, t.Now+t.Calm
	case q.ceil < t.Limit:
		q.ceil, q.grow = q.ceil+1, t.Now+t.Relearn
	}
}

func (q *queue) remove(id string) bool {
	n := len(q.waiting)
	q.waiting = slices.DeleteFunc(q.waiting, func(p place) bool { return p.id == id })
	return len(q.waiting) < n
}

func (q *queue) join(j join, t turn, used int, refused map[string]int64) {
	q.remove(j.ID)
	p := place{j.ID, q.v}
	if !j.Front {
		p.tag = max(q.v, q.flows[j.Flow]) + 1/j.Weight
	}
	ahead, _ := slices.BinarySearchFunc(q.waiting, p, before)
	wait := max(0, q.closed-t.Now, q.hold-t.Now) + int64((ahead+used)/q.limit)*t.Window
	if wait > j.Wait || !j.Front && len(q.waiting) >= t.Most {
		refused[j.ID] = max(wait, t.Window)
		return
	}
	q.waiting = slices.Insert(q.waiting, ahead, p)
	if !j.Front {
		q.flows[j.Flow] = p.tag
	}
}

// grant lets the replica's requests go that are at the head, and says when to come
// again.
func (q *queue) grant(t turn, used, tokens load, token slots) (granted []string, wait int64) {
	limit := q.limit
	if q.phase != "" {
		limit = 1
	}
	wait = t.Beat
loop:
	for len(q.waiting) > 0 {
		head := q.waiting[0]
		owner, _, _ := strings.Cut(head.id, "/")
		shut := max(q.closed, q.hold)
		switch {
		case t.Now < shut:
			wait = shut - t.Now
			break loop
		case used.n >= limit:
			wait = used.free - t.Now
			break loop
		case tokens.n >= t.Tokens:
			wait = tokens.free - t.Now
			break loop
		case owner != t.Replica && t.Now-q.alive[owner] < t.Dead:
			wait = t.Yield
			break loop
		}
		q.waiting = q.waiting[1:]
		if owner != t.Replica { // a dead one
			q.alive[owner] = -1
			continue
		}
		q.v = max(q.v, head.tag)
		q.slots[head.id], token[head.id] = -(t.Now + t.Lease), -(t.Now + t.Lease)
		used = load{used.n + 1, min(used.free, t.Now+t.Window)}
		tokens = load{tokens.n + 1, min(tokens.free, t.Now+t.Window)}
		granted = append(granted, head.id)
	}
	return granted, max(1, min(wait, t.Beat))
}
