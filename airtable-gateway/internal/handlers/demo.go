package handlers

import (
	"context"

	base "github.com/pyairtable/pyairtable/airtable-gateway/internal/demo"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
)

type demo struct{ service *services.Demo }

func (h demo) load(ctx context.Context, who auth.Principal, _ struct{}) (out airtableapi.Demo, err error) {
	if !who.IsAdmin() {
		return out, airtableapi.ErrAdminsOnly
	}
	d, err := h.service.Load(ctx, who)
	return airtableapi.Demo{
		BaseID: string(base.BaseID), ConnectionID: d.Connection.String(), Created: d.Created, Tables: d.Tables,
	}, err
}
