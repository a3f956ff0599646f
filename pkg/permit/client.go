package permit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

const (
	// Staleness bounds how long an answer outlives what it follows from, even if no
	// announcement is heard. Heard ones end it at once.
	Staleness = 5 * time.Second
	// askLimit ends a call that others wait for, too.
	askLimit   = 3 * time.Second
	cacheSize  = 100_000
	perRequest = 100 // questions
	askAgain   = 3
)

// Ask asks permission-service.
type Ask func(ctx context.Context, in permissionapi.CheckRequest) (permissionapi.CheckAnswer, error)

// Calls are the ways to permission-service. What is nil is away.
type Calls struct {
	Check  Ask
	Policy func(ctx context.Context, in permissionapi.PolicyQuery) (permissionapi.Policy, error)
	Write  func(ctx context.Context, in permissionapi.WriteRequest) (permissionapi.WriteAnswer, error)
}

// Client asks permission-service and remembers its answers, yes and no alike, for up to
// Staleness, and not beyond the end of a grant. An answer is used only as long as
// no later change of its tenant has been heard of (Run, Saw). It fails closed.
type Client struct {
	calls   Calls
	now     func() time.Time
	answers *otter.Cache[question, decision]
	rulings *otter.Cache[matter, ruling]
	floors  *otter.Cache[id.TenantID, int64] // no answer of a version below is used
	epoch   atomic.Int64                     // rises when changes may have been missed
	flights singleflight.Group
}

var _ Authority = (*Client)(nil)

// question is all that an answer depends on. The whole of it is compared.
type question struct {
	tenant                    id.TenantID
	subject, role, action, ip string
	object                    Object
}

type decision struct {
	allowed bool
	version int64
	epoch   int64
	until   time.Time
}

// New returns a client of permission-service by c.
func New(c *rpc.Client) *Client {
	return NewOver(Calls{
		Check: func(ctx context.Context, in permissionapi.CheckRequest) (permissionapi.CheckAnswer, error) {
			return rpc.Call(ctx, c, permissionapi.Check, in)
		},
		Policy: func(ctx context.Context, in permissionapi.PolicyQuery) (permissionapi.Policy, error) {
			return rpc.Call(ctx, c, permissionapi.FetchPolicy, in)
		},
		Write: func(ctx context.Context, in permissionapi.WriteRequest) (permissionapi.WriteAnswer, error) {
			return rpc.Call(ctx, c, permissionapi.Write, in)
		},
	}, time.Now)
}

// NewFrom is New for another way to ask and another clock.
func NewFrom(ask Ask, now func() time.Time) *Client { return NewOver(Calls{Check: ask}, now) }

// NewOver is New for other ways to permission-service and another clock.
func NewOver(calls Calls, now func() time.Time) *Client {
	return &Client{
		calls: calls, now: now, rulings: newRulings(),
		answers: otter.Must(&otter.Options[question, decision]{
			MaximumSize: cacheSize, ExpiryCalculator: otter.ExpiryWriting[question, decision](Staleness),
		}),
		// A floor must live as long as the answers that it forbids, and as the calls under way.
		floors: otter.Must(&otter.Options[id.TenantID, int64]{
			ExpiryCalculator: otter.ExpiryWriting[id.TenantID, int64](4 * Staleness),
		}),
	}
}

// Run hears what permission-service announces until ctx ends, which is the client's end.
func (c *Client) Run(ctx context.Context, rdb redis.UniversalClient) error {
	defer c.answers.StopAllGoroutines()
	defer c.rulings.StopAllGoroutines()
	defer c.floors.StopAllGoroutines()
	events.Tail(ctx, rdb, permissionapi.PermissionsChanged.Stream, func() { c.epoch.Add(1) }, func(e events.Event) {
		if e.Type == permissionapi.PermissionsChanged.Name {
			c.raise(e.TenantID, e.Version)
		}
	})
	return nil
}

// Saw makes every answer from now on see the write that returned the token.
func (c *Client) Saw(tenant id.TenantID, token string) {
	if v := version(token); v > 0 {
		c.raise(tenant, v)
	}
}

// Write grants, revokes and places, and makes every answer from now on see it.
func (c *Client) Write(ctx context.Context, in permissionapi.WriteRequest) (permissionapi.WriteAnswer, error) {
	if c.calls.Write == nil {
		return permissionapi.WriteAnswer{}, errs.ErrUnavailable
	}
	out, err := c.calls.Write(ctx, in)
	if err != nil {
		return out, err
	}
	if tenant, err := id.Parse[id.Tenant](in.TenantID); err == nil {
		c.Saw(tenant, out.Token)
	}
	return out, nil
}

func (c *Client) raise(tenant id.TenantID, v int64) {
	c.floors.Compute(tenant, func(old int64, found bool) (int64, otter.ComputeOp) {
		if found && old > v {
			return old, otter.WriteOp // lives on
		}
		return v, otter.WriteOp
	})
}

func (c *Client) floor(tenant id.TenantID) int64 {
	v, _ := c.floors.GetIfPresent(tenant)
	return v
}

// version reads a consistency token.
func version(token string) int64 {
	v, err := strconv.ParseInt(token, 36, 64)
	if err != nil {
		return 0
	}
	return v
}

