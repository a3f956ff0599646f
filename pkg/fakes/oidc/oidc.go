// Package oidc is an OpenID provider for tests: discovery, keys, and the
// authorization code flow with PKCE as a real one serves them, with users who
// always agree and faults on demand.
package oidc

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// User is who signs in at the provider.
type User struct {
	Subject  string
	Email    string
	Verified bool
	Name     string
}

// Fault is a way in which the provider misbehaves.
type Fault string

// The faults. A provider has None until Break is called.
const (
	None         Fault = ""
	Denied       Fault = "denied"        // the user says no
	WrongNonce   Fault = "wrong nonce"   // the id_token belongs to another flow
	WrongKey     Fault = "wrong key"     // the id_token is signed with a key that is not published
	WrongIssuer  Fault = "wrong issuer"  // the id_token is another provider's
	WrongClient  Fault = "wrong client"  // the id_token is for another client
	Expired      Fault = "expired"       // the id_token is old
	NoIDToken    Fault = "no id_token"   // the token answer has none
	TokenOutage  Fault = "token outage"  // the token endpoint answers 503
	ReusableCode Fault = "reusable code" // codes work more than once
)

const kid = "fake-1"

// Provider is a running provider. Its client is ClientID with ClientSecret.
type Provider struct {
	URL                    string // the issuer
	ClientID, ClientSecret string

	key, other *rsa.PrivateKey

	mu    sync.Mutex
	user  User
	fault Fault
	codes map[string]grant
}

// grant is what a code was issued for.
type grant struct {
	redirect, nonce, challenge string
	user                       User
	used                       bool
}

// Start runs a provider until the test ends.
func Start(t testing.TB, user User) *Provider {
	t.Helper()
	p := &Provider{ClientID: "pyairtable", ClientSecret: "client-secret", user: user, codes: map[string]grant{}}
	for _, k := range []**rsa.PrivateKey{&p.key, &p.other} {
		var err error
		if *k, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

// SignIn changes who agrees to the next flows.
func (p *Provider) SignIn(u User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user = u
}

// Break makes the provider misbehave from now on.
func (p *Provider) Break(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"},
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: kid, Algorithm: "RS256", Use: "sig"}}})
}

// authorize agrees at once and sends the browser back with a code.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || !back.IsAbs() || q.Get("client_id") != p.ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "bad authorization request", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := url.Values{"state": {q.Get("state")}}
	if p.fault == Denied {
		out.Set("error", "access_denied")
	} else {
		code := rand.Text()
		p.codes[code] = grant{redirect: q.Get("redirect_uri"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), user: p.user}
		out.Set("code", code)
	}
	back.RawQuery = out.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token checks everything that RFC 6749 and RFC 7636 have it check.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == TokenOutage {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	client, secret, basic := r.BasicAuth()
	if !basic {
		client, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if client != p.ClientID || secret != p.ClientSecret {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	code := r.PostFormValue("code")
	g, ok := p.codes[code]
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || g.used && p.fault != ReusableCode || r.PostFormValue("grant_type") != "authorization_code" ||
		r.PostFormValue("redirect_uri") != g.redirect || base64.RawURLEncoding.EncodeToString(challenge[:]) != g.challenge {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	g.used = true
	p.codes[code] = g
	out := map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 300}
	if p.fault != NoIDToken {
		id, err := p.idToken(g)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		out["id_token"] = id
	}
	answer(w, http.StatusOK, out)
}

func (p *Provider) idToken(g grant) (string, error) {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": p.URL, "aud": p.ClientID, "sub": g.user.Subject, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "nonce": g.nonce,
		"email": g.user.Email, "email_verified": g.user.Verified, "name": g.user.Name,
	}
	key := p.key
	switch p.fault {
	case WrongNonce:
		claims["nonce"] = rand.Text()
	case WrongIssuer:
		claims["iss"] = "https://other.example"
	case WrongClient:
		claims["aud"] = "other"
	case Expired:
		claims["exp"] = now.Add(-time.Hour).Unix()
	case WrongKey:
		key = p.other
	}
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"] = kid
	return t.SignedString(key)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}
