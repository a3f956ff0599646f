package budget

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/redistest"
)

// world is a simulation of replicas, network and upstream in virtual time, in ms.
// The desk is the real one.
type world struct {
	t        *testing.T
	desk     desk
	rnd      *rand.Rand
	now      int64
	agenda   agenda
	seq      int
	replicas []*replica
	terms    terms
	key      laneKey

	arrivals []int64
	left     map[string]int64 // when each ticket left
	order    []string
	gave     map[string]bool // refused by the queue
	upstream func(at int64) string
}

type event struct {
	at  int64
	seq int
	do  func()
}

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (w *world) after(ms int64, do func()) {
	w.seq++
	heap.Push(&w.agenda, event{w.now + ms, w.seq, do})
}

func (w *world) run(until int64) {
	for len(w.agenda) > 0 && w.agenda[0].at <= until {
		e := heap.Pop(&w.agenda).(event)
		w.now = e.at
		e.do()
	}
	w.now = max(w.now, until)
}

// replica does what a lane does, in virtual time.
type replica struct {
	w       *world
	name    string
	key     laneKey
	dead    bool
	waiting map[string]join
	turn    turn
	timer   int
	queued  bool
	stalled bool
}

const epoch0 = 1_800_000_000_000

// desks are both implementations, on the world's clock.
func eachDesk(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	for _, name := range []string{"redis", "court"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t, rnd: rand.New(rand.NewPCG(3, 4)), now: epoch0, terms: real, left: map[string]int64{}, gave: map[string]bool{}, key: laneKey{"o", "app1", "tok"}}
			w.upstream = func(int64) string { return answered }
			if name == "court" {
				w.desk = newCourt(func() int64 { return w.now })
			} else {
				d := newRedisDesk(redistest.New(t))
				d.now = func() int64 { return w.now }
				w.desk = d
			}
			test(t, w)
		})
	}
}

func (w *world) replica() *replica {
	r := &replica{w: w, name: fmt.Sprintf("r%d", len(w.replicas)), waiting: map[string]join{}, key: w.key}
	w.replicas = append(w.replicas, r)
	return r
}

func (r *replica) ask(flow string, weight float64, wait int64) string {
	r.w.seq++
	j := join{ID: fmt.Sprintf("%s/%08d", r.name, r.w.seq), Flow: flow, Weight: weight, Wait: wait}
	r.waiting[j.ID] = j
	r.turn.Joins = append(r.turn.Joins, j)
	r.soon()
	return j.ID
}

func (r *replica) leave(id string) {
	if j, ok := r.waiting[id]; ok {
		delete(r.waiting, id)
		r.turn.Leaves = append(r.turn.Leaves, leave{id, j.Flow, j.Weight})
		r.soon()
	}
}

func (r *replica) tell(d done) {
	r.turn.Dones = append(r.turn.Dones, d)
	r.soon()
}

// soon takes a turn after some latency of the network, in place of a later one.
func (r *replica) soon() { r.in(r.w.rnd.Int64N(5)) }

func (r *replica) in(ms int64) {
	r.timer++
	mine := r.timer
	r.w.after(ms, func() {
		if mine == r.timer && !r.dead && !r.stalled {
			r.take()
		}
	})
}

func (r *replica) take() {
	in := r.turn
	r.turn = turn{}
	in.Replica, in.terms = r.name, r.w.terms
	if in.Joins == nil {
		in.Joins = []join{}
	}
	if in.Leaves == nil {
		in.Leaves = []leave{}
	}
	if in.Dones == nil {
		in.Dones = []done{}
	}
	out, err := r.w.desk.turn(context.Background(), r.key, in)
	if err != nil {
		r.w.t.Fatal(err)
	}
	if r.queued && !out.known {
		for _, j := range r.waiting {
			r.turn.Joins = append(r.turn.Joins, j)
		}
	}
	r.queued = true
	for id := range out.refused {
		delete(r.waiting, id)
		r.w.gave[id] = true
	}
	for _, id := range out.granted {
		j, ok := r.waiting[id]
		if !ok {
			r.tell(done{id, out.epoch, unsent})
			continue
		}
		delete(r.waiting, id)
		r.fly(j, out.epoch)
	}
	if len(r.waiting) > 0 {
		r.in(out.wait)
	}
}

