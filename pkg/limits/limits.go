// Package limits asks tenant-service what a tenant's plan allows, and counts there what is
// used of it: one counter for all replicas of all services.
//
// What is made and deleted one by one, such as bases or automations, is reserved and made; then
// the service that made it says how many there are, as it counts them itself, with a version
// that rises with every change of that. In three lines, where key is the new one's own:
//
//	if err := l.Reserve(ctx, tenant, tenantapi.LimitAutomations, key, 1); err != nil { return err }
//	used, version, err := store(ctx, automation) // in one transaction; l.Release(ctx, tenant, key) if it fails
//	return l.Report(ctx, tenant, tenantapi.LimitAutomations, used, version, key)
//
// A report may be lost, repeated or overtaken: the one with the highest version holds, so that
// to report again whatever was not acknowledged makes the counter true after any crash. Who
// deletes one reports, too. (airtable-gateway's internal/allowance does all of it.) Who does
// not count commits the reservation instead.
//
// What is used at a high rate, such as API calls, is taken out of leases: a replica sets some
// aside, takes from that without asking anybody, gets the next before that one is used up, and
// says then what it has used. No two replicas ever have the same one, so that together they
// never overshoot.
//
//	if err := l.Take(ctx, tenant, tenantapi.LimitAPICalls); err != nil { return err }
//
// It fails open: while tenant-service cannot be asked nothing is refused, and what was let
// through is counted in a metric. A replica that crashes loses the count of what it took out
// of its last leases, for LeaseUse at the most. A nil Client is for fleets without limits: it
// allows everything, and counts nothing.
package limits

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

const (
	// Staleness bounds how long a plan is remembered, even if its change is not heard of.
	Staleness = 5 * time.Second
	// LeaseUse is how long is taken out of a lease. tenant-service keeps it for longer, so
	// that nobody else has it meanwhile, whatever the clocks say.
	LeaseUse  = 10 * time.Second
	leaseKept = 20 * time.Second

	prefetch = LeaseUse * 4 / 5 // is when the next one is got, unless half of it is used before

	leaseFirst  = 10
	leaseMost   = 10_000
	settleMost  = 20          // leases in one call
	fast        = time.Second // a lease that lasts for less is too small
	refuseFor   = time.Second // nobody asks again meanwhile
	awayFor     = time.Second
	askLimit    = 2 * time.Second
	settleEvery = 2 * time.Second
	idleFor     = time.Minute
	reserveFor  = 10 * time.Minute
	planCache   = 10_000
)

// Source is tenant-service.
type Source struct {
	Read    func(context.Context, tenantapi.TenantRef) (tenantapi.TenantPlan, error)
	Reserve func(context.Context, tenantapi.ReserveRequest) (tenantapi.Reservation, error)
	Commit  func(context.Context, tenantapi.CommitRequest) (tenantapi.Reservation, error)
	Release func(context.Context, tenantapi.ReservationRef) (tenantapi.Reservation, error)
	SetUse  func(context.Context, tenantapi.UseUpdate) (tenantapi.LimitUse, error)
}

// Client asks, counts and remembers. It is safe for concurrent use.
type Client struct {
	from      Source
	now       func() time.Time
	unchecked *prometheus.CounterVec
	refused   *prometheus.CounterVec
	plans     *otter.Cache[id.TenantID, plan]
	epoch     atomic.Int64 // rises when a change may have been missed, and with every one

	mu       sync.Mutex
	accounts map[owner]*account
}

type plan struct {
	limits map[string]int64
	epoch  int64
}

type owner struct {
	tenant id.TenantID
	limit  string
}

// account is what this replica has of one limit.
type account struct {
	owner
	mu       sync.Mutex
	lease    lease
	next     lease // that was got while there was some of lease left
	size     int64 // of the next one to get
	asked    time.Time
	over     []tenantapi.Spent
	refusal  error
	refusing time.Time     // until when
	away     time.Time     // until when nobody is asked
	asking   chan struct{} // closed when the call that is under way ends; nil for none
	used     time.Time     // the last time
	gone     bool          // no more in the client's map
}

// lease is some of a limit that is this replica's. The zero value is none.
type lease struct {
	key         string
	left, spent int64
	began       time.Time
}

