package handlers

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/page"
)

// watchEvery is how often a waiting feed looks.
const watchEvery = 250 * time.Millisecond

type questions struct {
	decisions *services.Decisions
	repo      *repository.Repository
}

func (h questions) mine(ctx context.Context, who auth.Principal, in permissionapi.MyQuestions) (permissionapi.CheckAnswer, error) {
	r := services.Request{Tenant: who.TenantID, IP: services.Address(origin.From(ctx).IP)}
	for _, q := range in.Questions {
		r.Questions = append(r.Questions, question(who, "", q.Action, q.Object))
	}
	return answer(ctx, h.decisions, r, in.AtLeast)
}

// question is one about the subject, or the caller if none is named. The role of the
// caller's token counts for himself only.
func question(who auth.Principal, subject, action, object string) services.Question {
	q := services.Question{Subject: subject, Action: action, Object: object}
	if subject == "" || mine(who, subject) {
		q.Subject, q.Role = models.UserSubject(who.UserID.String()), who.Role
	}
	return q
}

func answer(ctx context.Context, d *services.Decisions, r services.Request, atLeast string) (permissionapi.CheckAnswer, error) {
	var err error
	if r.AtLeast, err = repository.ReadToken(atLeast); err != nil {
		return permissionapi.CheckAnswer{}, err
	}
	a, err := d.Check(ctx, r)
	if err != nil {
		return permissionapi.CheckAnswer{}, err
	}
	return permissionapi.CheckAnswer{Allowed: a.Allowed, Until: a.Until, Token: repository.Token(a.Version)}, nil
}

func (h questions) explain(ctx context.Context, who auth.Principal, in permissionapi.ExplainQuery) (permissionapi.Explanation, error) {
	var out permissionapi.Explanation
	if !models.IsObject(who.TenantID, in.Object) {
		return out, permissionapi.ErrBadObject
	}
	q := question(who, in.Subject, in.Action, in.Object)
	if !models.IsUser(q.Subject) {
		return out, permissionapi.ErrBadSubject
	}
	if !mine(who, q.Subject) {
		if err := h.decisions.MayShare(ctx, who, in.Object); err != nil {
			return out, err
		}
	}
	r := services.Request{Tenant: who.TenantID, Questions: []services.Question{q}, Time: in.Time, IP: services.Address(origin.From(ctx).IP)}
	if in.IP != "" {
		if r.IP = services.Address(in.IP); !r.IP.IsValid() {
			return out, permissionapi.ErrBadIP
		}
	}
	e, err := h.decisions.Explain(ctx, r)
	if err != nil {
		return out, err
	}
	return permissionapi.Explanation{Allowed: e.Allowed, Chain: e.Chain, Steps: stepsOf(e.Steps), Token: repository.Token(e.Version)}, nil
}

func (h questions) objects(ctx context.Context, who auth.Principal, in permissionapi.ObjectQuery) (permissionapi.ObjectPage, error) {
	out := permissionapi.ObjectPage{Items: []string{}}
	q := question(who, in.Subject, in.Action, "")
	if !models.IsUser(q.Subject) {
		return out, permissionapi.ErrBadSubject
	}
	if !mine(who, q.Subject) {
		if err := h.decisions.MayAdminister(ctx, who); err != nil {
			return out, err
		}
	}
	var after string
	filters := page.Filters(who.TenantID, q.Subject, in.Action, in.Kind)
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	r := services.Request{Tenant: who.TenantID, Questions: []services.Question{q}, IP: services.Address(origin.From(ctx).IP)}
	list, err := h.decisions.Objects(ctx, r, in.Kind, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.NextCursor = page.Encode(filters, list[in.Limit-1])
	}
	out.Items = append(out.Items, list...)
	return out, nil
}

