// Package services decides who may do what with workspaces, and what it means.
package services

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// Clock is the time as it is stored: UTC, in microseconds.
func Clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Rights is what callers may do, by permission-service, or by their roles in a fleet
// without it.
type Rights struct {
	permit.Checker
	keeper *permit.Client // nil without permission-service
	api    *rpc.Client    // of permission-service
}

// NewRights asks by the checker, and permission-service itself by api.
func NewRights(c permit.Checker, api *rpc.Client) *Rights {
	keeper, _ := c.(*permit.Client)
	return &Rights{c, keeper, api}
}

// opens reports whether the caller's token may be used on the object: one for certain bases
// on these and on no workspace.
func opens(who auth.Principal, object permit.Object) bool {
	ref := auth.Any
	if kind, name, _ := strings.Cut(string(object), ":"); kind == workspaceapi.KindBase {
		_, ref, _ = strings.Cut(name, "/")
	}
	return who.MaySeeBase(ref)
}

// Check is that of permit.Checker; what the caller's token is not for does not exist.
func (r *Rights) Check(ctx context.Context, who auth.Principal, action string, object permit.Object) error {
	if !opens(who, object) {
		return errs.ErrNotFound
	}
	return r.Checker.Check(ctx, who, action, object)
}

// Filter is that of permit.Checker, under the same rule.
func (r *Rights) Filter(ctx context.Context, who auth.Principal, action string, objects []permit.Object) ([]bool, error) {
	allowed, err := r.Checker.Filter(ctx, who, action, objects)
	if err != nil {
		return nil, err
	}
	for i, o := range objects {
		allowed[i] = allowed[i] && opens(who, o)
	}
	return allowed, nil
}

// writeLimit bounds what a caller waits for permission-service to hear at once what the
// event tells it anyway.
const writeLimit = 2 * time.Second

// tell has permission-service know what was committed, so that the caller's next check
// sees it. A failure is made good by the event.
func (r *Rights) tell(ctx context.Context, in permissionapi.WriteRequest) {
	if r.keeper == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	if _, err := r.keeper.Write(ctx, in); err != nil {
		logging.From(ctx).Warn("permission-service hears of it by the event only", zap.Error(err))
	}
}

func workspaceObject(w models.WorkspaceID) permit.Object { return permit.Workspace(w.String()) }

// unseen makes of a refusal one that does not tell that there is anything.
func unseen(err error) error {
	if errors.Is(err, errs.ErrForbidden) {
		return errs.ErrNotFound
	}
	return err
}

// scan is how many rows are read at a time in search of those that the caller may see.
const scan = 200

// visible reads page after page until limit items are found that the caller may do the
// action on.
func visible[M any](ctx context.Context, r *Rights, who auth.Principal, action string, limit int,
	read func(after *M, limit int) ([]M, error), object func(M) permit.Object) ([]M, error) {
	var found []M
	var last *M
	for {
		list, err := read(last, scan)
		if err != nil || len(list) == 0 {
			return found, err
		}
		allowed, err := filter(ctx, r, who, action, list, object)
		if err != nil {
			return nil, err
		}
		found = append(found, allowed...)
		if len(found) >= limit {
			return found[:limit], nil
		}
		if len(list) < scan {
			return found, nil
		}
		last = &list[len(list)-1]
	}
}

func filter[M any](ctx context.Context, r *Rights, who auth.Principal, action string, list []M, object func(M) permit.Object) ([]M, error) {
	objects := make([]permit.Object, len(list))
	for i, m := range list {
		objects[i] = object(m)
	}
	allowed, err := r.Filter(ctx, who, action, objects)
	if err != nil {
		return nil, err
	}
	return slices.Collect(func(yield func(M) bool) {
		for i, m := range list {
			if allowed[i] && !yield(m) {
				return
			}
		}
	}), nil
}

// base is the object that a base of the tenant is.
func base(tenant id.TenantID, ref string) permit.Object { return permit.Base(tenant, ref) }
