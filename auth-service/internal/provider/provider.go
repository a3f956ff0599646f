// Package provider signs users in with other organisations' OpenID providers: it
// is the client side of the authorization code flow with PKCE (OpenID Connect
// Core 1.0, RFC 7636).
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
)

// timeout of a request to a provider.
const timeout = 10 * time.Second

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// Config of one provider. It must allow the redirect to
// PUBLIC_URL/api/v1/auth/oidc/NAME/callback.
type Config struct {
	Name         string   `json:"name"`
	Issuer       string   `json:"issuer"`
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	Scopes       []string `json:"scopes"` // beside openid, email and profile
}

// Provider is one provider. Its discovery document is fetched at the first use,
// so that a provider that is away does not keep the service from starting.
type Provider struct {
	cfg      Config
	redirect string
	client   *http.Client

	mu       sync.Mutex
	found    *oidc.Provider
	verifier *oidc.IDTokenVerifier
}

// Parse reads the configured providers; "" is none.
func Parse(text, publicURL string) ([]*Provider, error) {
	if text == "" {
		return nil, nil
	}
	var configs []Config
	if err := json.Unmarshal([]byte(text), &configs); err != nil {
		return nil, errors.New("not a JSON list of providers") // the cause could show a secret
	}
	var list []*Provider
	seen := map[string]bool{}
	for i, c := range configs {
		if !nameForm.MatchString(c.Name) || seen[c.Name] || c.Issuer == "" || c.ClientID == "" {
			return nil, fmt.Errorf("provider %d: wants a unique name of lower-case letters, an issuer and a client_id", i+1)
		}
		seen[c.Name] = true
		list = append(list, &Provider{
			cfg: c, client: &http.Client{Timeout: timeout},
			redirect: strings.TrimRight(publicURL, "/") + "/api/v1/auth/oidc/" + c.Name + "/callback",
		})
	}
	return list, nil
}

// Name is the provider's name in paths and settings.
func (p *Provider) Name() string { return p.cfg.Name }

// Secrets of one flow, kept by the browser that started it.
type Secrets struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	Expires  time.Time `json:"expires"`
}

// NewSecrets returns the secrets of a new flow.
func NewSecrets(expires time.Time) Secrets {
	return Secrets{State: models.NewSecret(""), Nonce: models.NewSecret(""), Verifier: oauth2.GenerateVerifier(), Expires: expires}
}

// StartURL is where to send the browser.
func (p *Provider) StartURL(ctx context.Context, s Secrets) (string, error) {
	o, _, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return o.AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)), nil
}

// Finish exchanges the code that the browser came back with for the account that
// signed in there.
func (p *Provider) Finish(ctx context.Context, code string, s Secrets) (models.Identity, error) {
	o, verifier, err := p.discover(ctx)
	if err != nil {
		return models.Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := o.Exchange(ctx, code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return models.Identity{}, fmt.Errorf("exchange code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return models.Identity{}, errors.New("the answer has no id_token")
	}
	idToken, err := verifier.Verify(ctx, raw)
	if err != nil {
		return models.Identity{}, fmt.Errorf("verify id_token: %w", err)
	}
	if idToken.Nonce != s.Nonce {
		return models.Identity{}, errors.New("the id_token has another flow's nonce")
	}
	var claims struct {
		Email    string   `json:"email"`
		Verified flexBool `json:"email_verified"`
		Name     string   `json:"name"`
	}
	if err := idToken.Claims(&claims); err != nil {
		return models.Identity{}, fmt.Errorf("read id_token: %w", err)
	}
	return models.Identity{
		Provider: p.cfg.Name, Subject: idToken.Subject, Email: claims.Email, Verified: bool(claims.Verified), Name: claims.Name,
	}, nil
}

func (p *Provider) discover(ctx context.Context) (*oauth2.Config, *oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		// go-oidc keeps the context for fetching keys later on.
		found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.cfg.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("discover %s: %w", p.cfg.Name, err)
		}
		p.found, p.verifier = found, found.Verifier(&oidc.Config{ClientID: p.cfg.ClientID})
	}
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Endpoint: p.found.Endpoint(), RedirectURL: p.redirect,
		Scopes: append([]string{oidc.ScopeOpenID, "email", "profile"}, p.cfg.Scopes...),
	}, p.verifier, nil
}

// flexBool is a boolean that some providers send as a string.
type flexBool bool

// UnmarshalJSON implements json.Unmarshaler.
func (b *flexBool) UnmarshalJSON(text []byte) error {
	*b = string(text) == "true" || string(text) == `"true"`
	return nil
}