func (l lease) over(now time.Time) bool { return !now.Before(l.began.Add(LeaseUse)) }
func (l lease) good(now time.Time) bool { return l.left > 0 && !l.over(now) }

// low reports whether it is time for the next one.
func (l lease) low(now time.Time) bool { return l.left <= l.spent || now.Sub(l.began) >= prefetch }

// New returns a client of tenant-service by c.
func New(c *rpc.Client, metrics prometheus.Registerer) *Client {
	return NewFrom(Source{
		Read: func(ctx context.Context, in tenantapi.TenantRef) (tenantapi.TenantPlan, error) {
			return rpc.Call(ctx, c, tenantapi.ReadLimits, in)
		},
		Reserve: func(ctx context.Context, in tenantapi.ReserveRequest) (tenantapi.Reservation, error) {
			return rpc.Call(ctx, c, tenantapi.Reserve, in)
		},
		Commit: func(ctx context.Context, in tenantapi.CommitRequest) (tenantapi.Reservation, error) {
			return rpc.Call(ctx, c, tenantapi.CommitReservation, in)
		},
		Release: func(ctx context.Context, in tenantapi.ReservationRef) (tenantapi.Reservation, error) {
			return rpc.Call(ctx, c, tenantapi.ReleaseReservation, in)
		},
		SetUse: func(ctx context.Context, in tenantapi.UseUpdate) (tenantapi.LimitUse, error) {
			return rpc.Call(ctx, c, tenantapi.SetUse, in)
		},
	}, metrics, time.Now)
}

// NewFrom is New for another way to ask and another clock.
func NewFrom(from Source, metrics prometheus.Registerer, now func() time.Time) *Client {
	c := &Client{
		from: from, now: now, accounts: map[owner]*account{},
		unchecked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "limits_unchecked_total", Help: "What was let through uncounted, since tenant-service could not be asked, by limit.",
		}, []string{"limit"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "limits_refused_total", Help: "What was refused since a tenant's plan does not allow more, by limit.",
		}, []string{"limit"}),
		plans: otter.Must(&otter.Options[id.TenantID, plan]{
			MaximumSize: planCache, ExpiryCalculator: otter.ExpiryWriting[id.TenantID, plan](Staleness),
		}),
	}
	metrics.MustRegister(c.unchecked, c.refused)
	return c
}

// Run hears of changed plans and settles leases until ctx ends, and then all that are left.
func (c *Client) Run(ctx context.Context, rdb redis.UniversalClient) error {
	defer c.plans.StopAllGoroutines()
	var all sync.WaitGroup
	all.Go(func() {
		events.Tail(ctx, rdb, tenantapi.PlanChanged.Stream, func() { c.epoch.Add(1) }, func(e events.Event) {
			if e.Type == tenantapi.PlanChanged.Name {
				c.Heard(e.TenantID)
			}
		})
	})
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.Settle(ctx, false)
		case <-ctx.Done():
			all.Wait()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
			defer cancel()
			c.Settle(last, true)
			return nil
		}
	}
}

// Heard forgets the tenant's plan, which has changed, and what was refused by it.
func (c *Client) Heard(tenant id.TenantID) {
	c.epoch.Add(1)
	c.plans.Invalidate(tenant)
	for _, limit := range tenantapi.Limits {
		c.mu.Lock()
		a := c.accounts[owner{tenant, limit}]
		c.mu.Unlock()
		if a != nil {
			a.mu.Lock()
			a.refusing = time.Time{}
			a.mu.Unlock()
		}
	}
}

// Limit returns how much the tenant's plan allows, or tenantapi.Unlimited. The error is
// errs.ErrUnavailable if that cannot be found out, and tenantapi.ErrTenantNotFound if there is
// no such tenant.
func (c *Client) Limit(ctx context.Context, tenant id.TenantID, limit string) (int64, error) {
	if c == nil {
		return tenantapi.Unlimited, nil
	}
	epoch := c.epoch.Load()
	p, ok := c.plans.GetIfPresent(tenant)
	if !ok || p.epoch != epoch {
		got, err := c.from.Read(ctx, tenantapi.TenantRef{TenantID: tenant.String()})
		if errors.Is(err, tenantapi.ErrTenantNotFound) {
			return 0, err
		}
		if err != nil {
			return 0, errs.ErrUnavailable.Because(err)
		}
		p = plan{got.Limits, epoch}
		c.plans.Set(tenant, p)
	}
	if n, ok := p.limits[limit]; ok {
		return n, nil
	}
	return tenantapi.Unlimited, nil
}

