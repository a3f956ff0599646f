package services

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

const (
	// lookupAge is how long this replica goes by what another one has changed about a
	// connection since: a deleted one, or the old token of one, is used for so long.
	lookupAge   = time.Second
	mostLookups = 10_000
)

// lookups remembers which connection answers for a base, so that not every read asks
// the database. What this replica changes counts at once.
type lookups struct {
	kept  *otter.Cache[lookupKey, lookup]
	epoch atomic.Int64 // rises with every change
}

type lookupKey struct {
	tenant id.TenantID
	base   string
}

type lookup struct {
	conn    models.Connection
	offered models.OfferedBase
	epoch   int64
	until   time.Time
}

func newLookups() *lookups {
	kept, err := otter.New(&otter.Options[lookupKey, lookup]{MaximumSize: mostLookups, Logger: &otter.NoopLogger{}})
	if err != nil {
		panic(fmt.Sprintf("services: lookups: %v", err)) // the options are constants
	}
	return &lookups{kept: kept}
}

func (l *lookups) find(k lookupKey, now time.Time) (lookup, bool) {
	v, ok := l.kept.GetIfPresent(k)
	return v, ok && v.epoch == l.epoch.Load() && now.Before(v.until)
}

// keep remembers what was read in the epoch.
func (l *lookups) keep(k lookupKey, v lookup, epoch int64, now time.Time) {
	v.epoch, v.until = epoch, now.Add(lookupAge)
	l.kept.Set(k, v)
}

// forget makes everything be read again.
func (l *lookups) forget() { l.epoch.Add(1) }
