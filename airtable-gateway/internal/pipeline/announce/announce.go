// Package announce tells of the writes that pass to Airtable: one event a record,
// com.pyairtable.record.created, updated or deleted.v1, as the base store tells of
// its own.
//
// The new cells are those of the answer, named by the base's schema, which is read
// once and again when a write changes it, when a name turns up that it does not know,
// or after 10 minutes. The old cells are read just before the write if the connection
// wants that: one call for a batch. They can be older than what the write met if
// somebody else wrote in between. Without, and for upserts, OldCellsUnknown says so;
// an upload's old cell is what the answer holds beside the new file. Without a schema
// that can be read the event names the table as the call did, and NewCellsUnknown
// stands for cells whose ids are not known. Mirror fields of links are not told.
//
// The version of an event is the time in microseconds, made strictly rising in this
// process. An update that is known to have changed nothing is no event.
//
// The events are in the outbox before the caller has its answer. When the database
// is away the write stands and is answered; its events wait in memory, 10,000 at the
// most, and are lost if this process ends before the database is back. Lost are also
// the events of writes whose outcome nobody knows, and of those that were answered
// while this process was killed.
package announce

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

const (
	mostKept  = 10_000
	saveLimit = 2 * time.Second
	retryPace = time.Second
	// imageWait is how long a write may be held up by the reading of its records.
	imageWait = 10 * time.Second
)

// Announcer writes the events. It is safe for concurrent use; Run must be running for
// those that could not be written to be written later.
type Announcer struct {
	journal *repository.Journal
	log     *zap.Logger
	now     func() time.Time
	schemas *schemas

	mu      sync.Mutex
	version int64
	kept    [][]events.Event // that could not be written, a write each
	held    int              // events in kept

	told    *prometheus.CounterVec
	waiting prometheus.Gauge
}

// New returns an Announcer that writes to the journal, with its metrics registered
// at reg.
func New(journal *repository.Journal, log *zap.Logger, reg prometheus.Registerer, now func() time.Time) *Announcer {
	a := &Announcer{
		journal: journal, log: log, now: now, schemas: &schemas{now: now, known: map[schemaKey]*schema{}},
		told: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "airtable_announced_records_total", Help: "Events of records that were written at Airtable, by whether they are in the outbox, wait for the database, or are lost.",
		}, []string{"fate"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "airtable_announce_waiting", Help: "Events that wait in memory for the database."}),
	}
	reg.MustRegister(a.told, a.waiting)
	return a
}

// Account is whose writes are announced.
type Account struct {
	Key          string // differs between those that may see different schemas
	BeforeImages bool   // read records before they are changed
}

// Of puts the announcer in front of up, which makes the account's calls.
func (a *Announcer) Of(up upstream.Upstream, account Account) upstream.Upstream {
	return announced{up, a, account}
}

// Table is the id of a table by id or name, "" if it is not known yet.
func (a *Announcer) Table(account, base, idOrName string) string {
	if t := a.schemas.lookUp(schemaKey{account, base}).table(idOrName); t != nil {
		return t.id
	}
	return ""
}

type announced struct {
	next    upstream.Upstream
	a       *Announcer
	account Account
}

// Do makes the call, and tells what it did.
func (d announced) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	switch c.Op {
	case upstream.CreateRecords, upstream.UpdateRecords, upstream.DeleteRecords, upstream.UploadAttachment:
		return d.write(ctx, c)
	case upstream.CreateTable, upstream.UpdateTable, upstream.CreateField, upstream.UpdateField:
		answer, err := d.next.Do(ctx, c)
		d.a.schemas.changed(schemaKey{d.account.Key, c.Base}, true)
		return answer, err
	}
	return d.next.Do(ctx, c)
}

func (d announced) write(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	w := writing{call: c, schema: d.a.schemas.of(ctx, d.next, d.account.Key, c)}
	w.write, w.readable = v0.ReadWrite(c)
	if d.account.BeforeImages {
		w.before = d.images(ctx, c, w.write)
	}
	answer, err := d.next.Do(ctx, c)
	if err != nil || answer.Status != http.StatusOK {
		return answer, err
	}
	// The write stands whether the caller still waits or not.
	ctx = context.WithoutCancel(ctx)
	d.a.say(ctx, w.events(ctx, d.a, answer))
	if w.surprised {
		d.a.schemas.changed(schemaKey{d.account.Key, c.Base}, false)
	}
	return answer, nil
}

