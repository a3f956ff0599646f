package auth

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Keys finds the public keys that access tokens are verified with.
type Keys interface {
	// Key returns the key with that kid, or ErrUnknownKey.
	Key(ctx context.Context, kid string) (ed25519.PublicKey, error)
	// Generation changes whenever a key was added or withdrawn.
	Generation() uint64
}

// ErrUnknownKey says that no key has the kid, as far as could be found out.
var ErrUnknownKey = errors.New("unknown signing key")

// Timing of a JWKS. A token with an unknown kid must not become a request to
// auth-service each time that it is sent.
const (
	jwksFresh   = 5 * time.Minute
	jwksRefetch = 2 * time.Second
	jwksTimeout = 3 * time.Second
	jwksLimit   = 1 << 20
	maxKeys     = 64
)

// JWKS is auth-service's published key set (RFC 7517), cached. The last good set
// stays in use while auth-service is away.
type JWKS struct {
	url    string
	client *http.Client
	keys   atomic.Pointer[map[string]ed25519.PublicKey]
	gen    atomic.Uint64

	mu      sync.Mutex // held while fetching
	tried   time.Time
	fetched time.Time
}

// NewJWKS returns the key set at the URL. Nothing is fetched yet.
func NewJWKS(url string) *JWKS {
	j := &JWKS{url: url, client: &http.Client{Timeout: jwksTimeout}}
	j.keys.Store(&map[string]ed25519.PublicKey{})
	return j
}

// Generation implements Keys.
func (j *JWKS) Generation() uint64 { return j.gen.Load() }

// Key implements Keys. An unknown kid causes a fetch, at most one every few
// seconds for all callers together.
func (j *JWKS) Key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	if k, ok := (*j.keys.Load())[kid]; ok {
		return k, nil
	}
	err := j.refresh(ctx, func() bool {
		_, known := (*j.keys.Load())[kid]
		return !known && time.Since(j.tried) >= jwksRefetch
	})
	if k, ok := (*j.keys.Load())[kid]; ok {
		return k, nil
	}
	return nil, errors.Join(ErrUnknownKey, err)
}

// Run keeps the set fresh until ctx ends, so that withdrawn keys are forgotten.
func (j *JWKS) Run(ctx context.Context) error {
	tick := time.NewTicker(jwksFresh / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_ = j.refresh(ctx, func() bool { return time.Since(j.fetched) >= jwksFresh }) // the old set serves on
		}
	}
}

// refresh fetches the set when due says so, asked under the lock.
func (j *JWKS) refresh(ctx context.Context, due func() bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !due() {
		return nil
	}
	j.tried = time.Now()
	// The first caller's deadline must not decide for those who wait behind it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jwksTimeout)
	defer cancel()
	keys, err := j.fetch(ctx)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", j.url, err)
	}
	j.fetched = time.Now()
	if !sameKeys(*j.keys.Load(), keys) {
		j.keys.Store(&keys)
		j.gen.Add(1)
	}
	return nil
}

func (j *JWKS) fetch(ctx context.Context) (map[string]ed25519.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := j.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(resp.Body, jwksLimit)).Decode(&set); err != nil {
		return nil, err
	}
	keys := map[string]ed25519.PublicKey{}
	for _, k := range set.Keys {
		if pub, ok := k.Key.(ed25519.PublicKey); ok && k.KeyID != "" && len(keys) < maxKeys {
			keys[k.KeyID] = pub
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no Ed25519 key in the set")
	}
	return keys, nil
}

func sameKeys(a, b map[string]ed25519.PublicKey) bool {
	if len(a) != len(b) {
		return false
	}
	for kid, k := range a {
		if !k.Equal(b[kid]) {
			return false
		}
	}
	return true
}
