package handlers

import (
	"context"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

type bases struct {
	tree *services.Tree
	view view
}

func (h bases) offers(ctx context.Context, who auth.Principal, in workspaceapi.OffersQuery) (out workspaceapi.OfferPage, err error) {
	offers, next, err := h.tree.Offers(ctx, who, in.ConnectionID, in.PageQuery)
	if err != nil {
		return out, err
	}
	out.Items, out.NextCursor = []workspaceapi.Offer{}, next
	for _, o := range offers {
		out.Items = append(out.Items, workspaceapi.Offer{
			BaseID: o.ID, Name: o.Name, ConnectionID: o.ConnectionID, Linked: o.Linked, WorkspaceID: o.Workspace.String(), Linkable: o.Linkable,
		})
	}
	return out, nil
}

func (h bases) link(ctx context.Context, who auth.Principal, in workspaceapi.BaseLink) (out workspaceapi.BaseMade, err error) {
	w, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return out, err
	}
	p, err := optional[models.ProjectID](in.Body.ProjectID)
	if err != nil {
		return out, workspaceapi.ErrNoProject.Because(err)
	}
	b, err := h.tree.LinkBase(ctx, who, w, p, in.Body.BaseID)
	if err != nil {
		return out, err
	}
	return workspaceapi.BaseMade{Location: workspaceapi.ListBases.Path + "/" + b.ID, ETag: etag.Of(b.Version), Body: h.view.base(b)}, nil
}

func (h bases) list(ctx context.Context, who auth.Principal, in workspaceapi.BasesQuery) (out workspaceapi.BasePage, err error) {
	f := repository.BaseFilter{Status: in.Status, Tag: in.Tag}
	if f.Workspace, err = optional[models.WorkspaceID](in.WorkspaceID); err != nil {
		return out, err
	}
	if f.Project, err = optional[models.ProjectID](in.ProjectID); err != nil {
		return out, err
	}
	ordered := in.WorkspaceID != ""
	return page.List(in.PageQuery, []any{"bases", who.TenantID, f}, func(after repository.Place[string], limit int) ([]models.Base, error) {
		return h.tree.Bases(ctx, who, f, after, limit)
	}, func(b models.Base) repository.Place[string] { return services.BaseKey(b, ordered) }, h.view.base)
}

func (h bases) base(ctx context.Context, who auth.Principal, in workspaceapi.BaseRef) (workspaceapi.BaseAnswer, error) {
	return h.answer(h.tree.Base(ctx, who, in.BaseID))
}

func (h bases) update(ctx context.Context, who auth.Principal, in workspaceapi.BaseUpdate) (workspaceapi.BaseAnswer, error) {
	c := models.Saying{Naming: models.Naming{Name: in.Body.Name, Description: in.Body.Description}, Tags: in.Body.Tags}
	if in.Body.OwnerID != nil {
		owner, err := parse[id.UserID](*in.Body.OwnerID)
		if err != nil {
			return workspaceapi.BaseAnswer{}, workspaceapi.ErrBadOwner.Because(err)
		}
		c.Owner = &owner
	}
	return h.answer(h.tree.UpdateBase(ctx, who, in.BaseID, etag.Read(in.IfMatch), c))
}

func (h bases) move(ctx context.Context, who auth.Principal, in workspaceapi.BaseMove) (out workspaceapi.BaseAnswer, err error) {
	to := repository.BasePlace{After: in.Body.After}
	if to.Workspace, err = optional[models.WorkspaceID](in.Body.WorkspaceID); err != nil {
		return out, err
	}
	if in.Body.ProjectID != nil {
		p, err := optional[models.ProjectID](*in.Body.ProjectID)
		if err != nil {
			return out, workspaceapi.ErrNoProject.Because(err)
		}
		to.Project = &p
	}
	return h.answer(h.tree.MoveBase(ctx, who, in.BaseID, to))
}

func (h bases) shift(to models.Shift) func(context.Context, auth.Principal, workspaceapi.BaseRef) (workspaceapi.BaseAnswer, error) {
	return func(ctx context.Context, who auth.Principal, in workspaceapi.BaseRef) (workspaceapi.BaseAnswer, error) {
		return h.answer(h.tree.ShiftBase(ctx, who, in.BaseID, to))
	}
}

func (h bases) unlink(ctx context.Context, who auth.Principal, in workspaceapi.BaseRef) (struct{}, error) {
	return struct{}{}, h.tree.UnlinkBase(ctx, who, in.BaseID)
}

func (h bases) answer(b models.Base, err error) (workspaceapi.BaseAnswer, error) {
	if err != nil {
		return workspaceapi.BaseAnswer{}, err
	}
	return workspaceapi.BaseAnswer{ETag: etag.Of(b.Version), Body: h.view.base(b)}, nil
}

type notes struct{ tree *services.Tree }

func (h notes) list(ctx context.Context, who auth.Principal, in workspaceapi.FieldNotesQuery) (workspaceapi.FieldNotePage, error) {
	return page.List(in.PageQuery, []any{"field notes", who.TenantID, in.BaseID, in.TableID},
		func(after repository.FieldKey, limit int) ([]models.FieldNote, error) {
			return h.tree.FieldNotes(ctx, who, in.BaseID, in.TableID, after, limit)
		},
		func(n models.FieldNote) repository.FieldKey {
			return repository.FieldKey{Table: n.Table, Field: n.Field}
		}, note)
}

func (h notes) put(ctx context.Context, who auth.Principal, in workspaceapi.FieldNotePut) (workspaceapi.FieldNote, error) {
	n, err := h.tree.PutFieldNote(ctx, who, in.BaseID, in.TableID, in.FieldID, in.Body.Text)
	return note(n), err
}

func (h notes) delete(ctx context.Context, who auth.Principal, in workspaceapi.FieldRef) (struct{}, error) {
	_, err := h.tree.PutFieldNote(ctx, who, in.BaseID, in.TableID, in.FieldID, "")
	return struct{}{}, err
}

type favourites struct{ tree *services.Tree }

func (h favourites) list(ctx context.Context, who auth.Principal, in api.PageQuery) (workspaceapi.FavouritePage, error) {
	return page.List(in, []any{"favourites", who.TenantID, who.UserID}, func(after repository.FavouriteKey, limit int) ([]models.Favourite, error) {
		return h.tree.Favourites(ctx, who, after, limit)
	}, services.FavouriteKey, func(f models.Favourite) workspaceapi.Favourite {
		return workspaceapi.Favourite{Kind: f.Kind, ObjectID: f.Object, Name: f.Name, MarkedAt: f.MarkedAt}
	})
}

func (h favourites) put(ctx context.Context, who auth.Principal, in workspaceapi.FavouriteRef) (struct{}, error) {
	return struct{}{}, h.tree.PutFavourite(ctx, who, in.Kind, in.ObjectID)
}

func (h favourites) delete(ctx context.Context, who auth.Principal, in workspaceapi.FavouriteRef) (struct{}, error) {
	return struct{}{}, h.tree.DeleteFavourite(ctx, who, in.Kind, in.ObjectID)
}
