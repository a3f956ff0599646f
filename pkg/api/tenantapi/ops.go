package tenantapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const items = "/api/v1/tenant/items"

// Items.
var (
	CreateItem = api.Op[NewItem, CreatedItem]{
		Name: "createTenantItem", Method: http.MethodPost, Path: items, Status: http.StatusCreated, Idempotent: true,
		Summary: "Make an item",
	}
	GetItem = api.Op[ItemRef, Item]{
		Name: "getTenantItem", Method: http.MethodGet, Path: items + "/{id}",
		Summary: "Show an item", Errors: []*errs.Error{errs.ErrNotFound},
	}
	ListItems = api.Op[api.PageQuery, ItemPage]{
		Name: "listTenantItems", Method: http.MethodGet, Path: items,
		Summary: "List the tenant's items", Description: "Oldest first.",
	}
)

// Service is tenant-service.
var Service = api.Service{
	Name: "tenant-service", Title: "Tenant", Port: 8004, Database: "pyairtable_tenants", Phase: 2, Needs: []string{"auth-service"},
	Ops: []api.Spec{CreateItem.Spec(), GetItem.Spec(), ListItems.Spec()},
}
