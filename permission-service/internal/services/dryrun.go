package services

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Proposal is a change that is not made.
type Proposal struct {
	Grants, Revokes []models.Grant
	Policies        []models.Policy
}

// Outcome compares the answers to one question.
type Outcome struct {
	Before, After             bool
	PolicyBefore, PolicyAfter []models.TablePolicy
}

// DryRun answers each question as things are and as they would be.
func (d *Decisions) DryRun(ctx context.Context, r Request, p Proposal) ([]Outcome, error) {
	at := models.Moment{Now: r.Time, IP: r.IP}
	if r.Time.IsZero() {
		at.Now = d.now()
	}
	for i, g := range p.Grants {
		g, err := d.valid(r.Tenant, g)
		if err != nil {
			return nil, err
		}
		if g.Actions, err = d.actions(ctx, r.Tenant, g.Role); err != nil {
			return nil, err
		}
		p.Grants[i] = g
	}
	for range tries {
		head, err := d.head(ctx, r, at.Now)
		if err != nil {
			return nil, err
		}
		out := []Outcome{}
		for _, q := range r.Questions {
			f, groups, err := d.repo.FactsAndGroups(ctx, r.Tenant, q.Subject, models.Chain(r.Tenant, q.Object, head.Places, q.Parents), q.Role)
			if err != nil {
				return nil, err
			}
			o := Outcome{}
			o.Before, _ = models.Decide(f, q.Action, at)
			names := append(slices.Clone(groups), q.Subject)
			f.Grants = propose(f, names, p)
			o.After, _ = models.Decide(f, q.Action, at)
			if err := d.proposePolicies(ctx, r, q, p, f, groups, &o); err != nil {
				return nil, err
			}
			out = append(out, o)
		}
		now, err := d.repo.Version(ctx, r.Tenant)
		if err != nil {
			return nil, err
		}
		if now == head.Version {
			return out, nil
		}
	}
	return nil, errs.ErrUnavailable.Saying("Permissions change too fast.")
}

// propose is what the grants would be. Proposed ones take the place of equal ones.
func propose(f models.Facts, names []string, p Proposal) []models.Grant {
	grants := slices.DeleteFunc(slices.Clone(f.Grants), func(g models.Grant) bool {
		return slices.ContainsFunc(slices.Concat(p.Revokes, p.Grants), g.SameKey)
	})
	for _, g := range p.Grants {
		if slices.Contains(f.Chain, g.Object) && slices.Contains(names, g.Subject) {
			grants = append(grants, g)
		}
	}
	return grants
}

// proposePolicies compares the policies of the question's base, if any are proposed.
func (d *Decisions) proposePolicies(ctx context.Context, r Request, q Question, p Proposal, f models.Facts, groups []string, o *Outcome) error {
	object := q.Object
	if table := models.BaseOf(object); table != "" {
		object = table
	}
	if kind, _ := models.Split(object); kind != models.Base || len(p.Policies) == 0 {
		return nil
	}
	base := object[strings.LastIndexByte(object, '/')+1:]
	have, err := d.repo.Policies(ctx, r.Tenant, base, models.PolicyID{}, 0)
	if err != nil {
		return err
	}
	would := slices.Clone(have)
	for _, n := range p.Policies {
		if n.BaseID == base {
			would = append(would, n)
		}
	}
	names := append(slices.Clone(groups), q.Subject)
	if f.TenantRole != "" {
		names = append(names, models.RoleSubject(f.TenantRole))
	}
	for _, g := range f.Grants {
		if !g.Deny {
			names = append(names, models.RoleSubject(g.Role))
		}
	}
	before, after := models.Combine(have, names), models.Combine(would, names)
	if !reflect.DeepEqual(before, after) {
		o.PolicyBefore, o.PolicyAfter = before, after
	}
	return nil
}
