package permissionapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const items = "/api/v1/permission/items"

// Items.
var (
	CreateItem = api.Op[NewItem, CreatedItem]{
		Name: "createPermissionItem", Method: http.MethodPost, Path: items, Status: http.StatusCreated, Idempotent: true,
		Summary: "Make an item",
	}
	GetItem = api.Op[ItemRef, Item]{
		Name: "getPermissionItem", Method: http.MethodGet, Path: items + "/{id}",
		Summary: "Show an item", Errors: []*errs.Error{errs.ErrNotFound},
	}
	ListItems = api.Op[api.PageQuery, ItemPage]{
		Name: "listPermissionItems", Method: http.MethodGet, Path: items,
		Summary: "List the tenant's items", Description: "Oldest first.",
	}
)

// Service is permission-service.
var Service = api.Service{
	Name: "permission-service", Title: "Permission", Port: 8006, Database: "pyairtable_permissions", Phase: 2, Needs: []string{"auth-service"},
	Streams: []string{stream},
	Ops:     []api.Spec{CreateItem.Spec(), GetItem.Spec(), ListItems.Spec(), Check.Spec(), Write.Spec(), FetchPolicy.Spec()},
}
