// Package handlers serves the operations of permissionapi.
package handlers

import (
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/httpx"
)

// Deps are what the handlers translate for.
type Deps struct {
	Items      *services.Items
	Repository *repository.Repository
}

// Register serves every operation of permissionapi on a.
func Register(a *httpx.API, d Deps) {
	i := items{d.Items, d.Repository}
	httpx.Handle(a, permissionapi.CreateItem, i.create)
	httpx.Handle(a, permissionapi.GetItem, i.item)
	httpx.Handle(a, permissionapi.ListItems, i.list)
}
