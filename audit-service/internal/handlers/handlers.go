// Package handlers serves the operations of auditapi.
package handlers

import (
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/httpx"
)

// Deps are what the handlers translate for.
type Deps struct {
	Items      *services.Items
	Repository *repository.Repository
}

// Register serves every operation of auditapi on a.
func Register(a *httpx.API, d Deps) {
	i := items{d.Items, d.Repository}
	httpx.Handle(a, auditapi.CreateItem, i.create)
	httpx.Handle(a, auditapi.GetItem, i.item)
	httpx.Handle(a, auditapi.ListItems, i.list)
}
