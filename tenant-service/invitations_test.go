package tenantservice_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func invite(by person, email, role string) tenantapi.NewInvitation {
	return tenantapi.NewInvitation{TenantRef: by.ref(), Body: tenantapi.Invitee{Email: email, Role: role}}
}

// registered is a new user with the address.
func (w *world) registered(email string) person {
	w.t.Helper()
	p := w.stranger()
	w.hear(authapi.UserRegistered.New(w.t.Context(), p.tenant, p.user.String(), 1, authapi.UserRegisteredData{
		UserID: p.user.String(), TenantID: p.tenant.String(), Email: email, Name: "Bob",
	}))
	return p
}

// token is that of the newest mail to the address.
func (w *world) token(to string) (token string) {
	w.t.Helper()
	await.True(w.t, "a mail to "+to, func() bool {
		for _, m := range must(w, person{Client: w.stranger().Client}, tenantapi.InvitationInbox, tenantapi.InboxQuery{}).Items {
			if m.To == to {
				token = m.Token
				return true
			}
		}
		return false
	})
	return token
}

func inbox() map[string]string { return map[string]string{"DEV_INBOX": "true"} }

func TestInvitation_MakesItsAddresseeAMemberOnce(t *testing.T) {
	t.Parallel()
	w := start(t, inbox())
	owner := w.organisation("Acme")
	refuse(w, tenantapi.ErrAdminsOnly, w.join(owner, "member"), tenantapi.CreateInvitation, invite(owner, "bob@example.com", "member"))
	made := must(w, owner, tenantapi.CreateInvitation, invite(owner, "Bob@Example.com", "guest"))
	refuse(w, tenantapi.ErrAlreadyInvited, owner, tenantapi.CreateInvitation, invite(owner, "bob@example.com", "member"))
	if _, err := call(w, owner, tenantapi.CreateInvitation, invite(owner, "c@example.com", "owner")); err == nil {
		t.Error("an owner was invited")
	}
	accept := tenantapi.Acceptance{Token: w.token("bob@example.com")}
	refuse(w, tenantapi.ErrAccountUnknown, w.stranger(), tenantapi.AcceptInvitation, accept)
	refuse(w, tenantapi.ErrOtherAddress, w.registered("eve@example.com"), tenantapi.AcceptInvitation, accept)
	bob := w.registered("bob@example.com")
	got := must(w, bob, tenantapi.AcceptInvitation, accept)
	if got.TenantID != owner.tenant.String() || got.Member.Role != "guest" || got.Member.UserID != bob.user.String() {
		t.Errorf("accepted %+v", got)
	}
	if w.emitted("com.pyairtable.member.added.v1", got.Member.ID) != 1 || w.emitted("com.pyairtable.invitation.accepted.v1", made.Body.ID) != 1 {
		t.Error("it was not announced")
	}
	refuse(w, tenantapi.ErrBadInvitation, bob, tenantapi.AcceptInvitation, accept)
	refuse(w, tenantapi.ErrAlreadyMember, owner, tenantapi.CreateInvitation, invite(owner, "bob@example.com", "member"))
	if page := must(w, owner, tenantapi.ListInvitations, tenantapi.InvitationsQuery{TenantRef: owner.ref()}); len(page.Items) != 0 {
		t.Errorf("open invitations %+v", page.Items)
	}
}

func TestInvitation_RacedForMakesOneMember(t *testing.T) {
	t.Parallel()
	w := start(t, inbox())
	owner := w.organisation("Acme")
	must(w, owner, tenantapi.CreateInvitation, invite(owner, "bob@example.com", "member"))
	bob, accept := w.registered("bob@example.com"), tenantapi.Acceptance{Token: w.token("bob@example.com")}
	var won, lost atomic.Int64
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			switch _, err := call(w, bob, tenantapi.AcceptInvitation, accept); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, tenantapi.ErrBadInvitation):
				lost.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 5 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

func TestInvitation_ResentRevokedExpired(t *testing.T) {
	t.Parallel()
	w := start(t, inbox())
	owner := w.organisation("Acme")
	made := must(w, owner, tenantapi.CreateInvitation, invite(owner, "bob@example.com", "member"))
	ref := tenantapi.InvitationRef{TenantRef: owner.ref(), InvitationID: made.Body.ID}
	first, bob := w.token("bob@example.com"), w.registered("bob@example.com")
	must(w, owner, tenantapi.ResendInvitation, ref)
	await.True(t, "another mail", func() bool { return w.token("bob@example.com") != first })
	refuse(w, tenantapi.ErrBadInvitation, bob, tenantapi.AcceptInvitation, tenantapi.Acceptance{Token: first})
	second := tenantapi.Acceptance{Token: w.token("bob@example.com")}
	_, err := postgres.ForTenant(w.pool, owner.tenant).Exec(t.Context(), `UPDATE invitations SET expires_at = now()`)
	w.ok(err)
	refuse(w, tenantapi.ErrBadInvitation, bob, tenantapi.AcceptInvitation, second)
	anew := must(w, owner, tenantapi.CreateInvitation, invite(owner, "bob@example.com", "member"))
	ref.InvitationID = anew.Body.ID
	third := w.token("bob@example.com")
	must(w, owner, tenantapi.RevokeInvitation, ref)
	refuse(w, tenantapi.ErrBadInvitation, bob, tenantapi.AcceptInvitation, tenantapi.Acceptance{Token: third})
	refuse(w, tenantapi.ErrInvitationNotFound, owner, tenantapi.RevokeInvitation, ref)
	refuse(w, tenantapi.ErrInvitationNotFound, owner, tenantapi.ResendInvitation, ref)
}

func TestInvitation_KeepsToTheTenantsDomains(t *testing.T) {
	t.Parallel()
	w := start(t, inbox())
	owner := w.organisation("Acme")
	must(w, owner, tenantapi.CreateInvitation, invite(owner, "bob@example.com", "member"))
	must(w, owner, tenantapi.UpdateTenant, tenantapi.TenantUpdate{
		TenantRef: owner.ref(), Body: tenantapi.TenantPatch{Security: &tenantapi.SecurityPatch{EmailDomains: &[]string{"acme.example"}}},
	})
	refuse(w, tenantapi.ErrEmailDomain, w.registered("bob@example.com"), tenantapi.AcceptInvitation, tenantapi.Acceptance{Token: w.token("bob@example.com")})
	refuse(w, tenantapi.ErrEmailDomain, owner, tenantapi.CreateInvitation, invite(owner, "eve@example.com", "member"))
	must(w, owner, tenantapi.CreateInvitation, invite(owner, "ada@acme.example", "member"))
}

func TestInbox_IsForDevelopment(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	must(w, owner, tenantapi.CreateInvitation, invite(owner, "bob@example.com", "member"))
	refuse(w, errs.ErrNotFound, owner, tenantapi.InvitationInbox, tenantapi.InboxQuery{})
	await.True(t, "what was sent is forgotten", func() bool { return w.count(`SELECT count(*) FROM mails`) == 0 })
}
