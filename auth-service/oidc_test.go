package authservice_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/fakes/oidc"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// browser signs in with the fake provider through a front, as through the
// gateway: its address is PUBLIC_URL.
type browser struct {
	fixture
	front    string
	provider *oidc.Provider
	client   *http.Client
}

func startOIDC(t *testing.T, u oidc.User) browser {
	t.Helper()
	p := oidc.Start(t, u)
	var target *url.URL
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	t.Cleanup(front.Close)
	providers := fmt.Sprintf(`[{"name":"fake","issuer":%q,"client_id":%q,"client_secret":%q}]`, p.URL, p.ClientID, p.ClientSecret)
	f := start(t, map[string]string{"OIDC_PROVIDERS": providers, "PUBLIC_URL": front.URL})
	var err error
	if target, err = url.Parse(f.URL); err != nil {
		t.Fatal(err)
	}
	b := browser{fixture: f, front: front.URL, provider: p}
	b.client = b.fresh()
	return b
}

// fresh is a browser without cookies.
func (b browser) fresh() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func (b browser) get(c *http.Client, url string) (int, authapi.LoginAnswer, *errs.Error) {
	b.t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	var in authapi.LoginAnswer
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, in, errs.ParseProblem(body)
	}
	if err := json.Unmarshal(body, &in); err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, in, nil
}

// signIn goes through the whole flow.
func (b browser) signIn() (authapi.LoginAnswer, *errs.Error) {
	b.t.Helper()
	_, in, e := b.get(b.client, b.front+"/api/v1/auth/oidc/fake/start")
	return in, e
}

func somebody() oidc.User {
	return oidc.User{Subject: "s-1", Email: "ada-" + id.New[id.User]().String() + "@example.com", Verified: true, Name: "Ada"}
}

func TestOIDC_FirstSignInOpensAnAccountTheNextFindsIt(t *testing.T) {
	t.Parallel()
	b := startOIDC(t, somebody())
	if list := must(b.fixture, "", authapi.ListProviders, struct{}{}); len(list.Items) != 1 || list.Items[0].StartURL != "/api/v1/auth/oidc/fake/start" {
		t.Errorf("%+v", list)
	}
	first, e := b.signIn()
	if e != nil || first.AccessToken == "" || first.RefreshToken == "" {
		t.Fatalf("%+v %v", first, e)
	}
	moved := somebody() // the same account there, with another address now
	b.provider.SignIn(moved)
	second, e := b.signIn()
	if e != nil || b.claims(second.AccessToken).Subject != b.claims(first.AccessToken).Subject {
		t.Errorf("%+v %v", second, e)
	}
	refuse(b.fixture, authapi.ErrNoPassword, first.AccessToken, authapi.ChangePassword, authapi.PasswordChange{CurrentPassword: password, NewPassword: password + "!"})
}

func TestOIDC_LinksVerifiedAddressesOnly(t *testing.T) {
	t.Parallel()
	b := startOIDC(t, somebody())
	u := b.register()
	b.provider.SignIn(oidc.User{Subject: "s-2", Email: u.Email, Verified: false})
	if _, e := b.signIn(); !e.Is(authapi.ErrEmailNotVerified) {
		t.Errorf("a provider that does not vouch: %v", e)
	}
	b.provider.SignIn(oidc.User{Subject: "s-2", Email: strings.ToUpper(u.Email), Verified: true})
	if _, e := b.signIn(); !e.Is(authapi.ErrLinkRefused) {
		t.Errorf("an account that anybody could have opened: %v", e)
	}
	mails := must(b.fixture, "", authapi.DevInbox, authapi.InboxQuery{To: u.Email, Limit: 10})
	must(b.fixture, "", authapi.VerifyEmail, authapi.EmailVerification{Token: mails.Items[0].Token})
	in, e := b.signIn()
	if e != nil || b.claims(in.AccessToken).Subject != u.ID {
		t.Errorf("%+v %v", in, e)
	}
	if own := b.login(u.Email); own.AccessToken == "" {
		t.Error("the password does not work any more")
	}
}

func TestOIDC_EveryFaultOfTheProviderIsRefused(t *testing.T) {
	t.Parallel()
	b := startOIDC(t, somebody())
	for _, fault := range []oidc.Fault{
		oidc.Denied, oidc.WrongNonce, oidc.WrongKey, oidc.WrongIssuer, oidc.WrongClient, oidc.Expired, oidc.NoIDToken, oidc.TokenOutage,
	} {
		b.provider.Break(fault)
		if in, e := b.signIn(); e == nil || !e.Is(authapi.ErrProviderFailed) || in.AccessToken != "" {
			t.Errorf("%s: %+v %v", fault, in, e)
		}
	}
	b.provider.Break(oidc.None)
	if _, e := b.signIn(); e != nil {
		t.Error(e)
	}
}

func TestOIDC_CallbackBelongsToTheBrowserThatStarted(t *testing.T) {
	t.Parallel()
	b := startOIDC(t, somebody())
	b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := b.client.Get(b.front + "/api/v1/auth/oidc/fake/start")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	callback := resp.Header.Get("Location")
	if _, _, e := b.get(b.fresh(), callback); e == nil || !e.Is(authapi.ErrBadOIDCState) {
		t.Errorf("another browser: %v", e)
	}
	state := strings.NewReplacer("state=", "state=x")
	if _, _, e := b.get(b.client, state.Replace(callback)); e == nil || !e.Is(authapi.ErrBadOIDCState) {
		t.Errorf("another state: %v", e)
	}
	if _, _, e := b.get(b.client, callback); e == nil || !e.Is(authapi.ErrBadOIDCState) {
		t.Errorf("a flow that has failed once goes on: %v", e)
	}
	for _, path := range []string{"/api/v1/auth/oidc/other/start", "/api/v1/auth/oidc/fake/", "/api/v1/auth/oidc/fake/nonsense"} {
		if status, _, _ := b.get(b.client, b.front+path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}
