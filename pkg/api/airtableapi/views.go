package airtableapi

import (
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
)

const (
	scopeSchemaWrite = "schema.bases:write"
	views            = tables + "/{tableId}/views"
	view             = views + "/{viewId}"
)

// What the operations on views answer beside the general errors.
var (
	ErrViewNotFound   = errs.New(errs.NotFound, "view_not_found", "The table has no such view.")
	ErrViewNameTaken  = errs.New(errs.Conflict, "view_name_taken", "The table has a view of this name already.")
	ErrInvalidView    = errs.New(errs.Invalid, "invalid_view", "The view cannot be defined like this.")
	ErrLastGridView   = errs.New(errs.Conflict, "last_grid_view", "The last grid view of a table cannot be deleted.")
	ErrTooManyViews   = errs.New(errs.Conflict, "too_many_views", "The table has as many views as it may.")
	ErrViewsElsewhere = errs.New(errs.Conflict, "views_not_definable",
		"The base belongs to an Airtable account, and Airtable's API neither shows nor changes the definitions of views.")
)

var viewRefusals = []*errs.Error{ErrBaseNotFound, ErrTableNotFound, ErrViewNotFound, ErrViewsElsewhere, ErrUpstreamAway}

// The operations on the views of local bases.
var (
	ListViews = api.Op[ViewsQuery, api.Page[View]]{
		Name: "listViews", Method: "GET", Path: views, Scope: scopeSchemaRead, Timeout: upstreamTimeout,
		Summary: "List the views of a table with their definitions", Errors: viewRefusals,
	}
	CreateView = api.Op[ViewCreate, ViewMade]{
		Name: "createView", Method: "POST", Path: views, Status: 201, Scope: scopeSchemaWrite, Idempotent: true, Timeout: upstreamTimeout,
		Summary: "Define a view",
		Description: "Records are listed through it with view=, here and under /v0: those that its filter keeps, in its order. " +
			"Hidden fields are still in the records, as with Airtable.",
		Errors: append(viewRefusals, ErrViewNameTaken, ErrInvalidView, ErrTooManyViews),
	}
	FetchView = api.Op[ViewPath, ViewAnswer]{
		Name: "getView", Method: "GET", Path: view, Scope: scopeSchemaRead, Timeout: upstreamTimeout,
		Summary: "Show a view with its definition", Errors: viewRefusals,
	}
	UpdateView = api.Op[ViewUpdate, ViewAnswer]{
		Name: "updateView", Method: "PATCH", Path: view, Scope: scopeSchemaWrite, Timeout: upstreamTimeout,
		Summary:     "Change a view",
		Description: "What is absent stays; an empty text or list empties. Walks through the view's records end if its filter or sort changes.",
		Errors:      append(viewRefusals, ErrViewNameTaken, ErrInvalidView),
	}
	DeleteView = api.Op[ViewDelete, struct{}]{
		Name: "deleteView", Method: "DELETE", Path: view, Status: 204, Scope: scopeSchemaWrite, Timeout: upstreamTimeout,
		Summary: "Delete a view; no record is deleted", Errors: append(viewRefusals, ErrLastGridView),
	}
)

// View is a way to look at a table. It names fields by id, so that renaming a field
// changes no view.
type View struct {
	ID              string     `json:"id" doc:"viw…"`
	Name            string     `json:"name"`
	Type            string     `json:"type" enum:"grid,form,gallery,kanban,calendar"`
	Description     string     `json:"description,omitempty"`
	Filter          string     `json:"filter,omitempty" example:"AND({fldStateAAAAAAAAA}='todo', {fldDueAAAAAAAAAAA} < TODAY())" doc:"The formula that records must pass; absent: all records."`
	Sort            []ViewSort `json:"sort" nullable:"false" doc:"Empty: the table's own order."`
	FieldOrder      []string   `json:"field_order" nullable:"false" doc:"Ids of the fields that come first; the others follow in the table's order."`
	HiddenFieldIDs  []string   `json:"hidden_field_ids" nullable:"false"`
	VisibleFieldIDs []string   `json:"visible_field_ids" nullable:"false" doc:"What the two lists come to: the fields that the view shows, the primary field first."`
}

