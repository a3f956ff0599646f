package services

import (
	"context"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Tenants are what the user may switch to: the tenant of his account first, then those
// that tenant-service has told of. home is that of his session.
func (a *Auth) Tenants(ctx context.Context, home id.TenantID, user id.UserID) ([]models.Standing, error) {
	told, err := a.Repo.Standings(ctx, user, id.TenantID{})
	if err != nil {
		return nil, err
	}
	list := []models.Standing{models.AtHome(home)}
	for _, s := range told {
		if s.Tenant == home {
			list[0].Name, list[0].Slug = s.Name, s.Slug
			continue
		}
		list = append(list, s)
	}
	return list, nil
}

// standing is what the user, whose account is in home, is in the tenant; zero for no
// member.
func (a *Auth) standing(ctx context.Context, home id.TenantID, user id.UserID, tenant id.TenantID) (models.Standing, error) {
	if tenant == home {
		return models.AtHome(home), nil
	}
	list, err := a.Repo.Standings(ctx, user, tenant)
	if err != nil || len(list) == 0 {
		return models.Standing{}, err
	}
	return list[0], nil
}

// Switch ends the session and begins one of the same sign-in in another tenant of the
// user. It refuses as models.Standing.Admit does.
func (a *Auth) Switch(ctx context.Context, who auth.Principal, tenant id.TenantID, d models.Device) (SignedIn, error) {
	from, err := a.Session(ctx, who)
	if err != nil {
		return SignedIn{}, err
	}
	now := a.Now()
	next := models.Session{
		ID: id.New[id.Session](), User: from.User, Tenant: from.Tenant, In: tenant, Method: from.Method, Device: d,
		MFAAt: from.MFAAt, CreatedAt: from.CreatedAt,
	}
	next.Use(a.lifetimes, now)
	refresh := models.NewSecret(models.RefreshPrefix)
	at, err := a.Repo.SwitchSession(ctx, from, &next, models.RefreshToken{Hash: models.Hash(refresh)}, repository.Along{
		Events: []events.Event{authapi.SignedIn.New(ctx, tenant, next.ID.String(), 1, authapi.SignedInData{
			UserID: next.User.String(), SessionID: next.ID.String(), Method: next.Method, IP: d.IP,
		})},
	}, func(at models.Standing) error { return at.Admit(&next, d.IP, now) })
	if err != nil {
		if errs.From(err).Code == errs.ErrNotFound.Code {
			return SignedIn{}, errs.ErrUnauthenticated.Saying("The session has ended.").Because(err)
		}
		return SignedIn{}, err
	}
	a.Announcer.Wake()
	return a.signedIn(next, refresh, at.Role)
}
