package services

import (
	"context"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// TokenHolder is whose tokens the signed-in user manages: himself, or, as an owner or
// admin of the tenant, the service account of that id. It returns authapi.ErrAdminsOnly
// or ErrServiceAccountNotFound.
func (a *Auth) TokenHolder(ctx context.Context, who auth.Principal, serviceAccount string) (auth.Principal, error) {
	if serviceAccount == "" {
		return who, nil
	}
	s, err := a.Session(ctx, who)
	if err != nil {
		return auth.Principal{}, err
	}
	at, err := a.standing(ctx, s.Tenant, who.UserID, who.TenantID)
	if err != nil {
		return auth.Principal{}, err
	}
	if !at.Open() || !models.Manages(who.Role, at.Role) {
		return auth.Principal{}, authapi.ErrAdminsOnly
	}
	user, err := id.Parse[id.User](serviceAccount)
	if err != nil {
		return auth.Principal{}, authapi.ErrServiceAccountNotFound.Because(err)
	}
	if err := a.Repo.RequireServiceAccount(ctx, who.TenantID, user); err != nil {
		return auth.Principal{}, err
	}
	return auth.Principal{TenantID: who.TenantID, UserID: user}, nil
}
