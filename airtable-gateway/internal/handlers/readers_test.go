package handlers_test

import (
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// A service that reads in a user's name is shown what he would be, and nothing of another
// tenant.
func TestReaders_SeeWhatTheirUserSees(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	owner, stranger := f.owner(t), f.owner(t)
	demo, err := rpc.Call(t.Context(), f.client.As(auth.Principal{Token: owner.token}), airtableapi.LoadDemo, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	service := f.client.As(auth.Principal{Token: f.sign(t, auth.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "pyairtable", Audience: jwt.ClaimStrings{auth.AudienceService}, Subject: auth.ServiceSubject("workspace-service"), ID: uid(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
	}})})
	reader := func(p person) airtableapi.Reader {
		return airtableapi.Reader{TenantID: p.tenant.String(), UserID: p.user.String(), Role: "owner"}
	}
	base := airtableapi.BasePath{BaseID: demo.BaseID}
	tables, err := rpc.Call(t.Context(), service, airtableapi.ReadTables, airtableapi.TablesRead{
		TablesQuery: airtableapi.TablesQuery{BasePath: base}, Reader: reader(owner),
	})
	if err != nil || len(tables.Items) != len(demo.Tables) {
		t.Fatalf("%d tables, %v", len(tables.Items), err)
	}
	of := airtableapi.RecordsQuery{TablePath: airtableapi.TablePath{BasePath: base, TableID: tables.Items[0].ID}, Limit: 2}
	records, err := rpc.Call(t.Context(), service, airtableapi.ReadRecords, airtableapi.RecordsRead{RecordsQuery: of, Reader: reader(owner)})
	if err != nil || len(records.Body.Items) != 2 || records.Body.NextCursor == "" {
		t.Errorf("%+v, %v", records.Body, err)
	}
	_, err = rpc.Call(t.Context(), service, airtableapi.ReadRecords, airtableapi.RecordsRead{RecordsQuery: of, Reader: reader(stranger)})
	if !errors.Is(err, airtableapi.ErrBaseNotFound) {
		t.Errorf("in a stranger's name: %v", err)
	}
	_, err = rpc.Call(t.Context(), f.client.As(auth.Principal{Token: owner.token}), airtableapi.ReadRecords, airtableapi.RecordsRead{RecordsQuery: of, Reader: reader(owner)})
	if !errors.Is(err, errs.ErrForbidden) {
		t.Errorf("a user: %v", err)
	}
}
