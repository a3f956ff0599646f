// Package authtest stands in for auth-service in the tests of other services: it
// publishes a key set over real HTTP, signs tokens with it, and hands out
// service tokens. A service under test is given its URL as AUTH_SERVICE_URL and
// verifies tokens exactly as it does elsewhere.
//
//	issuer := authtest.New(t)
//	ada := issuer.Token(t, authtest.User(tenant, user, "owner"))
package authtest

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Name is the iss of the tokens, the default of TOKEN_ISSUER.
const Name = "pyairtable"

const (
	keyID    = "test"
	lifetime = 15 * time.Minute
)

// Issuer signs tokens.
type Issuer struct {
	URL string // of what stands for auth-service

	key      ed25519.PrivateKey
	accounts accounts
}

// New returns an issuer that serves until the test ends.
func New(t testing.TB) *Issuer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{key: key, accounts: accounts{of: map[string]account{}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: keyID, Algorithm: "EdDSA", Use: "sig"}}})
	})
	mux.HandleFunc("POST "+authapi.ServiceToken.Path, func(w http.ResponseWriter, r *http.Request) {
		var in authapi.ServiceTokenRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		token, err := i.sign(Service(in.Client))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, authapi.ServiceTokenAnswer{AccessToken: token, TokenType: "Bearer", ExpiresIn: int(lifetime.Seconds())})
	})
	mux.HandleFunc("POST "+authapi.ProvisionAccount.Path, i.accounts.provision)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a caller that went away is its own affair
}

// User are the claims of a session of the user in the tenant, as after signing in.
func User(tenant id.TenantID, user id.UserID, role string) auth.Claims {
	return auth.Claims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: user.String(), Audience: jwt.ClaimStrings{auth.AudienceUser}},
		Tenant:           tenant.String(), Session: id.New[id.Session]().String(), Role: role, Scope: auth.Any,
	}
}

// PAT are the claims that a personal access token of the user is exchanged for.
func PAT(tenant id.TenantID, user id.UserID, role, scope string, bases ...string) auth.Claims {
	c := User(tenant, user, role)
	c.Session, c.Scope, c.Bases, c.PAT = "", scope, bases, id.New[any]().String()
	return c
}

// Service are the claims of the service's own token.
func Service(name string) auth.Claims {
	return auth.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Subject: auth.ServiceSubject(name), Audience: jwt.ClaimStrings{auth.AudienceService},
	}}
}

// Token signs the claims. Issuer, times and jti are filled in where they are
// missing.
func (i *Issuer) Token(t testing.TB, c auth.Claims) string {
	t.Helper()
	token, err := i.sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *Issuer) sign(c auth.Claims) (string, error) {
	now := time.Now()
	if c.Issuer == "" {
		c.Issuer = Name
	}
	if c.IssuedAt == nil {
		c.IssuedAt = jwt.NewNumericDate(now)
	}
	if c.ExpiresAt == nil {
		c.ExpiresAt = jwt.NewNumericDate(now.Add(lifetime))
	}
	if c.ID == "" {
		c.ID = id.New[any]().String()
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, &c)
	token.Header["kid"] = keyID
	return token.SignedString(i.key)
}

// Keys is the issuer's key set, for a verifier of a test's own.
func (i *Issuer) Keys() *auth.JWKS { return auth.NewJWKS(i.URL + authapi.PublicKeys.Path) }
