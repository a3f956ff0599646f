package permit

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Authority is all that those ask who keep data: what a caller may do, and what he sees
// of it. There are two: Client and ByRole.
type Authority interface {
	Checker
	// Policy returns the field masks and row rules that hold for the caller in the base,
	// and which of its tables have grants of their own; or errs.ErrUnavailable. It is
	// shared by all who ask and must not be changed.
	Policy(ctx context.Context, who auth.Principal, base string) (permissionapi.Policy, error)
	// Write grants, revokes and places, and makes every answer from now on see it.
	Write(ctx context.Context, in permissionapi.WriteRequest) (permissionapi.WriteAnswer, error)
}

// matter is all that a policy depends on.
type matter struct {
	tenant              id.TenantID
	subject, role, base string
}

type ruling struct {
	policy  permissionapi.Policy
	version int64
	epoch   int64
	until   time.Time
}

func newRulings() *otter.Cache[matter, ruling] {
	return otter.Must(&otter.Options[matter, ruling]{
		MaximumSize: cacheSize / 10, ExpiryCalculator: otter.ExpiryWriting[matter, ruling](Staleness),
	})
}

// Policy implements Authority. It is remembered as answers are.
func (c *Client) Policy(ctx context.Context, who auth.Principal, base string) (permissionapi.Policy, error) {
	if who.UserID.IsZero() || who.TenantID.IsZero() {
		return permissionapi.Policy{}, errs.ErrNotFound
	}
	m := matter{who.TenantID, Subject(who), who.Role, base}
	if r, ok := c.rulings.GetIfPresent(m); ok && r.version >= c.floor(m.tenant) && r.epoch == c.epoch.Load() && c.now().Before(r.until) {
		return r.policy, nil
	}
	key := fmt.Sprintf("policy %d %d %q", c.floor(m.tenant), c.epoch.Load(), []string{m.tenant.String(), m.subject, m.role, m.base})
	flight := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
		defer cancel()
		return c.fetchPolicy(ctx, m)
	})
	select {
	case <-ctx.Done():
		return permissionapi.Policy{}, errs.ErrUnavailable.Because(ctx.Err())
	case r := <-flight:
		if r.Err != nil {
			return permissionapi.Policy{}, r.Err
		}
		return r.Val.(permissionapi.Policy), nil
	}
}

// fetchPolicy asks until the policy is as new as what was heard of meanwhile.
func (c *Client) fetchPolicy(ctx context.Context, m matter) (permissionapi.Policy, error) {
	if c.calls.Policy == nil {
		return permissionapi.Policy{}, errs.ErrUnavailable
	}
	for range askAgain {
		epoch, began := c.epoch.Load(), c.now()
		p, err := c.calls.Policy(ctx, permissionapi.PolicyQuery{
			TenantID: m.tenant.String(), Subject: m.subject, Role: m.role, BaseID: m.base,
		})
		if err != nil {
			return p, unavailable(err)
		}
		v := version(p.Version)
		if v < c.floor(m.tenant) {
			continue
		}
		c.rulings.Set(m, ruling{p, v, epoch, began.Add(Staleness)})
		return p, nil
	}
	return permissionapi.Policy{}, errs.ErrUnavailable.Saying("Permissions change too fast.")
}

// Policy implements Authority: roles of the token have none.
func (ByRole) Policy(context.Context, auth.Principal, string) (permissionapi.Policy, error) {
	return permissionapi.Policy{}, nil
}

// Write implements Authority: there is nobody to write to.
func (ByRole) Write(context.Context, permissionapi.WriteRequest) (permissionapi.WriteAnswer, error) {
	return permissionapi.WriteAnswer{}, nil
}
