package services

import (
	"context"
	"errors"
	"strings"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Registration is what an account is made from.
type Registration struct{ Email, Password, Name string }

// Register opens an account with a personal tenant and mails the link that
// verifies its address. It returns authapi.ErrEmailTaken if the address has an
// account, unless addresses have to be verified before the first sign-in: then
// the answer is the same as for a new one, and the mailbox's owner is told.
func (a *Auth) Register(ctx context.Context, in Registration) (u models.User, err error) {
	defer func() { count(a.Metrics.registrations, err) }()
	u, key, err := a.newUser(in.Email, in.Name)
	if err != nil {
		return u, err
	}
	if u.Name == "" {
		return u, errs.ErrInvalid.With(errs.Field{Pointer: "/name", Detail: "must not be blank"})
	}
	if err := passwordRule("/password", in.Password, u.Email); err != nil {
		return u, err
	}
	// Hashed first, so that a taken address takes as long as a new one.
	if u.PasswordHash, err = a.Passwords.Hash(ctx, in.Password); err != nil {
		return u, err
	}
	err = a.Repo.CreateUser(ctx, u, key, nil, repository.Along{
		Events: []events.Event{registered(ctx, u)},
		Mails:  []models.Mail{a.verifyMail(u)},
	})
	if errors.Is(err, authapi.ErrEmailTaken) && a.VerifyFirst {
		return u, a.mailOwner(ctx, key)
	}
	return u, err
}

// newUser returns an account that is not stored yet, and the key of its address.
func (a *Auth) newUser(email, name string) (models.User, string, error) {
	key, ok := models.EmailKey(email)
	if !ok {
		return models.User{}, "", authapi.ErrBadEmail.With(errs.Field{Pointer: "/email", Detail: "is not an email address"})
	}
	return models.User{
		ID: id.New[id.User](), Tenant: id.New[id.Tenant](), Email: strings.TrimSpace(email), Name: strings.TrimSpace(name),
		Version: 1, CreatedAt: a.Now(),
	}, key, nil
}

func registered(ctx context.Context, u models.User) events.Event {
	return authapi.UserRegistered.New(ctx, u.Tenant, u.ID.String(), u.Version, authapi.UserRegisteredData{
		UserID: u.ID.String(), TenantID: u.Tenant.String(), Email: u.Email, EmailVerified: u.Verified(), Name: u.Name,
	})
}

// mailOwner tells the owner of an address that somebody tried to register it.
func (a *Auth) mailOwner(ctx context.Context, key string) error {
	u, err := a.Repo.UserByEmail(ctx, key)
	if err != nil {
		return err
	}
	_, err = a.Repo.MailUser(ctx, a.notice(u, "You have an account already",
		"Somebody, perhaps you, tried to open an account with this address. You have one already: sign in, or ask for a new password."), models.MailPause)
	return err
}

// ChangePassword replaces the password of the signed-in user and ends his other
// sessions. Personal access tokens go on working.
func (a *Auth) ChangePassword(ctx context.Context, who auth.Principal, current, next string, d models.Device) error {
	u, err := a.Repo.User(ctx, who.TenantID, who.UserID)
	if err != nil {
		return err
	}
	if u.PasswordHash == "" {
		return authapi.ErrNoPassword
	}
	if err := passwordRule("/new_password", next, u.Email); err != nil {
		return err
	}
	if err := a.confirmPassword(ctx, u, current, d); err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, next)
	if err != nil {
		return err
	}
	err = a.Repo.UpdateUser(ctx, u.Tenant, u.ID, a.Now(), func(now *models.User) (repository.Along, error) {
		if now.PasswordHash != u.PasswordHash { // changed meanwhile, by somebody who knew it too
			return repository.Along{}, authapi.ErrBadCredentials
		}
		now.PasswordHash = hash
		return a.passwordChanged(ctx, now, "password_changed", who.SessionID), nil
	})
	a.Announcer.Wake()
	return err
}

// confirmPassword checks the password of a user who is signed in, within the
// limits on signing in.
func (a *Auth) confirmPassword(ctx context.Context, u models.User, password string, d models.Device) error {
	key, _ := models.EmailKey(u.Email)
	guards, err := a.loginGuards(ctx, key, u, d)
	if err != nil {
		return err
	}
	attempt, err := a.begin(ctx, guards...)
	if err != nil {
		return err
	}
	ok, err := a.Passwords.Check(ctx, u.PasswordHash, password)
	if err != nil {
		attempt.undo(ctx)
		return err
	}
	if !ok {
		return authapi.ErrBadCredentials
	}
	attempt.succeed(ctx)
	return nil
}

