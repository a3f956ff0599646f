package authservice_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func (o *office) serviceAccountIs(kind events.Type[tenantapi.MemberChanged], member, user string, version int64, suspended bool) events.Event {
	return kind.New(o.t.Context(), o.tenant, member, version, tenantapi.MemberChanged{
		MemberID: member, TenantID: o.tenant.String(), UserID: user, Kind: tenantapi.MemberServiceAccount, Role: "member", Name: "Import", Suspended: suspended,
	})
}

func tokenOf(account string) authapi.TokenRequest {
	return authapi.TokenRequest{Name: "t", Scopes: []string{"data.records:read"}, Bases: []string{"*"}, ServiceAccountID: account}
}

func (o *office) accounts(user string) (n int) {
	o.t.Helper()
	if err := postgres.ForEveryTenant(o.pool).QueryRow(o.t.Context(), `SELECT count(*) FROM users WHERE id = $1`, user).Scan(&n); err != nil {
		o.t.Fatal(err)
	}
	return n
}

func TestServiceAccount_HasTokensThatAdminsMakeAndEndsWithItsMembership(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	_, _, admin := o.member("admin")
	_, _, member := o.member("member")
	account, membership := id.New[id.User]().String(), id.New[any]().String()
	refuse(o.fixture, authapi.ErrServiceAccountNotFound, admin.AccessToken, authapi.CreateToken, tokenOf(account))
	o.hear(o.serviceAccountIs(tenantapi.MemberAdded, membership, account, 1, false))
	made := must(o.fixture, admin.AccessToken, authapi.CreateToken, tokenOf(account)).Body
	exchange := authapi.PATExchange{Token: made.Token}
	access := must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, exchange).AccessToken
	if c := o.claims(access); c.Subject != account || c.Tenant != o.tenant.String() || c.Role != "member" || c.PAT != made.ID {
		t.Errorf("claims %+v", c)
	}
	// It is the account's token, and not the admin's.
	if n := len(must(o.fixture, admin.AccessToken, authapi.ListTokens, authapi.TokensQuery{}).Items); n != 0 {
		t.Errorf("the admin has %d tokens", n)
	}
	query := authapi.TokensQuery{PageQuery: api.PageQuery{Limit: 10}, ServiceAccountID: account}
	if list := must(o.fixture, admin.AccessToken, authapi.ListTokens, query).Items; len(list) != 1 || list[0].ID != made.ID {
		t.Errorf("its tokens: %+v", list)
	}
	ref := authapi.TokenRef{ID: made.ID, ServiceAccountID: account}
	must(o.fixture, admin.AccessToken, authapi.GetToken, ref)
	refuse(o.fixture, errs.ErrNotFound, admin.AccessToken, authapi.RevokeToken, authapi.TokenRef{ID: made.ID})
	// Neither members nor other tenants' owners reach it, nor does it reach itself.
	stranger, login := o.user()
	refuse(o.fixture, authapi.ErrAdminsOnly, member.AccessToken, authapi.CreateToken, tokenOf(account))
	refuse(o.fixture, authapi.ErrAdminsOnly, member.AccessToken, authapi.ListTokens, query)
	refuse(o.fixture, authapi.ErrAdminsOnly, member.AccessToken, authapi.GetToken, ref)
	refuse(o.fixture, authapi.ErrAdminsOnly, member.AccessToken, authapi.RevokeToken, ref)
	refuse(o.fixture, authapi.ErrServiceAccountNotFound, login.AccessToken, authapi.CreateToken, tokenOf(account))
	refuse(o.fixture, authapi.ErrServiceAccountNotFound, login.AccessToken, authapi.ListTokens, query)
	refuse(o.fixture, authapi.ErrServiceAccountNotFound, login.AccessToken, authapi.RevokeToken, ref)
	refuse(o.fixture, authapi.ErrServiceAccountNotFound, admin.AccessToken, authapi.CreateToken, tokenOf(stranger.ID))
	refuse(o.fixture, errs.ErrForbidden, access, authapi.CreateToken, tokenOf(account))
	// Suspended, its tokens open nothing until it is let in again.
	o.endsSoon([]events.Event{o.serviceAccountIs(tenantapi.MemberUpdated, membership, account, 2, true)}, access)
	refuse(o.fixture, authapi.ErrBadToken, o.service("api-gateway"), authapi.ExchangePAT, exchange)
	o.hear(o.serviceAccountIs(tenantapi.MemberUpdated, membership, account, 3, false))
	must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, exchange)
	must(o.fixture, admin.AccessToken, authapi.RevokeToken, ref)
	refuse(o.fixture, authapi.ErrBadToken, o.service("api-gateway"), authapi.ExchangePAT, exchange)
	// Removed, it is gone, and a late event does not bring it back.
	last := must(o.fixture, admin.AccessToken, authapi.CreateToken, tokenOf(account)).Body
	access = must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: last.Token}).AccessToken
	o.endsSoon([]events.Event{o.serviceAccountIs(tenantapi.MemberRemoved, membership, account, 5, false)}, access)
	refuse(o.fixture, authapi.ErrBadToken, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: last.Token})
	o.hear(o.serviceAccountIs(tenantapi.MemberUpdated, membership, account, 4, false))
	if o.accounts(account) != 0 {
		t.Error("its user is still there")
	}
}

