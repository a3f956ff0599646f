// Package budget makes the calls of all replicas keep to Airtable's limits: 5
// requests a second for a base, 50 for a token. Calls wait in one queue per base,
// kept in Redis; they are refused only when the queue is full or they would wait too
// long.
//
// The queue is fair by start-time fair queueing: each tenant in each priority is a
// flow, with the weight of the tenant times that of the priority. An interactive call
// goes before all but a hundredth of the bulk, which never starves.
//
// A request fills its place until a second after it was answered, or after it must
// have arrived at the latest, so that no second at the far end sees more than its
// share whatever the network does. A refusal by Airtable (429) closes the base for
// everybody: for 2 s at first, and for 30 s when the one request that is tried then
// is refused too. The rate is halved, as others must be using the base; it rises by
// one after 5 minutes, and further, to where it was refused, by one an hour.
// Refused requests were not executed: they wait again, at the head.
//
// Without Redis each replica keeps to 1 request a second for a base and 10 for a
// token: up to five replicas stay within the limits without knowing of each other.
// Going over and coming back, nothing leaves for as long as what left before may
// still count.
package budget

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// Options are what a Budget is made of.
type Options struct {
	Redis   goredis.UniversalClient
	Log     *zap.Logger
	Metrics prometheus.Registerer
	// Wait is how long a call may wait for its turn.
	Wait time.Duration
	// Weights are the tenants' shares; a tenant that is not named has 1.
	Weights map[id.TenantID]float64
}

// real are the terms of Airtable's documented limits. A window is a little longer
// than a second since times are in whole milliseconds.
var real = terms{
	Limit: 5, Tokens: 50, Window: 1_010, Transit: 250, Lease: 15_000, Most: 1_000, Dead: 3_000, Beat: 500, Yield: 25,
	Backoff: 2_000, Lockout: 30_500, Calm: 300_000, Relearn: 3_600_000,
}

// alone are the terms of a replica without Redis.
func alone(t terms) terms {
	t.Limit, t.Tokens = 1, 10
	return t
}

// Budget lets calls go. It is safe for concurrent use; Run must be running.
type Budget struct {
	redis   desk
	terms   terms
	opts    Options
	replica string
	ping    func(context.Context) error
	lives   context.Context // until the lanes are to end
	end     context.CancelFunc
	lanes   sync.WaitGroup
	tickets atomic.Uint64
	lost    chan struct{} // Redis went away

	mu     sync.Mutex
	byKey  map[laneKey]*lane
	outage *court // nil while Redis answers
	ending bool   // the outage is over, but what left in it may still count

	waited  *prometheus.HistogramVec
	turned  *prometheus.CounterVec
	refusal prometheus.Counter
	waiting prometheus.Gauge
	without prometheus.Gauge
}

// New returns a Budget over the limits of Airtable.
func New(ctx context.Context, o Options) *Budget {
	b := newBudget(ctx, o, newRedisDesk(o.Redis), real)
	b.ping = func(ctx context.Context) error { return o.Redis.Ping(ctx).Err() }
	return b
}

func newBudget(ctx context.Context, o Options, d desk, t terms) *Budget {
	b := &Budget{
		redis: d, terms: t, opts: o, replica: id.New[struct{}]().String(), lost: make(chan struct{}, 1), byKey: map[laneKey]*lane{},
		ping: func(context.Context) error { return nil },
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "airtable_budget_wait_seconds", Help: "How long calls waited for their turn, by priority.",
			Buckets: []float64{.005, .05, .25, .5, 1, 2, 5, 10, 20, 30, 60},
		}, []string{"priority"}),
		turned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "airtable_budget_turned_away_total", Help: "Calls that would have waited too long, or found the queue full, by priority.",
		}, []string{"priority"}),
		refusal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "airtable_budget_upstream_refusals_total", Help: "Answers of 429 that Airtable gave in spite of the budget.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "airtable_budget_waiting", Help: "Calls that wait for their turn in this replica."}),
		without: prometheus.NewGauge(prometheus.GaugeOpts{Name: "airtable_budget_without_redis", Help: "1 while this replica keeps to a budget of its own."}),
	}
	o.Metrics.MustRegister(b.waited, b.turned, b.refusal, b.waiting, b.without)
	b.lives, b.end = context.WithCancel(context.WithoutCancel(ctx))
	return b
}

