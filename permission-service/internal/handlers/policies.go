package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"
)

// policies are the affair of the tenant's owners and admins, all of it.
type policies struct {
	decisions *services.Decisions
	repo      *repository.Repository
}

func (h policies) create(ctx context.Context, who auth.Principal, in permissionapi.Rule) (permissionapi.CreatedRule, error) {
	if err := h.decisions.MayAdminister(ctx, who); err != nil {
		return permissionapi.CreatedRule{}, err
	}
	p, err := services.ValidPolicy(fromRule(in))
	if err != nil {
		return permissionapi.CreatedRule{}, err
	}
	p, err = h.repo.CreatePolicy(ctx, who.TenantID, p, who.UserID.String())
	if err != nil {
		return permissionapi.CreatedRule{}, err
	}
	return permissionapi.CreatedRule{Location: permissionapi.CreatePolicy.Path + "/" + p.ID.String(), ETag: etag.Of(p.Version), Body: ruleOf(p)}, nil
}

func parsePolicy(s string) (models.PolicyID, error) {
	var ref models.PolicyID
	if ref.UnmarshalText([]byte(s)) != nil || ref.IsZero() {
		return ref, errs.ErrNotFound
	}
	return ref, nil
}

// admitted is the policy that an admin names.
func (h policies) admitted(ctx context.Context, who auth.Principal, ref string) (models.PolicyID, error) {
	if err := h.decisions.MayAdminister(ctx, who); err != nil {
		return models.PolicyID{}, err
	}
	return parsePolicy(ref)
}

func (h policies) policy(ctx context.Context, who auth.Principal, in permissionapi.RuleRef) (permissionapi.RuleAnswer, error) {
	ref, err := h.admitted(ctx, who, in.ID)
	if err != nil {
		return permissionapi.RuleAnswer{}, err
	}
	return ruleAnswer(h.repo.Policy(ctx, who.TenantID, ref))
}

func ruleAnswer(p models.Policy, err error) (permissionapi.RuleAnswer, error) {
	return permissionapi.RuleAnswer{ETag: etag.Of(p.Version), Body: ruleOf(p)}, err
}

func (h policies) list(ctx context.Context, who auth.Principal, in permissionapi.RuleQuery) (permissionapi.RulePage, error) {
	out := permissionapi.RulePage{Items: []permissionapi.RuleRecord{}}
	if err := h.decisions.MayAdminister(ctx, who); err != nil {
		return out, err
	}
	var after models.PolicyID
	filters := page.Filters(who.TenantID, in.BaseID)
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	list, err := h.repo.Policies(ctx, who.TenantID, in.BaseID, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.NextCursor = page.Encode(filters, list[in.Limit-1].ID)
	}
	for _, p := range list {
		out.Items = append(out.Items, ruleOf(p))
	}
	return out, nil
}

func (h policies) update(ctx context.Context, who auth.Principal, in permissionapi.RuleUpdate) (permissionapi.RuleAnswer, error) {
	ref, err := h.admitted(ctx, who, in.ID)
	if err != nil {
		return permissionapi.RuleAnswer{}, err
	}
	p, err := services.ValidPolicy(fromRule(in.Body))
	if err != nil {
		return permissionapi.RuleAnswer{}, err
	}
	p.ID = ref
	return ruleAnswer(h.repo.UpdatePolicy(ctx, who.TenantID, p, etag.Read(in.IfMatch), who.UserID.String()))
}

func (h policies) delete(ctx context.Context, who auth.Principal, in permissionapi.RuleDeletion) (permissionapi.Changed, error) {
	ref, err := h.admitted(ctx, who, in.ID)
	if err != nil {
		return permissionapi.Changed{}, err
	}
	version, err := h.repo.DeletePolicy(ctx, who.TenantID, ref, etag.Read(in.IfMatch), who.UserID.String())
	return permissionapi.Changed{Token: repository.Token(version)}, err
}