// Reserve sets amount of the limit aside, under the caller's key, for ten minutes in which it
// is to be reported, committed or released; the same again lengthens that. It returns
// tenantapi.ErrLimitReached if there is too little. When tenant-service cannot be asked
// nothing is set aside, and there is no error.
func (c *Client) Reserve(ctx context.Context, tenant id.TenantID, limit, key string, amount int64) error {
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	_, err := c.from.Reserve(ctx, tenantapi.ReserveRequest{
		TenantRef: tenantapi.TenantRef{TenantID: tenant.String()},
		Body:      tenantapi.ReserveDraft{Key: key, Limit: limit, Amount: amount, Seconds: int(reserveFor / time.Second)},
	})
	switch {
	case isLimit(err):
		c.refused.WithLabelValues(limit).Inc()
		return err
	case err != nil:
		c.unchecked.WithLabelValues(limit).Inc()
	}
	return nil
}

// Report says how much of the limit is used, as of the version of that. The reservations with
// the keys are in it, and given back.
func (c *Client) Report(ctx context.Context, tenant id.TenantID, limit string, used, version int64, keys ...string) error {
	if c == nil {
		return nil
	}
	_, err := c.from.SetUse(ctx, tenantapi.UseUpdate{
		TenantRef: tenantapi.TenantRef{TenantID: tenant.String()}, Limit: limit,
		Body: tenantapi.Use{Used: used, Version: version, Settle: keys},
	})
	return err
}

// Commit counts what was reserved. It may be called again; an error other than
// tenantapi.ErrReservationGone and ErrLimitReached passes.
func (c *Client) Commit(ctx context.Context, tenant id.TenantID, key string) error {
	if c == nil {
		return nil
	}
	_, err := c.from.Commit(ctx, tenantapi.CommitRequest{ReservationRef: reservation(tenant, key)})
	return err
}

// Release gives back what was reserved and not committed. It may be called again.
func (c *Client) Release(ctx context.Context, tenant id.TenantID, key string) error {
	if c == nil {
		return nil
	}
	_, err := c.from.Release(ctx, reservation(tenant, key))
	return err
}

func reservation(tenant id.TenantID, key string) tenantapi.ReservationRef {
	return tenantapi.ReservationRef{TenantRef: tenantapi.TenantRef{TenantID: tenant.String()}, Key: key}
}

func isLimit(err error) bool {
	return errors.Is(err, tenantapi.ErrLimitReached) || errors.Is(err, tenantapi.ErrQuotaExceeded)
}

// Take uses one of a limit that is counted by the time. It asks nobody as long as there is
// some of a lease left, and returns tenantapi.ErrQuotaExceeded if the tenant has used all.
func (c *Client) Take(ctx context.Context, tenant id.TenantID, limit string) error {
	if c == nil {
		return nil
	}
	for {
		a := c.account(owner{tenant, limit})
		a.mu.Lock()
		now := c.now()
		a.used = now
		if !a.lease.good(now) && a.next.good(now) {
			a.advance()
		}
		refusing, away := now.Before(a.refusing), now.Before(a.away)
		switch {
		case a.gone:
			a.mu.Unlock()
			continue
		case a.lease.good(now):
			a.lease.left--
			a.lease.spent++
			if a.lease.low(now) && !a.next.good(now) && !refusing && !away {
				c.ask(ctx, a)
			}
			a.mu.Unlock()
			return nil
		case refusing:
			err := a.refusal
			a.mu.Unlock()
			c.refused.WithLabelValues(limit).Inc()
			return err
		case away:
			a.mu.Unlock()
			c.unchecked.WithLabelValues(limit).Inc()
			return nil
		}
		c.ask(ctx, a)
		asking := a.asking
		a.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
			return errs.ErrUnavailable.Because(ctx.Err())
		}
	}
}

