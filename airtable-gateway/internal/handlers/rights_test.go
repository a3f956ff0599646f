package handlers_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// rights stands for permission-service: owners may everything, others what is set.
type rights struct {
	mu       sync.Mutex
	strength map[string]string // "subject object": the strongest action; "-": denied
	policies map[string]permissionapi.Policy
	written  []permissionapi.WriteRequest
	away     bool
}

var _ permit.Authority = (*rights)(nil)

func newRights() *rights {
	return &rights{strength: map[string]string{}, policies: map[string]permissionapi.Policy{}}
}

// set gives p the action, and those before it, on the object.
func (r *rights) set(p person, action string, o permit.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.strength["user:"+p.user.String()+" "+string(o)] = action
}

// restrict gives p a policy in the base.
func (r *rights) restrict(p person, base string, tables ...permissionapi.TablePolicy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.policies["user:"+p.user.String()+" "+base] = permissionapi.Policy{Tables: tables}
}

func (r *rights) breakDown(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

func (r *rights) may(who auth.Principal, action string, o permit.Object) bool {
	if who.Role == "owner" || who.Role == "member" && o.Kind() == "tenant" {
		return true
	}
	subject := permit.Subject(who)
	has, own := r.strength[subject+" "+string(o)]
	if o.Kind() == "table" && !own {
		base := strings.Replace(string(o), "table:", "base:", 1)
		has = r.strength[subject+" "+base[:strings.LastIndex(base, "/")]]
	}
	return slices.Index(permissionapi.Actions, has) >= slices.Index(permissionapi.Actions, action)
}

func (r *rights) Check(_ context.Context, who auth.Principal, action string, o permit.Object) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.away:
		return errs.ErrUnavailable
	case r.may(who, action, o):
		return nil
	case r.may(who, permissionapi.Read, o):
		return errs.ErrForbidden
	}
	return errs.ErrNotFound
}

func (r *rights) Filter(_ context.Context, who auth.Principal, action string, objects []permit.Object) ([]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]bool, len(objects))
	for i, o := range objects {
		out[i] = r.may(who, action, o)
	}
	if r.away {
		return nil, errs.ErrUnavailable
	}
	return out, nil
}

func (r *rights) Policy(_ context.Context, who auth.Principal, base string) (permissionapi.Policy, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return permissionapi.Policy{}, errs.ErrUnavailable
	}
	p := r.policies[permit.Subject(who)+" "+base]
	prefix := " table:" + who.TenantID.String() + "/" + base + "/"
	for key := range r.strength {
		if _, table, ok := strings.Cut(key, prefix); ok && !slices.Contains(p.Granted, table) {
			p.Granted = append(p.Granted, table)
		}
	}
	return p, nil
}

func (r *rights) Write(_ context.Context, in permissionapi.WriteRequest) (permissionapi.WriteAnswer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return permissionapi.WriteAnswer{}, errs.ErrUnavailable
	}
	r.written = append(r.written, in)
	for _, g := range in.Grants {
		r.strength[g.Subject+" "+g.Object] = permissionapi.Manage
	}
	return permissionapi.WriteAnswer{}, nil
}

// guest is somebody in p's tenant who has nothing but what he is given.
func (p person) guest(t *testing.T) person {
	t.Helper()
	return p.f.person(t, func(c *auth.Claims) { c.Tenant, c.Role = p.tenant.String(), "guest" })
}

func base(tenant id.TenantID, app string) permit.Object { return permit.Base(tenant, app) }