func (a *Auth) passwordChanged(ctx context.Context, u *models.User, what string, except id.SessionID) repository.Along {
	return repository.Along{
		Ends:   models.EndSessions{All: true, Except: except},
		Events: []events.Event{authapi.CredentialsChanged.New(ctx, u.Tenant, u.ID.String(), u.Version, credentials(u, what, ""))},
		Mails: []models.Mail{a.notice(*u, "Your password was changed",
			"The password of your account was changed. If that was not you, ask for a new one at once.")},
	}
}

// ForgotPassword has a link to set a new password mailed, if anybody has the
// address. Neither the answer nor its time tells.
func (a *Auth) ForgotPassword(ctx context.Context, email string) error {
	return a.askMail(ctx, models.ResetMail, email)
}

// ResendVerification has the verification link mailed again, if anybody has the
// address and has not verified it. Neither the answer nor its time tells.
func (a *Auth) ResendVerification(ctx context.Context, email string) error {
	return a.askMail(ctx, models.VerifyMail, email)
}

func (a *Auth) askMail(ctx context.Context, kind models.MailKind, email string) error {
	key, ok := models.EmailKey(email)
	if !ok {
		return authapi.ErrBadEmail.With(errs.Field{Pointer: "/email", Detail: "is not an email address"})
	}
	return a.Repo.AskMail(ctx, kind, key)
}

// MailAsked does what ForgotPassword and ResendVerification asked for; a user gets
// one mail of a kind in models.MailPause at the most.
func (a *Auth) MailAsked(ctx context.Context, job models.AskMail) error {
	key, err := a.Repo.Asked(job)
	if err != nil {
		return err
	}
	u, err := a.Repo.UserByEmail(ctx, key)
	if errors.Is(err, errs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var m models.Mail
	switch {
	case job.MailKind == models.ResetMail:
		m = a.resetMail(u)
	case !u.Verified():
		m = a.verifyMail(u)
	default:
		return nil
	}
	_, err = a.Repo.MailUser(ctx, m, models.MailPause)
	return err
}

// ResetPassword sets a new password for the bearer of a mail's token, verifies
// the address, since the bearer reads its mail, and ends every session. If the
// address was not verified before, whoever opened the account may not be its
// owner: then the second factor and the personal access tokens go, too.
func (a *Auth) ResetPassword(ctx context.Context, token, password string) error {
	now := a.Now()
	email, err := a.Repo.HasMailToken(ctx, models.Hash(token), models.ResetMail, now)
	if err != nil {
		return instead(err, authapi.ErrBadMailToken)
	}
	if err := passwordRule("/new_password", password, email); err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	err = a.Repo.RedeemMailToken(ctx, models.Hash(token), models.ResetMail, now, func(u *models.User) (repository.Along, error) {
		u.PasswordHash = hash
		along := a.passwordChanged(ctx, u, "password_reset", id.SessionID{})
		if u.Verify(now) {
			u.DropSecondFactor()
			along.EndTokens = true
			along.Events = append(along.Events, verified(ctx, u))
		}
		return along, nil
	})
	if err != nil {
		return instead(err, authapi.ErrBadMailToken)
	}
	a.Announcer.Wake()
	return nil
}

// VerifyEmail notes that the bearer of a mail's token reads the address's mail.
func (a *Auth) VerifyEmail(ctx context.Context, token string) error {
	now := a.Now()
	err := a.Repo.RedeemMailToken(ctx, models.Hash(token), models.VerifyMail, now, func(u *models.User) (repository.Along, error) {
		if !u.Verify(now) {
			return repository.Along{}, nil
		}
		return repository.Along{Events: []events.Event{verified(ctx, u)}}, nil
	})
	return instead(err, authapi.ErrBadMailToken)
}

func verified(ctx context.Context, u *models.User) events.Event {
	return authapi.EmailVerified.New(ctx, u.Tenant, u.ID.String(), u.Version, authapi.EmailVerifiedData{UserID: u.ID.String(), Email: u.Email})
}

func passwordRule(pointer, password, email string) error {
	if fault := models.PasswordFault(password, email); fault != "" {
		return authapi.ErrWeakPassword.With(errs.Field{Pointer: pointer, Detail: fault})
	}
	return nil
}
