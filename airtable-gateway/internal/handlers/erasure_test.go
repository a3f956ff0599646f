package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// keptAfterErasure are the tables that a deleted tenant may have rows in, and why.
var keptAfterErasure = map[string]string{
	"erased_tenants": "the mark, so that nothing that comes late makes anything of it",
	"outbox":         "events that others have to hear; rows go after 72 hours",
	"dead_events":    "for operators, who replay them",
}

// rowsOf counts the tenant's rows in every table that has a tenant_id.
func (f *fleet) rowsOf(t *testing.T, tenant id.TenantID) map[string]int64 {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `
		SELECT t.table_name FROM information_schema.tables t
		JOIN information_schema.columns c ON c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.column_name = 'tenant_id'
		WHERE t.table_schema = 'public' AND t.table_type = 'BASE TABLE'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, table := range tables {
		var n int64
		sql := `SELECT count(*) FROM ` + pgx.Identifier{table}.Sanitize() + ` WHERE tenant_id = $1`
		if err := postgres.ForTenant(f.pool, tenant).QueryRow(t.Context(), sql, tenant).Scan(&n); err != nil {
			t.Fatal(err)
		}
		out[table] = n
	}
	return out
}

// left are the tables that the tenant has rows in and should not.
func (f *fleet) left(t *testing.T, tenant id.TenantID) (out []string) {
	t.Helper()
	rows := f.rowsOf(t, tenant)
	for _, table := range slices.Sorted(maps.Keys(rows)) {
		if _, kept := keptAfterErasure[table]; !kept && rows[table] > 0 {
			out = append(out, fmt.Sprintf("%s: %d", table, rows[table]))
		}
	}
	return out
}

func (p person) deleted(t *testing.T) {
	t.Helper()
	applied(t, p, tenantapi.TenantDeleted, p.tenant.String(), 9, tenantapi.TenantChanged{TenantID: p.tenant.String(), Status: tenantapi.StatusDeleted},
		p.f.erasures.Repo.TenantDeleted)
}

// furnish gives p's tenant something of everything, but for what a connection to Airtable
// brings, and returns a link to a file of its.
func (p person) furnish(t *testing.T) (link string) {
	t.Helper()
	shop, docs := p.shop(t), p.docs(t)
	site := filestest.NewSite(t)
	var rec struct {
		ID     string
		Fields struct{ Files []struct{ URL string } }
	}
	text := site.Put("/a.txt", "text/plain", []byte("of "+p.tenant.String()))
	p.v0(t, "POST", "/v0/"+docs+"/Docs", fmt.Sprintf(`{"fields":{"Name":"a","Files":[{"url":%q}]}}`, text)).ok(t, &rec)
	p.v0(t, "POST", "/v0/"+docs+"/Docs/"+rec.ID+"/comments", `{"text":"hello"}`).ok(t, nil)
	p.v0(t, "POST", "/v0/bases/"+docs+"/webhooks", `{"specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`).ok(t, nil)
	for i := range 3 {
		p.v0(t, "POST", "/v0/"+docs+"/Docs", fmt.Sprintf(`{"fields":{"Name":"n%d"}}`, i)).ok(t, nil)
	}
	var page struct{ Offset string }
	sorted := "/v0/" + docs + "/Docs?pageSize=1&sort%5B0%5D%5Bfield%5D=Name"
	p.v0(t, "GET", sorted, "").ok(t, &page)
	p.v0(t, "GET", sorted+"&offset="+url.QueryEscape(page.Offset), "").ok(t, nil)

	customers := p.wireTables(t, shop)["Customers"]
	p.v0(t, "POST", "/v0/meta/bases/"+shop+"/tables/"+p.wireTables(t, shop)["Orders/2"].ID+"/fields",
		fmt.Sprintf(`{"name":"Who","type":"multipleRecordLinks","options":{"linkedTableId":%q}}`, customers.ID)).ok(t, nil)
	var who struct{ ID string }
	p.v0(t, "POST", "/v0/"+shop+"/Customers", `{"fields":{"Name":"Ada"}}`).ok(t, &who)
	p.v0(t, "POST", "/v0/"+shop+"/Orders%2F2", fmt.Sprintf(`{"fields":{"No":"1","Who":[%q]}}`, who.ID)).ok(t, nil)

	house := p.service(t)
	take := p.takes(docs)
	must(t, house, airtableapi.TakeSnapshot, take)
	twin := p.restores(airtableapi.CopyBase, "")
	twin.Body.BaseID = shop
	must(t, house, airtableapi.RestoreSnapshot, twin)
	await.True(t, "the snapshot is taken and the copy made", func() bool {
		return must(t, house, airtableapi.FetchSnapshot, p.ref(take.Body.ID)).Status == airtableapi.SnapshotReady &&
			must(t, house, airtableapi.FetchRestore, p.ref(twin.Body.ID)).Status == airtableapi.RestoreDone
	})

	places := repository.NewPlaces(p.f.pool)
	shelf := uid()
	applied(t, p, workspaceapi.WorkspaceUpdated, shelf, 1, workspaceapi.WorkspaceChanged{WorkspaceID: shelf, Status: workspaceapi.StatusActive}, places.WorkspaceChanged)
	applied(t, p, workspaceapi.BaseMoved, docs, 1, workspaceapi.BasePlaced{BaseID: docs, WorkspaceID: shelf, Status: workspaceapi.StatusActive}, places.BasePlaced)
	return rec.Fields.Files[0].URL
}

// far gives p's tenant what a connection to Airtable brings.
func (p person) far(t *testing.T, conn string) {
	t.Helper()
	p.v0(t, "GET", emulated+"?maxRecords=1", "").ok(t, nil)
	must(t, p, airtableapi.SetQuota, airtableapi.QuotaUpdate{ConnectionPath: airtableapi.ConnectionPath{ID: conn}, Body: airtableapi.QuotaDraft{MonthlyCalls: 1000}})
	saved(t, p.f)
	// What takes a second call, a picture, or another kind of connection.
	for _, sql := range []string{
		`INSERT INTO saved_minutes (tenant_id, minute, connection_id, base_id, user_id, saver, calls) VALUES ($1, now(), $2::uuid, 'app', $2::uuid, 'cache', 1)`,
		`INSERT INTO saved_days (tenant_id, day, connection_id, base_id, user_id, saver, calls) VALUES ($1, now(), $2::uuid, 'app', $2::uuid, 'cache', 1)`,
		`INSERT INTO stable_files (tenant_id, connection_id, attachment_id, variant, base_id, table_name, record_id, filename, source_url, seen_at, sum)
			SELECT $1, $2::uuid, 'att1', '', 'app', 'T', 'rec', 'f', 'http://f', now(), (SELECT min(sum) FROM blobs WHERE tenant_id = $1)`,
		`INSERT INTO thumbnails (tenant_id, sum, variant, thumb_sum, type) SELECT $1, min(sum), 'small', max(sum), $2 FROM blobs WHERE tenant_id = $1`,
		`INSERT INTO idempotency_keys (tenant_id, principal, op, key, fingerprint, status) VALUES ($1, $2, 'op', 'key', '', 200)`,
	} {
		if _, err := postgres.ForTenant(p.f.pool, p.tenant).Exec(t.Context(), sql, p.tenant, conn); err != nil {
			t.Fatalf("%v: %s", err, sql)
		}
	}
}

func TestErasure_NothingOfADeletedTenantIsLeftAndOthersKeepAll(t *testing.T) {
	t.Parallel()
	h := newFarHooks(t)
	f := h.fleet
	anna := f.owner(t)
	link := anna.furnish(t) // into the local connection, since there is no other yet
	h.owner, h.conn = anna, connect(t, anna, h.URL, accountToken)
	anna.far(t, h.conn.ID)
	h.in(airtableapi.WatchListening)
	bert := f.owner(t)
	bertsLink := bert.furnish(t)
	h.idle()
	had, berts := f.rowsOf(t, anna.tenant), f.rowsOf(t, bert.tenant)
	for table, n := range had {
		if _, kept := keptAfterErasure[table]; !kept && n == 0 {
			t.Errorf("the test puts nothing into %s", table)
		}
	}
	stored := f.stored(t, anna.tenant)
	if stored == 0 || len(h.hooks()) != 1 {
		t.Fatalf("%d files, %d webhooks at Airtable", stored, len(h.hooks()))
	}

	anna.deleted(t)
	h.idle()

	if left := f.left(t, anna.tenant); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if n := f.stored(t, anna.tenant); n != 0 {
		t.Errorf("%d files are left", n)
	}
	if hooks := h.hooks(); len(hooks) != 0 {
		t.Errorf("Airtable still has %+v", hooks)
	}
	if got := f.open(t, "GET", link); got.status != 404 {
		t.Errorf("the file: %d", got.status)
	}
	var emptied bool
	if err := postgres.ForTenant(f.pool, anna.tenant).QueryRow(t.Context(), `SELECT emptied_at IS NOT NULL FROM erased_tenants WHERE tenant_id = $1`, anna.tenant).Scan(&emptied); err != nil || !emptied {
		t.Errorf("the mark says %v, %v", emptied, err)
	}
	for table, n := range f.rowsOf(t, bert.tenant) {
		if n < berts[table] {
			t.Errorf("another tenant had %d rows in %s and has %d", berts[table], table, n)
		}
	}
	if got := f.open(t, "GET", bertsLink); got.status != 200 || got.body != "of "+bert.tenant.String() {
		t.Errorf("another tenant's file: %d %s", got.status, got.body)
	}

	// Once more, as when the event comes twice, and hours later by itself.
	anna.deleted(t)
	h.idle()
	f.now.Advance(4 * time.Hour)
	if _, err := postgres.ForTenant(f.pool, anna.tenant).Exec(t.Context(), `INSERT INTO shelves (tenant_id, id, trashed, version) VALUES ($1, $2, false, 1)`, anna.tenant, uid()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.queue.Client.Insert(t.Context(), services.EraseTenants{}, nil); err != nil {
		t.Fatal(err)
	}
	h.idle()
	if left := f.left(t, anna.tenant); len(left) > 0 {
		t.Errorf("left after what came late: %v", left)
	}
}

// stored counts the tenant's files in the bucket.
func (f *fleet) stored(t *testing.T, tenant id.TenantID) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(f.dir, tenant.String()), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return n
}

func TestErasure_InterruptedGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	h := newFarHooks(t)
	bert := h.fleet.owner(t)
	bert.furnish(t)
	h.idle()
	// Somebody holds the tables while the erasure comes as far as them, and it is killed.
	hold, err := h.fleet.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hold.Rollback(context.WithoutCancel(t.Context())) }()
	if err := postgres.Enter(t.Context(), hold, bert.tenant); err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Exec(t.Context(), `SELECT FROM tables WHERE tenant_id = $1 FOR KEY SHARE`, bert.tenant); err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.fleet.erasures.Erase(ctx, bert.tenant) }()
	await.True(t, "the erasure comes to the tables", func() bool { return h.fleet.rowsOf(t, bert.tenant)["fields"] == 0 })
	kill()
	if err := <-ended; err == nil {
		t.Fatal("the erasure ended though somebody held it")
	}
	if err := hold.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	half := h.fleet.rowsOf(t, bert.tenant)
	if half["bases"] == 0 || half["blobs"] == 0 || half["records"] > 0 {
		t.Fatalf("not half of it is done: %v", half)
	}
	bert.deleted(t)
	h.idle()
	if left := h.fleet.left(t, bert.tenant); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// From the event on the tenant has nothing, before any job has run.
