package authservice_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pquerna/otp/totp"

	authservice "github.com/pyairtable/pyairtable/auth-service"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

// office is a running service that hears what a test says for tenant-service.
type office struct {
	fixture
	pool    *pgxpool.Pool
	revoked *auth.Revocations // as a gateway hears them
	tenant  id.TenantID
}

func startOffice(t *testing.T) *office {
	t.Helper()
	env := map[string]string{
		"DATABASE_URL": pgtest.URL(t, "auth-service", repository.Migrations), "REDIS_URL": redistest.URL(t),
		"SERVICE_SECRET": secret, "BCRYPT_COST": "4", "DEV_INBOX": "true",
	}
	pool, err := postgres.Open(t.Context(), env["DATABASE_URL"], postgres.Options{AppName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	rdb, err := redis.Open(t.Context(), env["REDIS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	o := &office{fixture{apptest.Start(t, authservice.Service, env), t}, pool, auth.NewRevocations(), id.New[id.Tenant]()}
	ended := make(chan error, 1)
	go func() { ended <- o.revoked.Run(t.Context(), rdb) }()
	t.Cleanup(func() { <-ended; _ = rdb.Close() })
	await.True(t, "revocations are heard", o.revoked.Live)
	return o
}

// hear has the service consume the events.
func (o *office) hear(evs ...events.Event) {
	o.t.Helper()
	for _, e := range evs {
		if err := postgres.InTx(o.t.Context(), o.pool, func(tx pgx.Tx) error { return events.Emit(o.t.Context(), tx, e) }); err != nil {
			o.t.Fatal(err)
		}
		await.True(o.t, e.Type+" is applied", func() bool {
			var n int
			err := o.pool.QueryRow(o.t.Context(), `SELECT count(*) FROM inbox WHERE event_id = $1`, e.ID).Scan(&n)
			return err == nil && n == 1
		})
	}
}

func (o *office) tenantIs(version int64, status string, s tenantapi.Security) events.Event {
	return tenantapi.TenantUpdated.New(o.t.Context(), o.tenant, o.tenant.String(), version, tenantapi.TenantChanged{
		TenantID: o.tenant.String(), Kind: tenantapi.KindOrganisation, Name: "Acme", Slug: "acme", Status: status, Security: s,
	})
}

func (o *office) memberIs(kind events.Type[tenantapi.MemberChanged], member, user string, version int64, role string) events.Event {
	return kind.New(o.t.Context(), o.tenant, member, version, tenantapi.MemberChanged{
		MemberID: member, TenantID: o.tenant.String(), UserID: user, Kind: tenantapi.MemberUser, Role: role,
	})
}

// member is a new user who is in the tenant, signed in there.
func (o *office) member(role string) (user authapi.User, member string, in authapi.Tokens) {
	o.t.Helper()
	user, login := o.user()
	member = id.New[any]().String()
	o.hear(o.memberIs(tenantapi.MemberAdded, member, user.ID, 1, role))
	return user, member, must(o.fixture, login.AccessToken, authapi.SwitchTenant, authapi.SwitchRequest{TenantID: o.tenant.String()})
}

func (o *office) pat(access string) (text, jwt string) {
	o.t.Helper()
	made := must(o.fixture, access, authapi.CreateToken, authapi.TokenRequest{Name: "t", Scopes: []string{"data.records:read"}, Bases: []string{"*"}})
	return made.Body.Token, must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: made.Body.Token}).AccessToken
}

// principal is what a gateway makes of a token.
func (o *office) principal(token string) auth.Principal {
	o.t.Helper()
	c := o.claims(token)
	p := auth.Principal{PAT: c.PAT, ExpiresAt: c.ExpiresAt.Time}
	for text, into := range map[string]interface{ UnmarshalText([]byte) error }{c.Subject: &p.UserID, c.Session: &p.SessionID} {
		if err := into.UnmarshalText([]byte(text)); err != nil {
			o.t.Fatal(err)
		}
	}
	return p
}

// endsSoon checks that a gateway refuses the tokens within a second of the events.
func (o *office) endsSoon(evs []events.Event, tokens ...string) {
	o.t.Helper()
	var who []auth.Principal
	for _, token := range tokens {
		who = append(who, o.principal(token))
	}
	begin := time.Now()
	o.hear(evs...)
	for _, p := range who {
		await.True(o.t, "a token is revoked", func() bool { return o.revoked.Revoked(p) })
	}
	// The bound is a second; a test machine that builds meanwhile gets some more.
	if took := time.Since(begin); took > 5*time.Second {
		o.t.Errorf("it took %s", took)
	} else {
		o.t.Logf("it took %s", took)
	}
}

func TestSwitch_GivesATokenForTheTenantAndRefreshKeepsIt(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	user, login := o.user()
	to := authapi.SwitchRequest{TenantID: o.tenant.String()}
	refuse(o.fixture, authapi.ErrNotMember, login.AccessToken, authapi.SwitchTenant, to)
	o.hear(o.memberIs(tenantapi.MemberAdded, id.New[any]().String(), user.ID, 1, "admin"))
	choices := must(o.fixture, login.AccessToken, authapi.ListTenants, struct{}{}).Items
	if len(choices) != 2 || !choices[0].Current || choices[0].TenantID != user.TenantID || choices[1].Name != "Acme" || choices[1].Role != "admin" {
		t.Errorf("choices %+v", choices)
	}
	in := must(o.fixture, login.AccessToken, authapi.SwitchTenant, to)
	if c := o.claims(in.AccessToken); c.Tenant != o.tenant.String() || c.Role != "admin" || c.Subject != user.ID || c.Session == login.SessionID {
		t.Errorf("claims %+v", c)
	}
	// The session it came from is over.
	refuse(o.fixture, errs.ErrUnauthenticated, login.AccessToken, authapi.ListTenants, struct{}{})
	refuse(o.fixture, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: login.RefreshToken})
	next := must(o.fixture, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	if c := o.claims(next.AccessToken); c.Tenant != o.tenant.String() || c.Role != "admin" {
		t.Errorf("after the refresh: %+v", c)
	}
	// Tokens are the tenant's in which they were made.
	text, access := o.pat(next.AccessToken)
	if c := o.claims(access); c.Tenant != o.tenant.String() || c.Role != "admin" {
		t.Errorf("the token's claims: %+v", c)
	}
	if n := len(must(o.fixture, next.AccessToken, authapi.ListTokens, authapi.TokensQuery{}).Items); n != 1 {
		t.Errorf("%d tokens in the tenant", n)
	}
	home := must(o.fixture, next.AccessToken, authapi.SwitchTenant, authapi.SwitchRequest{TenantID: user.TenantID})
	if c := o.claims(home.AccessToken); c.Tenant != user.TenantID || c.Role != "owner" {
		t.Errorf("at home: %+v", c)
	}
	if n := len(must(o.fixture, home.AccessToken, authapi.ListTokens, authapi.TokensQuery{}).Items); n != 0 {
		t.Errorf("%d tokens at home", n)
	}
	must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
	// What is about the account works wherever the session is.
	back := must(o.fixture, home.AccessToken, authapi.SwitchTenant, to)
	if n := len(must(o.fixture, back.AccessToken, authapi.ListSessions, api.PageQuery{}).Items); n != 1 {
		t.Errorf("%d sessions", n)
	}
	must(o.fixture, back.AccessToken, authapi.Logout, struct{}{})
	refuse(o.fixture, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: back.RefreshToken})
}

func TestRemovedMember_IsOutWithinASecond(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	user, member, in := o.member("member")
	text, access := o.pat(in.AccessToken)
	elsewhere := o.login(user.Email)
	o.endsSoon([]events.Event{o.memberIs(tenantapi.MemberRemoved, member, user.ID, 2, "member")}, in.AccessToken, access)
	refuse(o.fixture, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	refuse(o.fixture, authapi.ErrBadToken, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
	// His other tenants stay his; this one is closed, also to an event that comes late.
	o.hear(o.memberIs(tenantapi.MemberUpdated, member, user.ID, 1, "owner"))
	refuse(o.fixture, authapi.ErrNotMember, elsewhere.AccessToken, authapi.SwitchTenant, authapi.SwitchRequest{TenantID: o.tenant.String()})
	// Who comes back is a member anew.
	o.hear(o.memberIs(tenantapi.MemberAdded, id.New[any]().String(), user.ID, 1, "guest"))
	again := must(o.fixture, elsewhere.AccessToken, authapi.SwitchTenant, authapi.SwitchRequest{TenantID: o.tenant.String()})
	if c := o.claims(again.AccessToken); c.Role != "guest" {
		t.Errorf("role %s", c.Role)
	}
	refuse(o.fixture, authapi.ErrBadToken, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
}

func TestLoweredRole_EndsWhatCarriesTheStrongerOne(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	user, member, in := o.member("member")
	o.hear(o.memberIs(tenantapi.MemberUpdated, member, user.ID, 2, "admin"))
	raised := must(o.fixture, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	if c := o.claims(raised.AccessToken); c.Role != "admin" {
		t.Errorf("raised to %s", c.Role)
	}
	text, access := o.pat(raised.AccessToken)
	o.endsSoon([]events.Event{o.memberIs(tenantapi.MemberUpdated, member, user.ID, 3, "guest")}, raised.AccessToken, access)
	anew := must(o.fixture, o.login(user.Email).AccessToken, authapi.SwitchTenant, authapi.SwitchRequest{TenantID: o.tenant.String()})
	again := must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
	for _, token := range []string{anew.AccessToken, again.AccessToken} {
		if c := o.claims(token); c.Role != "guest" {
			t.Errorf("role %s", c.Role)
		}
	}
}

func TestSuspendedTenant_LetsOnlyItsOwnersIn(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	_, _, owner := o.member("owner")
	user, _, in := o.member("admin")
	text, access := o.pat(in.AccessToken)
	o.endsSoon([]events.Event{o.tenantIs(2, tenantapi.StatusSuspended, tenantapi.Security{})}, in.AccessToken, access)
	login := o.login(user.Email)
	to := authapi.SwitchRequest{TenantID: o.tenant.String()}
	refuse(o.fixture, authapi.ErrTenantSuspended, login.AccessToken, authapi.SwitchTenant, to)
	refuse(o.fixture, authapi.ErrBadToken, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
	must(o.fixture, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: owner.RefreshToken})
	o.hear(o.tenantIs(3, tenantapi.StatusActive, tenantapi.Security{}), o.tenantIs(2, tenantapi.StatusSuspended, tenantapi.Security{}))
	must(o.fixture, login.AccessToken, authapi.SwitchTenant, to)
	must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
	gone := tenantapi.TenantDeleted.New(t.Context(), o.tenant, o.tenant.String(), 4, tenantapi.TenantChanged{TenantID: o.tenant.String(), Status: tenantapi.StatusDeleted})
	o.endsSoon([]events.Event{gone}, owner.AccessToken)
	refuse(o.fixture, authapi.ErrNotMember, o.login(user.Email).AccessToken, authapi.SwitchTenant, to)
}

func TestTenantsDemands_AreMadeAtSwitchAndRefresh(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	_, _, in := o.member("member")
	to := authapi.SwitchRequest{TenantID: o.tenant.String()}
	refresh := authapi.RefreshRequest{RefreshToken: in.RefreshToken}

	text, _ := o.pat(in.AccessToken)
	exchange := func() []string {
		return must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text}).IPRanges
	}
	if got := exchange(); len(got) != 0 {
		t.Errorf("a token that may be used from anywhere: %v", got)
	}
	o.hear(o.tenantIs(2, tenantapi.StatusActive, tenantapi.Security{IPRanges: []string{"192.0.2.0/24"}}))
	if got := exchange(); len(got) != 1 || got[0] != "192.0.2.0/24" {
		t.Errorf("where a token may be used: %v", got)
	}
	refuse(o.fixture, authapi.ErrIPNotAllowed, "", authapi.Refresh, refresh)
	refuse(o.fixture, authapi.ErrIPNotAllowed, in.AccessToken, authapi.SwitchTenant, to)

	o.hear(o.tenantIs(3, tenantapi.StatusActive, tenantapi.Security{IPRanges: []string{"127.0.0.0/8"}, RequireMFA: true}))
	refuse(o.fixture, authapi.ErrMFARequired, "", authapi.Refresh, refresh)
	secret := must(o.fixture, in.AccessToken, authapi.EnrolTOTP, struct{}{}).Secret
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	must(o.fixture, in.AccessToken, authapi.ConfirmTOTP, authapi.CodeRequest{Code: code})
	// A refusal has not spent the token, and the code was proof.
	next := must(o.fixture, "", authapi.Refresh, refresh)

	o.hear(o.tenantIs(4, tenantapi.StatusActive, tenantapi.Security{SessionMinutes: 60}))
	must(o.fixture, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: next.RefreshToken})
	if _, err := postgres.ForEveryTenant(o.pool).Exec(t.Context(), `UPDATE sessions SET created_at = created_at - interval '2 hours'`); err != nil {
		t.Fatal(err)
	}
	refuse(o.fixture, authapi.ErrSignInAgain, next.AccessToken, authapi.SwitchTenant, to)
}
