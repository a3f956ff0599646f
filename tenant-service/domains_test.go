package tenantservice_test

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

// dns is a server of TXT records on the loopback address.
type dns struct {
	address string
	mu      sync.Mutex
	records map[string]string
	code    dnsmessage.RCode // of every answer, if it is no success
}

func startDNS(t *testing.T) *dns {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &dns{address: conn.LocalAddr().String(), records: map[string]string{}}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := d.answer(buf[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return d
}

func (d *dns) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, errors.Join(err, errors.New("not one question"))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	q := m.Questions[0]
	m.Response, m.Additionals, m.RCode = true, nil, d.code
	if text, ok := d.records[q.Name.String()]; ok && d.code == dnsmessage.RCodeSuccess && q.Type == dnsmessage.TypeTXT {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.TXTResource{TXT: []string{text}},
		}}
	} else if !ok && d.code == dnsmessage.RCodeSuccess {
		m.RCode = dnsmessage.RCodeNameError
	}
	return m.Pack()
}

func (d *dns) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *dns) publish(name, value string) { d.set(func() { d.records[name+"."] = value }) }

func domainRef(of person, domain string) tenantapi.DomainRef {
	return tenantapi.DomainRef{TenantRef: of.ref(), DomainID: domain}
}

func (w *world) domain(of person, d tenantapi.DomainDraft) tenantapi.Domain {
	w.t.Helper()
	if d.Role == "" {
		d.Role = "member"
	}
	return must(w, of, tenantapi.AddDomain, tenantapi.NewDomain{TenantRef: of.ref(), Body: d}).Body
}

// verified is a new user who has proved to read the mail of the address.
func (w *world) verified(email string) person {
	w.t.Helper()
	p := w.registered(email)
	w.hear(authapi.EmailVerified.New(w.t.Context(), p.tenant, p.user.String(), 2, authapi.EmailVerifiedData{UserID: p.user.String(), Email: email}))
	return p
}

func (w *world) joinable(p person) []tenantapi.JoinableTenant {
	w.t.Helper()
	return must(w, p, tenantapi.ListJoinable, api.PageQuery{}).Items
}

