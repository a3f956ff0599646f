package services

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// Provision finds the account of an address that a directory names, or opens one without
// a password and mails its owner how to set one. The rules are authapi.ProvisionAccount's.
func (a *Auth) Provision(ctx context.Context, in authapi.AccountRequest) (u models.User, created bool, err error) {
	name := oneLine(in.Name)
	if name == "" {
		name, _, _ = strings.Cut(in.Email, "@")
	}
	fresh, key, err := a.newUser(in.Email, name)
	if err != nil {
		return u, false, err
	}
	if u, err = a.Repo.UserByEmail(ctx, key); err == nil {
		return u, false, a.mayLink(ctx, u, in.Link)
	}
	if !errors.Is(err, errs.ErrNotFound) {
		return u, false, err
	}
	err = a.Repo.CreateUser(ctx, fresh, key, nil, repository.Along{
		Events: []events.Event{registered(ctx, fresh)}, Mails: []models.Mail{a.openedMail(fresh, oneLine(in.Tenant))},
	})
	if !errors.Is(err, authapi.ErrEmailTaken) {
		count(a.Metrics.registrations, err)
		return fresh, err == nil, err
	}
	// Somebody was faster.
	if u, err = a.Repo.UserByEmail(ctx, key); err != nil {
		return u, false, err
	}
	return u, false, a.mayLink(ctx, u, in.Link)
}

func (a *Auth) mayLink(ctx context.Context, u models.User, link bool) error {
	claimed, err := a.Repo.Claimed(ctx, u)
	switch {
	case err != nil:
		return err
	case !claimed:
		return nil
	case !link:
		return authapi.ErrEmailTaken
	case !u.Verified():
		return authapi.ErrLinkRefused
	}
	return nil
}

// oneLine is text from outside as it may stand in a mail.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
}

func (a *Auth) openedMail(u models.User, tenant string) models.Mail {
	m := a.resetMail(u)
	m.Subject = "An account was opened for you"
	m.Text = "Hello " + u.Name + ",\n\n" + tenant + " has opened an account for you. To set its password, send the token\n\n    " + m.Token +
		"\n\nwith it to " + a.PublicURL + "/api/v1/auth/password/reset within an hour. Later, ask for another token at\n" +
		a.PublicURL + authapi.ForgotPassword.Path + ".\n"
	return m
}
