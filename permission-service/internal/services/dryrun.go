package services

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/id"
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
func (d *Decisions) DryRun(ctx context.Context, r Request, p Proposal) (out []Outcome, err error) {
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
	err = d.steady(ctx, r, func(head repository.Head, at models.Moment) error {
		out = []Outcome{}
		for _, q := range r.Questions {
			o, err := d.outcome(ctx, r.Tenant, head, q, p, at)
			if err != nil {
				return err
			}
			out = append(out, o)
		}
		return nil
	})
	return out, err
}

func (d *Decisions) outcome(ctx context.Context, tenant id.TenantID, head repository.Head, q Question, p Proposal, at models.Moment) (o Outcome, err error) {
	f, groups, err := d.repo.FactsAndGroups(ctx, tenant, q.Subject, models.Chain(tenant, q.Object, head.Places, q.Parents), q.Role)
	if err != nil {
		return o, err
	}
	o.Before, _ = models.Decide(f, q.Action, at)
	f.Grants = propose(f, append([]string{q.Subject}, groups...), p)
	o.After, _ = models.Decide(f, q.Action, at)
	return o, d.proposePolicies(ctx, tenant, head, q, p, at, &o)
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

// proposePolicies compares what the policies of the question's base come to: proposed
// grants may change that, too.
func (d *Decisions) proposePolicies(ctx context.Context, tenant id.TenantID, head repository.Head, q Question, p Proposal, at models.Moment, o *Outcome) error {
	object := q.Object
	if base := models.BaseOf(object); base != "" {
		object = base
	}
	if kind, _ := models.Split(object); kind != models.Base {
		return nil
	}
	base := object[strings.LastIndexByte(object, '/')+1:]
	have, err := d.repo.Policies(ctx, tenant, base, models.PolicyID{}, 0)
	if err != nil {
		return err
	}
	would := slices.Clone(have)
	for _, n := range p.Policies {
		if n.BaseID == base {
			would = append(would, n)
		}
	}
	if len(would) == 0 {
		return nil
	}
	f, groups, err := d.ruled(ctx, tenant, head, q, base, would)
	if err != nil {
		return err
	}
	before := models.Combine(have, namesOf(f, groups, base, at.Now))
	f.Grants = propose(f, append([]string{q.Subject}, groups...), p)
	after := models.Combine(would, namesOf(f, groups, base, at.Now))
	if !reflect.DeepEqual(before, after) {
		o.PolicyBefore, o.PolicyAfter = before, after
	}
	return nil
}
