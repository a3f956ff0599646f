package tenantapi_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/eventstest"
)

// The samples are what other services, of another version maybe, read.
func TestEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	const tenant = `{"tenant_id":"t","kind":"organisation","name":"N","slug":"n","status":"active","owner_id":"u",` +
		`"security":{"require_mfa":true,"email_domains":["a.example"],"ip_ranges":["192.0.2.0/24"],"session_minutes":60},` +
		`"changed":["name"],"actor_id":"u"}`
	eventstest.Sample(t, tenantapi.TenantCreated, tenant)
	eventstest.Sample(t, tenantapi.TenantUpdated, tenant)
	eventstest.Sample(t, tenantapi.TenantDeleted, tenant)
	const member = `{"member_id":"m","tenant_id":"t","user_id":"u","kind":"service_account","role":"admin","custom_roles":["r"],"name":"N","suspended":true,"actor_id":"u"}`
	eventstest.Sample(t, tenantapi.MemberAdded, member)
	eventstest.Sample(t, tenantapi.MemberUpdated, member)
	eventstest.Sample(t, tenantapi.MemberRemoved, member)
	const group = `{"group_id":"g","tenant_id":"t","name":"N","added":["u"],"removed":["v"],"actor_id":"u"}`
	eventstest.Sample(t, tenantapi.GroupChangedEvent, group)
	eventstest.Sample(t, tenantapi.GroupDeletedEvent, group)
	const invitation = `{"invitation_id":"i","tenant_id":"t","role":"member","user_id":"u","expires_at":"2026-01-02T03:04:05Z","actor_id":"u"}`
	eventstest.Sample(t, tenantapi.InvitationSent, invitation)
	eventstest.Sample(t, tenantapi.InvitationRevoked, invitation)
	eventstest.Sample(t, tenantapi.InvitationAccepted, invitation)
	eventstest.Sample(t, tenantapi.DomainChanged, `{"domain_id":"d","tenant_id":"t","domain":"a.example","status":"verified","auto_join":true,"role":"member","actor_id":"u"}`)
	eventstest.Sample(t, tenantapi.SCIMTokenChanged, `{"token_id":"s","tenant_id":"t","what":"created","name":"N","actor_id":"u"}`)
	eventstest.Sample(t, tenantapi.PlanChanged, `{"tenant_id":"t","plan":"team","limits":{"members":-1}}`)
}
