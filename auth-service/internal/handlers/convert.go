package handlers

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
)

const bearer = "Bearer"

func user(u models.User) authapi.User {
	return authapi.User{
		ID: u.ID.String(), TenantID: u.Tenant.String(), Email: u.Email, EmailVerified: u.Verified(), Name: u.Name, CreatedAt: u.CreatedAt,
	}
}

func loginAnswer(s services.SignedIn) authapi.LoginAnswer {
	if s.MFAToken != "" {
		return authapi.LoginAnswer{MFARequired: true, MFAToken: s.MFAToken}
	}
	return authapi.LoginAnswer{
		AccessToken: s.Access, TokenType: bearer, ExpiresIn: seconds(services.AccessTTL), RefreshToken: s.Refresh, SessionID: s.Session.String(),
	}
}

func tokens(s services.SignedIn) authapi.Tokens {
	return authapi.Tokens{
		AccessToken: s.Access, TokenType: bearer, ExpiresIn: seconds(services.AccessTTL), RefreshToken: s.Refresh, SessionID: s.Session.String(),
	}
}

func session(s models.Session, who auth.Principal) authapi.Session {
	return authapi.Session{
		ID: s.ID.String(), Current: s.ID == who.SessionID, Method: s.Method, UserAgent: s.Device.UserAgent, IP: s.Device.IP,
		CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt,
	}
}

func choice(at models.Standing, current id.TenantID) authapi.TenantChoice {
	status := at.Status
	if at.Suspended && status == tenantapi.StatusActive {
		status = tenantapi.StatusSuspended
	}
	return authapi.TenantChoice{
		TenantID: at.Tenant.String(), Kind: at.Kind, Name: at.Name, Slug: at.Slug, Status: status, Role: at.Role,
		RequireMFA: at.RequireMFA, Current: at.Tenant == current,
	}
}

func token(t models.Token) authapi.PersonalAccessToken {
	return authapi.PersonalAccessToken{
		ID: t.ID.String(), Name: t.Name, Prefix: t.Prefix, Scopes: t.Scopes, Bases: t.Bases,
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt,
	}
}

func mail(m models.Mail) authapi.Mail {
	return authapi.Mail{ID: m.ID.String(), To: m.To, Kind: string(m.Kind), Subject: m.Subject, Text: m.Text, Token: m.Token, At: m.CreatedAt}
}

func seconds(d time.Duration) int { return int(d / time.Second) }

// convert renders a list; it is never nil.
func convert[M, A any](list []M, render func(M) A) []A {
	out := make([]A, 0, len(list))
	for _, m := range list {
		out = append(out, render(m))
	}
	return out
}

// device is where the request came from, for limits on sign-ins and the list of
// sessions.
func device(ctx context.Context) models.Device {
	from := origin.From(ctx)
	return models.Device{IP: from.IP, UserAgent: from.Agent}
}
