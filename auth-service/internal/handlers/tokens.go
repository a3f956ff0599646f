package handlers

import (
	"context"
	"fmt"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
)

func (h handlers) createToken(ctx context.Context, who auth.Principal, in authapi.TokenRequest) (authapi.NewTokenAnswer, error) {
	holder, err := h.Auth.TokenHolder(ctx, who, in.ServiceAccountID)
	if err != nil {
		return authapi.NewTokenAnswer{}, err
	}
	t, text, err := h.Auth.CreateToken(ctx, holder, services.TokenOrder{Name: in.Name, Scopes: in.Scopes, Bases: in.Bases, ExpiresAt: in.ExpiresAt})
	if err != nil {
		return authapi.NewTokenAnswer{}, err
	}
	return authapi.NewTokenAnswer{
		Location: authapi.CreateToken.Path + "/" + t.ID.String(),
		Body:     authapi.NewToken{PersonalAccessToken: token(t), Token: text},
	}, nil
}

func (h handlers) listTokens(ctx context.Context, who auth.Principal, in authapi.TokensQuery) (authapi.TokenPage, error) {
	holder, err := h.Auth.TokenHolder(ctx, who, in.ServiceAccountID)
	if err != nil {
		return authapi.TokenPage{}, err
	}
	return page.List(in.PageQuery, []any{"tokens", holder.TenantID, holder.UserID},
		func(from repository.TokenPage, limit int) ([]models.Token, error) {
			return h.Repo.Tokens(ctx, holder.TenantID, holder.UserID, from, limit)
		},
		func(t models.Token) repository.TokenPage { return repository.TokenPage{After: t.ID} }, token)
}

func (h handlers) token(ctx context.Context, who auth.Principal, in authapi.TokenRef) (authapi.PersonalAccessToken, error) {
	ref, err := id.Parse[models.TokenKind](in.ID)
	if err != nil {
		return authapi.PersonalAccessToken{}, errs.ErrNotFound
	}
	holder, err := h.Auth.TokenHolder(ctx, who, in.ServiceAccountID)
	if err != nil {
		return authapi.PersonalAccessToken{}, err
	}
	t, err := h.Repo.Token(ctx, holder.TenantID, holder.UserID, ref)
	return token(t), err
}

func (h handlers) revokeToken(ctx context.Context, who auth.Principal, in authapi.TokenRef) (none, error) {
	ref, err := id.Parse[models.TokenKind](in.ID)
	if err != nil {
		return none{}, errs.ErrNotFound
	}
	holder, err := h.Auth.TokenHolder(ctx, who, in.ServiceAccountID)
	if err != nil {
		return none{}, err
	}
	return none{}, h.Auth.RevokeToken(ctx, holder, ref)
}

func (h handlers) exchangePAT(ctx context.Context, _ auth.Principal, in authapi.PATExchange) (authapi.PATAnswer, error) {
	p, err := h.Auth.ExchangePAT(ctx, in.Token)
	if err != nil {
		return authapi.PATAnswer{}, err
	}
	return authapi.PATAnswer{AccessToken: p.JWT, ExpiresAt: p.Until, TokenID: p.Token.String(), IPRanges: p.IPRanges}, nil
}

func (h handlers) serviceToken(_ context.Context, _ auth.Principal, in authapi.ServiceTokenRequest) (authapi.ServiceTokenAnswer, error) {
	access, ttl, err := h.Auth.ServiceToken(in.Client, in.Secret)
	return authapi.ServiceTokenAnswer{AccessToken: access, TokenType: bearer, ExpiresIn: seconds(ttl)}, err
}

func (h handlers) exchangeToken(ctx context.Context, who auth.Principal, in authapi.TokenExchange) (authapi.TokenExchangeAnswer, error) {
	access, ttl, err := h.Auth.ExchangeToken(ctx, who, in.SubjectToken)
	return authapi.TokenExchangeAnswer{
		AccessToken: access, IssuedTokenType: authapi.TypeAccessToken, TokenType: bearer, ExpiresIn: seconds(ttl),
	}, err
}

func (h handlers) publicKeys(context.Context, auth.Principal, none) (authapi.JWKSAnswer, error) {
	return authapi.JWKSAnswer{
		CacheControl: fmt.Sprintf("public, max-age=%d", seconds(services.KeyMaxAge)), Body: h.Keys.Published(),
	}, nil
}
