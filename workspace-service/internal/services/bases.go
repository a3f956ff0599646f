package services

import (
	"context"
	"errors"
	"slices"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// LinkBase links a base that the caller may manage into a workspace that he may create in.
func (t *Tree) LinkBase(ctx context.Context, who auth.Principal, w models.WorkspaceID, p models.ProjectID, ref string) (models.Base, error) {
	if err := t.createIn(ctx, who, w); err != nil {
		return models.Base{}, err
	}
	if err := t.rights.Check(ctx, who, permissionapi.Manage, base(who.TenantID, ref)); err != nil {
		return models.Base{}, err
	}
	offered, err := rpc.Call(ctx, t.airtable.As(who), airtableapi.FetchBase, airtableapi.BasePath{BaseID: ref})
	if errors.Is(err, airtableapi.ErrBaseNotFound) {
		return models.Base{}, t.whyNotOffered(ctx, who.TenantID, ref, err)
	}
	if err != nil {
		return models.Base{}, err
	}
	b := models.NewBase(who.TenantID, w, p, offered.ID, offered.ConnectionID, offered.Name, who.UserID, t.now())
	b, err = t.repo.LinkBase(ctx, b, mostBases, func(b models.Base) events.Event {
		return repository.PlaceEvent(ctx, workspaceapi.BaseLinked, b, models.WorkspaceID{}, who.UserID)
	})
	if err != nil {
		return b, err
	}
	t.tellPlace(ctx, who, b)
	return b, nil
}

// whyNotOffered tells a base in the trash, which airtable-gateway withholds, from one that
// is not there.
func (t *Tree) whyNotOffered(ctx context.Context, tenant id.TenantID, ref string, cause error) error {
	_, err := t.repo.Base(ctx, tenant, ref)
	switch {
	case err == nil:
		return workspaceapi.ErrLinked.Because(cause)
	case errors.Is(err, errs.ErrNotFound):
		return workspaceapi.ErrNoBase.Because(cause)
	}
	return err
}

// tellPlace tells permission-service where the base is.
func (t *Tree) tellPlace(ctx context.Context, who auth.Principal, b models.Base) {
	place := permissionapi.Place{Object: string(base(b.Tenant, b.ID)), Version: b.Version}
	if !b.Workspace.IsZero() {
		place.Parent = string(workspaceObject(b.Workspace))
	}
	t.rights.tell(ctx, permissionapi.WriteRequest{
		TenantID: b.Tenant.String(), ActorID: who.UserID.String(), Places: []permissionapi.Place{place},
	})
}

// Base returns the base if the caller may see it; one in the trash, itself or with what it
// is in, is seen by those who may manage it.
func (t *Tree) Base(ctx context.Context, who auth.Principal, ref string) (models.Base, error) {
	if err := t.rights.Check(ctx, who, permissionapi.Read, base(who.TenantID, ref)); err != nil {
		return models.Base{}, err
	}
	b, err := t.repo.Base(ctx, who.TenantID, ref)
	if err != nil {
		return b, err
	}
	w, err := t.repo.Workspace(ctx, who.TenantID, b.Workspace)
	if err == nil && (!b.TrashedAt.IsZero() || !w.TrashedAt.IsZero()) {
		err = unseen(t.rights.Check(ctx, who, permissionapi.Manage, base(who.TenantID, ref)))
	}
	if err != nil {
		return models.Base{}, err
	}
	return b, nil
}

// Bases are those that the filter selects and the caller may see, behind after.
func (t *Tree) Bases(ctx context.Context, who auth.Principal, f repository.BaseFilter, after repository.Place[string], limit int) ([]models.Base, error) {
	action := permissionapi.Read
	if f.Status == workspaceapi.StatusTrashed {
		action = permissionapi.Manage
	}
	ordered := !f.Workspace.IsZero()
	return visible(ctx, t.rights, who, action, limit, func(last *models.Base, n int) ([]models.Base, error) {
		if last != nil {
			after = BaseKey(*last, ordered)
		}
		return t.repo.Bases(ctx, who.TenantID, f, after, n)
	}, func(b models.Base) permit.Object { return base(b.Tenant, b.ID) })
}

// BaseKey is the key of the page behind the base, in a list of one workspace or of all.
func BaseKey(b models.Base, ordered bool) repository.Place[string] {
	if !ordered {
		return repository.Place[string]{ID: b.ID}
	}
	return repository.Place[string]{Position: b.Position, ID: b.ID}
}

// changeBase has the rule decide, about a base that the caller may do the action on. What
// the base is in has to be open.
func (t *Tree) changeBase(ctx context.Context, who auth.Principal, ref, action string, rule func(*models.Base) ([]string, error)) (models.Base, error) {
	if err := t.mayWithBase(ctx, who, ref, action); err != nil {
		return models.Base{}, err
	}
	return t.repo.ChangeBase(ctx, who.TenantID, ref, func(w models.Workspace, p *models.Project, b *models.Base) ([]events.Event, error) {
		if err := openAround(w, p); err != nil {
			return nil, err
		}
		changed, err := rule(b)
		if err != nil || len(changed) == 0 {
			return nil, err
		}
		return []events.Event{repository.BaseEvent(ctx, *b, changed, who.UserID)}, nil
	})
}

// mayWithBase refuses whoever may not see the base, or not do the action on it.
func (t *Tree) mayWithBase(ctx context.Context, who auth.Principal, ref, action string) error {
	if _, err := t.Base(ctx, who, ref); err != nil {
		return err
	}
	return t.rights.Check(ctx, who, action, base(who.TenantID, ref))
}

func openAround(w models.Workspace, p *models.Project) error {
	if err := w.Open(); err != nil || p == nil {
		return err
	}
	return p.Open()
}

// UpdateBase changes what is said of a base, if match holds. Its owner is changed by those
// who may manage it, to one who may see it.
func (t *Tree) UpdateBase(ctx context.Context, who auth.Principal, ref string, match etag.Match, c models.Saying) (models.Base, error) {
	action := permissionapi.Create
	if c.Owner != nil {
		action = permissionapi.Manage
	}
	if err := t.mayWithBase(ctx, who, ref, action); err != nil {
		return models.Base{}, err
	}
	if c.Owner != nil {
		heir := auth.Principal{TenantID: who.TenantID, UserID: *c.Owner}
		if *c.Owner == who.UserID {
			heir = who
		}
		err := t.rights.Check(ctx, heir, permissionapi.Read, base(who.TenantID, ref))
		if errors.Is(err, errs.ErrNotFound) {
			return models.Base{}, workspaceapi.ErrBadOwner
		}
		if err != nil {
			return models.Base{}, err
		}
	}
	return t.changeBase(ctx, who, ref, action, func(b *models.Base) ([]string, error) { return c.Apply(b, match, t.now()) })
}

// ShiftBase puts a base into the archive or the trash, or takes it out.
func (t *Tree) ShiftBase(ctx context.Context, who auth.Principal, ref string, to models.Shift) (models.Base, error) {
	return t.changeBase(ctx, who, ref, permissionapi.Manage, func(b *models.Base) ([]string, error) { return to(&b.Standing, t.now()) })
}

// MoveBase puts a base elsewhere.
func (t *Tree) MoveBase(ctx context.Context, who auth.Principal, ref string, to repository.BasePlace) (models.Base, error) {
	b, err := t.Base(ctx, who, ref)
	if err != nil {
		return b, err
	}
	if to.Workspace.IsZero() {
		to.Workspace = b.Workspace
	}
	if to.Workspace != b.Workspace {
		if err := t.rights.Check(ctx, who, permissionapi.Manage, base(who.TenantID, ref)); err != nil {
			return b, err
		}
	}
	if err := t.createIn(ctx, who, to.Workspace); err != nil {
		return b, err
	}
	to.Most = mostBases
	b, err = t.repo.MoveBase(ctx, who.TenantID, ref, to, func(b models.Base, former models.WorkspaceID) events.Event {
		return repository.PlaceEvent(ctx, workspaceapi.BaseMoved, b, former, who.UserID)
	})
	if err != nil {
		return b, err
	}
	t.tellPlace(ctx, who, b)
	return b, nil
}

// UnlinkBase takes a base out of its workspace.
func (t *Tree) UnlinkBase(ctx context.Context, who auth.Principal, ref string) error {
	if err := t.mayWithBase(ctx, who, ref, permissionapi.Manage); err != nil {
		return err
	}
	b, err := t.repo.UnlinkBase(ctx, who.TenantID, ref, who.UserID, func(models.Standing) error { return nil })
	if err != nil {
		return err
	}
	t.tellPlace(ctx, who, b)
	return nil
}

// Offered is a base that a connection offers.
type Offered struct {
	airtableapi.Base
	Linked    bool
	Workspace models.WorkspaceID // if the caller may see it
	Linkable  bool
}

// Offers is a page of what connections offer to the caller; of one connection unless that
// is "".
func (t *Tree) Offers(ctx context.Context, who auth.Principal, connection string, q api.PageQuery) ([]Offered, string, error) {
	page, err := rpc.Call(ctx, t.airtable.As(who), airtableapi.ListBases, airtableapi.BasesQuery{PageQuery: q})
	if err != nil {
		return nil, "", err
	}
	var refs []string
	var objects []permit.Object
	var offers []Offered
	for _, b := range page.Items {
		if connection == "" || b.ConnectionID == connection {
			offers, refs, objects = append(offers, Offered{Base: b}), append(refs, b.ID), append(objects, base(who.TenantID, b.ID))
		}
	}
	readable, err := t.rights.Filter(ctx, who, permissionapi.Read, objects)
	if err != nil {
		return nil, "", err
	}
	manageable, err := t.rights.Filter(ctx, who, permissionapi.Manage, objects)
	if err != nil {
		return nil, "", err
	}
	places, err := t.places(ctx, who, refs)
	if err != nil {
		return nil, "", err
	}
	seen := offers[:0]
	for i, o := range offers {
		o.Linkable = manageable[i]
		o.Workspace, o.Linked = places[o.ID]
		if readable[i] {
			seen = append(seen, o)
		}
	}
	return seen, page.NextCursor, nil
}

// places tells which of the bases are in workspaces, and in which, if the caller may see
// that.
func (t *Tree) places(ctx context.Context, who auth.Principal, refs []string) (map[string]models.WorkspaceID, error) {
	linked, err := t.repo.BasesIn(ctx, who.TenantID, refs)
	if err != nil {
		return nil, err
	}
	seen, err := filter(ctx, t.rights, who, permissionapi.Read, linked, func(b models.Base) permit.Object { return workspaceObject(b.Workspace) })
	if err != nil {
		return nil, err
	}
	places := map[string]models.WorkspaceID{}
	for _, b := range linked {
		places[b.ID] = models.WorkspaceID{}
	}
	for _, b := range seen {
		places[b.ID] = b.Workspace
	}
	return places, nil
}

// FieldNotes are what is said of the base's fields, behind after; not of those that are
// hidden from the caller.
func (t *Tree) FieldNotes(ctx context.Context, who auth.Principal, ref, table string, after repository.FieldKey, limit int) ([]models.FieldNote, error) {
	if _, err := t.Base(ctx, who, ref); err != nil {
		return nil, err
	}
	hidden, err := t.rights.hidden(ctx, who, ref)
	if err != nil {
		return nil, err
	}
	var seen []models.FieldNote
	for {
		list, err := t.repo.FieldNotes(ctx, who.TenantID, ref, table, after, scan)
		if err != nil {
			return nil, err
		}
		for _, n := range list {
			after = repository.FieldKey{Table: n.Table, Field: n.Field}
			if !slices.Contains(hidden[n.Table], n.Field) {
				seen = append(seen, n)
			}
		}
		if len(list) < scan || len(seen) >= limit {
			return seen[:min(limit, len(seen))], nil
		}
	}
}

// hidden are the fields of a base that policies hide from the caller, by table.
func (r *Rights) hidden(ctx context.Context, who auth.Principal, ref string) (map[string][]string, error) {
	fields := map[string][]string{}
	if r.keeper == nil {
		return fields, nil
	}
	policy, err := rpc.Call(ctx, r.api, permissionapi.FetchPolicy, permissionapi.PolicyQuery{
		TenantID: who.TenantID.String(), Subject: permit.Subject(who), BaseID: ref, Role: who.Role,
	})
	for _, t := range policy.Tables {
		fields[t.TableID] = t.Hidden
	}
	return fields, err
}

// PutFieldNote documents a field; an empty text deletes what is there.
func (t *Tree) PutFieldNote(ctx context.Context, who auth.Principal, ref, table, field, text string) (models.FieldNote, error) {
	n := models.FieldNote{Table: table, Field: field, Text: text, UpdatedBy: who.UserID, UpdatedAt: t.now()}
	if err := t.mayWithBase(ctx, who, ref, permissionapi.Create); err != nil {
		return n, err
	}
	hidden, err := t.rights.hidden(ctx, who, ref)
	if err != nil {
		return n, err
	}
	if slices.Contains(hidden[table], field) {
		return n, errs.ErrNotFound
	}
	return n, t.repo.PutFieldNote(ctx, who.TenantID, ref, n, mostNotes, func(w models.Workspace, p *models.Project, b *models.Base) (events.Event, error) {
		if err := openAround(w, p); err != nil {
			return events.Event{}, err
		}
		if err := b.Open(); err != nil {
			return events.Event{}, err
		}
		b.Touch(n.UpdatedAt)
		return repository.BaseEvent(ctx, *b, []string{"field_notes"}, who.UserID), nil
	})
}

// PutFavourite marks for the caller what he may see.
func (t *Tree) PutFavourite(ctx context.Context, who auth.Principal, kind, object string) error {
	if err := t.sees(ctx, who, kind, object); err != nil {
		return err
	}
	return t.repo.PutFavourite(ctx, who.TenantID, who.UserID, kind, object, t.now(), mostFavourites)
}

func (t *Tree) sees(ctx context.Context, who auth.Principal, kind, object string) error {
	switch kind {
	case workspaceapi.KindWorkspace:
		ref, err := parse[models.WorkspaceID](object)
		if err != nil {
			return err
		}
		_, err = t.Workspace(ctx, who, ref)
		return err
	case workspaceapi.KindProject:
		ref, err := parse[models.ProjectID](object)
		if err != nil {
			return err
		}
		_, err = t.Project(ctx, who, ref)
		return err
	}
	_, err := t.Base(ctx, who, object)
	return err
}

// parse reads an id; what is none names nothing.
func parse[ID any, P interface {
	*ID
	UnmarshalText(text []byte) error
}](text string) (ref ID, err error) {
	if err := P(&ref).UnmarshalText([]byte(text)); err != nil || text == "" {
		return ref, errs.ErrNotFound.Because(err)
	}
	return ref, nil
}

// DeleteFavourite unmarks an object for the caller.
func (t *Tree) DeleteFavourite(ctx context.Context, who auth.Principal, kind, object string) error {
	return t.repo.DeleteFavourite(ctx, who.TenantID, who.UserID, kind, object)
}

// Favourites are the caller's, of what he may still see, behind after.
func (t *Tree) Favourites(ctx context.Context, who auth.Principal, after repository.FavouriteKey, limit int) ([]models.Favourite, error) {
	return visible(ctx, t.rights, who, permissionapi.Read, limit, func(last *models.Favourite, n int) ([]models.Favourite, error) {
		if last != nil {
			after = FavouriteKey(*last)
		}
		return t.repo.Favourites(ctx, who.TenantID, who.UserID, after, n)
	}, func(f models.Favourite) permit.Object { return favouriteObject(who.TenantID, f) })
}

func favouriteObject(tenant id.TenantID, f models.Favourite) permit.Object {
	if f.Kind == workspaceapi.KindBase {
		return base(tenant, f.Object)
	}
	return workspaceObject(f.Workspace)
}

// FavouriteKey is the key of the page behind the favourite.
func FavouriteKey(f models.Favourite) repository.FavouriteKey {
	return repository.FavouriteKey{At: f.MarkedAt, Kind: f.Kind, Object: f.Object}
}