func TestDomain_IsProvedAndLetsItsPeopleIn(t *testing.T) {
	t.Parallel()
	names := startDNS(t)
	w := start(t, map[string]string{"DNS_ADDRESS": names.address})
	owner := w.organisation("Acme")
	d := w.domain(owner, tenantapi.DomainDraft{Domain: "Acme.Example", Role: "guest"})
	if d.Domain != "acme.example" || d.Status != "pending" || d.RecordName != "_pyairtable.acme.example" {
		t.Errorf("added %+v", d)
	}
	refuse(w, tenantapi.ErrDomainListed, owner, tenantapi.AddDomain, tenantapi.NewDomain{TenantRef: owner.ref(), Body: tenantapi.DomainDraft{Domain: "acme.example", Role: "member"}})
	refuse(w, tenantapi.ErrBadTenant, owner, tenantapi.AddDomain, tenantapi.NewDomain{TenantRef: owner.ref(), Body: tenantapi.DomainDraft{Domain: "localhost", Role: "member"}})
	ada, eve, unproved := w.verified("ada@acme.example"), w.verified("eve@evil.example"), w.registered("bob@acme.example")
	refuse(w, tenantapi.ErrNotJoinable, ada, tenantapi.JoinTenant, owner.ref())

	refuse(w, tenantapi.ErrDomainUnproved, owner, tenantapi.VerifyDomain, domainRef(owner, d.ID))
	names.publish(d.RecordName, "pyairtable-verification=another")
	refuse(w, tenantapi.ErrDomainUnproved, owner, tenantapi.VerifyDomain, domainRef(owner, d.ID))
	names.set(func() { names.code = dnsmessage.RCodeServerFailure })
	refuse(w, errs.ErrUnavailable, owner, tenantapi.VerifyDomain, domainRef(owner, d.ID))
	names.set(func() { names.code = dnsmessage.RCodeSuccess })
	names.publish(d.RecordName, d.RecordValue)
	if got := must(w, owner, tenantapi.VerifyDomain, domainRef(owner, d.ID)); got.Status != "verified" || got.VerifiedAt.IsZero() {
		t.Errorf("verified %+v", got)
	}
	if w.emitted("com.pyairtable.domain.changed.v1", d.ID) != 2 {
		t.Error("it was not announced")
	}
	if list := w.joinable(ada); len(list) != 1 || list[0].TenantID != owner.tenant.String() || list[0].Role != "guest" {
		t.Errorf("joinable to her: %+v", list)
	}
	for _, p := range []person{eve, unproved, w.stranger()} {
		refuse(w, tenantapi.ErrNotJoinable, p, tenantapi.JoinTenant, owner.ref())
		if list := w.joinable(p); len(list) != 0 {
			t.Errorf("joinable: %+v", list)
		}
	}
	got := must(w, ada, tenantapi.JoinTenant, owner.ref())
	if got.Member.Role != "guest" || got.Member.UserID != ada.user.String() || w.emitted("com.pyairtable.member.added.v1", got.Member.ID) != 1 {
		t.Errorf("joined as %+v", got)
	}
	refuse(w, tenantapi.ErrAlreadyMember, ada, tenantapi.JoinTenant, owner.ref())
	if list := w.joinable(ada); len(list) != 0 {
		t.Errorf("joinable to a member: %+v", list)
	}
	// What the tenant demands, and its plan, hold for who joins like this, too.
	carl := w.verified("carl@acme.example")
	w.allow(owner, map[string]int64{"members": 2})
	refuse(w, tenantapi.ErrLimitReached, carl, tenantapi.JoinTenant, owner.ref())
	w.allow(owner, map[string]int64{})
	must(w, owner, tenantapi.SuspendTenant, owner.ref())
	refuse(w, tenantapi.ErrNotJoinable, carl, tenantapi.JoinTenant, owner.ref())
	must(w, owner, tenantapi.ResumeTenant, owner.ref())
	must(w, owner, tenantapi.UpdateDomain, tenantapi.DomainUpdate{DomainRef: domainRef(owner, d.ID), Body: tenantapi.DomainPatch{Role: ptr("member")}})
	if got := must(w, carl, tenantapi.JoinTenant, owner.ref()); got.Member.Role != "member" {
		t.Errorf("joined as %+v", got)
	}
	must(w, owner, tenantapi.RemoveDomain, domainRef(owner, d.ID))
	refuse(w, tenantapi.ErrDomainNotFound, owner, tenantapi.RemoveDomain, domainRef(owner, d.ID))
	refuse(w, tenantapi.ErrNotJoinable, w.verified("dora@acme.example"), tenantapi.JoinTenant, owner.ref())
}

func TestDomain_IsForOwnersToDecide(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.organisation("Acme")
	admin, member := w.join(owner, "admin"), w.join(owner, "member")
	d := w.domain(owner, tenantapi.DomainDraft{Domain: "acme.example"})
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.AddDomain, tenantapi.NewDomain{TenantRef: owner.ref(), Body: tenantapi.DomainDraft{Domain: "b.example", Role: "member"}})
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.VerifyDomain, domainRef(owner, d.ID))
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.UpdateDomain, tenantapi.DomainUpdate{DomainRef: domainRef(owner, d.ID)})
	refuse(w, tenantapi.ErrOwnersOnly, admin, tenantapi.RemoveDomain, domainRef(owner, d.ID))
	refuse(w, tenantapi.ErrAdminsOnly, member, tenantapi.ListDomains, tenantapi.DomainsQuery{TenantRef: owner.ref()})
	if page := must(w, admin, tenantapi.ListDomains, tenantapi.DomainsQuery{TenantRef: owner.ref()}); len(page.Items) != 1 || page.Items[0].ID != d.ID {
		t.Errorf("listed %+v", page)
	}
	home := w.registered("ada@example.com")
	personal := w.in(home.tenant, home.user, "owner")
	refuse(w, tenantapi.ErrPersonalTenant, personal, tenantapi.AddDomain, tenantapi.NewDomain{TenantRef: personal.ref(), Body: tenantapi.DomainDraft{Domain: "b.example", Role: "member"}})
}