// Run looks after Redis until ctx ends; the calls that still wait then are refused.
func (b *Budget) Run(ctx context.Context) error {
	defer b.stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.lost:
			if err := b.sitOut(ctx); err != nil {
				return nil //nolint:nilerr // the service stops
			}
		}
	}
}

// stop ends the lanes, after which none begins.
func (b *Budget) stop() {
	b.mu.Lock()
	b.end()
	b.mu.Unlock()
	b.lanes.Wait()
}

// retryRedis is how often a Redis that is away is asked for.
const retryRedis = time.Second

// sitOut waits until Redis answers, and then until nothing counts any more that left
// meanwhile. The error is the context's.
func (b *Budget) sitOut(ctx context.Context) error {
	for {
		if err := rest(ctx, retryRedis); err != nil {
			return err
		}
		asked, cancel := context.WithTimeout(ctx, answerLimit)
		err := b.ping(asked)
		cancel()
		if err == nil {
			break
		}
	}
	b.change(func() { b.ending = true })
	if err := rest(ctx, time.Duration(b.terms.Window+b.terms.Transit)*time.Millisecond); err != nil {
		return err
	}
	b.change(func() { b.outage, b.ending = nil, false })
	b.without.Set(0)
	b.opts.Log.Info("the budget is shared through redis again")
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// change changes where the queues are kept, and tells the lanes.
func (b *Budget) change(to func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	to()
	for _, l := range b.byKey {
		l.nudge()
	}
}

// away says that a turn at Redis failed.
func (b *Budget) away(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.outage != nil {
		return
	}
	b.opts.Log.Warn("budget without redis", zap.Error(err))
	b.without.Set(1)
	b.outage = newCourt(func() int64 { return time.Now().UnixMilli() })
	for _, l := range b.byKey {
		l.nudge()
	}
	select {
	case b.lost <- struct{}{}:
	default:
	}
}

// desk is where the queues are kept now, nil while nothing may leave.
func (b *Budget) desk() (desk, terms) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ending:
		return nil, b.terms
	case b.outage != nil:
		return b.outage, alone(b.terms)
	}
	return b.redis, b.terms
}

// tooLong refuses a call that would wait longer than it may.
type tooLong struct{ wait time.Duration }

func (e tooLong) Error() string { return fmt.Sprintf("the wait would be %v", e.wait) }

// retryAfter is the wait in whole seconds.
func (e tooLong) retryAfter() string {
	return strconv.Itoa(int(max(1, math.Ceil(e.wait.Seconds()))))
}

// wish is a call that wants to leave.
type wish struct {
	priority Priority
	flow     string
	weight   float64
	until    time.Time
	front    bool
}

// acquire waits until the call may leave. The caller ends the grant. The errors are
// tooLong and the context's.
func (b *Budget) acquire(ctx context.Context, key laneKey, w wish) (*grant, error) {
	start := time.Now()
	p := &waiter{wish: w, ready: make(chan verdict, 1)}
	l, err := b.join(key, p)
	if err != nil {
		return nil, err
	}
	b.waiting.Inc()
	defer b.waiting.Dec()
	timer := time.NewTimer(time.Until(w.until))
	defer timer.Stop()
	select {
	case v := <-p.ready:
		if v.err == nil {
			b.waited.WithLabelValues(string(w.priority)).Observe(time.Since(start).Seconds())
		}
		return v.grant, v.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = tooLong{time.Duration(b.terms.Window) * time.Millisecond}
	case <-b.lives.Done():
		err = b.lives.Err()
	}
	if l.leave(p) {
		v := <-p.ready // it was let go in this very moment
		if v.grant != nil {
			v.grant.finish(unsent)
		}
	}
	return nil, err
}

// join puts the waiter into its lane, which is begun if there is none. The error says
// that the budget has been stopped.
func (b *Budget) join(key laneKey, p *waiter) (*lane, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.lives.Err(); err != nil {
		return nil, err
	}
	l := b.byKey[key]
	if l == nil {
		l = &lane{b: b, key: key, waiters: map[string]*waiter{}, wake: make(chan struct{}, 1)}
		b.byKey[key] = l
		b.lanes.Go(l.run)
	}
	l.enter(p)
	return l, nil
}
