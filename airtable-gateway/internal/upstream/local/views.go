package local

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/formula"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// ViewAt names a view of a tenant's base by ids or names.
type ViewAt struct {
	Base        models.BaseID
	Table, View string
}

// ViewDraft is what a view is made with; fields are named by name or id.
type ViewDraft struct {
	ID   models.ViewID   // chosen, or "" for a new one
	Type models.ViewType // "": grid
	Name string
	ViewPatch
}

// ViewPatch is what may be changed about a view; nil leaves it.
type ViewPatch struct {
	Name, Description, Filter *string
	Sort                      []models.SortBy
	Order, Hidden             []string
}

// Table returns a table, which has its views in their order. A base that the tenant
// does not have is airtableapi.ErrBaseNotFound, a table ErrTableNotFound.
func (s *Store) Table(ctx context.Context, tenant id.TenantID, baseID models.BaseID, table string) (*models.Table, error) {
	base, err := s.schema(ctx, tenant, baseID)
	if err != nil {
		return nil, noBase(err)
	}
	if t := base.Table(table); t != nil {
		return t, nil
	}
	return nil, airtableapi.ErrTableNotFound
}

// Views returns every view of a base, by id. A base that the tenant does not have is
// airtableapi.ErrBaseNotFound.
func (s *Store) Views(ctx context.Context, tenant id.TenantID, baseID models.BaseID) (map[string]models.View, error) {
	base, err := s.schema(ctx, tenant, baseID)
	if err != nil {
		return nil, noBase(err)
	}
	out := map[string]models.View{}
	for _, t := range base.Tables {
		for _, v := range t.Views {
			out[string(v.ID)] = v
		}
	}
	return out, nil
}

// View returns a view and its table, or ErrViewNotFound beside what Table returns.
func (s *Store) View(ctx context.Context, tenant id.TenantID, at ViewAt) (models.View, *models.Table, error) {
	t, err := s.Table(ctx, tenant, at.Base, at.Table)
	if err != nil {
		return models.View{}, nil, err
	}
	v, err := viewOf(t, at.View)
	return v, t, err
}

// CreateView defines a view as the last of its table. The errors are those of View,
// airtableapi.ErrInvalidView, ErrViewNameTaken and ErrTooManyViews; a chosen id that
// the tenant has is repository.ErrDuplicateID.
func (s *Store) CreateView(ctx context.Context, caller upstream.Caller, at ViewAt, d ViewDraft) (models.View, *models.Table, error) {
	v := models.View{ID: d.ID, Type: d.Type, Version: 1}
	if v.ID == "" {
		v.ID = s.ids.View()
	}
	if v.Type == "" {
		v.Type = models.GridType
	}
	if !models.IsID("viw", string(v.ID)) || !slices.Contains(models.ViewTypes, v.Type) {
		return v, nil, invalidView("/type", "is not one that can be made")
	}
	d.ViewPatch.Name = &d.Name
	var table *models.Table
	err := s.changeViews(ctx, caller, at, func(tx *repository.Tx, base *models.Base, t *models.Table) ([]events.Event, error) {
		if len(t.Views) >= models.MaxViews {
			return nil, airtableapi.ErrTooManyViews
		}
		table, v.Table = t, t.ID
		for _, other := range t.Views {
			v.Position = max(v.Position, other.Position+1)
		}
		if err := define(&v, t, d.ViewPatch); err != nil {
			return nil, err
		}
		return tellOfView(ctx, airtableapi.ViewCreated, caller, base, v), tx.InsertView(ctx, caller.Tenant, v)
	})
	return v, table, err
}

// UpdateView changes a view whose version is ifVersion, 0 for any: another one is
// errs.ErrPreconditionFailed. The other errors are those of CreateView.
func (s *Store) UpdateView(ctx context.Context, caller upstream.Caller, at ViewAt, ifVersion int64, p ViewPatch) (models.View, *models.Table, error) {
	var v models.View
	var table *models.Table
	err := s.changeViews(ctx, caller, at, func(tx *repository.Tx, base *models.Base, t *models.Table) (_ []events.Event, err error) {
		table = t
		if v, err = viewToChange(t, at.View, ifVersion); err != nil {
			return nil, err
		}
		if err := define(&v, t, p); err != nil {
			return nil, err
		}
		v.Version++
		return tellOfView(ctx, airtableapi.ViewUpdated, caller, base, v), tx.UpdateView(ctx, caller.Tenant, v)
	})
	return v, table, err
}