// fly sends the request: it is written some time after the grant, arrives some time
// after that, and is answered some time later still.
func (r *replica) fly(j join, epoch int64) {
	w := r.w
	w.left[j.ID] = w.now
	w.order = append(w.order, j.ID)
	if w.rnd.IntN(20) == 0 {
		w.after(w.rnd.Int64N(100), func() { r.tell(done{j.ID, epoch, unsent}) })
		return
	}
	written, takes := w.rnd.Int64N(300), 1+w.rnd.Int64N(100)
	if w.rnd.IntN(4) == 0 {
		takes = 1 + w.rnd.Int64N(3_000)
	}
	w.after(written, func() {
		if r.dead {
			return
		}
		outcome := answered
		w.after(w.rnd.Int64N(min(w.terms.Transit, takes)), func() {
			w.arrivals = append(w.arrivals, w.now)
			outcome = w.upstream(w.now)
		})
		if takes > w.terms.Transit {
			w.after(w.terms.Transit, func() { r.tell(done{j.ID, epoch, sent}) })
		}
		w.after(takes, func() {
			r.tell(done{j.ID, epoch, outcome})
			if outcome == refused && !r.dead {
				j.Front = true
				r.waiting[j.ID] = j
				r.turn.Joins = append(r.turn.Joins, j)
			}
		})
	})
}

// fullest is the most requests that arrived within a second, and when it began.
func (w *world) fullest() (most int, at int64) {
	slices.Sort(w.arrivals)
	from := 0
	for i, a := range w.arrivals {
		for a-w.arrivals[from] >= 1_000 {
			from++
		}
		if i-from+1 > most {
			most, at = i-from+1, w.arrivals[from]
		}
	}
	return most, at
}

func TestBudget_NoSecondOfAnyKindHoldsMoreThanFiveRequests(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		for range 6 {
			w.replica()
		}
		var asked, cancelled int
		for _, r := range w.replicas {
			for range 60 {
				w.after(w.rnd.Int64N(60_000), func() {
					if r.dead {
						return
					}
					asked++
					id := r.ask(fmt.Sprint("flow", w.rnd.IntN(4)), 1+w.rnd.Float64()*9, 600_000)
					if w.rnd.IntN(10) == 0 {
						w.after(w.rnd.Int64N(20_000), func() {
							if _, waits := r.waiting[id]; waits && !r.dead {
								cancelled++
								r.leave(id)
							}
						})
					}
				})
			}
		}
		var orphans int
		w.after(30_000, func() {
			w.replicas[0].dead, orphans = true, len(w.replicas[0].waiting)
		})
		w.run(epoch0 + 300_000)
		if most, at := w.fullest(); most > 5 {
			t.Errorf("%d requests arrived in the second from %d on", most, at-epoch0)
		}
		if got, want := len(w.left)+orphans+cancelled, asked; got != want || len(w.gave) > 0 {
			t.Errorf("of %d calls, %d left, %d were cancelled, %d died with their replica, %d were refused", asked, len(w.left), cancelled, orphans, len(w.gave))
		}
		if most, _ := w.fullest(); most < 5 {
			t.Errorf("the fullest second holds %d: the budget is not used", most)
		}
	})
}

func TestBudget_ATokenHasItsOwnLimitOverItsBases(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		w.terms.Tokens = 7
		for i := range 4 {
			r := w.replica()
			r.key.base = fmt.Sprint("app", i)
			for range 20 {
				r.ask("f", 1, 600_000)
			}
		}
		w.run(epoch0 + 60_000)
		if most, _ := w.fullest(); most != 7 || len(w.left) != 80 {
			t.Errorf("%d calls left, up to %d in a second; want 80 and 7", len(w.left), most)
		}
	})
}

// firsts counts, of the first n that left, those of each flow.
func (w *world) firsts(n int, flowOf map[string]string) map[string]int {
	got := map[string]int{}
	for _, id := range w.order[:min(n, len(w.order))] {
		got[flowOf[id]]++
	}
	return got
}

func TestQueue_TenantsShareByTheirWeightsWhoeverAskedFirst(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		a, b := w.replica(), w.replica()
		flows := map[string]string{}
		for range 100 {
			flows[a.ask("crowd", 1, 600_000)] = "crowd"
		}
		w.run(epoch0 + 100)
		for range 60 {
			flows[b.ask("equal", 1, 600_000)] = "equal"
			flows[b.ask("triple", 3, 600_000)] = "triple"
		}
		w.run(epoch0 + 40_000)
		got := w.firsts(100, flows)
		if c, e, tr := got["crowd"], got["equal"], got["triple"]; c < 18 || c > 25 || e < 17 || e > 22 || tr < 56 {
			t.Errorf("of the first hundred: %v, want about 20, 20 and 60", got)
		}
	})
}

func TestQueue_AnInteractiveCallGoesBeforeTheBulkOfAnyReplica(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		a, b := w.replica(), w.replica()
		for range 200 {
			a.ask("bulk:t1", shares[Bulk], 600_000)
		}
		w.run(epoch0 + 5_000)
		asked := w.now
		id := b.ask("interactive:t1", shares[Interactive], 600_000)
		w.run(epoch0 + 60_000)
		if got := w.left[id] - asked; got > 2_000 {
			t.Errorf("it waited %d ms behind the bulk", got)
		}
	})
}

