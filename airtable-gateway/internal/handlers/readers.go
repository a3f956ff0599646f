package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// readers answer services that read in a user's name: as the user himself is answered,
// with a token that only reads.
type readers struct {
	bases   bases
	records records
}

func (h readers) tables(ctx context.Context, who auth.Principal, in airtableapi.TablesRead) (api.Page[airtableapi.Table], error) {
	user, err := reader(who, in.Reader)
	if err != nil {
		return api.Page[airtableapi.Table]{}, err
	}
	return h.bases.tables(ctx, user, in.TablesQuery)
}

func (h readers) list(ctx context.Context, who auth.Principal, in airtableapi.RecordsRead) (airtableapi.RecordsAnswer, error) {
	user, err := reader(who, in.Reader)
	if err != nil {
		return airtableapi.RecordsAnswer{}, err
	}
	return h.records.list(ctx, user, in.RecordsQuery)
}

// reader is the user for whom the service acts.
func reader(service auth.Principal, of airtableapi.Reader) (auth.Principal, error) {
	who := auth.Principal{
		Role: of.Role, Scopes: []string{"data.records:read", "schema.bases:read"},
		Actor: &auth.Actor{Subject: service.Subject()}, TokenID: service.TokenID, ExpiresAt: service.ExpiresAt,
	}
	var err error
	if who.TenantID, err = id.Parse[id.Tenant](of.TenantID); err != nil {
		return who, errs.ErrNotFound.Because(err)
	}
	if who.UserID, err = id.Parse[id.User](of.UserID); err != nil {
		return who, errs.ErrNotFound.Because(err)
	}
	return who, nil
}
