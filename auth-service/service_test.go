package authservice_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	authservice "github.com/pyairtable/pyairtable/auth-service"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

const (
	secret   = "the secret of the tests, which has 32 bytes"
	password = "a long enough passphrase"
)

// fixture is a running service and its clients.
type fixture struct {
	*apptest.Running
	t *testing.T
}

func start(t *testing.T, vars map[string]string) fixture {
	t.Helper()
	env := map[string]string{
		"DATABASE_URL": pgtest.URL(t, "auth-service", repository.Migrations), "SERVICE_SECRET": secret,
		"BCRYPT_COST": "4", "DEV_INBOX": "true",
	}
	for k, v := range vars {
		env[k] = v
	}
	return fixture{apptest.Start(t, authservice.Service, env), t}
}

// as is a client with an access token; "" is nobody.
func (f fixture) as(token string) *rpc.Client { return f.Client(auth.Principal{Token: token}) }

func call[In, Out any](f fixture, token string, op api.Op[In, Out], in In) (Out, error) {
	return rpc.Call(f.t.Context(), f.as(token), op, in)
}

// must is call for what has to succeed.
func must[In, Out any](f fixture, token string, op api.Op[In, Out], in In) Out {
	f.t.Helper()
	out, err := call(f, token, op, in)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// refuse checks that a call is answered with the error.
func refuse[In, Out any](f fixture, want *errs.Error, token string, op api.Op[In, Out], in In) {
	f.t.Helper()
	if _, err := call(f, token, op, in); !errors.Is(err, want) {
		f.t.Errorf("%s: got %v, want %s", op.Name, err, want.Code)
	}
}

func (f fixture) register() authapi.User {
	f.t.Helper()
	return must(f, "", authapi.Register, authapi.RegisterRequest{
		Email: "ada-" + id.New[id.User]().String() + "@example.com", Password: password, Name: "Ada",
	})
}

func (f fixture) login(email string) authapi.LoginAnswer {
	f.t.Helper()
	return must(f, "", authapi.Login, authapi.LoginRequest{Email: email, Password: password})
}

// user is a new user who is signed in.
func (f fixture) user() (authapi.User, authapi.LoginAnswer) {
	f.t.Helper()
	u := f.register()
	return u, f.login(u.Email)
}

func (f fixture) service(name string) string {
	f.t.Helper()
	return must(f, "", authapi.ServiceToken, authapi.ServiceTokenRequest{
		Client: name, Secret: app.ClientSecret(config.Base{ServiceSecret: secret}, name),
	}).AccessToken
}

// claims verifies a token with the published keys, as any JWT library would.
func (f fixture) claims(token string) auth.Claims {
	f.t.Helper()
	set := must(f, "", authapi.PublicKeys, struct{}{}).Body
	var c auth.Claims
	_, err := jwt.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		for _, k := range set.Keys {
			if k.KeyID == t.Header["kid"] {
				x, err := base64.RawURLEncoding.DecodeString(k.X)
				return ed25519.PublicKey(x), err
			}
		}
		return nil, errors.New("no such key")
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer("pyairtable"))
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func TestService_ServesWhatItDeclares(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	apptest.Operations(t, f.URL, authapi.Service)
}

// Who may call what: every operation with every kind of caller.
func TestAccess_EveryOperationRefusesWhomItMust(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	_, in := f.user()
	pat := must(f, in.AccessToken, authapi.CreateToken, authapi.TokenRequest{Name: "t", Scopes: []string{"data.records:read"}, Bases: []string{"*"}})
	service := f.service("api-gateway")
	callers := map[string]string{
		"nobody": "", "garbage": "garbage", "user": in.AccessToken, "api-gateway": service,
		"pat": must(f, service, authapi.ExchangePAT, authapi.PATExchange{Token: pat.Body.Token}).AccessToken,
	}
	for _, name := range []string{"tenant-service", "user-service"} {
		callers[name] = f.service(name)
	}
	admitted := map[api.Access][]string{api.User: {"user"}}
	for who := range callers {
		admitted[api.Public], admitted[api.InternalPublic] = append(admitted[api.Public], who), append(admitted[api.InternalPublic], who)
	}
	for _, op := range authapi.Service.Ops {
		if op.Name == authapi.Logout.Name || op.Name == authapi.LogoutAll.Name {
			continue // would end the session that the others are tried with
		}
		for who, token := range callers {
			status := f.raw(op.Method, strings.ReplaceAll(op.Path, "{id}", id.New[id.User]().String()), token)
			refused := status == http.StatusUnauthorized || status == http.StatusForbidden
			// Public operations check credentials of their own, and refuse an empty
			// body before.
			_, isService := catalog.Find(who)
			if want := !contains(admitted[op.Access], who) && !(isService && op.Admits(who)); refused != want {
				t.Errorf("%s for %s: %d", op.Name, who, status)
			}
		}
	}
}

func (f fixture) raw(method, path, token string) int {
	f.t.Helper()
	body := strings.NewReader("")
	if method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.URL+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func TestRegister_GivesAnAccountWithATenantOfItsOwn(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	a, b := f.register(), f.register()
	if a.ID == b.ID || a.TenantID == b.TenantID || a.TenantID == a.ID || a.EmailVerified || a.CreatedAt.IsZero() {
		t.Errorf("%+v\n%+v", a, b)
	}
	refuse(f, authapi.ErrEmailTaken, "", authapi.Register, authapi.RegisterRequest{Email: strings.ToUpper(a.Email), Password: password, Name: "Eve"})
}

func TestLogin_TokenSaysWhoAndForWhichTenant(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	u, in := f.user()
	c := f.claims(in.AccessToken)
	got := []string{c.Subject, c.Tenant, c.Session, c.Role, c.Scope, c.Audience[0], in.TokenType}
	if d := cmp.Diff([]string{u.ID, u.TenantID, in.SessionID, "owner", "*", "pyairtable", "Bearer"}, got); d != "" {
		t.Error(d)
	}
	if ttl := c.ExpiresAt.Sub(c.IssuedAt.Time); ttl != 15*time.Minute || in.ExpiresIn != 900 || c.ID == "" {
		t.Errorf("lives %s, says %d, jti %q", ttl, in.ExpiresIn, c.ID)
	}
	again := f.login(strings.ToUpper(u.Email))
	if again.SessionID == in.SessionID {
		t.Error("two sign-ins share a session")
	}
	refuse(f, authapi.ErrBadCredentials, "", authapi.Login, authapi.LoginRequest{Email: u.Email, Password: "another passphrase"})
}

func TestRefresh_GivesNewTokensOfTheSameSession(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	_, in := f.user()
	next := must(f, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	if next.RefreshToken == in.RefreshToken || next.SessionID != in.SessionID || f.claims(next.AccessToken).Session != in.SessionID {
		t.Errorf("%+v", next)
	}
	must(f, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: next.RefreshToken})
	refuse(f, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: "rt_made_up"})
}

func TestLogout_EndsTheSessionAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	u, in := f.user()
	other := f.login(u.Email)
	must(f, in.AccessToken, authapi.Logout, struct{}{})
	refuse(f, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	refuse(f, errs.ErrUnauthenticated, in.AccessToken, authapi.ListSessions, api.PageQuery{Limit: 10})
	if list := must(f, other.AccessToken, authapi.ListSessions, api.PageQuery{Limit: 10}); len(list.Items) != 1 || list.Items[0].ID != other.SessionID || !list.Items[0].Current {
		t.Errorf("%+v", list)
	}
	must(f, other.AccessToken, authapi.LogoutAll, struct{}{})
	refuse(f, errs.ErrUnauthenticated, other.AccessToken, authapi.ListSessions, api.PageQuery{Limit: 10})
}

func TestSessions_AreListedInPagesAndEndedOneByOne(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	u, first := f.user()
	second, third := f.login(u.Email), f.login(u.Email)
	var ids []string
	for q := (api.PageQuery{Limit: 2}); ; {
		p := must(f, first.AccessToken, authapi.ListSessions, q)
		for _, s := range p.Items {
			ids = append(ids, s.ID)
		}
		if q.Cursor = p.NextCursor; q.Cursor == "" {
			break
		}
	}
	if d := cmp.Diff([]string{third.SessionID, second.SessionID, first.SessionID}, ids); d != "" {
		t.Error(d)
	}
	_, stranger := f.user()
	refuse(f, errs.ErrNotFound, stranger.AccessToken, authapi.RevokeSession, authapi.SessionRef{ID: second.SessionID})
	must(f, first.AccessToken, authapi.RevokeSession, authapi.SessionRef{ID: second.SessionID})
	refuse(f, errs.ErrNotFound, first.AccessToken, authapi.RevokeSession, authapi.SessionRef{ID: second.SessionID})
	refuse(f, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: second.RefreshToken})
	must(f, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: third.RefreshToken})
}