// DeleteView removes a view; the last grid view of a table stays (ErrLastGridView).
func (s *Store) DeleteView(ctx context.Context, caller upstream.Caller, at ViewAt, ifVersion int64) error {
	return s.changeViews(ctx, caller, at, func(tx *repository.Tx, base *models.Base, t *models.Table) ([]events.Event, error) {
		v, err := viewToChange(t, at.View, ifVersion)
		if err != nil {
			return nil, err
		}
		if t.LastGrid(v) {
			return nil, airtableapi.ErrLastGridView
		}
		v.Version++
		return tellOfView(ctx, airtableapi.ViewDeleted, caller, base, v), tx.DeleteView(ctx, caller.Tenant, v.ID)
	})
}

// changeViews runs fn under the lock of the base and emits what it tells.
func (s *Store) changeViews(ctx context.Context, caller upstream.Caller, at ViewAt,
	fn func(tx *repository.Tx, base *models.Base, t *models.Table) ([]events.Event, error)) error {
	err := s.changeSchema(ctx, upstream.Call{Caller: caller, Base: string(at.Base)}, func(tx *repository.Tx, base *models.Base) error {
		t := base.Table(at.Table)
		if t == nil {
			return airtableapi.ErrTableNotFound
		}
		evs, err := fn(tx, base, t)
		if err != nil {
			return err
		}
		return tx.Emit(ctx, evs...)
	})
	return noBase(err)
}

func viewOf(t *models.Table, idOrName string) (models.View, error) {
	v, ok := t.View(idOrName)
	if !ok {
		return v, airtableapi.ErrViewNotFound
	}
	return v, nil
}

func viewToChange(t *models.Table, idOrName string, ifVersion int64) (models.View, error) {
	v, err := viewOf(t, idOrName)
	if err == nil && ifVersion != 0 && ifVersion != v.Version {
		err = errs.ErrPreconditionFailed
	}
	return v, err
}

// define applies the patch to v, its fields turned into ids.
func define(v *models.View, t *models.Table, p ViewPatch) error {
	if p.Name != nil {
		name, err := models.CheckName(*p.Name, models.ErrInvalidRequest, nil)
		if err != nil {
			return invalidView("/name", "is empty or too long")
		}
		if slices.ContainsFunc(t.Views, func(o models.View) bool {
			return o.ID != v.ID && models.NameKey(o.Name) == models.NameKey(name)
		}) {
			return airtableapi.ErrViewNameTaken.With(errs.Field{Pointer: "/name", Detail: "is taken"})
		}
		v.Name = name
	}
	if p.Description != nil {
		description, err := models.CheckDescription(*p.Description)
		if err != nil {
			return invalidView("/description", "is too long")
		}
		v.Description = description
	}
	if p.Filter != nil {
		kept, err := keep(*p.Filter, t)
		if err != nil {
			return err
		}
		v.Filter = kept
	}
	var err error
	if p.Sort != nil {
		if v.Sort, err = sortIDs(t, p.Sort); err != nil {
			return err
		}
	}
	if p.Order != nil {
		if v.Order, err = fieldIDs(t, p.Order, "/field_order/%d"); err != nil {
			return err
		}
	}
	if p.Hidden != nil {
		if v.Hidden, err = fieldIDs(t, p.Hidden, "/hidden_fields/%d"); err != nil {
			return err
		}
		if i := slices.Index(v.Hidden, t.Primary); i >= 0 {
			return invalidView(fmt.Sprintf("/hidden_fields/%d", i), "is the primary field, which every view shows")
		}
	}
	return nil
}

// keep checks a filter and writes it with the ids of its fields.
func keep(text string, t *models.Table) (string, error) {
	if text == "" {
		return "", nil
	}
	f, err := formula.Compile(text, formulaSchema(t), formula.Limits{Source: models.MaxFilter})
	if err != nil {
		return "", invalidView("/filter", formula.FilterMessage(err))
	}
	return byIDs(f), nil
}

