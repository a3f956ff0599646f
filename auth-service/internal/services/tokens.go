package services

import (
	"context"
	"crypto/subtle"
	"maps"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// TokenOrder is what a personal access token is made from.
type TokenOrder struct {
	Name          string
	Scopes, Bases []string
	ExpiresAt     time.Time // zero: never
}

// CreateToken makes a personal access token and returns it with its text, which
// is not kept.
func (a *Auth) CreateToken(ctx context.Context, who auth.Principal, o TokenOrder) (models.Token, string, error) {
	now := a.Now()
	if i := models.BadScope(o.Scopes); i >= 0 {
		return models.Token{}, "", authapi.ErrBadScope.With(errs.Field{Pointer: "/scopes", Detail: o.Scopes[i] + " does not exist"})
	}
	if models.BadBase(o.Bases) >= 0 {
		return models.Token{}, "", errs.ErrInvalid.With(errs.Field{Pointer: "/bases", Detail: `has to hold ids of bases, or "*" alone`})
	}
	if !o.ExpiresAt.IsZero() && !o.ExpiresAt.After(now) {
		return models.Token{}, "", authapi.ErrBadExpiry.With(errs.Field{Pointer: "/expires_at", Detail: "has to be in the future"})
	}
	prefix, text := models.NewTokenText()
	t := models.Token{
		ID: id.New[models.TokenKind](), User: who.UserID, Tenant: who.TenantID, Name: o.Name, Prefix: prefix, Hash: models.Hash(text),
		Scopes: o.Scopes, Bases: o.Bases, CreatedAt: now, ExpiresAt: o.ExpiresAt.UTC().Truncate(time.Microsecond),
	}
	return t, text, a.Repo.CreateToken(ctx, t, tokenChanged(ctx, who, "token_created", t.ID))
}

// RevokeToken revokes a token of the user; errs.ErrNotFound if it is not his.
func (a *Auth) RevokeToken(ctx context.Context, who auth.Principal, token models.TokenID) error {
	defer a.Announcer.Wake()
	return a.Repo.RevokeToken(ctx, who.TenantID, who.UserID, token, a.Now(), tokenChanged(ctx, who, "token_revoked", token))
}

func tokenChanged(ctx context.Context, who auth.Principal, what string, token models.TokenID) repository.Along {
	u := models.User{ID: who.UserID}
	return repository.Along{Events: []events.Event{
		authapi.CredentialsChanged.New(ctx, who.TenantID, who.UserID.String(), 0, credentials(&u, what, token.String())),
	}}
}

// PATAccess is what a personal access token is exchanged for.
type PATAccess struct {
	JWT      string
	Token    models.TokenID
	Until    time.Time
	IPRanges []string // from which the tenant lets it be used; none: any
}

// ExchangePAT returns a JWT for a personal access token, and until when it is
// good. Unknown, expired and revoked tokens are all authapi.ErrBadToken; one that the
// tenant does not let in is refused as by models.Standing.AdmitToken.
func (a *Auth) ExchangePAT(ctx context.Context, text string) (p PATAccess, err error) {
	defer func() { count(a.Metrics.exchanges, err) }()
	prefix, ok := models.TokenPrefix(text)
	if !ok {
		return p, authapi.ErrBadToken
	}
	t, err := a.Repo.TokenByPrefix(ctx, prefix)
	if err != nil {
		return p, instead(err, authapi.ErrBadToken)
	}
	if !t.Matches(text) {
		return p, authapi.ErrBadToken
	}
	err = a.Repo.UseToken(ctx, t, func(at models.Standing, secured bool) error {
		now := a.Now()
		if !t.Live(now) {
			return authapi.ErrBadToken
		}
		if err := at.AdmitToken(secured); err != nil {
			return err
		}
		a.used.note(t.ID, now)
		p = PATAccess{Token: t.ID, Until: t.AccessUntil(patTTL, now), IPRanges: at.IPRanges}
		p.JWT, err = a.Keys.Sign(auth.Claims{
			RegisteredClaims: a.registeredClaims(t.User.String(), auth.AudienceUser, p.Until),
			Tenant:           t.Tenant.String(), Role: at.Role, Scope: strings.Join(t.Scopes, " "), PAT: t.ID.String(), Bases: t.Bases,
		})
		return err
	})
	return p, instead(err, authapi.ErrBadToken)
}

// ServiceToken returns a service's own token for its secret, and how long it
// lives.
func (a *Auth) ServiceToken(service, secret string) (string, time.Duration, error) {
	want := a.ServiceSecret(service)
	if subtle.ConstantTimeCompare([]byte(want), []byte(secret)) != 1 || !a.KnownService(service) {
		return "", 0, authapi.ErrBadClient
	}
	access, err := a.Keys.Sign(auth.Claims{
		RegisteredClaims: a.registeredClaims(auth.ServiceSubject(service), auth.AudienceService, a.Now().Add(serviceTTL)),
	})
	return access, serviceTTL, err
}

// ExchangeToken returns the token of a user for a service that acts for him. It
// says the same as the user's and who acts, and lives no longer. A subject token
// that is expired or revoked, or is no user's, is authapi.ErrBadToken.
func (a *Auth) ExchangeToken(ctx context.Context, service auth.Principal, subject string) (string, time.Duration, error) {
	user, err := a.verifier.Verify(ctx, subject)
	if err != nil || user.UserID.IsZero() {
		return "", 0, authapi.ErrBadToken.Because(err)
	}
	if err := a.requireLive(ctx, user); err != nil {
		return "", 0, err
	}
	c := auth.Claims{
		RegisteredClaims: a.registeredClaims(user.UserID.String(), auth.AudienceUser, user.ExpiresAt),
		Tenant:           user.TenantID.String(), Session: user.SessionID.String(), Role: user.Role,
		Scope: strings.Join(user.Scopes, " "), PAT: user.PAT, Bases: user.Bases,
		Act: &auth.Actor{Subject: auth.ServiceSubject(service.Service), Act: user.Actor},
	}
	access, err := a.Keys.Sign(c)
	return access, user.ExpiresAt.Sub(a.Now()), err
}

// requireLive refuses a user's token whose session or personal access token was
// revoked.
func (a *Auth) requireLive(ctx context.Context, user auth.Principal) error {
	if user.PAT == "" {
		if err := a.RequireSession(ctx, user); err != nil {
			return authapi.ErrBadToken.Because(err)
		}
		return nil
	}
	token, err := id.Parse[models.TokenKind](user.PAT)
	if err != nil {
		return authapi.ErrBadToken.Because(err)
	}
	t, err := a.Repo.Token(ctx, user.TenantID, user.UserID, token)
	if err != nil {
		return instead(err, authapi.ErrBadToken)
	}
	if !t.Live(a.Now()) {
		return authapi.ErrBadToken
	}
	return nil
}

// How uses of tokens are written down: an exchange must not wait for a write,
// and a busy token must not become a busy row.
const (
	flushUses = 5 * time.Second
	flushWait = 5 * time.Second
)

// lastUsed gathers when tokens were used.
type lastUsed struct {
	mu   sync.Mutex
	used map[models.TokenID]time.Time
}

func newLastUsed() *lastUsed { return &lastUsed{used: map[models.TokenID]time.Time{}} }

func (l *lastUsed) note(t models.TokenID, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used[t] = at
}

func (l *lastUsed) take() map[models.TokenID]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := l.used
	l.used = map[models.TokenID]time.Time{}
	return used
}

// putBack keeps what could not be written, under what was noted since.
func (l *lastUsed) putBack(used map[models.TokenID]time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(used, l.used)
	l.used = used
}

// NoteUses writes the uses of tokens down until ctx ends, and then the rest.
func (a *Auth) NoteUses(ctx context.Context) error {
	tick := time.NewTicker(flushUses)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			a.flushUses(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			a.flushUses(ctx)
		}
	}
}

func (a *Auth) flushUses(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	used := a.used.take()
	if err := a.Repo.TouchTokens(ctx, used); err != nil {
		a.used.putBack(used)
		logging.From(ctx).Warn("uses of tokens are written later", zap.Error(err))
	}
}