func TestToken_IsShownOnceAndOpensWhatItSays(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	u, in := f.user()
	service := f.service("api-gateway")
	order := authapi.TokenRequest{Name: "script", Scopes: []string{"data.records:read", "schema.bases:read"}, Bases: []string{"appAAAAAAAAAAAAAA"}}
	made := must(f, in.AccessToken, authapi.CreateToken, order)
	if !strings.HasPrefix(made.Body.Token, made.Body.Prefix+".") || made.Location != "/api/v1/auth/tokens/"+made.Body.ID {
		t.Errorf("%+v", made)
	}
	if got := must(f, in.AccessToken, authapi.GetToken, authapi.TokenRef{ID: made.Body.ID}); got.ID != made.Body.ID || !got.LastUsedAt.IsZero() {
		t.Errorf("%+v", got)
	}
	answer := must(f, service, authapi.ExchangePAT, authapi.PATExchange{Token: made.Body.Token})
	c := f.claims(answer.AccessToken)
	if c.Subject != u.ID || c.PAT != made.Body.ID || c.Session != "" || c.Scope != "data.records:read schema.bases:read" || !cmp.Equal(c.Bases, order.Bases) ||
		answer.TokenID != made.Body.ID || time.Until(answer.ExpiresAt) > 5*time.Minute {
		t.Errorf("%+v %+v", c, answer)
	}
	refuse(f, authapi.ErrBadToken, service, authapi.ExchangePAT, authapi.PATExchange{Token: made.Body.Token[:len(made.Body.Token)-1] + "0x"})
	_, stranger := f.user()
	refuse(f, errs.ErrNotFound, stranger.AccessToken, authapi.GetToken, authapi.TokenRef{ID: made.Body.ID})
	refuse(f, errs.ErrNotFound, stranger.AccessToken, authapi.RevokeToken, authapi.TokenRef{ID: made.Body.ID})
	if p := must(f, stranger.AccessToken, authapi.ListTokens, authapi.TokensQuery{PageQuery: api.PageQuery{Limit: 10}}); len(p.Items) != 0 || p.Items == nil {
		t.Errorf("%+v", p)
	}
	must(f, in.AccessToken, authapi.RevokeToken, authapi.TokenRef{ID: made.Body.ID})
	refuse(f, authapi.ErrBadToken, service, authapi.ExchangePAT, authapi.PATExchange{Token: made.Body.Token})
	refuse(f, errs.ErrNotFound, in.AccessToken, authapi.GetToken, authapi.TokenRef{ID: made.Body.ID})
}