func TestErasure_ADeletedTenantHasAndMakesNothingFromTheEventOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p, other := f.owner(t), f.owner(t)
	base, theirs := p.docs(t), other.docs(t)
	site := filestest.NewSite(t)
	var rec attached
	p.v0(t, "POST", "/v0/"+base+"/Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, site.Put("/a.txt", "text/plain", []byte("secret")))).ok(t, &rec)
	p.deleted(t)
	for _, door := range []struct{ method, path, body string }{
		{"GET", "/v0/" + base + "/Docs", ""},
		{"POST", "/v0/" + base + "/Docs", `{"fields":{"Name":"x"}}`},
		{"GET", "/v0/meta/bases", ""},
		{"GET", "/v0/meta/bases/" + base + "/tables", ""},
		{"POST", "/v0/meta/bases", `{"name":"Docs","workspaceId":"wspAAAAAAAAAAAAAA","tables":[{"name":"T","fields":[{"name":"N","type":"singleLineText"}]}]}`},
		{"GET", "/api/v1/airtable/bases", ""},
		{"GET", "/api/v1/airtable/bases/" + base, ""},
		{"POST", "/api/v1/airtable/connections", `{"name":"L","kind":"local"}`},
	} {
		if got := p.v0(t, door.method, door.path, door.body); got.status != 403 && got.status != 404 {
			t.Errorf("%s %s: %d %s", door.method, door.path, got.status, got.body)
		}
	}
	if list := must(t, p, airtableapi.ListConnections, airtableapi.ConnectionsQuery{PageQuery: page50}); len(list.Items) != 0 {
		t.Errorf("connections %+v", list.Items)
	}
	if got := f.open(t, "GET", rec.Fields["Files"][0].URL); got.status != 404 {
		t.Errorf("the file: %d %s", got.status, got.body)
	}
	if _, err := call(t, p.service(t), airtableapi.TakeSnapshot, p.takes(base)); err == nil {
		t.Error("a snapshot is taken")
	}
	if got := other.v0(t, "GET", "/v0/"+theirs+"/Docs", ""); got.status != 200 {
		t.Errorf("another tenant: %d %s", got.status, got.body)
	}
	// What comes late makes nothing.
	before := f.rowsOf(t, p.tenant)
	places := repository.NewPlaces(f.pool)
	applied(t, p, workspaceapi.WorkspaceUpdated, uid(), 1, workspaceapi.WorkspaceChanged{WorkspaceID: uid(), Status: workspaceapi.StatusActive}, places.WorkspaceChanged)
	if err := f.directory.Meet(t.Context(), p.tenant, id.New[id.User]()); err != nil {
		t.Fatal(err)
	}
	spent := map[repository.Spending]int64{{Tenant: p.tenant, Minute: time.Now(), Cause: repository.CauseRead}: 1, {Tenant: p.tenant, Minute: time.Now(), Cause: repository.SavedByCache}: 1}
	if err := repository.NewUsage(f.pool).Add(t.Context(), spent); err != nil {
		t.Fatal(err)
	}
	after := f.rowsOf(t, p.tenant)
	for table, n := range after {
		if n > before[table] {
			t.Errorf("%s has %d rows more", table, n-before[table])
		}
	}
}
