package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type grants struct {
	decisions *services.Decisions
	repo      *repository.Repository
}

func (h grants) create(ctx context.Context, who auth.Principal, in permissionapi.Grant) (permissionapi.CreatedGrant, error) {
	version, g, err := h.decisions.Grant(ctx, who, fromGrant(in))
	if err != nil {
		return permissionapi.CreatedGrant{}, err
	}
	return permissionapi.CreatedGrant{
		Location: permissionapi.CreateGrant.Path + "/" + g.ID.String(), Token: repository.Token(version), Body: grantOf(g),
	}, nil
}

// mine reports whether a grant, or a list of them, is about the caller himself.
func mine(who auth.Principal, subject string) bool {
	return subject == models.UserSubject(who.UserID.String())
}

func (h grants) grant(ctx context.Context, who auth.Principal, in permissionapi.GrantRef) (permissionapi.GrantRecord, error) {
	ref, err := parseGrant(in.ID)
	if err != nil {
		return permissionapi.GrantRecord{}, err
	}
	g, err := h.repo.Grant(ctx, who.TenantID, ref)
	if err != nil {
		return permissionapi.GrantRecord{}, err
	}
	if !mine(who, g.Subject) && h.decisions.MayAdminister(ctx, who) != nil {
		if err := h.decisions.MayShare(ctx, who, g.Object); err != nil {
			return permissionapi.GrantRecord{}, err
		}
	}
	return grantOf(g), nil
}

func (h grants) list(ctx context.Context, who auth.Principal, in permissionapi.GrantQuery) (permissionapi.GrantPage, error) {
	out := permissionapi.GrantPage{Items: []permissionapi.GrantRecord{}}
	if err := h.mayList(ctx, who, in); err != nil {
		return out, err
	}
	var after models.GrantID
	filters := page.Filters(who.TenantID, in.Object, in.Subject)
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	list, err := h.repo.Grants(ctx, who.TenantID, in.Object, in.Subject, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.NextCursor = page.Encode(filters, list[in.Limit-1].ID)
	}
	for _, g := range list {
		out.Items = append(out.Items, grantOf(g))
	}
	return out, nil
}

func (h grants) mayList(ctx context.Context, who auth.Principal, in permissionapi.GrantQuery) error {
	if mine(who, in.Subject) {
		return nil
	}
	if in.Object != "" {
		return h.decisions.MayShare(ctx, who, in.Object)
	}
	return h.decisions.MayAdminister(ctx, who)
}

func (h grants) revoke(ctx context.Context, who auth.Principal, in permissionapi.GrantRef) (permissionapi.Changed, error) {
	ref, err := parseGrant(in.ID)
	if err != nil {
		return permissionapi.Changed{}, err
	}
	version, err := h.decisions.Revoke(ctx, who, ref)
	return permissionapi.Changed{Token: repository.Token(version)}, err
}

func parseGrant(s string) (models.GrantID, error) {
	var ref models.GrantID
	if ref.UnmarshalText([]byte(s)) != nil || ref.IsZero() {
		return ref, errs.ErrNotFound
	}
	return ref, nil
}
