package auditservice_test

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	auditservice "github.com/pyairtable/pyairtable/audit-service"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// BenchmarkIngest measures from full streams to committed entries: read, seal, chain,
// hash, insert with all indexes, acknowledge. PostgreSQL, Redis and the service share the
// machine; service-us/op is the CPU of this process alone.
func BenchmarkIngest(b *testing.B) {
	for _, tenants := range []int{1, 20} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) { ingest(b, tenants) })
	}
}

func ingest(b *testing.B, tenants int) {
	env := map[string]string{
		"AUTH_SERVICE_URL": authtest.New(b).URL, "DATABASE_URL": pgtest.URL(b, "audit-service", nil), "REDIS_URL": redistest.URL(b),
		"SEAL_KEYS": seal.NewKey(),
	}
	rdb, err := redis.New(env["REDIS_URL"])
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	names := make([]id.TenantID, tenants)
	for i := range names {
		names[i] = id.New[id.Tenant]()
	}
	users := make([]string, 50)
	for i := range users {
		users[i] = id.New[id.User]().String()
	}
	var list []events.Event
	for i := range b.N {
		user := users[i%len(users)]
		ctx := origin.Into(b.Context(), origin.Origin{User: user, Session: user, IP: "203.0.113.9", Agent: "Mozilla/5.0 (X11; Linux x86_64)", Request: "4bf92f3577b34da6a3ce929d0e0e4736"})
		list = append(list, airtableapi.RecordUpdated.New(ctx, names[i%tenants], fmt.Sprintf("rec%014d", i), 1, airtableapi.RecordChanged{
			BaseID: "appWorldAtlas0001", TableID: "tblCountries00001", RecordID: fmt.Sprintf("rec%014d", i), ChangedFieldIDs: []string{"fldName0000000001"}, ActorID: user,
			OldCells: map[string]json.RawMessage{"fldName0000000001": json.RawMessage(`"before"`)},
			NewCells: map[string]json.RawMessage{"fldName0000000001": json.RawMessage(`"after"`)},
		}))
		if len(list) == 1000 || i == b.N-1 {
			if err := events.Send(b.Context(), rdb, list...); err != nil {
				b.Fatal(err)
			}
			list = list[:0]
		}
	}
	// Trimming of a stream that nobody reads would cut long runs short.
	var queued int64
	for _, key := range rdb.Keys(b.Context(), "events:{airtable:*}").Val() {
		queued += rdb.XLen(b.Context(), key).Val()
	}
	pool, err := postgres.Open(b.Context(), env["DATABASE_URL"], postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	cpu := used()
	b.ResetTimer()
	apptest.Start(b, auditservice.Service, env)
	start := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for size := int64(0); size < queued; {
		<-tick.C
		if err := postgres.ForEveryTenant(pool).QueryRow(b.Context(), `SELECT coalesce(sum(size), 0)::bigint FROM logs`).Scan(&size); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(start)
	b.StopTimer()
	b.ReportMetric(float64(queued)/took.Seconds(), "entries/s")
	b.ReportMetric(float64((used()-cpu).Microseconds())/float64(queued), "service-us/op")
}

// used is the CPU time of this process.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