// images reads the records that the write names, by id with cells by their fields'
// ids; nil if that fails.
func (d announced) images(ctx context.Context, c upstream.Call, w v0.Write) map[string]cells {
	formula := ""
	for _, it := range w.Items {
		if it.ID == "" || w.MergeOn != nil || c.Op == upstream.CreateRecords {
			return nil
		}
		if formula != "" {
			formula += ","
		}
		formula += "RECORD_ID()='" + it.ID + "'"
	}
	if formula == "" {
		return nil
	}
	body, err := json.Marshal(map[string]any{"filterByFormula": "OR(" + formula + ")", "returnFieldsByFieldId": true, "pageSize": 100})
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, imageWait)
	defer cancel()
	answer, err := d.next.Do(ctx, upstream.Call{
		Op: upstream.ListRecords, Caller: c.Caller, Method: http.MethodPost, Base: c.Base, Table: c.Table,
		Path: v0.TablePath(c) + "/listRecords", Header: urgency(c), Body: body,
	})
	if err != nil || answer.Status != http.StatusOK {
		return nil
	}
	out := map[string]cells{}
	for _, r := range records(answer.Body) {
		out[r.ID] = r.Fields
	}
	return out
}

// urgency is the headers of a call that is made for c.
func urgency(c upstream.Call) http.Header {
	return http.Header{
		"Content-Type":                         {"application/json"},
		http.CanonicalHeaderKey(budget.Header): {string(budget.PriorityOf(c))},
	}
}

// next is a version higher than all before.
func (a *Announcer) next() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version = max(a.version+1, a.now().UnixMicro())
	return a.version
}

// say writes the events to the outbox, or keeps them for later.
func (a *Announcer) say(ctx context.Context, evs []events.Event) {
	if len(evs) == 0 {
		return
	}
	if !a.behind() { // else they would wait for each other's limits
		ctx, cancel := context.WithTimeout(ctx, saveLimit)
		defer cancel()
		err := a.journal.Announce(ctx, evs)
		if err == nil {
			a.told.WithLabelValues("outbox").Add(float64(len(evs)))
			return
		}
		a.log.Warn("events of records not written yet", zap.Int("events", len(evs)), zap.Error(err))
	}
	a.keep(evs)
}

func (a *Announcer) behind() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.kept) > 0
}

func (a *Announcer) keep(evs []events.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held+len(evs) > mostKept {
		a.drop(len(evs))
		return
	}
	a.kept = append(a.kept, evs)
	a.held += len(evs)
	a.waiting.Set(float64(a.held))
	a.told.WithLabelValues("kept").Add(float64(len(evs)))
}

func (a *Announcer) drop(n int) {
	a.told.WithLabelValues("lost").Add(float64(n))
	a.log.Error("events of records are lost: the database is away for too long", zap.Int("events", n))
}

// Run writes what could not be written before, until ctx ends, and then once more.
func (a *Announcer) Run(ctx context.Context) error {
	tick := time.NewTicker(retryPace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveLimit)
			defer cancel()
			err := a.catchUp(last)
			if a.mu.Lock(); a.held > 0 {
				a.drop(a.held)
			}
			a.mu.Unlock()
			return err
		case <-tick.C:
			if err := a.catchUp(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("events of records not written yet", zap.Error(err))
			}
		}
	}
}

// catchUp writes what is kept, in its order.
func (a *Announcer) catchUp(ctx context.Context) error {
	for {
		a.mu.Lock()
		if len(a.kept) == 0 {
			a.mu.Unlock()
			return nil
		}
		evs := a.kept[0]
		a.mu.Unlock()
		limited, cancel := context.WithTimeout(ctx, saveLimit)
		err := a.journal.Announce(limited, evs)
		cancel()
		if err != nil {
			return err
		}
		a.mu.Lock()
		a.kept = a.kept[1:]
		a.held -= len(evs)
		a.waiting.Set(float64(a.held))
		a.mu.Unlock()
		a.told.WithLabelValues("outbox").Add(float64(len(evs)))
	}
}

// author is the user whose record is the i-th of n.
func author(c upstream.Call, i, n int) id.UserID {
	if len(c.Authors) == n {
		return c.Authors[i]
	}
	return c.Caller.User
}
