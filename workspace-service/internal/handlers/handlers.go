// Package handlers serves the operations of workspaceapi.
package handlers

import (
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

// Deps are what the handlers translate for.
type Deps struct {
	Items      *services.Items
	Repository *repository.Repository
}

// Register serves every operation of workspaceapi on a.
func Register(a *httpx.API, d Deps) {
	i := items{d.Items, d.Repository}
	httpx.Handle(a, workspaceapi.CreateItem, i.create)
	httpx.Handle(a, workspaceapi.GetItem, i.item)
	httpx.Handle(a, workspaceapi.ListItems, i.list)
}
