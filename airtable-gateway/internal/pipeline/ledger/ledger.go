// Package ledger counts every call that is made to Airtable, by tenant, connection,
// base, user and cause, and every call that was saved, by what saved it.
//
// Counts are kept in memory for a second at the most and then added up in PostgreSQL
// by minute and by day; a replica that is killed loses what it counted in its last
// second. When a minute is over, one event a connection tells what it spent. Counts
// that arrive late are told by a further event about the same minute: the events of a
// minute add up.
package ledger

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

const (
	saveEvery     = time.Second
	announceEvery = 10 * time.Second
	// late is how long after its end a minute is announced: by then each replica has
	// saved it.
	late      = 5 * time.Second
	kept      = 7 * 24 * time.Hour
	saveLimit = 5 * time.Second
)

// Ledger counts calls. It is safe for concurrent use; Run must be running for the
// counts to last.
type Ledger struct {
	repo  *repository.Usage
	log   *zap.Logger
	now   func() time.Time
	calls *prometheus.CounterVec
	saved *prometheus.CounterVec

	mu     sync.Mutex
	counts map[repository.Spending]int64
}

// New returns a ledger kept in repo, with its metrics registered at reg.
func New(repo *repository.Usage, log *zap.Logger, reg prometheus.Registerer, now func() time.Time) *Ledger {
	l := &Ledger{
		repo: repo, log: log, now: now, counts: map[repository.Spending]int64{},
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "airtable_ledger_calls_total", Help: "Calls made to Airtable, by cause.",
		}, []string{"cause"}),
		saved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "airtable_ledger_saved_calls_total", Help: "Calls to Airtable that did not have to be made, by what saved them.",
		}, []string{"by"}),
	}
	reg.MustRegister(l.calls, l.saved)
	return l
}

// Of counts the calls of the connection that up makes.
func (l *Ledger) Of(up upstream.Upstream, connection models.ConnectionID) upstream.Upstream {
	return counted{up, l, connection}
}

type counted struct {
	upstream.Upstream
	l          *Ledger
	connection models.ConnectionID
}

// Do counts the call unless it certainly did not reach Airtable.
func (d counted) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	answer, err := d.Upstream.Do(ctx, c)
	if !errors.Is(err, upstream.ErrNotSent) {
		d.l.count(d.connection, c)
	}
	return answer, err
}

func (l *Ledger) count(connection models.ConnectionID, c upstream.Call) {
	cause := causeOf(c)
	l.calls.WithLabelValues(cause).Inc()
	l.add(connection, c, cause, 1)
}

// Saver is what makes calls unnecessary.
type Saver string

// The savers.
const (
	Cache      Saver = repository.SavedByCache
	Coalescing Saver = repository.SavedByCoalescing
)

// Saved counts n calls like c that did not have to be made. Less than one is none.
func (l *Ledger) Saved(connection models.ConnectionID, c upstream.Call, by Saver, n int64) {
	if n < 1 {
		return
	}
	l.saved.WithLabelValues(string(by)).Add(float64(n))
	l.add(connection, c, string(by), n)
}

func (l *Ledger) add(connection models.ConnectionID, c upstream.Call, cause string, n int64) {
	s := repository.Spending{
		Tenant: c.Caller.Tenant, Minute: l.now().UTC().Truncate(time.Minute), Connection: connection,
		Base: c.Base, User: c.Caller.User, Cause: cause,
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[s] += n
}

func causeOf(c upstream.Call) string {
	switch {
	case c.Attempt > 0:
		return repository.CauseRetry
	case c.Refresh:
		return repository.CauseRefresh
	case v0.Reads(c):
		return repository.CauseRead
	}
	return repository.CauseWrite
}

// Run saves and announces the counts until ctx ends, and then once more.
func (l *Ledger) Run(ctx context.Context) error {
	save, announce := time.NewTicker(saveEvery), time.NewTicker(announceEvery)
	defer save.Stop()
	defer announce.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveLimit)
			defer cancel()
			return l.Save(last)
		case <-save.C:
			if err := l.Save(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn("usage not saved yet", zap.Error(err))
			}
		case <-announce.C:
			if err := l.Announce(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn("usage not announced yet", zap.Error(err))
			}
		}
	}
}

// Save adds what was counted to the database. On an error it is kept for the next
// time.
func (l *Ledger) Save(ctx context.Context) error {
	l.mu.Lock()
	counts := l.counts
	l.counts = map[repository.Spending]int64{}
	l.mu.Unlock()
	if len(counts) == 0 {
		return nil
	}
	err := l.repo.Add(ctx, counts)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		for s, n := range counts {
			l.counts[s] += n
		}
	}
	return err
}

// Announce tells of the minutes that are over, and drops those that are old.
func (l *Ledger) Announce(ctx context.Context) error {
	now := l.now().UTC()
	for more := true; more; {
		var err error
		more, err = l.repo.Announce(ctx, now.Add(-time.Minute-late), func(u repository.MinuteUse) events.Event { return tell(ctx, u, now) })
		if err != nil {
			return err
		}
	}
	return l.repo.Forget(ctx, now.Add(-kept))
}

// tell is the event about u. Its version is the time: a later one adds to an earlier.
func tell(ctx context.Context, u repository.MinuteUse, now time.Time) events.Event {
	data := airtableapi.UsageRecord{
		ConnectionID: u.Connection.String(), Minute: u.Minute, Calls: u.Reads + u.Writes + u.Retry + u.Refresh,
		Reads: u.Reads, Writes: u.Writes, Retries: u.Retry, Refreshes: u.Refresh,
		SavedByCache: u.SavedByCache, SavedByCoalescing: u.SavedByCoalescing, Bases: []airtableapi.BaseCalls{},
	}
	for _, base := range slices.Sorted(maps.Keys(u.Bases)) {
		b := u.Bases[base]
		data.Bases = append(data.Bases, airtableapi.BaseCalls{BaseID: base, Calls: b.Calls, Saved: b.Saved})
	}
	return airtableapi.UsageRecorded.New(ctx, u.Tenant, data.ConnectionID, now.UnixMicro(), data)
}
