package local

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// basesPerPage is Airtable's.
const basesPerPage = 1_000

type wireBase struct {
	ID              models.BaseID `json:"id"`
	Name            string        `json:"name"`
	PermissionLevel string        `json:"permissionLevel"`
}

type wireTable struct {
	ID          models.TableID `json:"id"`
	Name        string         `json:"name"`
	Primary     models.FieldID `json:"primaryFieldId"`
	Description string         `json:"description,omitempty"`
	Fields      []wireField    `json:"fields"`
	Views       []wireView     `json:"views"`
}

type wireField struct {
	ID          models.FieldID   `json:"id"`
	Name        string           `json:"name"`
	Type        models.FieldType `json:"type"`
	Description string           `json:"description,omitempty"`
	Options     map[string]any   `json:"options,omitempty"`
}

type wireView struct {
	ID      models.ViewID    `json:"id"`
	Name    string           `json:"name"`
	Type    models.ViewType  `json:"type"`
	Visible []models.FieldID `json:"visibleFieldIds,omitempty"`
}

func (s *Store) listBases(ctx context.Context, c upstream.Call) ([]byte, error) {
	query, err := url.ParseQuery(c.RawQuery)
	if err != nil || query.Has("pageSize") {
		return nil, models.ErrInvalidRequest
	}
	var after models.BaseID
	if offset := query.Get("offset"); offset != "" {
		if after, err = models.ParseBaseOffset(offset); err != nil {
			return nil, err
		}
	}
	bases, err := s.repo.Bases(ctx, c.Caller.Tenant, after, basesPerPage+1)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Bases  []wireBase `json:"bases"`
		Offset string     `json:"offset,omitempty"`
	}
	if len(bases) > basesPerPage {
		bases = bases[:basesPerPage]
		answer.Offset = models.BaseOffset(bases[basesPerPage-1].ID)
	}
	answer.Bases = make([]wireBase, len(bases))
	for i, b := range bases {
		// Everyone who reaches the store for a tenant may do everything in it; what
		// a token may do is checked before.
		answer.Bases[i] = wireBase{b.ID, b.Name, "create"}
	}
	return models.Marshal(answer), nil
}

func (s *Store) createBase(ctx context.Context, c upstream.Call) ([]byte, error) {
	spec, err := models.ParseBaseSpec(c.Body)
	if err != nil {
		return nil, err
	}
	base, err := s.CreateBase(ctx, c.Caller, spec)
	if err != nil {
		return nil, err
	}
	return models.Marshal(struct {
		ID     models.BaseID `json:"id"`
		Tables []wireTable   `json:"tables"`
	}{base.ID, showTables(base, false)}), nil
}

// CreateBase makes a base with its tables for the tenant of caller and returns
// it. Chosen ids that the tenant has already are repository.ErrDuplicateID; a
// spec that Airtable would refuse is a *models.Error; one more than the tenant's
// plan allows is tenantapi.ErrLimitReached.
func (s *Store) CreateBase(ctx context.Context, caller upstream.Caller, spec models.BaseSpec) (*models.Base, error) {
	name, err := models.CheckName(spec.Name, models.ErrInvalidRequest, nil)
	if err != nil {
		return nil, err
	}
	if err := checkIDs(spec); err != nil {
		return nil, err
	}
	if spec.ID == "" {
		spec.ID = s.ids.Base()
	} else if _, err := s.repo.SchemaVersion(ctx, caller.Tenant, spec.ID); err == nil { // which no plan forbids
		return nil, repository.ErrDuplicateID
	}
	draft := models.Draft{Base: &models.Base{ID: spec.ID, Name: name, Workspace: spec.Workspace}, IDs: s.ids}
	if err := draft.AddTables(spec.Tables); err != nil {
		return nil, err
	}
	hold, err := s.allowance.Base(ctx, caller.Tenant, id.New[any]().String())
	if err != nil {
		return nil, err
	}
	defer hold.Close(ctx)
	err = s.repo.Write(ctx, caller.Tenant, func(tx *repository.Tx) error {
		if err := tx.InsertBase(ctx, caller.Tenant, draft.Base, s.clock(), caller.User); err != nil {
			return err
		}
		return s.insert(ctx, tx, caller.Tenant, draft)
	})
	if err != nil {
		return nil, err
	}
	return draft.Base, nil
}

