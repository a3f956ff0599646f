package services

import (
	"context"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/policy"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Views defines views of local bases.
type Views struct {
	connections *Connections
	store       *local.Store
	guard       *policy.Guard
}

// NewViews returns the views of store's bases, as far as guard lets callers see and
// change them.
func NewViews(c *Connections, store *local.Store, guard *policy.Guard) *Views {
	return &Views{c, store, guard}
}

// Of returns the table with its views. A base of an Airtable account is
// airtableapi.ErrViewsElsewhere, as for all methods.
func (s *Views) Of(ctx context.Context, who auth.Principal, base, table string) (*models.Table, error) {
	sight, err := s.look(ctx, who, permissionapi.Read, base, table)
	if err != nil {
		return nil, err
	}
	t, err := s.store.Table(ctx, who.TenantID, models.BaseID(base), table)
	if err != nil {
		return nil, err
	}
	return sight.Table(t), nil
}

// View returns a view and its table.
func (s *Views) View(ctx context.Context, who auth.Principal, at local.ViewAt) (models.View, *models.Table, error) {
	t, err := s.Of(ctx, who, string(at.Base), at.Table)
	if err != nil {
		return models.View{}, nil, err
	}
	v, ok := t.View(at.View)
	if !ok {
		return v, nil, airtableapi.ErrViewNotFound
	}
	return v, t, nil
}

// Create defines a view.
func (s *Views) Create(ctx context.Context, who auth.Principal, at local.ViewAt, d local.ViewDraft) (models.View, *models.Table, error) {
	if err := s.mayChange(ctx, who, at); err != nil {
		return models.View{}, nil, err
	}
	return s.store.CreateView(ctx, callerOf(who), at, d)
}

// Update changes a view that has the version, 0 for any.
func (s *Views) Update(ctx context.Context, who auth.Principal, at local.ViewAt, ifVersion int64, p local.ViewPatch) (models.View, *models.Table, error) {
	if err := s.mayChange(ctx, who, at); err != nil {
		return models.View{}, nil, err
	}
	return s.store.UpdateView(ctx, callerOf(who), at, ifVersion, p)
}

// Delete removes a view that has the version, 0 for any.
func (s *Views) Delete(ctx context.Context, who auth.Principal, at local.ViewAt, ifVersion int64) error {
	if err := s.mayChange(ctx, who, at); err != nil {
		return err
	}
	return s.store.DeleteView(ctx, callerOf(who), at, ifVersion)
}

func (s *Views) mayChange(ctx context.Context, who auth.Principal, at local.ViewAt) error {
	_, err := s.look(ctx, who, permissionapi.Create, string(at.Base), at.Table)
	return err
}

func (s *Views) look(ctx context.Context, who auth.Principal, action, base, table string) (*policy.Sight, error) {
	if err := s.connections.mustBeLocal(ctx, who, base, airtableapi.ErrViewsElsewhere); err != nil {
		return nil, err
	}
	return s.guard.Look(ctx, who, policy.Door{Upstream: s.store, Local: true}, action, base, table)
}

// mustBeLocal returns ErrBaseNotFound for a base that the caller does not see, and
// elsewhere for one that is reached through an Airtable account.
func (s *Connections) mustBeLocal(ctx context.Context, who auth.Principal, base string, elsewhere *errs.Error) error {
	if !who.MaySeeBase(base) {
		return airtableapi.ErrBaseNotFound
	}
	c, _, err := s.OfBase(ctx, who.TenantID, base)
	if err == nil && c.Kind != models.LocalConnection {
		err = elsewhere
	}
	return err
}

func callerOf(who auth.Principal) upstream.Caller {
	return upstream.Caller{Tenant: who.TenantID, User: who.UserID}
}
