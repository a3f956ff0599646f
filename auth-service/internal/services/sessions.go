package services

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

const byPassword = "password"

// SignedIn are the tokens of a session; or MFAToken alone, if a second step is
// needed.
type SignedIn struct {
	Access, Refresh string
	Session         id.SessionID
	MFAToken        string
}

// Login signs in with a password. It returns authapi.ErrBadCredentials, after the
// same work, for an unknown address and for a wrong password.
func (a *Auth) Login(ctx context.Context, email, password string, d models.Device) (in SignedIn, err error) {
	defer func() {
		if in.MFAToken == "" { // counted by the second step
			count(a.Metrics.logins, err)
		}
	}()
	key, ok := models.EmailKey(email)
	if !ok {
		key = strings.ToLower(email)
	}
	u, err := a.Repo.UserByEmail(ctx, key)
	if err != nil && !errors.Is(err, errs.ErrNotFound) {
		return in, err
	}
	guards, err := a.loginGuards(ctx, key, u, d)
	if err != nil {
		return in, err
	}
	attempt, err := a.begin(ctx, guards...)
	if err != nil {
		return in, err
	}
	right, err := a.Passwords.Check(ctx, u.PasswordHash, password)
	if err != nil {
		attempt.undo(ctx)
		return in, err
	}
	if !right {
		return in, authapi.ErrBadCredentials
	}
	attempt.succeed(ctx)
	return a.enter(ctx, u, byPassword, d)
}

// enter opens a session for a user who has proved to be himself once; or a
// challenge, if that is not enough.
func (a *Auth) enter(ctx context.Context, u models.User, method string, d models.Device) (SignedIn, error) {
	if a.VerifyFirst && !u.Verified() {
		return SignedIn{}, authapi.ErrEmailNotVerified
	}
	if !u.TOTP.Enabled() {
		return a.open(ctx, u, method, d)
	}
	token := models.NewSecret(models.MFAPrefix)
	err := a.Repo.CreateChallenge(ctx, u, models.Challenge{
		Hash: models.Hash(token), User: u.ID, Tenant: u.Tenant, Method: method, ExpiresAt: a.Now().Add(models.ChallengeTTL),
	})
	return SignedIn{MFAToken: token}, instead(err, authapi.ErrBadCredentials)
}

// LoginTOTP finishes a sign-in with an authenticator's code or a recovery code.
func (a *Auth) LoginTOTP(ctx context.Context, token, code string, d models.Device) (in SignedIn, err error) {
	defer func() { count(a.Metrics.logins, err) }()
	hash, now := models.Hash(token), a.Now()
	c, err := a.Repo.Challenge(ctx, hash)
	if err != nil {
		return in, instead(err, authapi.ErrBadMFAToken)
	}
	attempt, err := a.begin(ctx, codeGuard(models.User{ID: c.User}))
	if err != nil {
		return in, err
	}
	var user models.User
	refusal := authapi.ErrBadCode
	err = a.Repo.AnswerChallenge(ctx, hash, now, func(c *models.Challenge, u *models.User) (bool, repository.Along, error) {
		if !c.Open(now) || !u.TOTP.Enabled() {
			refusal = authapi.ErrBadMFAToken
			return false, repository.Along{}, nil
		}
		how := useCode(u, code, now)
		if how == "" {
			c.Failures++
			return false, repository.Along{}, nil
		}
		user = *u
		return true, a.codeUsed(ctx, u, how), nil
	})
	switch {
	case err != nil:
		attempt.undo(ctx)
		return in, instead(err, authapi.ErrBadMFAToken)
	case user.ID.IsZero():
		return in, refusal
	}
	attempt.succeed(ctx)
	return a.open(ctx, user, c.Method, d)
}

// open begins a session.
func (a *Auth) open(ctx context.Context, u models.User, method string, d models.Device) (SignedIn, error) {
	now := a.Now()
	s := models.Session{ID: id.New[id.Session](), User: u.ID, Tenant: u.Tenant, In: u.Tenant, Method: method, Device: d, CreatedAt: now}
	if u.TOTP.Enabled() { // enter and LoginTOTP have asked for it
		s.MFAAt = now
	}
	s.Use(a.lifetimes, now)
	refresh := models.NewSecret(models.RefreshPrefix)
	err := a.Repo.CreateSession(ctx, u, s, models.RefreshToken{Hash: models.Hash(refresh)}, repository.Along{
		Events: []events.Event{authapi.SignedIn.New(ctx, u.Tenant, s.ID.String(), 1, authapi.SignedInData{
			UserID: u.ID.String(), SessionID: s.ID.String(), Method: method, IP: d.IP,
		})},
	})
	if err != nil {
		// The password was changed, or the account deleted, since it was checked.
		return SignedIn{}, instead(err, authapi.ErrBadCredentials)
	}
	return a.signedIn(s, refresh, models.RoleOwner)
}

