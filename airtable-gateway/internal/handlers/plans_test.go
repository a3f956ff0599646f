package handlers_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/limits"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// plans stands for tenant-service over the wire: all tenants have one plan and one counter
// for each limit.
type plans struct {
	mu       sync.Mutex
	allowed  map[string]int64 // without an entry: any number
	used     map[string]int64
	versions map[string]int64
	open     map[string]tenantapi.ReserveDraft
	deaf     bool // to what is used
}

func newPlans() *plans {
	return &plans{allowed: map[string]int64{}, used: map[string]int64{}, versions: map[string]int64{}, open: map[string]tenantapi.ReserveDraft{}}
}

func (p *plans) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// uses are what is counted, and set aside.
func (p *plans) uses(limit string) (used, held int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.open {
		if o.Limit == limit {
			held += o.Amount
		}
	}
	return p.used[limit], held
}

func (p *plans) source() limits.Source {
	gone := func(key string) (tenantapi.Reservation, error) {
		p.set(func() { delete(p.open, key) })
		return tenantapi.Reservation{}, nil
	}
	return limits.Source{
		Read: func(context.Context, tenantapi.TenantRef) (tenantapi.TenantPlan, error) {
			return tenantapi.TenantPlan{}, nil
		},
		Reserve: func(_ context.Context, in tenantapi.ReserveRequest) (tenantapi.Reservation, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			o := in.Body
			for _, s := range o.Settle {
				p.used[o.Limit] += s.Used
				delete(p.open, s.Key)
			}
			left := p.allowed[o.Limit] - p.used[o.Limit]
			for key, other := range p.open {
				if other.Limit == o.Limit && key != o.Key {
					left -= other.Amount
				}
			}
			if _, limited := p.allowed[o.Limit]; limited && o.Partial {
				o.Amount = min(o.Amount, left)
			} else if limited && o.Amount > left {
				o.Amount = 0
			}
			switch {
			case o.Amount > 0:
				p.open[o.Key] = o
				return tenantapi.Reservation{Key: o.Key, Amount: o.Amount}, nil
			case o.Limit == tenantapi.LimitAPICalls:
				return tenantapi.Reservation{}, tenantapi.ErrQuotaExceeded.Saying("The plan tiny allows %d API calls a month.", p.allowed[o.Limit]).After(90 * time.Second)
			}
			return tenantapi.Reservation{}, tenantapi.ErrLimitReached.Saying("The plan tiny allows %d %s.", p.allowed[o.Limit], o.Limit)
		},
		Commit: func(_ context.Context, in tenantapi.CommitRequest) (tenantapi.Reservation, error) {
			return gone(in.Key)
		},
		Release: func(_ context.Context, in tenantapi.ReservationRef) (tenantapi.Reservation, error) {
			return gone(in.Key)
		},
		SetUse: func(_ context.Context, in tenantapi.UseUpdate) (tenantapi.LimitUse, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.deaf {
				return tenantapi.LimitUse{}, errs.ErrUnavailable
			}
			if in.Body.Version >= p.versions[in.Limit] {
				p.used[in.Limit], p.versions[in.Limit] = in.Body.Used, in.Body.Version
			}
			for _, key := range in.Body.Settle {
				delete(p.open, key)
			}
			return tenantapi.LimitUse{}, nil
		},
	}
}

// counts checks what tenant-service counts.
func (f *fleet) counts(t *testing.T, limit string, used int64) {
	t.Helper()
	if n, held := f.plans.uses(limit); n != used || held != 0 {
		t.Errorf("%s: %d counted and %d set aside, want %d", limit, n, held, used)
	}
}

const newBase = `{"name":"More","workspaceId":"wspAAAAAAAAAAAAAA","tables":[{"name":"T","fields":[{"name":"N","type":"singleLineText"}]}]}`

