package services

import (
	"context"
	"errors"
	"strings"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// LoginOIDC signs in the user whom a provider has identified: the one that the
// provider's account is linked to; else the one with its address, who is linked
// to it; else a new one. An address counts only if the provider vouches for it.
// It is not linked to an account whose own address is not verified
// (authapi.ErrLinkRefused): whoever opened that may not be its owner.
func (a *Auth) LoginOIDC(ctx context.Context, i models.Identity, d models.Device) (in SignedIn, err error) {
	defer func() {
		if in.MFAToken == "" {
			count(a.Metrics.logins, err)
		}
	}()
	u, err := a.Repo.UserByIdentity(ctx, i)
	if errors.Is(err, errs.ErrNotFound) {
		u, err = a.adopt(ctx, i)
	}
	if err != nil {
		return in, err
	}
	return a.enter(ctx, u, "oidc:"+i.Provider, d)
}

// adopt links the provider's account to a user, who may be new.
func (a *Auth) adopt(ctx context.Context, i models.Identity) (models.User, error) {
	if !i.Verified {
		return models.User{}, authapi.ErrEmailNotVerified.Saying("The provider has not verified the email address.")
	}
	name := strings.TrimSpace(i.Name)
	if name == "" {
		name, _, _ = strings.Cut(i.Email, "@")
	}
	u, key, err := a.newUser(i.Email, name)
	if err != nil {
		return u, err
	}
	u.Verify(a.Now())
	err = a.Repo.CreateUser(ctx, u, key, &i, repository.Along{Events: []events.Event{registered(ctx, u)}})
	count(a.Metrics.registrations, err)
	if !errors.Is(err, authapi.ErrEmailTaken) {
		return u, err
	}
	if u, err = a.Repo.UserByEmail(ctx, key); err != nil {
		return u, err
	}
	err = a.Repo.LinkIdentity(ctx, u.Tenant, u.ID, i, a.Now(), func(u *models.User) (repository.Along, error) {
		if !u.Verified() {
			return repository.Along{}, authapi.ErrLinkRefused
		}
		return repository.Along{
			Events: []events.Event{authapi.CredentialsChanged.New(ctx, u.Tenant, u.ID.String(), u.Version, credentials(u, "provider_linked", ""))},
			Mails: []models.Mail{a.notice(*u, "A sign-in provider was linked",
				"Your account can now be signed in to with "+i.Provider+". If that was not you, ask for a new password at once.")},
		}, nil
	})
	return u, err
}