// Both have published their record: the domain is of the one who is first, until he gives
// it up.
func TestDomain_IsOneTenantsAtATime(t *testing.T) {
	t.Parallel()
	names := startDNS(t)
	w := start(t, map[string]string{"DNS_ADDRESS": names.address})
	var won, lost atomic.Int64
	var all sync.WaitGroup
	owners, domains := make([]person, 4), make([]tenantapi.Domain, 4)
	for i := range owners {
		owners[i] = w.organisation("Acme")
		domains[i] = w.domain(owners[i], tenantapi.DomainDraft{Domain: "acme.example"})
	}
	// One record holds one token here; all tenants are given the same.
	_, err := postgres.ForEveryTenant(w.pool).Exec(t.Context(), `UPDATE domains SET token = 'same'`)
	w.ok(err)
	names.publish("_pyairtable.acme.example", "pyairtable-verification=same")
	winner := atomic.Int64{}
	for i := range owners {
		all.Go(func() {
			switch _, err := call(w, owners[i], tenantapi.VerifyDomain, domainRef(owners[i], domains[i].ID)); {
			case err == nil:
				won.Add(1)
				winner.Store(int64(i))
			case errors.Is(err, tenantapi.ErrDomainTaken):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 3 {
		t.Fatalf("%d won, %d lost", won.Load(), lost.Load())
	}
	first, next := winner.Load(), (winner.Load()+1)%4
	must(w, owners[first], tenantapi.RemoveDomain, domainRef(owners[first], domains[first].ID))
	must(w, owners[next], tenantapi.VerifyDomain, domainRef(owners[next], domains[next].ID))
}

func TestDomain_AutoJoinTakesInWhoVerifiesHisAddress(t *testing.T) {
	t.Parallel()
	names := startDNS(t)
	w := start(t, map[string]string{"DNS_ADDRESS": names.address})
	owner := w.organisation("Acme")
	d := w.domain(owner, tenantapi.DomainDraft{Domain: "acme.example", AutoJoin: true})
	names.publish(d.RecordName, d.RecordValue)
	must(w, owner, tenantapi.VerifyDomain, domainRef(owner, d.ID))
	isMember := func(p person) bool {
		return w.count(`SELECT count(*) FROM members WHERE tenant_id = $1 AND user_id = $2`, owner.tenant, p.user) == 1
	}
	if ada := w.verified("ada@acme.example"); !isMember(ada) {
		t.Error("who verified an address is not a member")
	}
	if isMember(w.registered("bob@acme.example")) || isMember(w.verified("eve@evil.example")) {
		t.Error("who did not is a member")
	}
	// What is in the way of joining is not in the way of the account.
	w.allow(owner, map[string]int64{"members": 2})
	carl := w.verified("carl@acme.example")
	if isMember(carl) || w.count(`SELECT count(*) FROM members WHERE tenant_id = $1`, carl.tenant) != 1 {
		t.Error("beyond the plan's members")
	}
}

func TestDomain_WithoutItsRecordIsLostAfterThreeDays(t *testing.T) {
	t.Parallel()
	names := startDNS(t)
	w := start(t, map[string]string{"DNS_ADDRESS": names.address})
	owner := w.organisation("Acme")
	d := w.domain(owner, tenantapi.DomainDraft{Domain: "acme.example"})
	names.publish(d.RecordName, d.RecordValue)
	must(w, owner, tenantapi.VerifyDomain, domainRef(owner, d.ID))
	now := services.Clock()
	worker := &services.CheckDomainsWorker{
		Repo: repository.New(w.pool, nil, nil, func() time.Time { return now }), DNS: services.Resolver(names.address),
	}
	check := func() tenantapi.Domain {
		t.Helper()
		w.ok(worker.Work(t.Context(), &river.Job[models.CheckDomains]{}))
		return must(w, owner, tenantapi.ListDomains, tenantapi.DomainsQuery{TenantRef: owner.ref()}).Items[0]
	}
	names.set(func() { clear(names.records) })
	if got := check(); got.Status != "verified" || got.MissedAt.IsZero() {
		t.Errorf("missed for the first time: %+v", got)
	}
	names.publish(d.RecordName, d.RecordValue)
	if got := check(); got.Status != "verified" || !got.MissedAt.IsZero() {
		t.Errorf("back again: %+v", got)
	}
	names.set(func() { clear(names.records) })
	check()
	now = now.Add(models.DomainGrace - time.Hour)
	if got := check(); got.Status != "verified" {
		t.Errorf("within the grace: %+v", got)
	}
	now = now.Add(2 * time.Hour)
	names.set(func() { names.code = dnsmessage.RCodeServerFailure })
	if got := check(); got.Status != "verified" {
		t.Errorf("a server that fails says nothing: %+v", got)
	}
	names.set(func() { names.code = dnsmessage.RCodeSuccess })
	if got := check(); got.Status != "pending" || !got.VerifiedAt.IsZero() {
		t.Errorf("beyond the grace: %+v", got)
	}
}