func restoreID(t *testing.T) (key models.RestoreID) {
	t.Helper()
	if err := key.UnmarshalText([]byte(uid())); err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPlans_ABaseTooManyIsRefusedHoweverItIsMade(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	f.plans.set(func() { f.plans.allowed[tenantapi.LimitBases] = 2 })
	must(t, anna, airtableapi.LoadDemo, struct{}{})
	base := anna.shop(t)
	f.counts(t, tenantapi.LimitBases, 2)

	anna.v0(t, "POST", "/v0/meta/bases", newBase).refused(t, http.StatusUnprocessableEntity,
		`{"error":{"type":"PLAN_LIMIT_REACHED","message":"The plan tiny allows 2 bases."}}`)
	copied := models.BaseRestore{Tenant: anna.tenant, ID: restoreID(t), Kind: airtableapi.CopyBase, Base: models.BaseID(base), Name: "Copy", RequestedBy: anna.user}
	if _, err := f.snapshots.Restore(t.Context(), copied); !errors.Is(err, tenantapi.ErrLimitReached) {
		t.Errorf("a copy: %v", err)
	}
	if got := must(t, anna, airtableapi.LoadDemo, struct{}{}); got.Created {
		t.Error("the demo base was made again")
	}
	ben := f.owner(t)
	if _, err := call(t, ben, airtableapi.LoadDemo, struct{}{}); !errors.Is(err, tenantapi.ErrLimitReached) { // the fake has one counter for all
		t.Errorf("the demo base: %v", err)
	}
	f.counts(t, tenantapi.LimitBases, 2)

	// A larger plan holds at once; so does what was given back.
	f.plans.set(func() { f.plans.allowed[tenantapi.LimitBases] = 3 })
	if _, err := f.snapshots.Restore(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if _, err := f.snapshots.Restore(t.Context(), copied); err != nil {
		t.Errorf("asked for again: %v", err)
	}
	if _, held := f.plans.uses(tenantapi.LimitBases); held != 1 {
		t.Errorf("%d set aside for the copy", held)
	}
	anna.v0(t, "POST", "/v0/meta/bases", newBase).refused(t, http.StatusUnprocessableEntity,
		`{"error":{"type":"PLAN_LIMIT_REACHED","message":"The plan tiny allows 3 bases."}}`)
}

// What a process that died did not report is reported by the job, and so is what went away
// by whatever way.
func TestPlans_TheCounterIsMadeTrueWhateverWasNotReported(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	f.plans.set(func() { f.plans.allowed[tenantapi.LimitBases], f.plans.deaf = 2, true })
	anna.shop(t)
	if n, held := f.plans.uses(tenantapi.LimitBases); n != 0 || held != 1 {
		t.Fatalf("%d counted, %d set aside by a report that was not heard", n, held)
	}
	f.plans.set(func() { f.plans.deaf = false; clear(f.plans.open) }) // which ran out
	for range 2 {
		if err := f.within.ReportDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.counts(t, tenantapi.LimitBases, 1)
	}
	for want, statement := range []string{
		`DELETE FROM bases WHERE tenant_id = $1 AND id = 'appBare'`,
		`INSERT INTO bases (tenant_id, id, name, workspace_id, created_at) VALUES ($1, 'appBare', 'Bare', 'wsp', now())`,
		`DELETE FROM bases WHERE tenant_id = $1 AND id = 'appBare'`,
	} {
		if _, err := postgres.ForTenant(f.pool, anna.tenant).Exec(t.Context(), statement, anna.tenant); err != nil {
			t.Fatal(err)
		}
		if err := f.within.ReportDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.counts(t, tenantapi.LimitBases, 1+int64(want%2))
	}
	anna.v0(t, "POST", "/v0/meta/bases", newBase).ok(t, nil)
}

func TestPlans_CallsBeyondTheMonthsAreRefusedAtBothDoors(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	f.plans.set(func() { f.plans.allowed[tenantapi.LimitAPICalls] = 3 })
	base := anna.shop(t)
	anna.v0(t, "GET", "/v0/meta/bases/"+base+"/tables", "").ok(t, nil)
	tables := airtableapi.TablesQuery{BasePath: airtableapi.BasePath{BaseID: base}}
	must(t, anna, airtableapi.ListTables, tables)

	got := anna.v0(t, "GET", "/v0/meta/bases", "")
	got.refused(t, http.StatusTooManyRequests,
		`{"error":{"type":"PUBLIC_API_BILLING_LIMIT_EXCEEDED","message":"The plan tiny allows 3 API calls a month."}}`)
	if got.header.Get("Retry-After") != "90" {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
	_, err := call(t, anna, airtableapi.ListTables, tables)
	if e := errs.From(err); e == nil || e.Code != tenantapi.ErrQuotaExceeded.Code || e.RetryAfter != 90*time.Second {
		t.Errorf("the other door: %v", err)
	}
	f.plans.set(func() { f.plans.allowed[tenantapi.LimitAPICalls] = 100 })
	f.counter.Heard(anna.tenant)
	anna.v0(t, "GET", "/v0/meta/bases", "").ok(t, nil)
}

func TestPlans_FilesBeyondAreRefusedAndRemovedOnesGivenBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	site := filestest.NewSite(t)
	var made struct {
		ID     string
		Tables []struct{ ID string }
	}
	anna.v0(t, "POST", "/v0/meta/bases", strings.Replace(newBase, `"singleLineText"}`, `"singleLineText"},{"name":"F","type":"multipleAttachments"}`, 1)).ok(t, &made)
	table := "/v0/" + made.ID + "/" + made.Tables[0].ID
	var rec struct{ ID string }
	anna.v0(t, "POST", table, `{"fields":{"N":"x"}}`).ok(t, &rec)
	upload := func(content string) reply {
		return anna.v0(t, "POST", "/v0/"+made.ID+"/"+rec.ID+"/F/uploadAttachment", fmt.Sprintf(
			`{"contentType":"text/plain","filename":"a.txt","file":%q}`, base64.StdEncoding.EncodeToString([]byte(content))))
	}
	f.plans.set(func() { f.plans.allowed[tenantapi.LimitStorage] = 10 })
	upload("12345").ok(t, nil)
	upload("12345").ok(t, nil) // is kept once
	upload("6789").ok(t, nil)
	f.within.Flush(t.Context())
	f.counts(t, tenantapi.LimitStorage, 9)

	const refusal = `{"error":{"type":"PLAN_LIMIT_REACHED","message":"The plan tiny allows 10 storage_bytes."}}`
	upload("two").refused(t, http.StatusUnprocessableEntity, refusal)
	address := site.Put("/b.txt", "text/plain", []byte("fetched"))
	anna.v0(t, "POST", table, fmt.Sprintf(`{"fields":{"N":"y","F":[{"url":%q}]}}`, address)).refused(t, http.StatusUnprocessableEntity, refusal)
	upload("1").ok(t, nil)
	f.within.Flush(t.Context())
	f.counts(t, tenantapi.LimitStorage, 10)

	anna.v0(t, "DELETE", table+"/"+rec.ID, "").ok(t, nil)
	f.now.Advance(25 * time.Hour)
	if err := f.keeper.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.within.ReportDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.counts(t, tenantapi.LimitStorage, 0)
}