// ViewSort is one key of a view's order.
type ViewSort struct {
	Field string `json:"field" minLength:"1" maxLength:"255" doc:"A field's id; its name will do in a request."`
	Desc  bool   `json:"desc,omitempty" doc:"Descending; blanks are last then, and first otherwise."`
}

// ViewsQuery asks for a page of a table's views, in their order.
type ViewsQuery struct {
	TablePath
	api.PageQuery
}

// ViewPath names a view.
type ViewPath struct {
	TablePath
	ViewID string `path:"viewId" maxLength:"512" doc:"viw…, or the view's name"`
}

// ViewDraft is what a view is made with. Fields are named by name or id.
type ViewDraft struct {
	Name         string     `json:"name" minLength:"1" maxLength:"255"`
	Type         string     `json:"type,omitempty" enum:"grid,form,gallery,kanban,calendar" default:"grid" doc:"Says how a program may show the records; it changes nothing about them."`
	Description  string     `json:"description,omitempty" maxLength:"20000"`
	Filter       string     `json:"filter,omitempty" maxLength:"12000" example:"AND({State}='todo', {Due} < TODAY())" doc:"A formula in Airtable's language."`
	Sort         []ViewSort `json:"sort,omitempty" maxItems:"20" nullable:"false"`
	FieldOrder   []string   `json:"field_order,omitempty" maxItems:"500" nullable:"false"`
	HiddenFields []string   `json:"hidden_fields,omitempty" maxItems:"500" nullable:"false" doc:"Not the primary field."`
}

// ViewPatch is a JSON merge patch: what is absent stays. The type does not change.
type ViewPatch struct {
	Name         *string    `json:"name,omitempty" minLength:"1" maxLength:"255"`
	Description  *string    `json:"description,omitempty" maxLength:"20000"`
	Filter       *string    `json:"filter,omitempty" maxLength:"12000"`
	Sort         []ViewSort `json:"sort,omitzero" maxItems:"20" nullable:"false"`
	FieldOrder   []string   `json:"field_order,omitzero" maxItems:"500" nullable:"false"`
	HiddenFields []string   `json:"hidden_fields,omitzero" maxItems:"500" nullable:"false"`
}

// ViewCreate makes a view.
type ViewCreate struct {
	TablePath
	Body ViewDraft
}

// ViewUpdate changes a view.
type ViewUpdate struct {
	ViewPath
	IfMatch string `header:"If-Match" doc:"ETag that the view must still have."`
	Body    ViewPatch
}

// ViewDelete deletes a view.
type ViewDelete struct {
	ViewPath
	IfMatch string `header:"If-Match" doc:"ETag that the view must still have."`
}

// ViewAnswer is one view.
type ViewAnswer struct {
	ETag string `header:"ETag"`
	Body View
}

// ViewMade is the answer to a creation.
type ViewMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     View
}

// The events of views of local bases: the subject is the view's id, the version its
// own. Nothing is said of the Grid view that comes with a table.
var (
	ViewCreated = events.Type[ViewChanged]{Name: "com.pyairtable.view.created.v1", Source: eventSource, Stream: eventStream}
	ViewUpdated = events.Type[ViewChanged]{Name: "com.pyairtable.view.updated.v1", Source: eventSource, Stream: eventStream}
	ViewDeleted = events.Type[ViewChanged]{Name: "com.pyairtable.view.deleted.v1", Source: eventSource, Stream: eventStream}
)

// ViewChanged says how a view is now, or was when it was deleted.
type ViewChanged struct {
	BaseID         string     `json:"base_id"`
	TableID        string     `json:"table_id"`
	ViewID         string     `json:"view_id"`
	Name           string     `json:"name"`
	Type           string     `json:"type"`
	Filter         string     `json:"filter,omitempty"`
	Sort           []ViewSort `json:"sort"`
	FieldOrder     []string   `json:"field_order"`
	HiddenFieldIDs []string   `json:"hidden_field_ids"`
	ActorID        string     `json:"actor_id,omitempty"` // the user; empty for the system
}
