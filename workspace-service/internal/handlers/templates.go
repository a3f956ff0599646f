package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/workspace-service/internal/gallery"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

type templates struct{ service *services.Templates }

func (h templates) create(ctx context.Context, who auth.Principal, in workspaceapi.NewTemplate) (out workspaceapi.TemplateMade, err error) {
	b := in.Body
	t, err := h.service.Create(ctx, who, b.BaseID, b.SkipRecords, models.TemplateSaying{
		Name: &b.Name, Description: &b.Description, Category: &b.Category, Tags: &b.Tags, Icon: &b.Icon,
	})
	if err != nil {
		return out, err
	}
	return workspaceapi.TemplateMade{Location: workspaceapi.CreateTemplate.Path + "/" + t.Key(), ETag: etag.Of(t.Version), Body: templateOf(t)}, nil
}

func (h templates) list(ctx context.Context, who auth.Principal, in workspaceapi.TemplatesQuery) (workspaceapi.TemplatePage, error) {
	f := repository.TemplateFilter{Category: in.Category, Tag: in.Tag, Text: in.Text}
	return page.List(in.PageQuery, []any{"templates", who.TenantID, f, in.Origin}, func(after string, limit int) ([]services.Template, error) {
		return h.service.List(ctx, who, f, in.Origin, after, limit)
	}, services.Template.Key, func(t services.Template) workspaceapi.Template {
		out := templateOf(t)
		out.Tables = []airtableapi.SnapshotTable{}
		return out
	})
}

func (h templates) template(ctx context.Context, who auth.Principal, in workspaceapi.TemplateRef) (workspaceapi.TemplateAnswer, error) {
	return templateAnswer(h.service.Template(ctx, who, in.TemplateID))
}

func (h templates) update(ctx context.Context, who auth.Principal, in workspaceapi.TemplateUpdate) (workspaceapi.TemplateAnswer, error) {
	return templateAnswer(h.service.Update(ctx, who, in.TemplateID, etag.Read(in.IfMatch), models.TemplateSaying(in.Body)))
}

func (h templates) publish(ctx context.Context, who auth.Principal, in workspaceapi.TemplateRef) (workspaceapi.TemplateAnswer, error) {
	return templateAnswer(h.service.Publish(ctx, who, in.TemplateID))
}

func (h templates) delete(ctx context.Context, who auth.Principal, in workspaceapi.TemplateRef) (struct{}, error) {
	return struct{}{}, h.service.Delete(ctx, who, in.TemplateID)
}

func (h templates) use(ctx context.Context, who auth.Principal, in workspaceapi.TemplateUse) (out workspaceapi.RestoreMade, err error) {
	n := models.Restoration{Name: in.Body.Name, SkipRecords: in.Body.SkipRecords}
	if n.Workspace, n.Project, err = target(in.Body.WorkspaceID, in.Body.ProjectID); err != nil {
		return out, err
	}
	return restoreMade(h.service.Use(ctx, who, in.TemplateID, n))
}

func templateAnswer(t services.Template, err error) (workspaceapi.TemplateAnswer, error) {
	if err != nil {
		return workspaceapi.TemplateAnswer{}, err
	}
	out := templateOf(t)
	return workspaceapi.TemplateAnswer{ETag: etag.Of(out.Version), Body: out}, nil
}

func templateOf(t services.Template) workspaceapi.Template {
	if t.Seed != nil {
		return seedOf(*t.Seed)
	}
	out := workspaceapi.Template{
		ID: t.ID.String(), Name: t.Name, Description: t.Description, Category: t.Category, Tags: t.Tags, Icon: t.Icon, Status: t.Status(),
		Error: faultOf(t.Fault), Edition: t.Edition, SkipRecords: t.SkipRecords, Records: t.Records, Tables: append([]airtableapi.SnapshotTable{}, t.Tables...),
		CreatedBy: t.CreatedBy.String(), PublishedAt: t.PublishedAt, Version: t.Version, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
	if t.Editable {
		out.BaseID = t.Base
	}
	return out
}

// seedOf is a template that comes with the product: of one edition, whichever version of
// the product it is.
func seedOf(s gallery.Seed) workspaceapi.Template {
	out := workspaceapi.Template{
		ID: s.Key, BuiltIn: true, Name: s.Name, Description: s.Description, Category: s.Category, Tags: s.Tags, Icon: s.Icon,
		Status: workspaceapi.TemplateReady, Edition: 1, Records: s.Count(), Version: 1,
	}
	for _, t := range s.Tables {
		out.Tables = append(out.Tables, airtableapi.SnapshotTable{ID: s.TableID(t), Name: t.Name, Records: int64(len(t.Records))})
	}
	return out
}
