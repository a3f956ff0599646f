package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// internals are for other services.
type internals struct{ decisions *services.Decisions }

func (h internals) check(ctx context.Context, _ auth.Principal, in permissionapi.CheckRequest) (permissionapi.CheckAnswer, error) {
	tenant, err := parse[id.Tenant](in.TenantID)
	if err != nil {
		return permissionapi.CheckAnswer{}, err
	}
	r := services.Request{Tenant: tenant, Questions: fromQuestions(in.Questions), IP: services.Address(in.IP), Time: in.Time}
	return answer(ctx, h.decisions, r, in.AtLeast)
}

func (h internals) write(ctx context.Context, _ auth.Principal, in permissionapi.WriteRequest) (permissionapi.WriteAnswer, error) {
	tenant, err := parse[id.Tenant](in.TenantID)
	if err != nil {
		return permissionapi.WriteAnswer{}, err
	}
	w := repository.Write{Grants: fromGrants(in.Grants), Revokes: fromGrants(in.Revokes), Object: in.Object, Actor: in.ActorID}
	if w.IfUnchanged, err = repository.ReadToken(in.IfUnchanged); err != nil {
		return permissionapi.WriteAnswer{}, err
	}
	for i := range w.Grants {
		w.Grants[i].GrantedBy = in.ActorID
	}
	for _, p := range in.Places {
		w.Places = append(w.Places, repository.Placing{Object: p.Object, Parent: p.Parent, Version: p.Version})
	}
	version, _, err := h.decisions.Write(ctx, tenant, w)
	if err != nil {
		return permissionapi.WriteAnswer{}, err
	}
	return permissionapi.WriteAnswer{Token: repository.Token(version)}, nil
}

func (h internals) policy(ctx context.Context, _ auth.Principal, in permissionapi.PolicyQuery) (permissionapi.Policy, error) {
	tenant, err := parse[id.Tenant](in.TenantID)
	if err != nil {
		return permissionapi.Policy{}, err
	}
	p, err := h.decisions.Policy(ctx, tenant, in.Subject, in.Role, in.BaseID)
	if err != nil {
		return permissionapi.Policy{}, err
	}
	return permissionapi.Policy{Version: repository.Token(p.Version), Tables: tablesOf(p.Tables), Granted: notNil(p.Granted)}, nil
}

func (h internals) handOn(ctx context.Context, _ auth.Principal, in permissionapi.HandOnRequest) (permissionapi.HandOnAnswer, error) {
	tenant, err := parse[id.Tenant](in.TenantID)
	if err != nil {
		return permissionapi.HandOnAnswer{}, err
	}
	_, name := models.Split(in.Subject)
	user, err := parse[id.User](name)
	if err != nil || !models.IsUser(in.Subject) {
		return permissionapi.HandOnAnswer{}, permissionapi.ErrBadSubject
	}
	allowed, err := h.decisions.MayHandOn(ctx, auth.Principal{TenantID: tenant, UserID: user, Role: in.Role}, in.Roles, in.Groups)
	return permissionapi.HandOnAnswer{Allowed: allowed}, err
}
