package handlers

import (
	"context"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

type shares struct{ shares *services.Shares }

func (h shares) listOfWorkspace(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceSharesQuery) (workspaceapi.SharePage, error) {
	ref, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return workspaceapi.SharePage{}, err
	}
	object, err := h.shares.Workspace(ctx, who, ref)
	if err != nil {
		return workspaceapi.SharePage{}, err
	}
	return sharePage(h.shares.List(ctx, who, object, in.PageQuery))
}

func (h shares) listOfBase(ctx context.Context, who auth.Principal, in workspaceapi.BaseSharesQuery) (workspaceapi.SharePage, error) {
	object, err := h.shares.Base(ctx, who, in.BaseID)
	if err != nil {
		return workspaceapi.SharePage{}, err
	}
	return sharePage(h.shares.List(ctx, who, object, in.PageQuery))
}

func sharePage(page permissionapi.GrantPage, err error) (workspaceapi.SharePage, error) {
	out := workspaceapi.SharePage{Items: []workspaceapi.Share{}, NextCursor: page.NextCursor}
	for _, g := range page.Items {
		out.Items = append(out.Items, share(g))
	}
	return out, err
}

func share(g permissionapi.GrantRecord) workspaceapi.Share {
	return workspaceapi.Share{
		Subject: g.Subject, Role: g.Role, Deny: g.Deny, ExpiresAt: g.ExpiresAt, GrantID: g.ID, GrantedBy: g.GrantedBy, CreatedAt: g.CreatedAt,
	}
}

func (h shares) putWorkspace(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceSharePut) (workspaceapi.Share, error) {
	ref, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return workspaceapi.Share{}, err
	}
	object, err := h.shares.Workspace(ctx, who, ref)
	if err != nil {
		return workspaceapi.Share{}, err
	}
	g, err := h.shares.Put(ctx, who, object, in.Subject, in.Body.Role, in.Body.ExpiresAt)
	return share(g), err
}

func (h shares) putBase(ctx context.Context, who auth.Principal, in workspaceapi.BaseSharePut) (workspaceapi.Share, error) {
	object, err := h.shares.Base(ctx, who, in.BaseID)
	if err != nil {
		return workspaceapi.Share{}, err
	}
	g, err := h.shares.Put(ctx, who, object, in.Subject, in.Body.Role, in.Body.ExpiresAt)
	return share(g), err
}

func (h shares) deleteWorkspace(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceShareRef) (struct{}, error) {
	ref, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return struct{}{}, err
	}
	object, err := h.shares.Workspace(ctx, who, ref)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.shares.Delete(ctx, who, object, in.Subject)
}