// Check implements Checker.
func (c *Client) Check(ctx context.Context, who auth.Principal, action string, object Object) error {
	if who.UserID.IsZero() || who.TenantID.IsZero() || !object.of(who) {
		return errs.ErrNotFound
	}
	list := []question{ask(ctx, who, action, object)}
	if action != permissionapi.Read {
		list = append(list, ask(ctx, who, permissionapi.Read, object))
	}
	allowed, err := c.decide(ctx, who.TenantID, list)
	switch {
	case err != nil:
		return err
	case allowed[0]:
		return nil
	case allowed[len(allowed)-1]:
		return errs.ErrForbidden
	}
	return errs.ErrNotFound
}

// Filter implements Checker.
func (c *Client) Filter(ctx context.Context, who auth.Principal, action string, objects []Object) ([]bool, error) {
	out := make([]bool, len(objects))
	if who.UserID.IsZero() || who.TenantID.IsZero() {
		return out, nil
	}
	var list []question
	var places []int
	for i, o := range objects {
		if o.of(who) {
			list, places = append(list, ask(ctx, who, action, o)), append(places, i)
		}
	}
	for at := 0; at < len(list); at += perRequest {
		end := min(at+perRequest, len(list))
		allowed, err := c.decide(ctx, who.TenantID, list[at:end])
		if err != nil {
			return nil, err
		}
		for i, yes := range allowed {
			out[places[at+i]] = yes
		}
	}
	return out, nil
}

func ask(ctx context.Context, who auth.Principal, action string, object Object) question {
	return question{who.TenantID, Subject(who), who.Role, action, origin.From(ctx).IP, object}
}

// known is the answer that is remembered, if it may still be used.
func (c *Client) known(q question) (bool, bool) {
	d, ok := c.answers.GetIfPresent(q)
	if !ok || d.version < c.floor(q.tenant) || d.epoch != c.epoch.Load() || !c.now().Before(d.until) {
		return false, false
	}
	return d.allowed, true
}

// decide answers questions about one tenant, asking for those that are not known.
func (c *Client) decide(ctx context.Context, tenant id.TenantID, list []question) ([]bool, error) {
	allowed := make([]bool, len(list))
	var missing []question
	var places []int
	for i, q := range list {
		yes, ok := c.known(q)
		if !ok {
			missing, places = append(missing, q), append(places, i)
		}
		allowed[i] = yes
	}
	if len(missing) == 0 {
		return allowed, nil
	}
	got, err := c.fetchOnce(ctx, tenant, missing)
	if err != nil {
		return nil, err
	}
	for i, at := range places {
		allowed[at] = got[i]
	}
	return allowed, nil
}

// fetchOnce shares one call among all who ask the same at a time, of the same state: who
// comes after a change has been heard of does not join a call that began before.
func (c *Client) fetchOnce(ctx context.Context, tenant id.TenantID, list []question) ([]bool, error) {
	var key strings.Builder
	fmt.Fprintf(&key, "%d %d", c.floor(tenant), c.epoch.Load())
	for _, q := range list {
		fmt.Fprintf(&key, "|%q", []string{q.tenant.String(), q.subject, q.role, q.action, q.ip, string(q.object)})
	}
	flight := c.flights.DoChan(key.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
		defer cancel()
		return c.fetch(ctx, tenant, list)
	})
	select {
	case <-ctx.Done():
		return nil, errs.ErrUnavailable.Because(ctx.Err())
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		return slices.Clone(r.Val.([]bool)), nil
	}
}

// fetch asks until the answer is as new as what was heard of meanwhile.
func (c *Client) fetch(ctx context.Context, tenant id.TenantID, list []question) ([]bool, error) {
	in := permissionapi.CheckRequest{TenantID: tenant.String(), IP: list[0].ip}
	for _, q := range list {
		in.Questions = append(in.Questions, permissionapi.Question{Subject: q.subject, Action: q.action, Object: string(q.object), Role: q.role, Parents: parents(q)})
	}
	for range askAgain {
		epoch, floor, began := c.epoch.Load(), c.floor(tenant), c.now()
		if floor > 0 {
			in.AtLeast = strconv.FormatInt(floor, 36)
		}
		a, err := c.calls.Check(ctx, in)
		if err != nil {
			return nil, unavailable(err)
		}
		v := version(a.Token)
		if len(a.Allowed) != len(list) || v < floor {
			return nil, errs.ErrUnavailable.Because(fmt.Errorf("permission-service answered %d of %d questions at %q", len(a.Allowed), len(list), a.Token))
		}
		if v < c.floor(tenant) {
			continue
		}
		until := began.Add(Staleness) // from when it was asked, not from when the answer came
		if !a.Until.IsZero() && a.Until.Before(until) {
			until = a.Until
		}
		for i, q := range list {
			c.answers.Set(q, decision{a.Allowed[i], v, epoch, until})
		}
		return a.Allowed, nil
	}
	return nil, errs.ErrUnavailable.Saying("Permissions change too fast.")
}

// unavailable is what every failure to get an answer is.
func unavailable(err error) error {
	if errors.Is(err, errs.ErrUnavailable) {
		return err
	}
	return errs.ErrUnavailable.Because(err)
}

// parents place a base, and the base of a table, that permission-service may not know.
func parents(q question) []string {
	switch q.object.Kind() {
	case "base", "table":
		return []string{string(Tenant(q.tenant))}
	}
	return nil
}
