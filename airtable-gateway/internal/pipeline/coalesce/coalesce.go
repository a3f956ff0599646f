// Package coalesce lets the writes of many callers travel as few calls: what waits
// for its turn at a base is made into batches of up to 10 records in the moment in
// which the budget lets a call go, not before.
//
// Creates, updates, replaces, deletes and upserts share a batch with their like: of
// one tenant, connection and table, with the same typecast, returnFieldsByFieldId,
// fieldsToMergeOn and headers. A batch of less than 10 records that a caller made
// may join others as a whole; as Airtable takes a call whole or not at all, it stays
// atomic. Each caller gets its own part of the answer, byte for byte. A call that
// nobody joined leaves as it came.
//
// When: a call leaves at once if nothing like it is under way. Otherwise it gathers
// others until that has ended, until 10 records are together, or for as long as a
// turn takes at the most.
//
// Order: writes of one record leave in the order in which they came, each when the
// one before it has its answer: PATCH, PUT, DELETE and uploads, of whatever size and
// spelling of the table. What an upsert will write is unknown; it keeps its place
// among all writes of its table, except beside upserts by the same fields with other
// values. Creates are new records and have no order. All of that holds for one
// replica; between replicas, and across a change of the connection's token, nothing
// is promised.
//
// A refused batch (4xx) was not executed: its callers are sent again in smaller
// ones, those that the refusal seems to name apart from the others, until only the
// guilty one hears it, in the words for its own call. Refusals that hit all alike (401, 429, an
// unknown table) and failures go to every caller. When the outcome of a batch is
// unknown, it is so for each; only deletes of one record are repeated one by one, as
// they may be.
//
// A caller that goes away while its call waits is taken out. If its records have
// left, the write stands.
//
// "X-PyAirtable-Coalesce: off" keeps a call out of batches and out of waiting for
// company, not out of order.
package coalesce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// Header is what a client opts out with, by the value "off".
const Header = "X-PyAirtable-Coalesce"

const (
	// gather is how long a call waits for company while its like is under way: what a
	// turn takes at 5 a second.
	gather = 200 * time.Millisecond
	// mostWaiting is how many calls may wait for one base. No more can leave within
	// the longest wait.
	mostWaiting = 5_000
	// mostBytes is how large a batch is made.
	mostBytes = 1 << 20
)

// Options are what a Coalescer is made of.
type Options struct {
	Log     *zap.Logger
	Metrics prometheus.Registerer
	// Wait is how long a call may wait before it leaves.
	Wait time.Duration
}

// Account is whose calls are coalesced: one connection with one token.
type Account struct {
	Key string // differs between connections, and between tokens of one
	// Turns gives permission to make a call; see budget.Queue.
	Turns Turns
	// Table is the id of a table by id or name, "" if that is not known yet.
	Table func(base, idOrName string) string
	// Saved hears of calls that did not have to be made.
	Saved func(c upstream.Call)
}

// Turns is what calls wait for.
type Turns interface {
	Reserve(ctx context.Context, c upstream.Call) (*budget.Turn, upstream.Answer, error)
}

// Coalescer makes batches. It is safe for concurrent use; Run must be running.
type Coalescer struct {
	opts  Options
	lives context.Context
	end   context.CancelFunc
	busy  sync.WaitGroup

	mu     sync.Mutex
	desks  map[deskKey]*desk
	closed bool

	records prometheus.Histogram
	splits  prometheus.Counter
	optOuts prometheus.Counter
	waiting prometheus.Gauge
}

// New registers its metrics.
func New(ctx context.Context, o Options) *Coalescer {
	c := &Coalescer{
		opts: o, desks: map[deskKey]*desk{},
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "airtable_coalesce_batch_calls", Help: "How many callers' calls left as one.",
			Buckets: []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
		}),
		splits:  prometheus.NewCounter(prometheus.CounterOpts{Name: "airtable_coalesce_splits_total", Help: "Batches that were refused and sent again in parts."}),
		optOuts: prometheus.NewCounter(prometheus.CounterOpts{Name: "airtable_coalesce_opt_outs_total", Help: "Writes that their callers kept out of batches."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "airtable_coalesce_waiting", Help: "Writes that wait to leave in this replica."}),
	}
	o.Metrics.MustRegister(c.records, c.splits, c.optOuts, c.waiting)
	c.lives, c.end = context.WithCancel(context.WithoutCancel(ctx))
	return c
}

