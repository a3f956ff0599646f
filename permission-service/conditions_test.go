package permissionservice_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// An answer that is remembered for one address is none for another, whichever is asked for
// first; a denial for a network holds for an address that is not known, a grant does not.
func TestConditions_AnAnswerIsForItsAddressAlone(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "owner"), f.person(tenant, "guest")
	app, other := base(tenant, "app1"), base(tenant, "app2")
	give := func(g permissionapi.Grant) permissionapi.CreatedGrant {
		t.Helper()
		g.Subject = bob.subject
		return call(t, ada.Client, permissionapi.CreateGrant, g)
	}
	give(permissionapi.Grant{Object: app, Role: "editor", IPRanges: []string{"192.0.2.0/24", "2001:db8::/32"}})
	give(permissionapi.Grant{Object: other, Role: "editor"})
	last := give(permissionapi.Grant{Object: other, Role: "editor", Deny: true, IPRanges: []string{"198.51.100.0/24"}})
	client := f.remembering()
	client.Saw(tenant, last.Token)
	from := func(ip string) context.Context { return origin.Into(t.Context(), origin.Origin{IP: ip}) }
	for range 2 { // asked for, and remembered
		for _, c := range []struct {
			object, ip string
			want       error
		}{
			{app, "192.0.2.7", nil}, {app, "192.0.3.7", errs.ErrNotFound}, {app, "", errs.ErrNotFound}, {app, "nonsense", errs.ErrNotFound},
			{app, "2001:db8::7", nil}, {app, "::ffff:192.0.2.7", nil}, {app, "192.0.2.8", nil},
			{other, "198.51.100.9", errs.ErrNotFound}, {other, "192.0.2.7", nil}, {other, "", errs.ErrNotFound},
		} {
			if err := client.Check(from(c.ip), bob.who, permissionapi.Edit, permit.Object(c.object)); !errors.Is(err, c.want) {
				t.Errorf("%s from %q: %v, want %v", c.object, c.ip, err, c.want)
			}
		}
	}
	list, err := client.Filter(from("192.0.3.7"), bob.who, permissionapi.Read, []permit.Object{permit.Object(app), permit.Object(other)})
	if err != nil || list[0] || !list[1] {
		t.Errorf("listed from elsewhere: %v, %v", list, err)
	}
	// The condition changes: what is remembered of every address ends.
	give(permissionapi.Grant{Object: app, Role: "editor", IPRanges: []string{"192.0.3.0/24"}})
	await.True(t, "the new network is heard of", func() bool {
		return errors.Is(client.Check(from("192.0.2.7"), bob.who, permissionapi.Edit, permit.Object(app)), errs.ErrNotFound) &&
			client.Check(from("192.0.3.7"), bob.who, permissionapi.Edit, permit.Object(app)) == nil
	})
}

// A denial wins wherever in the tree it stands, and wherever the grant does.
func TestDenial_WinsAtEveryLevel(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "owner"), f.person(tenant, "guest")
	ws := "workspace:" + id.New[int]().String()
	levels := []string{"tenant:" + tenant.String(), ws, base(tenant, "app1"), string(permit.Table(tenant, "app1", "tbl1"))}
	call(t, f.peer, permissionapi.Write, permissionapi.WriteRequest{TenantID: tenant.String(), Places: []permissionapi.Place{
		{Object: ws, Parent: levels[0], Version: 1}, {Object: levels[2], Parent: ws, Version: 1},
	}})
	table := levels[3]
	for _, granted := range levels {
		allow := permissionapi.Grant{Subject: bob.subject, Object: granted, Role: "owner"}
		write := func(w permissionapi.WriteRequest) {
			t.Helper()
			w.TenantID = tenant.String()
			call(t, f.peer, permissionapi.Write, w)
		}
		write(permissionapi.WriteRequest{Grants: []permissionapi.Grant{allow}})
		for _, denied := range levels {
			deny := permissionapi.Grant{Subject: bob.subject, Object: denied, Role: "editor", Deny: true}
			if !f.may(tenant, bob.subject, "manage", table) {
				t.Errorf("granted on %s: he may not", granted)
			}
			write(permissionapi.WriteRequest{Grants: []permissionapi.Grant{deny}})
			if f.may(tenant, bob.subject, "read", table) || f.may(tenant, bob.subject, "manage", table) {
				t.Errorf("granted on %s, denied on %s: he may", granted, denied)
			}
			e := call(t, ada.Client, permissionapi.Explain, permissionapi.ExplainQuery{Subject: bob.subject, Action: "manage", Object: table})
			for _, s := range e.Steps {
				if s.Decides != (s.Kind == "denial") {
					t.Errorf("granted on %s, denied on %s: explained by %+v", granted, denied, s)
				}
			}
			write(permissionapi.WriteRequest{Revokes: []permissionapi.Grant{deny}})
		}
		write(permissionapi.WriteRequest{Revokes: []permissionapi.Grant{allow}})
	}
}
