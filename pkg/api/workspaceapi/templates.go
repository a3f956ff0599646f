package workspaceapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
)

const (
	templates = "/api/v1/templates"
	template  = templates + "/{template_id}"
)

// What operations on templates answer beside the general errors.
var (
	ErrTemplateGuests   = errs.New(errs.Forbidden, "guests_make_no_templates", "Guests of the tenant make no templates.")
	ErrTemplateBuiltIn  = errs.New(errs.Forbidden, "template_built_in", "A template that comes with the product cannot be changed.")
	ErrTemplateOthers   = errs.New(errs.Forbidden, "template_of_others", "Only its maker and the tenant's admins change a template.")
	ErrTemplateNotReady = errs.New(errs.Conflict, "template_not_ready", "Nothing of the template is published yet.")
	ErrTemplateBusy     = errs.New(errs.Conflict, "template_publishing", "The template is being published already.")
)

// Templates: bases to begin with. Some come with the product; the others a tenant's
// members publish from bases of the built-in store. The content of a template is its own:
// it stays what it was when it was published, whatever becomes of the base. Guests see
// those that come with the product.
var (
	CreateTemplate = api.Op[NewTemplate, TemplateMade]{
		Name: "createTemplate", Method: http.MethodPost, Path: templates, Status: http.StatusAccepted, Idempotent: true, Timeout: snapshotWait,
		Summary: "Publish a base as a template", Description: "All members of the tenant see it then. Who may copy the base does this; where parts of it have rules " +
			"of their own, who may lift them. The work goes on after the answer: what is publishing is asked for again.",
		Errors: []*errs.Error{none, ErrNoBase, ErrMasked, ErrTrashed, ErrTemplateGuests, ErrBlankName, ErrBadTags, ErrTooManyHere},
	}
	ListTemplates = api.Op[TemplatesQuery, TemplatePage]{
		Name: "listTemplates", Method: http.MethodGet, Path: templates, Summary: "List the templates",
		Description: "Those that come with the product, then the tenant's own, the newest first.",
	}
	GetTemplate = api.Op[TemplateRef, TemplateAnswer]{
		Name: "getTemplate", Method: http.MethodGet, Path: template, Summary: "Show a template", Errors: []*errs.Error{none},
	}
	UpdateTemplate = api.Op[TemplateUpdate, TemplateAnswer]{
		Name: "updateTemplate", Method: http.MethodPatch, Path: template, Summary: "Change what is said of a template",
		Errors: []*errs.Error{none, ErrTemplateBuiltIn, ErrTemplateOthers, ErrBlankName, ErrBadTags, errs.ErrPreconditionFailed},
	}
	PublishTemplate = api.Op[TemplateRef, TemplateAnswer]{
		Name: "publishTemplate", Method: http.MethodPost, Path: template + "/publish", Status: http.StatusAccepted, Timeout: snapshotWait,
		Summary:     "Publish a template again from its base",
		Description: "What was published before is used until the new edition is ready, and stays if it comes to nothing.",
		Errors:      []*errs.Error{none, ErrNoBase, ErrMasked, ErrTrashed, ErrTemplateBuiltIn, ErrTemplateOthers, ErrTemplateBusy},
	}
	DeleteTemplate = api.Op[TemplateRef, struct{}]{
		Name: "deleteTemplate", Method: http.MethodDelete, Path: template, Status: http.StatusNoContent, Summary: "Delete a template with its content",
		Description: "Bases that were made of it stay, also those that are being made.", Errors: []*errs.Error{none, ErrTemplateBuiltIn, ErrTemplateOthers},
	}
	UseTemplate = api.Op[TemplateUse, RestoreMade]{
		Name: "createBaseFromTemplate", Method: http.MethodPost, Path: template + "/bases", Status: http.StatusAccepted, Idempotent: true,
		Summary: "Make a base of a template in a workspace",
		Description: "Who may create in the workspace does this. The base is there at once with all in it, or not at all; its records are new ones of " +
			"the caller. How far it is tells GET /api/v1/base-restores/{restore_id}.",
		Errors: []*errs.Error{none, ErrTemplateNotReady, ErrArchived, ErrTrashed, ErrNoProject},
	}
)

var templateOps = []api.Spec{
	CreateTemplate.Spec(), ListTemplates.Spec(), GetTemplate.Spec(), UpdateTemplate.Spec(), PublishTemplate.Spec(), DeleteTemplate.Spec(), UseTemplate.Spec(),
}

// States of templates.
const (
	TemplatePublishing = "publishing"
	TemplateReady      = "ready"
	TemplateFailed     = "failed"
)

// RestoreTemplate is the kind of a restore that makes a base of a template.
const RestoreTemplate = "template"

