package services

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// How keys are published around the time in which they sign. Verifiers refresh
// the key set every five minutes, and replicas of this service read the keys
// every minute; an hour is ample for both.
const (
	publishAhead = time.Hour
	publishAfter = AccessTTL + 15*time.Minute
	keyPoll      = time.Minute
	// KeyMaxAge is how long others may cache the key set.
	KeyMaxAge = 5 * time.Minute
)

// Keys signs access tokens, and is the auth.Keys of this very service.
type Keys struct {
	repo   *repository.Repository
	policy models.KeyPolicy
	now    func() time.Time
	ring   atomic.Pointer[models.Keyring]
	gen    atomic.Uint64
}

var _ auth.Keys = (*Keys)(nil)

// NewKeys signs with keys that change every period. Rotate must have succeeded
// once before anything is signed.
func NewKeys(repo *repository.Repository, period time.Duration, now func() time.Time) *Keys {
	k := &Keys{
		repo: repo, now: now,
		policy: models.KeyPolicy{Period: period, Ahead: publishAhead, Keep: publishAfter},
	}
	k.ring.Store(&models.Keyring{})
	return k
}

// Run reads the keys again from time to time and rotates them when they are due,
// until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(keyPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := k.Rotate(ctx); err != nil && ctx.Err() == nil {
				logging.From(ctx).Warn("signing keys stay as they are", zap.Error(err))
			}
		}
	}
}

// Rotate reads the keys, and makes and forgets what is due. Replicas may call it
// at the same time.
func (k *Keys) Rotate(ctx context.Context) error {
	ring, err := k.repo.Keys(ctx)
	if err != nil {
		return err
	}
	now := k.now()
	if _, due := ring.Due(k.policy, now); due || len(ring.Spent(k.policy, now)) > 0 {
		ring, err = k.repo.RotateKeys(ctx, func(ring models.Keyring) (add models.Key, forget []string) {
			if from, due := ring.Due(k.policy, now); due {
				add = newKey(from)
			}
			return add, ring.Spent(k.policy, now)
		})
		if err != nil {
			return err
		}
	}
	before := k.ring.Swap(&ring)
	if !sameKeys(*before, ring) {
		k.gen.Add(1)
	}
	return nil
}

func newKey(from time.Time) models.Key {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand ends the process before it returns an error
	}
	return models.Key{ID: strings.ToLower(rand.Text()[:16]), Private: private, ActiveFrom: from}
}

func sameKeys(a, b models.Keyring) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID {
			return false
		}
	}
	return true
}

// Sign returns the claims as a signed token.
func (k *Keys) Sign(c auth.Claims) (string, error) {
	key, ok := k.ring.Load().Signer(k.now())
	if !ok {
		return "", errors.New("sign token: there is no signing key")
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	t.Header["kid"] = key.ID
	text, err := t.SignedString(key.Private)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return text, nil
}

// Key implements auth.Keys.
func (k *Keys) Key(_ context.Context, kid string) (ed25519.PublicKey, error) {
	for _, key := range *k.ring.Load() {
		if key.ID == kid {
			return key.Public(), nil
		}
	}
	return nil, auth.ErrUnknownKey
}

// Generation implements auth.Keys.
func (k *Keys) Generation() uint64 { return k.gen.Load() }

// Published is the key set for everybody: the signing key, its successor as soon
// as it is known, and its predecessors as long as anything they signed lives.
func (k *Keys) Published() authapi.JWKS {
	set := authapi.JWKS{Keys: []authapi.JWK{}}
	for _, key := range *k.ring.Load() {
		set.Keys = append(set.Keys, authapi.JWK{
			KeyType: "OKP", Curve: "Ed25519", Use: "sig", Algorithm: jwt.SigningMethodEdDSA.Alg(), KeyID: key.ID,
			X: base64.RawURLEncoding.EncodeToString(key.Public()),
		})
	}
	return set
}
