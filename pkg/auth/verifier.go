package auth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pyairtable/pyairtable/pkg/errs"
)

// leeway allowed between this machine's clock and auth-service's.
const leeway = 5 * time.Second

// Verifier verifies access tokens. Verified ones are remembered, since checking
// an Ed25519 signature costs a hundred times as much as looking one up.
type Verifier struct {
	keys    Keys
	parser  *jwt.Parser
	cache   *cache
	revoked func(Principal) bool
}

// NewVerifier verifies tokens of the issuer with keys. revoked, which may be nil,
// is asked on every call, also for remembered tokens.
func NewVerifier(issuer string, keys Keys, revoked func(Principal) bool) *Verifier {
	if revoked == nil {
		revoked = func(Principal) bool { return false }
	}
	return &Verifier{
		keys: keys, cache: newCache(), revoked: revoked,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
		),
	}
}

// Verify returns who holds the token. A token that is malformed, expired,
// revoked, or not signed by a known key gives errs.ErrUnauthenticated; when the
// keys cannot be had at all, errs.ErrUnavailable.
func (v *Verifier) Verify(ctx context.Context, token string) (Principal, error) {
	gen := v.keys.Generation()
	p, ok := v.cache.get(token, gen)
	if !ok {
		var err error
		if p, err = v.parse(ctx, token); err != nil {
			return Principal{}, err
		}
		v.cache.put(token, p, v.keys.Generation())
	}
	if time.Now().After(p.ExpiresAt.Add(leeway)) {
		return Principal{}, errs.ErrUnauthenticated.Saying("The access token has expired.")
	}
	if v.revoked(p) {
		return Principal{}, errs.ErrUnauthenticated.Saying("The access token was revoked.")
	}
	return p, nil
}

func (v *Verifier) parse(ctx context.Context, token string) (Principal, error) {
	var claims Claims
	var keyErr error
	_, err := v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		var key ed25519.PublicKey
		key, keyErr = v.keys.Key(ctx, kid)
		return key, keyErr
	})
	switch {
	case keyErr != nil && !onlyUnknown(keyErr):
		return Principal{}, errs.ErrUnavailable.Because(keyErr)
	case errors.Is(err, jwt.ErrTokenExpired):
		return Principal{}, errs.ErrUnauthenticated.Saying("The access token has expired.")
	case err != nil:
		return Principal{}, errs.ErrUnauthenticated.Because(fmt.Errorf("verify token: %w", err))
	}
	p := principal(&claims, token)
	if p.IsZero() {
		return Principal{}, errs.ErrUnauthenticated.Because(errors.New("token names no subject for this audience"))
	}
	return p, nil
}

// onlyUnknown tells a kid that auth-service does not have from an auth-service
// that could not be asked.
func onlyUnknown(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	return !ok || len(joined.Unwrap()) == 1
}