func TestToken_RefusesUnknownScopesBasesAndThePast(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	_, in := f.user()
	order := func(change func(*authapi.TokenRequest)) authapi.TokenRequest {
		r := authapi.TokenRequest{Name: "x", Scopes: []string{"data.records:read"}, Bases: []string{"*"}}
		change(&r)
		return r
	}
	refuse(f, authapi.ErrBadScope, in.AccessToken, authapi.CreateToken, order(func(r *authapi.TokenRequest) { r.Scopes = []string{"*"} }))
	refuse(f, errs.ErrInvalid, in.AccessToken, authapi.CreateToken, order(func(r *authapi.TokenRequest) { r.Bases = []string{"*", "appAAAAAAAAAAAAAA"} }))
	refuse(f, authapi.ErrBadExpiry, in.AccessToken, authapi.CreateToken, order(func(r *authapi.TokenRequest) { r.ExpiresAt = time.Now().Add(-time.Minute) }))
	refuse(f, errs.ErrInvalid, in.AccessToken, authapi.CreateToken, order(func(r *authapi.TokenRequest) { r.Name = "" }))
}

func TestServiceToken_IsForTheServiceWhoseSecretItIs(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	c := f.claims(f.service("user-service"))
	if c.Subject != "service:user-service" || !cmp.Equal([]string(c.Audience), []string{"internal"}) || c.Tenant != "" {
		t.Errorf("%+v", c)
	}
	own := app.ClientSecret(config.Base{ServiceSecret: secret}, "user-service")
	for _, in := range []authapi.ServiceTokenRequest{
		{Client: "api-gateway", Secret: own}, {Client: "user-service", Secret: secret}, {Client: "user-service", Secret: ""},
		{Client: "made-up", Secret: app.ClientSecret(config.Base{ServiceSecret: secret}, "made-up")},
	} {
		refuse(f, authapi.ErrBadClient, "", authapi.ServiceToken, in)
	}
}

