package apptest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/httpx"
)

// Permissions stands for permission-service over the wire, as far as the administration of
// tenants goes: nobody may anything of it but what the test says.
type Permissions struct {
	URL string

	mu      sync.Mutex
	actions map[string][]string // by subject
	things  []string
	asked   int
}

type stand struct {
	config.Base `mapstructure:",squash"`
}

// StartPermissions runs the stand-in until the test ends, among services whose tokens the
// issuer makes.
func StartPermissions(t testing.TB, issuer string) *Permissions {
	t.Helper()
	p := &Permissions{actions: map[string][]string{}}
	p.URL = Start(t, app.Define(permissionapi.Service.Name, func(_ context.Context, a *app.App, _ stand) error {
		httpx.Handle(a.API, permissionapi.Check, p.check)
		httpx.Handle(a.API, permissionapi.HandOn, p.handOn)
		return nil
	}), map[string]string{"AUTH_SERVICE_URL": issuer}).URL
	return p
}

// Vars point a service to the stand-in.
func (p *Permissions) Vars() map[string]string {
	return map[string]string{"PERMISSIONS": config.PermissionsByService, "PERMISSION_SERVICE_URL": p.URL}
}

// Allow lets the user do these of permissionapi.Administration in every tenant, and
// nothing else. Answers that were given before are remembered by those who asked.
func (p *Permissions) Allow(user string, actions ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.actions["user:"+user] = actions
}

// HandsOn lets everybody hand on these custom roles and groups, and no others.
func (p *Permissions) HandsOn(things ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.things = things
}

// Asked is how often anybody's permissions were asked for.
func (p *Permissions) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *Permissions) check(_ context.Context, _ auth.Principal, in permissionapi.CheckRequest) (permissionapi.CheckAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	out := permissionapi.CheckAnswer{Token: "1"}
	for _, q := range in.Questions {
		out.Allowed = append(out.Allowed, q.Object == "tenant:"+in.TenantID && slices.Contains(p.actions[q.Subject], q.Action))
	}
	return out, nil
}

func (p *Permissions) handOn(_ context.Context, _ auth.Principal, in permissionapi.HandOnRequest) (permissionapi.HandOnAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	beyond := slices.DeleteFunc(slices.Concat(in.Roles, in.Groups), func(t string) bool { return slices.Contains(p.things, t) })
	return permissionapi.HandOnAnswer{Allowed: len(beyond) == 0}, nil
}
