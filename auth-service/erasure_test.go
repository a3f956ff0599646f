package authservice_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// whatStays are the tables that may know an erased user, and what of him.
var whatStays = map[string]string{
	"memberships": "that somebody of that id was a member, so that a late event makes nobody one again",
	"revocations": "the id, until the last access token has expired",
	"inbox":       "ids of events",
	"outbox":      "what was said of him, for as long as it can be asked for again: 72 hours",
	"river_job":   "ids of mails that were sent, for a day",
}

func TestErasedUser_LeavesNothingPersonalBehind(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	u := must(o.fixture, "", authapi.Register, authapi.RegisterRequest{Email: "ada@secret.example", Password: password, Name: "Ada Secret"})
	home, err := id.Parse[id.Tenant](u.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	personal := tenantapi.TenantChanged{TenantID: u.TenantID, Kind: tenantapi.KindPersonal, Name: "Ada Secret", Slug: "ada-secret", Status: tenantapi.StatusActive, OwnerID: u.ID}
	member := id.New[any]().String()
	o.hear(
		tenantapi.TenantCreated.New(t.Context(), home, u.TenantID, 1, personal),
		o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}), o.memberIs(tenantapi.MemberAdded, member, u.ID, 1, "member"),
	)
	in := must(o.fixture, o.login(u.Email).AccessToken, authapi.SwitchTenant, authapi.SwitchRequest{TenantID: o.tenant.String()})
	o.enrol(in.AccessToken)
	text, access := o.pat(in.AccessToken)
	if o.knows("secret", u.ID)["users"] == 0 {
		t.Fatal("nothing is found of a user who is there")
	}

	personal.Status = tenantapi.StatusDeleted // its name is in the event
	o.endsSoon([]events.Event{
		userapi.UserDeleted.New(t.Context(), home, u.ID, 2, userapi.UserDeletedData{UserID: u.ID, TenantID: u.TenantID}),
		o.memberIs(tenantapi.MemberRemoved, member, u.ID, 2, "member"),
		tenantapi.TenantDeleted.New(t.Context(), home, u.TenantID, 2, personal),
	}, in.AccessToken, access)
	for table, rows := range o.knows("secret", u.ID) {
		if whatStays[table] == "" {
			t.Errorf("%s: %d rows know who it was", table, rows)
		}
	}
	if named := o.knows("secret", "secret"); named["memberships"]+named["revocations"]+named["tenants"]+named["river_job"] != 0 {
		t.Errorf("his name or address is in %v", named)
	}
	refuse(o.fixture, authapi.ErrBadToken, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text})
}

// knows returns how many rows of each table have one of the texts in them.
func (o *office) knows(text, other string) map[string]int {
	o.t.Helper()
	all := postgres.ForEveryTenant(o.pool)
	rows, err := all.Query(o.t.Context(), `SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'`)
	if err != nil {
		o.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		o.t.Fatal(err)
	}
	known := map[string]int{}
	for _, table := range tables {
		var n int
		err := all.QueryRow(o.t.Context(), `SELECT count(*) FROM `+table+` x WHERE x::text ILIKE '%' || $1 || '%' OR x::text ILIKE '%' || $2 || '%'`, text, other).Scan(&n)
		if err != nil {
			o.t.Fatal(err)
		}
		if n > 0 {
			known[table] = n
		}
	}
	return known
}