// Run ends when ctx has ended and every batch that left has its answer. What has not
// left then is refused.
func (c *Coalescer) Run(ctx context.Context) error {
	<-ctx.Done()
	c.mu.Lock()
	c.closed = true
	desks := c.desks
	c.desks = map[deskKey]*desk{}
	c.mu.Unlock()
	c.end()
	for _, d := range desks {
		d.close()
	}
	c.busy.Wait()
	return nil
}

// Of puts the coalescer in front of next, which makes the account's calls.
func (c *Coalescer) Of(next upstream.Upstream, a Account) upstream.Upstream {
	return door{next, c, a}
}

type door struct {
	next    upstream.Upstream
	c       *Coalescer
	account Account
}

// errStopped is for calls that had not left when the service stopped.
var errStopped = fmt.Errorf("%w: the service stops", upstream.ErrNotSent)

// Do makes the call, together with others if it is a write of records. An error
// wraps upstream.ErrNotSent if no record of the call has left.
func (d door) Do(ctx context.Context, call upstream.Call) (upstream.Answer, error) {
	if !ordered(call) {
		return d.next.Do(ctx, call)
	}
	if err := ctx.Err(); err != nil {
		return upstream.Answer{}, fmt.Errorf("%w: %w", upstream.ErrNotSent, err)
	}
	r := d.board(ctx, call)
	if refusal, err := d.c.join(d.account, r); refusal != nil || err != nil {
		return deref(refusal), err
	}
	timer := time.NewTimer(d.c.opts.Wait)
	defer timer.Stop()
	for {
		select {
		case v := <-r.done:
			return v.answer, v.err
		case <-ctx.Done():
			if r.desk.leave(r) {
				return upstream.Answer{}, fmt.Errorf("%w: %w", upstream.ErrNotSent, ctx.Err())
			}
			select {
			case v := <-r.done:
				return v.answer, v.err
			default:
				return upstream.Answer{}, ctx.Err()
			}
		case <-timer.C:
			if r.desk.leave(r) {
				return busy(), nil
			}
		}
	}
}

// ordered reports whether the call writes records.
func ordered(c upstream.Call) bool {
	switch c.Op {
	case upstream.CreateRecords, upstream.UpdateRecords, upstream.DeleteRecords, upstream.UploadAttachment:
		return true
	}
	return false
}

// busy refuses a call that waited too long, or for which there is no room.
func busy() upstream.Answer {
	a := v0.Refuse(models.ErrRateLimited)
	a.Header.Set("Retry-After", "1")
	return a
}

func deref(a *upstream.Answer) upstream.Answer {
	if a == nil {
		return upstream.Answer{}
	}
	return *a
}

// optsOut reports whether the client wants its call to leave alone.
func optsOut(h http.Header) bool { return strings.EqualFold(h.Get(Header), "off") }

// join puts r at its base's desk.
func (c *Coalescer) join(a Account, r *rider) (*upstream.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errStopped
	}
	key := deskKey{a.Key, r.call.Base}
	d := c.desks[key]
	if d == nil {
		d = &desk{c: c, key: key, account: a, tenant: r.call.Caller.Tenant, wake: make(chan struct{}, 1), carriers: map[*carrier]bool{}}
		c.desks[key] = d
		c.busy.Go(d.run)
	}
	if !d.enter(r) {
		full := busy()
		return &full, nil
	}
	return nil, nil
}

// errPanicked is for the callers of a batch whose call panicked: nobody knows whether it left.
var errPanicked = errors.New("the call ended in a panic")
