package services

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// Activities is the feed of what the caller may see, behind after: of a workspace, of a
// base, or of both, or of the tenant.
func (t *Tree) Activities(ctx context.Context, who auth.Principal, workspace models.WorkspaceID, ref string, after repository.ActivityKey, limit int) ([]models.Activity, error) {
	if !workspace.IsZero() {
		if _, err := t.Workspace(ctx, who, workspace); err != nil {
			return nil, err
		}
	}
	if ref != "" {
		if _, err := t.Base(ctx, who, ref); err != nil {
			return nil, err
		}
	}
	var found []models.Activity
	for {
		list, err := t.repo.Activities(ctx, who.TenantID, workspace.String(), ref, who.IsAdmin() && who.MaySeeBase(auth.Any), after, scan)
		if err != nil || len(list) == 0 {
			return found, err
		}
		after = ActivityKey(list[len(list)-1])
		seen, err := t.seen(ctx, who, list)
		if err != nil {
			return nil, err
		}
		found = append(found, seen...)
		if len(found) >= limit || len(list) < scan {
			return found[:min(limit, len(found))], nil
		}
	}
}

// ActivityKey is the key of the page behind the entry.
func ActivityKey(a models.Activity) repository.ActivityKey {
	return repository.ActivityKey{At: a.At, ID: a.ID}
}

// seen are the entries of what the caller may see, or share.
func (t *Tree) seen(ctx context.Context, who auth.Principal, list []models.Activity) ([]models.Activity, error) {
	allowed := map[string]map[permit.Object]bool{}
	for audience, action := range map[string]string{models.Readers: permissionapi.Read, models.Sharers: permissionapi.Share} {
		var objects []permit.Object
		known := map[permit.Object]bool{}
		for _, a := range list {
			if o := activityObject(who, a); a.Audience == audience && !known[o] {
				known[o] = true
				objects = append(objects, o)
			}
		}
		answers, err := t.rights.Filter(ctx, who, action, objects)
		if err != nil {
			return nil, err
		}
		for i, o := range objects {
			known[o] = answers[i]
		}
		allowed[audience] = known
	}
	var seen []models.Activity
	for _, a := range list {
		if a.Audience == models.Admins || a.Audience == models.Members && !who.IsGuest() || allowed[a.Audience][activityObject(who, a)] {
			seen = append(seen, a)
		}
	}
	return seen, nil
}

func activityObject(who auth.Principal, a models.Activity) permit.Object {
	if a.Base != "" {
		return base(who.TenantID, a.Base)
	}
	return permit.Workspace(a.Workspace)
}
