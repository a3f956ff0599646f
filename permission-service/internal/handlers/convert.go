package handlers

import (
	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// parse reads an id of a path; what is none names nothing.
func parse[T any](s string) (id.ID[T], error) {
	v, err := id.Parse[T](s)
	if err != nil {
		return v, errs.ErrNotFound
	}
	return v, nil
}

func fromGrant(g permissionapi.Grant) models.Grant {
	return models.Grant{Subject: g.Subject, Object: g.Object, Role: g.Role, Deny: g.Deny, ExpiresAt: g.ExpiresAt, IPRanges: g.IPRanges}
}

func fromGrants(list []permissionapi.Grant) []models.Grant {
	var out []models.Grant
	for _, g := range list {
		out = append(out, fromGrant(g))
	}
	return out
}

func grantOf(g models.Grant) permissionapi.GrantRecord {
	return permissionapi.GrantRecord{
		ID: g.ID.String(), GrantedBy: g.GrantedBy, CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt,
		Grant: permissionapi.Grant{Subject: g.Subject, Object: g.Object, Role: g.Role, Deny: g.Deny, ExpiresAt: g.ExpiresAt, IPRanges: g.IPRanges},
	}
}

func roleOf(r models.Role) permissionapi.Role {
	return permissionapi.Role{ID: r.ID.String(), Name: r.Name, Description: r.Description, Actions: r.Actions, Version: r.Version, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
}

func fromRule(r permissionapi.Rule) models.Policy {
	return models.Policy{
		Name: r.Name, Subjects: r.Subjects, BaseID: r.BaseID, TableID: r.TableID, Hidden: r.Hidden, ReadOnly: r.ReadOnly, Rows: r.Rows,
	}
}

func ruleOf(p models.Policy) permissionapi.RuleRecord {
	return permissionapi.RuleRecord{
		ID: p.ID.String(), Version: p.Version, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
		Rule: permissionapi.Rule{
			Name: p.Name, Subjects: p.Subjects, BaseID: p.BaseID, TableID: p.TableID, Hidden: p.Hidden, ReadOnly: p.ReadOnly, Rows: p.Rows,
		},
	}
}

func tablesOf(list []models.TablePolicy) []permissionapi.TablePolicy {
	out := []permissionapi.TablePolicy{}
	for _, t := range list {
		out = append(out, permissionapi.TablePolicy{
			TableID: t.TableID, Hidden: notNil(t.Hidden), ReadOnly: notNil(t.ReadOnly), Rows: notNil(t.Rows),
		})
	}
	return out
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func stepsOf(list []models.Step) []permissionapi.Step {
	out := []permissionapi.Step{}
	for _, s := range list {
		out = append(out, permissionapi.Step{
			Kind: s.Kind, Object: s.Object, Subject: s.Subject, Role: s.Role, GrantID: s.GrantID.String(), Holds: s.Holds, Why: s.Why, Decides: s.Decides,
		})
	}
	return out
}

func fromQuestions(list []permissionapi.Question) []services.Question {
	var out []services.Question
	for _, q := range list {
		out = append(out, services.Question{Subject: q.Subject, Action: q.Action, Object: q.Object, Role: q.Role, Parents: q.Parents})
	}
	return out
}