func TestServiceAccount_CannotSignInNorReset(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	account := id.New[id.User]().String()
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}), o.serviceAccountIs(tenantapi.MemberAdded, id.New[any]().String(), account, 1, false))
	key := "service_account:" + account
	for _, address := range []string{key, strings.ToUpper(key), key + "@localhost", ""} {
		refuseAny(o.fixture, authapi.Login, authapi.LoginRequest{Email: address, Password: password})
		refuseAny(o.fixture, authapi.Login, authapi.LoginRequest{Email: address})
	}
	refuseAny(o.fixture, authapi.ForgotPassword, authapi.MailRequest{Email: key})
	refuseAny(o.fixture, authapi.ResendVerification, authapi.MailRequest{Email: key})
	refuseAny(o.fixture, authapi.Register, authapi.RegisterRequest{Email: key, Password: password, Name: "X"})
	// The database itself keeps it from having a password.
	if _, err := postgres.ForEveryTenant(o.pool).Exec(t.Context(), `UPDATE users SET password_hash = 'x' WHERE id = $1`, account); err == nil {
		t.Error("a service account has a password")
	}
	var sessions int
	if err := postgres.ForEveryTenant(o.pool).QueryRow(t.Context(), `SELECT count(*) FROM sessions WHERE user_id = $1`, account).Scan(&sessions); err != nil || sessions != 0 {
		t.Errorf("%d sessions, %v", sessions, err)
	}
}

// refuseAny checks that nobody is let in.
func refuseAny[In, Out any](f fixture, op api.Op[In, Out], in In) {
	f.t.Helper()
	if _, err := call(f, "", op, in); err == nil {
		f.t.Errorf("%s of %+v succeeded", op.Name, in)
	}
}

func TestServiceAccount_EndsWithItsTenant(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	_, _, owner := o.member("owner")
	account := id.New[id.User]().String()
	o.hear(o.serviceAccountIs(tenantapi.MemberAdded, id.New[any]().String(), account, 1, false))
	made := must(o.fixture, owner.AccessToken, authapi.CreateToken, tokenOf(account)).Body
	access := must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: made.Token}).AccessToken
	gone := tenantapi.TenantDeleted.New(t.Context(), o.tenant, o.tenant.String(), 2, tenantapi.TenantChanged{TenantID: o.tenant.String(), Status: tenantapi.StatusDeleted})
	o.endsSoon([]events.Event{gone}, access)
	if o.accounts(account) != 0 {
		t.Error("its user is still there")
	}
}