func (h questions) subjects(ctx context.Context, who auth.Principal, in permissionapi.AccessQuery) (permissionapi.AccessPage, error) {
	out := permissionapi.AccessPage{Items: []permissionapi.Access{}}
	if !models.IsObject(who.TenantID, in.Object) {
		return out, permissionapi.ErrBadObject
	}
	if err := h.decisions.MayShare(ctx, who, in.Object); err != nil {
		return out, err
	}
	var after string
	filters := page.Filters(who.TenantID, in.Object, in.Action)
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	r := services.Request{Tenant: who.TenantID, Questions: []services.Question{{Action: in.Action, Object: in.Object}}}
	list, err := h.decisions.Users(ctx, r, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.NextCursor = page.Encode(filters, list[in.Limit-1].Subject)
	}
	for _, a := range list {
		out.Items = append(out.Items, permissionapi.Access{Subject: a.Subject, Action: a.Action, Via: stepsOf(a.Via)})
	}
	return out, nil
}

func (h questions) dryRun(ctx context.Context, who auth.Principal, in permissionapi.DryRunRequest) (permissionapi.DryRunAnswer, error) {
	out := permissionapi.DryRunAnswer{Results: []permissionapi.DryRunResult{}}
	if err := h.decisions.MayAdminister(ctx, who); err != nil {
		return out, err
	}
	p := services.Proposal{Grants: fromGrants(in.Grants), Revokes: fromGrants(in.Revokes)}
	for _, rule := range in.Policies {
		policy, err := services.ValidPolicy(fromRule(rule))
		if err != nil {
			return out, err
		}
		p.Policies = append(p.Policies, policy)
	}
	r := services.Request{Tenant: who.TenantID, Questions: fromQuestions(in.Questions), Time: in.Time}
	for _, q := range r.Questions {
		if !models.IsUser(q.Subject) {
			return out, permissionapi.ErrBadSubject
		}
		if !models.IsObject(who.TenantID, q.Object) {
			return out, permissionapi.ErrBadObject
		}
	}
	if in.IP != "" {
		if r.IP = services.Address(in.IP); !r.IP.IsValid() {
			return out, permissionapi.ErrBadIP
		}
	}
	list, err := h.decisions.DryRun(ctx, r, p)
	if err != nil {
		return out, err
	}
	for _, o := range list {
		res := permissionapi.DryRunResult{Before: o.Before, After: o.After}
		if o.PolicyBefore != nil || o.PolicyAfter != nil {
			res.PolicyBefore, res.PolicyAfter = tablesOf(o.PolicyBefore), tablesOf(o.PolicyAfter)
		}
		if o.Before != o.After || o.PolicyAfter != nil {
			out.Changed++
		}
		out.Results = append(out.Results, res)
	}
	return out, nil
}

func (h questions) watch(ctx context.Context, who auth.Principal, in permissionapi.WatchQuery) (permissionapi.ChangePage, error) {
	out := permissionapi.ChangePage{Items: []permissionapi.ChangeRecord{}}
	if err := h.decisions.MayAdminister(ctx, who); err != nil {
		return out, err
	}
	var after int64
	filters := page.Filters(who.TenantID)
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	list, err := h.waitForChanges(ctx, who, after, in)
	if err != nil {
		return out, err
	}
	for _, e := range list {
		out.Items = append(out.Items, permissionapi.ChangeRecord{Token: repository.Token(e.Version), At: e.At, Change: e.Change})
		after = e.Version
	}
	out.NextCursor = page.Encode(filters, after)
	return out, nil
}

// waitForChanges asks until there is something, or the caller's patience is over.
func (h questions) waitForChanges(ctx context.Context, who auth.Principal, after int64, in permissionapi.WatchQuery) ([]repository.Entry, error) {
	limit := time.NewTimer(time.Duration(in.WaitSeconds) * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		list, err := h.repo.Changes(ctx, who.TenantID, after, in.Limit)
		if err != nil || len(list) > 0 || in.WaitSeconds == 0 {
			return list, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-limit.C:
			return nil, nil
		case <-tick.C:
		}
	}
}
