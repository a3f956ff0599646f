// Package watch hears from Airtable what changes there without this gateway, so that the
// cache need not wait for its answers to age.
//
// A base that is read through a connection gets one webhook at Airtable, which pings
// this service when anything in the base changes. A ping tells nothing but that: the
// payloads are read then, by a job, and what they name is dropped from the cache. Pings
// of one base are handled at most every handleEvery, since a reading costs one of the
// five requests a second that Airtable allows on the base.
//
// Webhooks are looked after every day: made to live another week, switched on again
// when Airtable gave up pinging, made anew when they are gone, and deleted when the base
// was not read for a week or its connection is to watch no more. A base whose webhook
// Airtable refuses, since the token may not make one or the base has ten, is tried again
// the next day. Until then, and whenever Airtable cannot reach this service, the
// connection's freshness alone says how old an answer may be.
package watch

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/cache"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

const (
	// noteEvery is how exactly it is known when a base was read last.
	noteEvery = time.Hour
	// checkEvery is how often a webhook is looked after.
	checkEvery = 24 * time.Hour
	// unusedAfter is how long nobody reads a base that is watched no more.
	unusedAfter = 7 * 24 * time.Hour
	// handleEvery is the least time between two readings of a base's payloads.
	handleEvery = 2 * time.Second
	noteLimit   = 2 * time.Second
)

// Options are what a Watcher is made of.
type Options struct {
	Repo        *repository.Watches
	Connections *repository.Connections
	// At returns the account of a connection with nothing before it but what keeps to
	// its limits.
	At    func(models.Connection) (upstream.Upstream, error)
	Cache *cache.Cache
	Box   *seal.Box
	// Address is where Airtable reaches Ping, up to the tenant's id. Without one nothing
	// is watched.
	Address string
	Now     func() time.Time
	Metrics prometheus.Registerer
}

// Watcher keeps webhooks at Airtable and hears their pings. It is safe for concurrent use.
type Watcher struct {
	Options
	pings *prometheus.CounterVec

	mu   sync.Mutex
	used map[models.WatchKey]time.Time // when that was noted last
}

// New registers its metrics.
func New(o Options) *Watcher {
	w := &Watcher{
		Options: o, used: map[models.WatchKey]time.Time{},
		pings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "airtable_watch_pings_total", Help: "Pings of Airtable about changes in bases, by what became of them.",
		}, []string{"outcome"}),
	}
	o.Metrics.MustRegister(w.pings)
	return w
}

// AddWorkers adds what works the jobs of this package.
func (w *Watcher) AddWorkers(to *river.Workers) {
	river.AddWorker(to, &readWorker{watcher: w})
	river.AddWorker(to, &settleWorker{watcher: w})
	river.AddWorker(to, &leaveWorker{watcher: w})
	river.AddWorker(to, &sweepWorker{watcher: w})
}

// wants reports whether the bases of the connection are to be watched.
func (w *Watcher) wants(c models.Connection) bool {
	return w.Address != "" && c.Kind == models.AirtableConnection && c.Settings.Watch && c.Settings.Freshness > 0
}

// url is what the webhook of the watch pings.
func (w *Watcher) url(at models.Watch) string { return w.Address + path(at) }

func path(at models.Watch) string { return "/" + at.Tenant.String() + "/" + at.ID.String() }

// Of notes which bases are read through up. It belongs below the cache: what is answered
// from there was noted when it was read.
func (w *Watcher) Of(up upstream.Upstream, c models.Connection) upstream.Upstream {
	if !w.wants(c) {
		return up
	}
	return layer{up, w, c}
}

type layer struct {
	upstream.Upstream
	w    *Watcher
	conn models.Connection
}

// Do makes the call, and notes it if it read what the cache keeps.
func (l layer) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	answer, err := l.Upstream.Do(ctx, c)
	if err == nil && answer.Status == http.StatusOK {
		switch c.Op {
		case upstream.ListRecords, upstream.GetRecord, upstream.BaseSchema:
			l.w.use(ctx, models.WatchKey{Tenant: l.conn.Tenant, Connection: l.conn.ID, Base: c.Base})
		}
	}
	return answer, err
}

func (w *Watcher) use(ctx context.Context, key models.WatchKey) {
	now := w.Now()
	w.mu.Lock()
	noted, known := w.used[key]
	if known && now.Sub(noted) < noteEvery {
		w.mu.Unlock()
		return
	}
	maps.DeleteFunc(w.used, func(_ models.WatchKey, noted time.Time) bool { return now.Sub(noted) >= noteEvery })
	w.used[key] = now
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
	defer cancel()
	if err := w.Repo.Use(ctx, key, now, Settle{key}); err != nil {
		logging.From(ctx).Warn("base is not watched", zap.String("base", key.Base), zap.Error(err))
		w.mu.Lock()
		delete(w.used, key)
		w.mu.Unlock()
	}
}

// call is a call about the webhooks of the watched base; rest follows their path.
func call(at models.WatchKey, op upstream.Op, method, rest string, body []byte) upstream.Call {
	path, query, _ := strings.Cut("/v0/bases/"+url.PathEscape(at.Base)+"/webhooks"+rest, "?")
	c := upstream.Call{
		Op: op, Caller: upstream.Caller{Tenant: at.Tenant}, Method: method, Path: path, RawQuery: query, Body: body,
		Base: at.Base, Header: http.Header{}, Refresh: true,
	}
	c.Header.Set(budget.Header, string(budget.Automation))
	if body != nil {
		c.Header.Set("Content-Type", "application/json")
	}
	return c
}