func (h shares) deleteBase(ctx context.Context, who auth.Principal, in workspaceapi.BaseShareRef) (struct{}, error) {
	object, err := h.shares.Base(ctx, who, in.BaseID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.shares.Delete(ctx, who, object, in.Subject)
}

type links struct{ links *services.Links }

// object reads what a link is to.
func object(workspace, base string) (kind, ref string, err error) {
	switch {
	case (workspace == "") == (base == ""):
		return "", "", workspaceapi.ErrOneObject
	case base != "":
		return workspaceapi.KindBase, base, nil
	}
	return workspaceapi.KindWorkspace, workspace, nil
}

func (h links) create(ctx context.Context, who auth.Principal, in workspaceapi.NewShareLink) (out workspaceapi.ShareLinkMade, err error) {
	kind, ref, err := object(in.WorkspaceID, in.BaseID)
	if err != nil {
		return out, err
	}
	l, _, err := h.links.Create(ctx, who, kind, ref, services.Terms{Role: in.Role, Password: in.Password, Expires: in.ExpiresAt})
	if err != nil {
		return out, err
	}
	return workspaceapi.ShareLinkMade{
		Location: workspaceapi.CreateShareLink.Path + "/" + l.ID.String(), ETag: etag.Of(l.Version), Body: h.render(who, l),
	}, nil
}

func (h links) render(who auth.Principal, l models.ShareLink) workspaceapi.ShareLink {
	out := workspaceapi.ShareLink{
		ID: l.ID.String(), Role: l.Role, Secret: h.links.Secret(who, l), HasPassword: l.Password != nil, ExpiresAt: l.ExpiresAt,
		CreatedBy: l.Maker.String(), Opened: l.Opened, LastOpened: l.LastOpenedAt, Version: l.Version, CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt,
	}
	if l.Kind == workspaceapi.KindBase {
		out.BaseID = l.Object
	} else {
		out.WorkspaceID = l.Object
	}
	return out
}

func (h links) list(ctx context.Context, who auth.Principal, in workspaceapi.ShareLinksQuery) (workspaceapi.ShareLinkPage, error) {
	kind, ref, err := object(in.WorkspaceID, in.BaseID)
	if err != nil {
		return workspaceapi.ShareLinkPage{}, err
	}
	return page.List(in.PageQuery, []any{"share links", who.TenantID, kind, ref}, func(after models.ShareLinkID, limit int) ([]models.ShareLink, error) {
		return h.links.List(ctx, who, kind, ref, after, limit)
	}, func(l models.ShareLink) models.ShareLinkID { return l.ID }, func(l models.ShareLink) workspaceapi.ShareLink { return h.render(who, l) })
}

func (h links) link(ctx context.Context, who auth.Principal, in workspaceapi.ShareLinkRef) (workspaceapi.ShareLinkAnswer, error) {
	ref, err := parse[models.ShareLinkID](in.LinkID)
	if err != nil {
		return workspaceapi.ShareLinkAnswer{}, err
	}
	l, err := h.links.Link(ctx, who, ref)
	return h.answer(who, l, err)
}

func (h links) update(ctx context.Context, who auth.Principal, in workspaceapi.ShareLinkUpdate) (workspaceapi.ShareLinkAnswer, error) {
	ref, err := parse[models.ShareLinkID](in.LinkID)
	if err != nil {
		return workspaceapi.ShareLinkAnswer{}, err
	}
	l, err := h.links.Update(ctx, who, ref, etag.Read(in.IfMatch), services.Change(in.Body))
	return h.answer(who, l, err)
}

func (h links) answer(who auth.Principal, l models.ShareLink, err error) (workspaceapi.ShareLinkAnswer, error) {
	if err != nil {
		return workspaceapi.ShareLinkAnswer{}, err
	}
	return workspaceapi.ShareLinkAnswer{ETag: etag.Of(l.Version), Body: h.render(who, l)}, nil
}

func (h links) revoke(ctx context.Context, who auth.Principal, in workspaceapi.ShareLinkRef) (struct{}, error) {
	ref, err := parse[models.ShareLinkID](in.LinkID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.links.Revoke(ctx, who, ref)
}

func (h links) open(ctx context.Context, _ auth.Principal, in workspaceapi.OpenShareRequest) (workspaceapi.OpenedShare, error) {
	o, err := h.links.Open(ctx, in.Secret, in.Password)
	if err != nil {
		return workspaceapi.OpenedShare{}, err
	}
	return workspaceapi.OpenedShare{Kind: o.Kind, Name: o.Name, Role: o.Role, Grant: o.Grant, ExpiresAt: o.Until}, nil
}

func (h links) redeem(ctx context.Context, who auth.Principal, in workspaceapi.OpenShareRequest) (workspaceapi.RedeemedShare, error) {
	m, err := h.links.Redeem(ctx, who, in.Secret, in.Password)
	if err != nil {
		return workspaceapi.RedeemedShare{}, err
	}
	out := workspaceapi.RedeemedShare{Role: m.Role, ExpiresAt: m.Until}
	if m.Kind == workspaceapi.KindBase {
		out.BaseID = m.Object
	} else {
		out.WorkspaceID = m.Object
	}
	return out, nil
}

func (h links) bases(ctx context.Context, _ auth.Principal, in workspaceapi.SharedBasesQuery) (workspaceapi.SharedBasePage, error) {
	return page.List(in.PageQuery, []any{"shared bases"}, func(after repository.Place[string], limit int) ([]models.Base, error) {
		return h.links.Bases(ctx, in.Grant, after, limit)
	}, func(b models.Base) repository.Place[string] { return services.BaseKey(b, true) }, func(b models.Base) workspaceapi.SharedBase {
		return workspaceapi.SharedBase{ID: b.ID, Name: b.Name, Description: b.Description}
	})
}

func (h links) tables(ctx context.Context, _ auth.Principal, in workspaceapi.SharedTablesQuery) (workspaceapi.SharedTablePage, error) {
	return h.links.Tables(ctx, in.Grant, in.BaseID, in.PageQuery)
}

func (h links) records(ctx context.Context, _ auth.Principal, in workspaceapi.SharedRecordsQuery) (workspaceapi.SharedRecordPage, error) {
	return h.links.Records(ctx, in.Grant, airtableapi.RecordsQuery{
		TablePath: airtableapi.TablePath{BasePath: airtableapi.BasePath{BaseID: in.BaseID}, TableID: in.TableID},
		Limit:     in.Limit, Cursor: in.Cursor, View: in.View, Sort: in.Sort, Fields: in.Fields,
	})
}

type feed struct{ tree *services.Tree }

func (h feed) list(ctx context.Context, who auth.Principal, in workspaceapi.ActivityQuery) (workspaceapi.ActivityPage, error) {
	w, err := optional[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return workspaceapi.ActivityPage{}, err
	}
	return page.List(in.PageQuery, []any{"activity", who.TenantID, w, in.BaseID}, func(after repository.ActivityKey, limit int) ([]models.Activity, error) {
		return h.tree.Activities(ctx, who, w, in.BaseID, after, limit)
	}, services.ActivityKey, activity)
}

func activity(a models.Activity) workspaceapi.Activity {
	return workspaceapi.Activity{
		ID: a.ID.String(), At: a.At, LastAt: a.LastAt, Kind: a.Kind, ActorID: a.Actor, WorkspaceID: a.Workspace, ProjectID: a.Project, BaseID: a.Base,
		TableID: a.Table, SubjectID: a.Subject, Name: a.Name, Role: a.Role, Changed: a.Changed, Count: a.Count,
	}
}
