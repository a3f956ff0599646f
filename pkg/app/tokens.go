package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// renewBefore is how long before its end a service's token is replaced.
const renewBefore = time.Minute

// serviceTokens gets and keeps the token that a service calls others with.
type serviceTokens struct {
	service string
	secret  string
	client  *rpc.Client

	mu      sync.Mutex
	token   string
	expires time.Time
}

func newServiceTokens(a *App) *serviceTokens {
	return &serviceTokens{
		service: a.Name, secret: ClientSecret(a.Base, a.Name),
		client: rpc.New(rpc.Options{
			Callee: catalog.Auth, Addresses: a.Base.Addresses[catalog.Auth], Propagator: a.Tracer.Propagator, Metrics: a.rpc,
		}),
	}
}

// ClientSecret is the secret that the named service authenticates with at
// auth-service: its own if it was given one, else derived from the fleet's, so
// that a service that leaks its secret leaks no other's.
func ClientSecret(base config.Base, service string) string {
	if base.ClientSecret != "" {
		return base.ClientSecret.Reveal()
	}
	mac := hmac.New(sha256.New, []byte(base.ServiceSecret.Reveal()))
	mac.Write([]byte(service))
	return hex.EncodeToString(mac.Sum(nil))
}

// Token implements rpc.TokenSource. Callers that need a new one wait for one
// request.
func (s *serviceTokens) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Until(s.expires) > renewBefore {
		return s.token, nil
	}
	answer, err := rpc.Call(ctx, s.client, authapi.ServiceToken, authapi.ServiceTokenRequest{Client: s.service, Secret: s.secret})
	if err != nil {
		return "", fmt.Errorf("service token: %w", err)
	}
	s.token, s.expires = answer.AccessToken, time.Now().Add(time.Duration(answer.ExpiresIn)*time.Second)
	return s.token, nil
}