func TestSuspendedMember_IsOutWithinASecondAndBackLater(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	user, member, in := o.member("member")
	text, access := o.pat(in.AccessToken)
	is := func(version int64, suspended bool) events.Event {
		return tenantapi.MemberUpdated.New(t.Context(), o.tenant, member, version, tenantapi.MemberChanged{
			MemberID: member, TenantID: o.tenant.String(), UserID: user.ID, Kind: tenantapi.MemberUser, Role: "member", Suspended: suspended,
		})
	}
	o.endsSoon([]events.Event{is(2, true)}, in.AccessToken, access)
	refuse(o.fixture, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	refuse(o.fixture, authapi.ErrBadToken, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
	login := o.login(user.Email)
	to := authapi.SwitchRequest{TenantID: o.tenant.String()}
	refuse(o.fixture, authapi.ErrMemberSuspended, login.AccessToken, authapi.SwitchTenant, to)
	if list := must(o.fixture, login.AccessToken, authapi.ListTenants, struct{}{}).Items; len(list) != 2 || list[1].Status != "suspended" {
		t.Errorf("choices %+v", list)
	}
	o.hear(is(3, false))
	must(o.fixture, login.AccessToken, authapi.SwitchTenant, to)
	must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
}

func TestProvision_OpensAnAccountThatItsAddressClaims(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	service := o.service("tenant-service")
	in := authapi.AccountRequest{Email: "Ada@Example.com", Name: "Ada\nLovelace", Tenant: "Acme"}
	refuse(o.fixture, errs.ErrForbidden, o.service("airtable-gateway"), authapi.ProvisionAccount, in)
	made := must(o.fixture, service, authapi.ProvisionAccount, in)
	if again := must(o.fixture, service, authapi.ProvisionAccount, in); !made.Created || again.Created || again.UserID != made.UserID {
		t.Errorf("made %+v, then %+v", made, again)
	}
	refuse(o.fixture, authapi.ErrBadEmail, service, authapi.ProvisionAccount, authapi.AccountRequest{Email: "nobody", Tenant: "Acme"})
	refuse(o.fixture, authapi.ErrBadCredentials, "", authapi.Login, authapi.LoginRequest{Email: in.Email, Password: password})
	var token string
	for _, m := range must(o.fixture, "", authapi.DevInbox, authapi.InboxQuery{To: in.Email}).Items {
		token = m.Token
	}
	must(o.fixture, "", authapi.ResetPassword, authapi.PasswordReset{Token: token, NewPassword: password})
	if login := o.login("ada@example.com"); o.claims(login.AccessToken).Subject != made.UserID {
		t.Error("it is another account")
	}
	// From now on it is hers.
	refuse(o.fixture, authapi.ErrEmailTaken, service, authapi.ProvisionAccount, in)
	in.Link = true
	if got := must(o.fixture, service, authapi.ProvisionAccount, in); got.UserID != made.UserID || got.Created {
		t.Errorf("linked %+v", got)
	}
}

// Whoever registers somebody else's address must not become a member in his place.
func TestProvision_LinksNoAccountWhoseAddressIsNotVerified(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	squatter, _ := o.user()
	refuse(o.fixture, authapi.ErrLinkRefused, o.service("tenant-service"), authapi.ProvisionAccount,
		authapi.AccountRequest{Email: squatter.Email, Tenant: "Acme", Link: true})
}

func TestProvision_RacedForOpensOneAccount(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	service := o.service("tenant-service")
	var mu sync.Mutex
	var all sync.WaitGroup
	users, created := map[string]bool{}, 0
	for range 6 {
		all.Go(func() {
			got, err := call(o.fixture, service, authapi.ProvisionAccount, authapi.AccountRequest{Email: "ada@example.com", Tenant: "Acme"})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			users[got.UserID] = true
			if got.Created {
				created++
			}
		})
	}
	all.Wait()
	if len(users) != 1 || created != 1 {
		t.Errorf("%d accounts, %d created", len(users), created)
	}
}