// Template is a base to begin with.
type Template struct {
	ID          string                      `json:"id" doc:"A UUID, or the name of one that comes with the product." example:"project-tracker"`
	BuiltIn     bool                        `json:"built_in" doc:"It comes with the product."`
	Name        string                      `json:"name"`
	Description string                      `json:"description"`
	Category    string                      `json:"category"`
	Tags        []string                    `json:"tags" nullable:"false"`
	Icon        string                      `json:"icon"`
	Status      string                      `json:"status" enum:"publishing,ready,failed" doc:"Of the newest edition."`
	Error       *airtableapi.JobError       `json:"error,omitempty" doc:"Why the newest edition came to nothing."`
	Edition     int64                       `json:"edition" doc:"That is used: how often it was published. 0: it cannot be used yet."`
	SkipRecords bool                        `json:"skip_records" doc:"It is the schema alone."`
	Records     int64                       `json:"records"`
	Tables      []airtableapi.SnapshotTable `json:"tables" nullable:"false" doc:"Not told in lists."`
	BaseID      string                      `json:"base_id,omitempty" doc:"That it is published from, to those who may change it."`
	CreatedBy   string                      `json:"created_by,omitempty" format:"uuid"`
	PublishedAt time.Time                   `json:"published_at,omitzero" doc:"The moment of the base that it shows."`
	Version     int64                       `json:"version" doc:"Rises with every change; the ETag is made of it."`
	CreatedAt   time.Time                   `json:"created_at,omitzero"`
	UpdatedAt   time.Time                   `json:"updated_at,omitzero"`
}

// TemplateBody is what is said of a template.
type TemplateBody struct {
	Name        string   `json:"name" minLength:"1" maxLength:"200" example:"Client onboarding"`
	Description string   `json:"description,omitempty" maxLength:"10000"`
	Category    string   `json:"category,omitempty" maxLength:"100"`
	Tags        []string `json:"tags,omitempty" maxItems:"50"`
	Icon        string   `json:"icon,omitempty" maxLength:"32" doc:"An emoji, or the name of a picture."`
}

// NewTemplate publishes a base.
type NewTemplate struct {
	Body struct {
		TemplateBody
		BaseID      string `json:"base_id" pattern:"^app[A-Za-z0-9]{1,30}$"`
		SkipRecords bool   `json:"skip_records,omitempty" doc:"The schema alone. Comments are never published."`
	}
}

// TemplateMade answers CreateTemplate.
type TemplateMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Template
}

// TemplateAnswer is a template with its ETag, to be sent as If-Match with an update.
type TemplateAnswer struct {
	ETag string `header:"ETag"`
	Body Template
}

// TemplateRef names a template.
type TemplateRef struct {
	TemplateID string `path:"template_id" maxLength:"64"`
}

// TemplateUpdate changes what is said of a template.
type TemplateUpdate struct {
	TemplateRef
	Precondition
	Body TemplatePatch
}

// TemplatePatch is a JSON merge patch of a template: what is absent stays.
type TemplatePatch struct {
	Name        *string   `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Description *string   `json:"description,omitempty" maxLength:"10000"`
	Category    *string   `json:"category,omitempty" maxLength:"100"`
	Tags        *[]string `json:"tags,omitempty" maxItems:"50"`
	Icon        *string   `json:"icon,omitempty" maxLength:"32"`
}

// TemplatesQuery selects templates.
type TemplatesQuery struct {
	api.PageQuery
	Category string `query:"category" maxLength:"100"`
	Tag      string `query:"tag" maxLength:"100"`
	Text     string `query:"q" maxLength:"200" doc:"In the name, the description, the category or a tag, whatever the letter case."`
	Origin   string `query:"origin" enum:"built_in,own" doc:"Absent: both."`
}

// TemplatePage is a page of templates.
type TemplatePage = api.Page[Template]

// TemplateUse makes a base of a template.
type TemplateUse struct {
	TemplateRef
	Body struct {
		WorkspaceID string `json:"workspace_id" format:"uuid"`
		ProjectID   string `json:"project_id,omitempty" format:"uuid"`
		Name        string `json:"name,omitempty" maxLength:"255" doc:"Of the new base; absent: as it was called that was published."`
		SkipRecords bool   `json:"skip_records,omitempty" doc:"The schema alone."`
	}
}

// The events of a tenant's own templates. The subject is the template's id, the version
// its own.
var (
	TemplateCreated = events.Type[TemplateChanged]{Name: "com.pyairtable.template.created.v1", Source: source, Stream: stream}
	// TemplateUpdated tells of what is said of a template.
	TemplateUpdated = events.Type[TemplateChanged]{Name: "com.pyairtable.template.updated.v1", Source: source, Stream: stream}
	// TemplatePublished tells of each edition that can be used.
	TemplatePublished = events.Type[TemplateChanged]{Name: "com.pyairtable.template.published.v1", Source: source, Stream: stream}
	TemplateDeleted   = events.Type[TemplateChanged]{Name: "com.pyairtable.template.deleted.v1", Source: source, Stream: stream}
	// TemplateUsed tells of a base that was made, of whichever template. The subject is
	// the restore's id.
	TemplateUsed = events.Type[TemplateUsage]{Name: "com.pyairtable.template.used.v1", Source: source, Stream: stream}
)

// TemplateChanged says how a template is now.
type TemplateChanged struct {
	TemplateID string   `json:"template_id"`
	TenantID   string   `json:"tenant_id"`
	BaseID     string   `json:"base_id"`
	Name       string   `json:"name"`
	Edition    int64    `json:"edition"`
	Changed    []string `json:"changed"`
	ActorID    string   `json:"actor_id,omitempty"`
}

// TemplateUsage says which base was made of a template.
type TemplateUsage struct {
	RestoreID   string `json:"restore_id"`
	TemplateID  string `json:"template_id"`
	TenantID    string `json:"tenant_id"`
	BaseID      string `json:"base_id"`
	WorkspaceID string `json:"workspace_id"`
	ProjectID   string `json:"project_id,omitempty"`
	ActorID     string `json:"actor_id,omitempty"`
}
