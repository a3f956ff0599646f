package services

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/permission-service/internal/relations"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

// store is the repository, with its pool for what the consumer of events does.
type store struct {
	*repository.Repository
	pool *pgxpool.Pool
}

// newDecisions is the service on a database of the test's own; the clock stands at now.
func newDecisions(t testing.TB, now func() time.Time) (*Decisions, store) {
	t.Helper()
	pool := pgtest.New(t, "permission-service", repository.Migrations)
	engine, err := relations.Open(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	repo := repository.New(pool, now)
	d, err := NewDecisions(repo, engine, 10_000, zap.NewNop(), now)
	if err != nil {
		t.Fatal(err)
	}
	return d, store{repo, pool}
}

// report adds the median and the 99th percentile to what a benchmark says.
func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
