package auth_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"encoding/json"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// issuer is an auth-service reduced to its key set, over real HTTP.
type issuer struct {
	*httptest.Server
	keys    atomic.Pointer[map[string]ed25519.PrivateKey]
	fetches atomic.Int32
	down    atomic.Bool
}

func newIssuer(t *testing.T, kids ...string) *issuer {
	i := &issuer{}
	i.rotate(t, kids...)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		if i.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		var set jose.JSONWebKeySet
		for kid, k := range *i.keys.Load() {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: kid, Algorithm: "EdDSA", Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) rotate(t *testing.T, kids ...string) {
	t.Helper()
	keys := map[string]ed25519.PrivateKey{}
	for _, kid := range kids {
		_, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys[kid] = priv
	}
	i.keys.Store(&keys)
}

func (i *issuer) token(t *testing.T, kid string, change func(*auth.Claims)) string {
	t.Helper()
	c := &auth.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: "pyairtable", Audience: jwt.ClaimStrings{auth.AudienceUser}, Subject: id.New[any]().String(),
			IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
		},
		Scope: auth.Any,
	}
	if change != nil {
		change(c)
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	tok.Header["kid"] = kid
	s, err := tok.SignedString((*i.keys.Load())[kid])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (i *issuer) verifier(revoked func(auth.Principal) bool) *auth.Verifier {
	return auth.NewVerifier("pyairtable", auth.NewJWKS(i.URL), revoked)
}

func TestVerify_RefusesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, "k1")
	v := i.verifier(nil)
	other := newIssuer(t, "k1")
	hs, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "x"}).SignedString([]byte((*i.keys.Load())["k1"].Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"another key": other.token(t, "k1", nil),
		"expired": i.token(t, "k1", func(c *auth.Claims) {
			c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Minute))
		}),
		"no expiry":           i.token(t, "k1", func(c *auth.Claims) { c.ExpiresAt = nil }),
		"another issuer":      i.token(t, "k1", func(c *auth.Claims) { c.Issuer = "evil" }),
		"another audience":    i.token(t, "k1", func(c *auth.Claims) { c.Audience = jwt.ClaimStrings{"other"} }),
		"service as user":     i.token(t, "k1", func(c *auth.Claims) { c.Subject = "service:x" }),
		"symmetric algorithm": hs, "empty": "", "garbage": "a.b.c",
	} {
		if p, err := v.Verify(t.Context(), token); !errors.Is(err, errs.ErrUnauthenticated) {
			t.Errorf("%s: got %v, %v", name, p.UserID, err)
		}
	}
}

func TestVerify_ReadsThePrincipal(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, "k1")
	v := i.verifier(nil)
	var tid id.TenantID
	if err := tid.UnmarshalText([]byte("0190163d-8694-739b-aea5-966c26f8ad91")); err != nil {
		t.Fatal(err)
	}
	p, err := v.Verify(t.Context(), i.token(t, "k1", func(c *auth.Claims) {
		c.Tenant, c.Role, c.Scope, c.PAT, c.Bases = tid.String(), "member", "data.records:read", "p1", []string{"appA"}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if p.TenantID != tid || p.IsAdmin() || !p.HasScope("data.records:read") || p.HasScope("data.records:write") ||
		!p.MaySeeBase("appA") || p.MaySeeBase("appB") {
		t.Errorf("got %+v", p)
	}
	svc, err := v.Verify(t.Context(), i.token(t, "k1", func(c *auth.Claims) {
		c.Audience, c.Subject = jwt.ClaimStrings{auth.AudienceService}, auth.ServiceSubject("user-service")
	}))
	if err != nil || !svc.IsService() || !svc.UserID.IsZero() {
		t.Errorf("service token: %+v, %v", svc, err)
	}
}

func TestVerify_RevocationReachesRememberedTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, "k1")
	var revoked atomic.Bool
	v := i.verifier(func(auth.Principal) bool { return revoked.Load() })
	token := i.token(t, "k1", nil)
	for range 2 {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	revoked.Store(true)
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, errs.ErrUnauthenticated) {
		t.Errorf("got %v", err)
	}
}

func TestJWKS_SurvivesAuthBeingAway(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, "k1")
	v := i.verifier(nil)
	if _, err := v.Verify(t.Context(), i.token(t, "k1", nil)); err != nil {
		t.Fatal(err)
	}
	i.down.Store(true)
	if _, err := v.Verify(t.Context(), i.token(t, "k1", nil)); err != nil {
		t.Errorf("a known key must go on verifying: %v", err)
	}
	cold := i.verifier(nil)
	if _, err := cold.Verify(t.Context(), i.token(t, "k1", nil)); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("without any key the answer is 503, got %v", err)
	}
}

func TestJWKS_UnknownKidsDoNotFlood(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, "k1", "k2")
	keys := auth.NewJWKS(i.URL)
	for range 100 {
		if _, err := keys.Key(t.Context(), "nope"); !errors.Is(err, auth.ErrUnknownKey) {
			t.Fatal(err)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches for one unknown kid", n)
	}
	if _, err := keys.Key(context.Background(), "k2"); err != nil {
		t.Error(err)
	}
}