// checkIDs refuses chosen ids that are not shaped as ids: they would be out of reach.
func checkIDs(spec models.BaseSpec) error {
	ok := spec.ID == "" || models.IsID("app", string(spec.ID))
	for _, t := range spec.Tables {
		ok = ok && (t.ID == "" || models.IsID("tbl", string(t.ID))) && (t.View == "" || models.IsID("viw", string(t.View)))
		for _, f := range t.Fields {
			ok = ok && (f.ID == "" || models.IsID("fld", string(f.ID)))
		}
	}
	if !ok {
		return models.BadRequest("A chosen id has not the shape of one.")
	}
	return nil
}

// insert stores what draft added; the caller holds the base's lock, or made it.
func (s *Store) insert(ctx context.Context, tx *repository.Tx, tenant id.TenantID, draft models.Draft) error {
	for _, t := range draft.Tables {
		if err := tx.InsertTable(ctx, tenant, draft.Base.ID, slices.Index(draft.Base.Tables, t), t); err != nil {
			return err
		}
	}
	for _, f := range draft.Fields {
		position := slices.Index(draft.Base.Table(string(f.Table)).Fields, f)
		if err := tx.InsertField(ctx, tenant, position, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) baseSchema(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.schema(ctx, c.Caller.Tenant, models.BaseID(c.Base))
	if errors.Is(err, models.ErrModelNotFound) {
		// Here alone Airtable answers 404.
		return nil, models.ErrNoSchema
	}
	if err != nil {
		return nil, err
	}
	visible, err := wantsVisible(c.RawQuery)
	if err != nil {
		return nil, err
	}
	return models.Marshal(map[string]any{"tables": showTables(base, visible)}), nil
}

// wantsVisible reads the one thing that may be included.
func wantsVisible(rawQuery string) (visible bool, err error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return false, models.ErrInvalidRequest
	}
	for _, key := range []string{"include", "include[]", "include[0]"} {
		for _, v := range query[key] {
			if v != "visibleFieldIds" && v != "" {
				return false, models.ErrInvalidRequest
			}
			visible = visible || v != ""
		}
	}
	return visible, nil
}

func (s *Store) createTable(ctx context.Context, c upstream.Call) ([]byte, error) {
	spec, err := models.ParseTableSpec(c.Body)
	if base, schemaErr := s.schema(ctx, c.Caller.Tenant, models.BaseID(c.Base)); base == nil {
		return nil, schemaErr
	}
	if err != nil {
		return nil, err
	}
	var made *models.Table
	err = s.changeSchema(ctx, c, func(tx *repository.Tx, base *models.Base) error {
		draft := models.Draft{Base: base, IDs: s.ids}
		if err := draft.AddTables([]models.TableSpec{spec}); err != nil {
			return err
		}
		made = draft.Tables[0]
		return s.insert(ctx, tx, c.Caller.Tenant, draft)
	})
	if err != nil {
		return nil, err
	}
	return models.Marshal(showTable(made, false)), nil
}

func (s *Store) createField(ctx context.Context, c upstream.Call) ([]byte, error) {
	if _, _, err := s.table(ctx, c); err != nil {
		return nil, err
	}
	spec, err := models.ParseFieldSpec(c.Body)
	if err != nil {
		return nil, err
	}
	var made *models.Field
	err = s.changeSchema(ctx, c, func(tx *repository.Tx, base *models.Base) error {
		table := base.Table(c.Table)
		if table == nil {
			return models.ErrModelNotFound
		}
		draft := models.Draft{Base: base, IDs: s.ids}
		var err error
		if made, err = draft.AddField(table, spec); err != nil {
			return err
		}
		return s.insert(ctx, tx, c.Caller.Tenant, draft)
	})
	if err != nil {
		return nil, err
	}
	return models.Marshal(showField(made)), nil
}

func (s *Store) updateTable(ctx context.Context, c upstream.Call) ([]byte, error) {
	if _, _, err := s.table(ctx, c); err != nil {
		return nil, err
	}
	change, err := models.ParseChange(c.Body)
	if err != nil {
		return nil, err
	}
	var changed *models.Table
	err = s.changeSchema(ctx, c, func(tx *repository.Tx, base *models.Base) error {
		if changed = base.Table(c.Table); changed == nil {
			return models.ErrModelNotFound
		}
		taken := func(key string) bool {
			return slices.ContainsFunc(base.Tables, func(t *models.Table) bool {
				return t != changed && models.NameKey(t.Name) == key
			})
		}
		if err := apply(change, models.ErrTableName, taken, &changed.Name, &changed.Description); err != nil {
			return err
		}
		return tx.UpdateTable(ctx, c.Caller.Tenant, changed)
	})
	if err != nil {
		return nil, err
	}
	return models.Marshal(showTable(changed, false)), nil
}

func (s *Store) updateField(ctx context.Context, c upstream.Call) ([]byte, error) {
	if _, table, err := s.table(ctx, c); err != nil {
		return nil, err
	} else if table.Field(c.Field) == nil {
		return nil, models.ErrModelNotFound
	}
	change, err := models.ParseChange(c.Body)
	if err != nil {
		return nil, err
	}
	var changed *models.Field
	err = s.changeSchema(ctx, c, func(tx *repository.Tx, base *models.Base) error {
		table := base.Table(c.Table)
		if table == nil || table.Field(c.Field) == nil {
			return models.ErrModelNotFound
		}
		changed = table.Field(c.Field)
		taken := func(key string) bool {
			return slices.ContainsFunc(table.Fields, func(f *models.Field) bool {
				return f != changed && models.NameKey(f.Name) == key
			})
		}
		if err := apply(change, models.ErrFieldName, taken, &changed.Name, &changed.Description); err != nil {
			return err
		}
		return tx.UpdateField(ctx, c.Caller.Tenant, changed)
	})
	if err != nil {
		return nil, err
	}
	return models.Marshal(showField(changed)), nil
}

// changeSchema runs fn under the lock of c's base and gives the schema a new
// version. fn may change the base that it gets: nobody else has it.
func (s *Store) changeSchema(ctx context.Context, c upstream.Call, fn func(tx *repository.Tx, base *models.Base) error) error {
	var w watch
	err := s.repo.Write(ctx, c.Caller.Tenant, func(tx *repository.Tx) error {
		base, err := tx.LockBase(ctx, c.Caller.Tenant, models.BaseID(c.Base))
		if err != nil {
			return missing(err)
		}
		w = watch{before: base.Snapshot()}
		if err := fn(tx, base); err != nil {
			return err
		}
		if err := tx.BumpSchema(ctx, c.Caller.Tenant, base.ID); err != nil {
			return err
		}
		if w.hooks, err = tx.Watchers(ctx, c.Caller.Tenant, base.ID); err != nil || len(w.hooks) == 0 {
			return err
		}
		now := s.clock()
		told, err := w.read(ctx, tx, c.Caller.Tenant, base, now)
		if err != nil || told == nil {
			return err
		}
		return w.tell(ctx, tx, c.Caller, told, now, models.Transaction{})
	})
	if err == nil {
		s.spread(w)
	}
	return err
}

func apply(c models.Change, refusal *models.Error, taken func(string) bool, name, description *string) error {
	var err error
	if c.Name != nil {
		if *name, err = models.CheckName(*c.Name, refusal, taken); err != nil {
			return err
		}
	}
	if c.Description != nil {
		*description, err = models.CheckDescription(*c.Description)
	}
	return err
}

func showTables(base *models.Base, visible bool) []wireTable {
	out := make([]wireTable, len(base.Tables))
	for i, t := range base.Tables {
		out[i] = showTable(t, visible)
	}
	return out
}

func showTable(t *models.Table, visible bool) wireTable {
	out := wireTable{ID: t.ID, Name: t.Name, Primary: t.Primary, Description: t.Description}
	for _, f := range t.Fields {
		out.Fields = append(out.Fields, showField(f))
	}
	for _, v := range t.Views {
		out.Views = append(out.Views, showView(t, v, visible))
	}
	return out
}

// showView tells the visible fields of grid views only, as Airtable does.
func showView(t *models.Table, v models.View, visible bool) wireView {
	out := wireView{ID: v.ID, Name: v.Name, Type: v.Type}
	if visible && v.Type == models.GridType {
		out.Visible = v.Visible(t)
	}
	return out
}

func showField(f *models.Field) wireField {
	return wireField{f.ID, f.Name, f.Type, f.Description, f.ShownOptions()}
}