func sortIDs(t *models.Table, sort []models.SortBy) ([]models.SortBy, error) {
	if len(sort) > models.MaxSortKeys {
		return nil, invalidView("/sort", fmt.Sprintf("has more than %d keys", models.MaxSortKeys))
	}
	out := make([]models.SortBy, len(sort))
	for i, by := range sort {
		f := t.Field(by.Field)
		if f == nil {
			return nil, invalidView(fmt.Sprintf("/sort/%d/field", i), "is no field of the table")
		}
		out[i] = models.SortBy{Field: string(f.ID), Desc: by.Desc}
	}
	return out, nil
}

func fieldIDs(t *models.Table, names []string, pointer string) ([]models.FieldID, error) {
	out := make([]models.FieldID, 0, len(names))
	for i, name := range names {
		f := t.Field(name)
		switch {
		case f == nil:
			return nil, invalidView(fmt.Sprintf(pointer, i), "is no field of the table")
		case slices.Contains(out, f.ID):
			return nil, invalidView(fmt.Sprintf(pointer, i), "is named twice")
		}
		out = append(out, f.ID)
	}
	return out, nil
}

func invalidView(pointer, detail string) error {
	return airtableapi.ErrInvalidView.With(errs.Field{Pointer: pointer, Detail: detail})
}

// noBase is how the typed way in says that a base is not there.
func noBase(err error) error {
	if errors.Is(err, models.ErrModelNotFound) || errors.Is(err, models.ErrNoRoute) {
		return airtableapi.ErrBaseNotFound
	}
	return err
}

// brokenView says of a view's definition what is wrong with it.
func brokenView(v models.View, err error) error {
	if refusal, ok := models.AsError(err); ok {
		return models.BrokenView(v, refusal)
	}
	return err
}

func tellOfView(ctx context.Context, kind events.Type[airtableapi.ViewChanged], caller upstream.Caller, base *models.Base, v models.View) []events.Event {
	data := airtableapi.ViewChanged{
		BaseID: string(base.ID), TableID: string(v.Table), ViewID: string(v.ID), Name: v.Name, Type: string(v.Type), Filter: v.Filter,
		Sort: []airtableapi.ViewSort{}, FieldOrder: models.Texts(v.Order), HiddenFieldIDs: models.Texts(v.Hidden),
	}
	for _, by := range v.Sort {
		data.Sort = append(data.Sort, airtableapi.ViewSort{Field: by.Field, Desc: by.Desc})
	}
	if !caller.User.IsZero() {
		data.ActorID = caller.User.String()
	}
	return []events.Event{kind.New(ctx, caller.Tenant, string(v.ID), v.Version, data)}
}

// What follows is the little that Airtable's own API knows of views.

func (s *Store) listViews(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.schema(ctx, c.Caller.Tenant, models.BaseID(c.Base))
	if err != nil {
		return nil, err
	}
	visible, err := wantsVisible(c.RawQuery)
	if err != nil {
		return nil, err
	}
	out := []wireView{}
	for _, t := range base.Tables {
		for _, v := range t.Views {
			out = append(out, showView(t, v, visible))
		}
	}
	return models.Marshal(map[string]any{"views": out}), nil
}

func (s *Store) fetchView(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.schema(ctx, c.Caller.Tenant, models.BaseID(c.Base))
	if err != nil {
		return nil, err
	}
	visible, err := wantsVisible(c.RawQuery)
	if err != nil {
		return nil, err
	}
	v, t := base.ViewByID(models.ViewID(c.View))
	if v == nil {
		return nil, models.ErrNoView
	}
	return models.Marshal(showView(t, *v, visible)), nil
}

// deleteView answers in a form that is unconfirmed: that of a deleted record.
func (s *Store) deleteView(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.schema(ctx, c.Caller.Tenant, models.BaseID(c.Base))
	if err != nil {
		return nil, err
	}
	v, t := base.ViewByID(models.ViewID(c.View))
	if v == nil {
		return nil, models.ErrNoView
	}
	err = s.DeleteView(ctx, c.Caller, ViewAt{base.ID, string(t.ID), c.View}, 0)
	switch {
	case errors.Is(err, airtableapi.ErrLastGridView):
		return nil, models.ErrLastGridView
	case errors.Is(err, airtableapi.ErrViewNotFound): // another call was faster
		return nil, models.ErrNoView
	case err != nil:
		return nil, err
	}
	return models.Marshal(struct {
		ID      string `json:"id"`
		Deleted bool   `json:"deleted"`
	}{c.View, true}), nil
}
