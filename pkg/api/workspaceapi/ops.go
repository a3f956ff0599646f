package workspaceapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const items = "/api/v1/workspace/items"

// Items.
var (
	CreateItem = api.Op[NewItem, CreatedItem]{
		Name: "createWorkspaceItem", Method: http.MethodPost, Path: items, Status: http.StatusCreated, Idempotent: true,
		Summary: "Make an item",
	}
	GetItem = api.Op[ItemRef, Item]{
		Name: "getWorkspaceItem", Method: http.MethodGet, Path: items + "/{id}",
		Summary: "Show an item", Errors: []*errs.Error{errs.ErrNotFound},
	}
	ListItems = api.Op[api.PageQuery, ItemPage]{
		Name: "listWorkspaceItems", Method: http.MethodGet, Path: items,
		Summary: "List the tenant's items", Description: "Oldest first.",
	}
)

// Service is workspace-service.
var Service = api.Service{
	Name: "workspace-service", Title: "Workspace", Port: 8005, Database: "pyairtable_workspaces", Phase: 2, Needs: []string{"auth-service"},
	Streams: []string{stream},
	Ops:     []api.Spec{CreateItem.Spec(), GetItem.Spec(), ListItems.Spec()},
}
