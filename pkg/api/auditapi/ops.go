package auditapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const items = "/api/v1/audit/items"

// Items.
var (
	CreateItem = api.Op[NewItem, CreatedItem]{
		Name: "createAuditItem", Method: http.MethodPost, Path: items, Status: http.StatusCreated, Idempotent: true,
		Summary: "Make an item",
	}
	GetItem = api.Op[ItemRef, Item]{
		Name: "getAuditItem", Method: http.MethodGet, Path: items + "/{id}",
		Summary: "Show an item", Errors: []*errs.Error{errs.ErrNotFound},
	}
	ListItems = api.Op[api.PageQuery, ItemPage]{
		Name: "listAuditItems", Method: http.MethodGet, Path: items,
		Summary: "List the tenant's items", Description: "Oldest first.",
	}
)

// Service is audit-service.
var Service = api.Service{
	Name: "audit-service", Title: "Audit", Port: 8017, Database: "pyairtable_audit", Phase: 2, Needs: []string{"auth-service"},
	Ops: []api.Spec{CreateItem.Spec(), GetItem.Spec(), ListItems.Spec()},
}