// ask has another lease got, unless that is under way. The caller has the account's lock.
func (c *Client) ask(ctx context.Context, a *account) {
	if a.asking == nil {
		a.asking = make(chan struct{})
		go c.renew(context.WithoutCancel(ctx), a)
	}
}

func (c *Client) account(o owner) *account {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[o]
	if a == nil {
		a = &account{owner: o, size: leaseFirst}
		c.accounts[o] = a
	}
	return a
}

// renew gets another lease, and settles those that are over. Its caller has made asking.
func (c *Client) renew(ctx context.Context, a *account) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	a.mu.Lock()
	began := c.now()
	a.asked = began
	a.resize(began)
	if !a.lease.good(began) {
		a.advance()
	}
	settled := slices.Clone(a.over[:min(len(a.over), settleMost)])
	size := a.size
	a.mu.Unlock()

	key := "lease:" + id.New[any]().String()
	res, err := c.from.Reserve(ctx, tenantapi.ReserveRequest{
		TenantRef: tenantapi.TenantRef{TenantID: a.tenant.String()},
		Body: tenantapi.ReserveDraft{
			Key: key, Limit: a.limit, Amount: size, Partial: true, Seconds: int(leaseKept / time.Second), Settle: settled,
		},
	})

	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { close(a.asking); a.asking = nil }()
	switch {
	case err == nil:
		a.over = a.over[len(settled):]
		a.next = lease{key: key, left: res.Amount, began: began}
	case isLimit(err): // which has settled, too
		a.over = a.over[len(settled):]
		a.refusal, a.refusing = err, c.now().Add(refuseFor)
	default:
		a.away = c.now().Add(awayFor)
	}
}

// resize makes the next lease larger if half of this one lasted for less than half a
// moment, and smaller if much of it will be left.
func (a *account) resize(now time.Time) {
	switch l := a.lease; {
	case l.key == "":
	case l.left <= l.spent && now.Sub(l.began) < fast/2:
		a.size = min(2*a.size, leaseMost)
	case l.left > 3*l.spent:
		a.size = max(a.size/2, leaseFirst)
	}
}

// advance ends the lease, which is to be settled, and begins with the next one.
func (a *account) advance() {
	if a.lease.key != "" {
		a.over = append(a.over, tenantapi.Spent{Key: a.lease.key, Used: a.lease.spent})
	}
	a.lease, a.next = a.next, lease{}
}

// Settle says what was used of leases whose time is over, or of all; accounts that nobody
// uses are forgotten. Run does it.
func (c *Client) Settle(ctx context.Context, all bool) {
	c.mu.Lock()
	list := slices.Collect(maps.Values(c.accounts))
	c.mu.Unlock()
	for _, a := range list {
		c.settle(ctx, a, all)
	}
}

func (c *Client) settle(ctx context.Context, a *account, all bool) {
	a.mu.Lock()
	now := c.now()
	if a.asking != nil || !all && now.Before(a.asked.Add(prefetch)) {
		a.mu.Unlock()
		return // settles by itself, or with the next lease
	}
	for range 2 {
		if all || a.lease.over(now) {
			a.advance()
		}
	}
	over := slices.Clone(a.over)
	a.over = nil
	idle := now.Sub(a.used) >= idleFor
	a.mu.Unlock()

	var left []tenantapi.Spent
	for _, s := range over {
		_, err := c.from.Commit(ctx, tenantapi.CommitRequest{ReservationRef: reservation(a.tenant, s.Key), Body: tenantapi.Commit{Used: &s.Used}})
		if err != nil && !isLimit(err) && !errors.Is(err, tenantapi.ErrReservationGone) && !errors.Is(err, tenantapi.ErrTenantNotFound) {
			left = append(left, s)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = append(left, a.over...)
	a.over = a.over[max(0, len(a.over)-settleMost):] // tenant-service has been away for long: what is older is given back by now
	if idle && len(a.over) == 0 && a.lease.key == "" && a.next.key == "" && a.asking == nil {
		a.gone = true
		c.mu.Lock()
		delete(c.accounts, a.owner)
		c.mu.Unlock()
	}
}