func TestExchangeToken_LetsAServiceActForAUserNoLongerThanTheUserCould(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	u, in := f.user()
	service := f.service("airtable-gateway")
	ask := func(subject string) authapi.TokenExchange {
		return authapi.TokenExchange{GrantType: authapi.GrantTokenExchange, SubjectToken: subject, SubjectTokenType: authapi.TypeAccessToken}
	}
	answer := must(f, service, authapi.ExchangeToken, ask(in.AccessToken))
	c, before := f.claims(answer.AccessToken), f.claims(in.AccessToken)
	if c.Subject != u.ID || c.Tenant != u.TenantID || c.Session != in.SessionID || c.Act == nil || c.Act.Subject != "service:airtable-gateway" || c.Scope != "*" {
		t.Errorf("%+v", c)
	}
	if c.ExpiresAt.After(before.ExpiresAt.Time) || answer.ExpiresIn > 900 {
		t.Errorf("expires %s, the user's %s", c.ExpiresAt, before.ExpiresAt)
	}
	refuse(f, authapi.ErrBadToken, service, authapi.ExchangeToken, ask("garbage"))
	refuse(f, authapi.ErrBadToken, service, authapi.ExchangeToken, ask(service))
	must(f, f.service("user-service"), authapi.RevokeUserSessions, authapi.UserRef{ID: u.ID})
	refuse(f, authapi.ErrBadToken, service, authapi.ExchangeToken, ask(in.AccessToken))
	refuse(f, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	refuse(f, errs.ErrNotFound, f.service("user-service"), authapi.RevokeUserSessions, authapi.UserRef{ID: id.New[id.User]().String()})
}

func TestConfig_RefusesWhatIsNotSafe(t *testing.T) {
	t.Parallel()
	for want, vars := range map[string]map[string]string{
		"SERVICE_SECRET": {"SERVICE_SECRET": "short"},
		"DEV_INBOX":      {"ENV": "production", "DEV_INBOX": "true"},
		"BCRYPT_COST":    {"ENV": "production", "DEV_INBOX": "false"},
		"OIDC_PROVIDERS": {"OIDC_PROVIDERS": `[{"name":"x"}]`},
	} {
		env := map[string]string{"SERVICE_SECRET": secret, "PORT": "0", "BCRYPT_COST": "4"}
		for k, v := range vars {
			env[k] = v
		}
		err := authservice.Service.Run(context.Background(), app.Options{Env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }, Log: discard{}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
