package permissionservice_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// BenchmarkPermit asks as other services do: through pkg/permit, which remembers, and by
// one call a question.
func BenchmarkPermit(b *testing.B) {
	f := start(b)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "owner"), f.person(tenant, "guest")
	app := permit.Base(tenant, "app1")
	call(b, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: string(app), Role: "viewer"})
	client := permit.New(f.peer)
	b.Run("remembered", func(b *testing.B) {
		for b.Loop() {
			if err := client.Check(b.Context(), bob.who, permissionapi.Read, app); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by a call", func(b *testing.B) {
		for b.Loop() {
			if !f.may(tenant, bob.subject, permissionapi.Read, string(app)) {
				b.Fatal("denied")
			}
		}
	})
}
