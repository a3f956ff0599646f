// Package handlers serves the operations of tenantapi.
package handlers

import (
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

// Deps are what the handlers translate for.
type Deps struct {
	Items      *services.Items
	Repository *repository.Repository
}

// Register serves every operation of tenantapi on a.
func Register(a *httpx.API, d Deps) {
	i := items{d.Items, d.Repository}
	httpx.Handle(a, tenantapi.CreateItem, i.create)
	httpx.Handle(a, tenantapi.GetItem, i.item)
	httpx.Handle(a, tenantapi.ListItems, i.list)
}
