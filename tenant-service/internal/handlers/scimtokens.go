package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

type scimTokens struct{ s *services.Directory }

func (h scimTokens) create(ctx context.Context, who auth.Principal, in tenantapi.NewSCIMToken) (tenantapi.SCIMTokenMade, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.SCIMTokenMade{}, err
	}
	t, text, err := h.s.CreateToken(ctx, who, tenant, in.Body.Name, in.Body.ExpiresAt)
	if err != nil {
		return tenantapi.SCIMTokenMade{}, err
	}
	return tenantapi.SCIMTokenMade{
		Location: tenantapi.CreateTenant.Path + "/" + in.TenantID + "/scim-tokens/" + t.ID.String(),
		Body:     tenantapi.NewSecret{SCIMToken: scimToken(t), Token: text},
	}, nil
}

func (h scimTokens) list(ctx context.Context, who auth.Principal, in tenantapi.SCIMTokensQuery) (tenantapi.SCIMTokenPage, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.SCIMTokenPage{}, err
	}
	return page.List(in.PageQuery, []any{"SCIM tokens", tenant},
		func(after models.SCIMTokenID, limit int) ([]models.SCIMToken, error) {
			return h.s.Tokens(ctx, who, tenant, after, limit)
		},
		func(t models.SCIMToken) models.SCIMTokenID { return t.ID }, scimToken)
}

func (h scimTokens) rotate(ctx context.Context, who auth.Principal, in tenantapi.SCIMTokenRef) (tenantapi.NewSecret, error) {
	tenant, ref, err := scimTokenID(in)
	if err != nil {
		return tenantapi.NewSecret{}, err
	}
	t, text, err := h.s.RotateToken(ctx, who, tenant, ref)
	if err != nil {
		return tenantapi.NewSecret{}, err
	}
	return tenantapi.NewSecret{SCIMToken: scimToken(t), Token: text}, nil
}

func (h scimTokens) revoke(ctx context.Context, who auth.Principal, in tenantapi.SCIMTokenRef) (none, error) {
	tenant, ref, err := scimTokenID(in)
	if err != nil {
		return none{}, err
	}
	return none{}, h.s.RevokeToken(ctx, who, tenant, ref)
}

func scimToken(t models.SCIMToken) tenantapi.SCIMToken {
	return tenantapi.SCIMToken{
		ID: t.ID.String(), Name: t.Name, CreatedBy: t.CreatedBy.String(), CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt,
	}
}

func scimTokenID(ref tenantapi.SCIMTokenRef) (id.TenantID, models.SCIMTokenID, error) {
	t, err := tenantID(ref.TenantRef)
	if err != nil {
		return t, models.SCIMTokenID{}, err
	}
	s, err := id.Parse[models.SCIMTokenKind](ref.TokenID)
	if err != nil {
		return t, s, tenantapi.ErrSCIMTokenNotFound.Because(err)
	}
	return t, s, nil
}