func (a *Auth) signedIn(s models.Session, refresh, role string) (SignedIn, error) {
	access, err := a.Keys.Sign(auth.Claims{
		RegisteredClaims: a.registeredClaims(s.User.String(), auth.AudienceUser, s.LastUsedAt.Add(AccessTTL)),
		Tenant:           s.In.String(), Session: s.ID.String(), Role: role, Scope: auth.Any,
	})
	return SignedIn{Access: access, Refresh: refresh, Session: s.ID}, err
}

// Refresh exchanges a refresh token; see models.Family for the rules. A reuse
// that ends the session is stored although the answer is an error. A tenant that does
// not let the session in any more, as models.Standing.Admit says, refuses without
// spending the token.
func (a *Auth) Refresh(ctx context.Context, token string, d models.Device) (in SignedIn, err error) {
	outcome := models.Unknown
	defer func() {
		if err != nil && !errors.Is(err, authapi.ErrBadRefreshToken) {
			outcome = "error"
		}
		a.Metrics.refreshes.WithLabelValues(string(outcome)).Inc()
	}()
	salt := make([]byte, 32)
	rand.Read(salt)
	var next string
	var session models.Session
	var role string
	err = a.Repo.RotateSession(ctx, models.Hash(token), grace, a.Now(), func(f *models.Family, at models.Standing) (repository.Along, error) {
		// The time is read under the lock: who waited for it must see the token as
		// used in the past.
		next, outcome = f.Present(token, a.lifetimes, salt, a.Now())
		if next != "" {
			if err := at.Admit(&f.Session, d.IP, a.Now()); err != nil {
				return repository.Along{}, err
			}
		}
		session, role = f.Session, at.Role
		if outcome != models.Reused {
			return repository.Along{}, nil
		}
		return a.reused(ctx, f.Session), nil
	})
	if err != nil {
		return in, instead(err, authapi.ErrBadRefreshToken)
	}
	if next == "" {
		if outcome == models.Reused {
			a.Announcer.Wake()
		}
		return in, authapi.ErrBadRefreshToken
	}
	return a.signedIn(session, next, role)
}

// reused tells the fleet that a refresh token was stolen.
func (a *Auth) reused(ctx context.Context, s models.Session) repository.Along {
	u := models.User{ID: s.User}
	return repository.Along{Events: []events.Event{
		authapi.CredentialsChanged.New(ctx, s.Tenant, s.User.String(), 0, credentials(&u, "refresh_token_reused", s.ID.String())),
	}}
}

// Logout ends the principal's own session. One that has ended already is fine.
func (a *Auth) Logout(ctx context.Context, who auth.Principal) error {
	defer a.Announcer.Wake()
	s, err := a.Repo.Session(ctx, who.TenantID, who.UserID, who.SessionID)
	if err == nil {
		err = a.Repo.EndSession(ctx, s.Tenant, s.User, s.ID, a.Now())
	}
	if errors.Is(err, errs.ErrNotFound) {
		return nil
	}
	return err
}

// EndSession ends one session of the user: errs.ErrNotFound if it is not his, or
// has ended.
func (a *Auth) EndSession(ctx context.Context, who auth.Principal, session id.SessionID) error {
	defer a.Announcer.Wake()
	return a.Repo.EndSession(ctx, who.TenantID, who.UserID, session, a.Now())
}

// EndSessions ends all sessions of the user.
func (a *Auth) EndSessions(ctx context.Context, tenant id.TenantID, user id.UserID) error {
	defer a.Announcer.Wake()
	return a.Repo.EndSessions(ctx, tenant, user, a.Now())
}

// EndSessionsOf is EndSessions for another service, which knows the user alone.
func (a *Auth) EndSessionsOf(ctx context.Context, user id.UserID) error {
	tenant, err := a.Repo.TenantOf(ctx, user)
	if err != nil {
		return err
	}
	return a.EndSessions(ctx, tenant, user)
}

func (a *Auth) registeredClaims(subject, audience string, expires time.Time) jwt.RegisteredClaims {
	return jwt.RegisteredClaims{
		Issuer: a.Issuer, Subject: subject, Audience: jwt.ClaimStrings{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(a.Now()), ExpiresAt: jwt.NewNumericDate(expires),
	}
}