func TestQueue_BulkIsNotStarved(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		a := w.replica()
		id := a.ask("bulk:t1", shares[Bulk], 600_000)
		for range 300 {
			a.ask("interactive:t1", shares[Interactive], 600_000)
		}
		w.run(epoch0 + 40_000)
		if w.left[id] == 0 {
			t.Error("a bulk call did not leave within 40 s of interactive ones")
		}
	})
}

func TestQueue_WhoCannotMakeItInTimeIsToldAtOnce(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		a := w.replica()
		for range 50 {
			a.ask("f", 1, 600_000)
		}
		w.run(epoch0 + 100)
		hopeless, fine := a.ask("f", 1, 5_000), a.ask("f", 1, 30_000)
		w.run(epoch0 + 200)
		if !w.gave[hopeless] || w.gave[fine] {
			t.Errorf("refused: with 5 s %v, with 30 s %v", w.gave[hopeless], w.gave[fine])
		}
	})
}

func TestQueue_IsBounded(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		w.terms.Most = 20
		a, b := w.replica(), w.replica()
		for range 15 {
			a.ask("f", 1, 600_000)
			b.ask("g", 1, 600_000)
		}
		w.run(epoch0 + 500) // nothing leaves yet: the queue is new
		if got := len(w.gave); got != 10 {
			t.Errorf("%d of 30 were refused, want 10", got)
		}
	})
}

func TestQueue_ADeadReplicaGivesUpItsPlaces(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		a, b := w.replica(), w.replica()
		for range 100 {
			a.ask("f", 1, 600_000)
		}
		w.run(epoch0 + 100)
		a.dead = true
		id := b.ask("f", 1, 600_000)
		w.run(epoch0 + 10_000)
		if w.left[id] == 0 {
			t.Error("a call waits for a dead replica's")
		}
	})
}

func TestQueue_AStalledReplicaThatWasGivenUpJoinsAnew(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		a, b := w.replica(), w.replica()
		for range 20 {
			a.ask("f", 1, 600_000)
			b.ask("f", 1, 600_000)
		}
		w.run(epoch0 + 1_500)
		a.stalled = true
		w.run(epoch0 + 30_000)
		before := len(w.left)
		a.stalled = false
		a.soon()
		w.run(epoch0 + 60_000)
		if before < 20 || len(w.left) != 40 {
			t.Errorf("%d of 40 left while one replica stalled, %d at last", before, len(w.left))
		}
		if most, _ := w.fullest(); most > 5 {
			t.Errorf("a second saw %d", most)
		}
	})
}

func TestQueue_WithoutMemoryNothingLeavesUntilWhatLeftBeforeIsOld(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		id := w.replica().ask("f", 1, 600_000)
		w.run(epoch0 + 10_000)
		if got := w.left[id] - epoch0; got < real.Window+real.Transit || got > 2_000 {
			t.Errorf("left after %d ms", got)
		}
	})
}

// far is the upstream: 5 requests a second from everybody, and a lock-out of 30 s for
// exceeding them.
type far struct {
	seen     []int64
	locked   int64
	lockOuts int
	refusals int
}

func (f *far) take(at int64) bool {
	for len(f.seen) > 0 && at-f.seen[0] >= 1_000 {
		f.seen = f.seen[1:]
	}
	switch {
	case at < f.locked:
	case len(f.seen) >= 5:
		f.locked = at + 30_000
		f.lockOuts++
	default:
		f.seen = append(f.seen, at)
		return true
	}
	return false
}

func TestBudget_OutsidersProvokeOneLockOutAndThenTheRateIsLearned(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		f := &far{}
		w.terms.Most = 2_000
		w.upstream = func(at int64) string {
			if f.take(at) {
				return answered
			}
			f.refusals++
			return refused
		}
		for i := int64(0); i < 40*60*2; i++ { // 2 requests a second of another program
			w.after(i*500, func() { f.take(w.now) })
		}
		a, b := w.replica(), w.replica()
		const calls = 1_500
		for range calls / 2 {
			a.ask("f", 1, 3_600_000)
			b.ask("g", 1, 3_600_000)
		}
		w.run(epoch0 + 40*60_000)
		if f.lockOuts != 1 {
			t.Errorf("%d lock-outs in 40 minutes, want 1", f.lockOuts)
		}
		if len(w.left) != calls || f.refusals > 7 {
			t.Errorf("%d of %d calls left, %d were refused upstream", len(w.left), calls, f.refusals)
		}
	})
}

func TestBudget_AShortRefusalCostsAShortPause(t *testing.T) {
	t.Parallel()
	eachDesk(t, func(t *testing.T, w *world) {
		refuse := true
		w.upstream = func(int64) string {
			if refuse {
				refuse = false
				return refused
			}
			return answered
		}
		a := w.replica()
		for range 20 {
			a.ask("f", 1, 600_000)
		}
		w.run(epoch0 + 20_000)
		if len(w.left) != 20 {
			t.Errorf("%d of 20 left within 20 s", len(w.left))
		}
	})
}
