// Package allowance keeps tenants within their plans: the bases that they make in the local
// store, the bytes of files that are kept for them, and the calls that they make.
//
// What is made is set aside at tenant-service first, and reported once it is there: how much
// the tenant has then, as the database counts it with every change (migration 0035). So it
// does not matter who makes or removes something, or whether a report was lost: what was not
// acknowledged is reported by a job, within a minute, and everything once a day.
package allowance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/limits"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Allowance says what tenants may have and do. A nil one is for fleets without limits: it
// allows everything. It is safe for concurrent use.
type Allowance struct {
	limits *limits.Client
	uses   *repository.Uses

	mu     sync.Mutex
	closed map[use][]string // keys of holds on files that are to be reported
}

type use struct {
	tenant id.TenantID
	limit  string
}

// New returns an Allowance by the plans that l knows; nil if l is.
func New(l *limits.Client, uses *repository.Uses) *Allowance {
	if l == nil {
		return nil
	}
	return &Allowance{limits: l, uses: uses, closed: map[use][]string{}}
}

// Call counts a call of the API. It returns tenantapi.ErrQuotaExceeded for one that the
// tenant's plan does not allow.
func (a *Allowance) Call(ctx context.Context, tenant id.TenantID) error {
	if a == nil {
		return nil
	}
	return a.limits.Take(ctx, tenant, tenantapi.LimitAPICalls)
}

// Hold is some of a limit that is set aside. The zero value is none.
type Hold struct {
	of     *Allowance
	tenant id.TenantID
	limit  string
	key    string
	amount int64
}

// Base sets a base aside, or returns tenantapi.ErrLimitReached. The key is the base's own,
// or that of the attempt to make it: the same again is the same hold. It ends by itself
// after ten minutes.
func (a *Allowance) Base(ctx context.Context, tenant id.TenantID, key string) (Hold, error) {
	h := Hold{a, tenant, tenantapi.LimitBases, "base:" + key, 1}
	return h, h.Renew(ctx)
}

// File sets the bytes of a file aside, or returns tenantapi.ErrLimitReached.
func (a *Allowance) File(ctx context.Context, tenant id.TenantID, size int64) (Hold, error) {
	if size == 0 {
		return Hold{}, nil
	}
	h := Hold{a, tenant, tenantapi.LimitStorage, "file:" + id.New[any]().String(), size}
	return h, h.Renew(ctx)
}

// Renew makes the ten minutes of the hold begin anew. If they were over, it may return
// tenantapi.ErrLimitReached.
func (h Hold) Renew(ctx context.Context) error {
	if h.of == nil {
		return nil
	}
	return h.of.limits.Reserve(ctx, h.tenant, h.limit, h.key, h.amount)
}

// Close ends the hold, whether or not it came to something: tenant-service hears how much
// the tenant has now. Of files it hears within a second.
func (h Hold) Close(ctx context.Context) {
	switch {
	case h.of == nil:
	case h.limit == tenantapi.LimitStorage:
		h.of.mu.Lock()
		defer h.of.mu.Unlock()
		u := use{h.tenant, h.limit}
		h.of.closed[u] = append(h.of.closed[u], h.key)
	default:
		ctx := context.WithoutCancel(ctx)
		if err := h.of.report(ctx, use{h.tenant, h.limit}, h.key); err != nil {
			logging.From(ctx).Warn("the use of a limit is reported later", zap.String("limit", h.limit), zap.Error(err))
		}
	}
}

const (
	// repeat is when what was reported is reported again.
	repeat = 24 * time.Hour
	// unheard is when what is of a tenant that tenant-service does not know, or does not
	// know yet, is reported again.
	unheard = 5 * time.Minute

	flushEvery = time.Second
	flushLimit = 5 * time.Second
	keysAtOnce = 1000
	dueAtOnce  = 500
)

// report tells how much the tenant has, which contains what the keys hold.
func (a *Allowance) report(ctx context.Context, of use, keys ...string) error {
	u, err := a.uses.Use(ctx, of.tenant, of.limit)
	if err != nil {
		return err
	}
	if u.Version == 0 { // nothing to tell, and no version to tell it by
		var failed []error
		for _, key := range keys {
			failed = append(failed, a.limits.Release(ctx, of.tenant, key))
		}
		return errors.Join(failed...)
	}
	return a.tell(ctx, u, keys...)
}

func (a *Allowance) tell(ctx context.Context, u repository.Use, keys ...string) error {
	err := a.limits.Report(ctx, u.Tenant, u.Name, u.Used, u.Version, keys...)
	if errors.Is(err, tenantapi.ErrTenantNotFound) {
		return a.uses.ReportIn(ctx, u, unheard)
	}
	if err != nil {
		return err
	}
	return a.uses.ReportIn(ctx, u, repeat)
}

// Run reports of files until ctx ends, and then what is left.
func (a *Allowance) Run(ctx context.Context) error {
	if a == nil {
		return nil
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.Flush(ctx)
		case <-ctx.Done():
			a.Flush(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// Flush reports of the files whose holds were closed.
func (a *Allowance) Flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	a.mu.Lock()
	closed := a.closed
	a.closed = map[use][]string{}
	a.mu.Unlock()
	for of, keys := range closed {
		for some := range slices.Chunk(keys, keysAtOnce) {
			if err := a.report(ctx, of, some...); err != nil { // they end by themselves; the job reports the rest
				logging.From(ctx).Warn("the use of a limit is reported later", zap.String("limit", of.limit), zap.Error(err))
			}
		}
	}
}

// Report is the job that reports what is due.
type Report struct{}

// Kind implements river.JobArgs.
func (Report) Kind() string { return "report_uses" }

// ReportPeriodically is when, by one replica at a time.
func ReportPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Minute),
		func() (river.JobArgs, *river.InsertOpts) { return Report{}, &river.InsertOpts{MaxAttempts: 1} }, &river.PeriodicJobOpts{RunOnStart: true})
}

// ReportWorker works Report.
type ReportWorker struct {
	river.WorkerDefaults[Report]
	Allowance *Allowance
}

// Work implements river.Worker.
func (w *ReportWorker) Work(ctx context.Context, _ *river.Job[Report]) error {
	if w.Allowance == nil {
		return nil
	}
	return w.Allowance.ReportDue(ctx)
}

// ReportDue reports what is due. What cannot be now is so the next time.
func (a *Allowance) ReportDue(ctx context.Context) error {
	for {
		list, err := a.uses.DueUses(ctx, dueAtOnce)
		if err != nil || len(list) == 0 {
			return err
		}
		var failed []error
		for _, u := range list {
			failed = append(failed, a.tell(ctx, u))
		}
		if err := errors.Join(failed...); err != nil || len(list) < dueAtOnce {
			return err
		}
	}
}
