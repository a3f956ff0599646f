package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Read is the job that reads what changed in a base, and drops it from the cache.
type Read struct {
	models.WatchKey
	wait time.Duration // before it begins
}

// Kind implements river.JobArgs.
func (Read) Kind() string { return "read_airtable_changes" }

// InsertOpts implements river.JobArgsWithInsertOpts. By the last try the answers that
// the job would have dropped are too old anyway, unless the connection lets them be
// older than that.
func (r Read) InsertOpts() river.InsertOpts {
	o := river.InsertOpts{MaxAttempts: 8}
	if r.wait > 0 {
		o.ScheduledAt = time.Now().Add(r.wait)
	}
	return o
}

type readWorker struct {
	river.WorkerDefaults[Read]
	watcher *Watcher
}

// Timeout implements river.Worker: calls may wait long for their turn.
func (*readWorker) Timeout(*river.Job[Read]) time.Duration { return 5 * time.Minute }

// Work implements river.Worker.
func (w *readWorker) Work(ctx context.Context, j *river.Job[Read]) error {
	more, err := w.watcher.read(ctx, j.Args.WatchKey)
	if err == nil && more {
		return river.JobSnooze(handleEvery)
	}
	return err
}

// read handles the pings so far, and reports whether there were more meanwhile.
func (w *Watcher) read(ctx context.Context, key models.WatchKey) (more bool, err error) {
	at, err := w.Repo.Watch(ctx, key)
	if errors.Is(err, errs.ErrNotFound) || err == nil && (at.Webhook == "" || at.Handled >= at.Pinged) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	conn, up, err := w.reach(ctx, key)
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for {
		page, err := payloads(ctx, up, at)
		if err != nil {
			return false, err
		}
		if page == nil { // the webhook is gone; the next look after it makes another
			w.Cache.Drop(ctx, conn, at.Base)
			break
		}
		if changed := page.changed(); changed.any {
			w.Cache.Drop(ctx, conn, at.Base, changed.tables...)
		}
		// Reading has made it live another week, as far as it expires.
		if !at.ExpiresAt.IsZero() {
			at.ExpiresAt = w.Now().Add(models.WebhookLife)
		}
		stuck := page.Cursor <= at.Cursor
		at.Cursor = max(at.Cursor, page.Cursor)
		if !page.MightHaveMore || stuck {
			break
		}
	}
	return w.Repo.Handled(ctx, at, at.Pinged)
}

// reach returns the connection and its account, or errs.ErrNotFound.
func (w *Watcher) reach(ctx context.Context, key models.WatchKey) (models.Connection, upstream.Upstream, error) {
	conn, err := w.Connections.Connection(ctx, key.Tenant, key.Connection)
	if err != nil {
		return conn, nil, err
	}
	up, err := w.At(conn)
	return conn, up, err
}

// payloads reads what a webhook tells from its cursor on; nil if Airtable does not know
// it any more, or does not tell us.
func payloads(ctx context.Context, up upstream.Upstream, at models.Watch) (*payloadPage, error) {
	c := call(at.WatchKey, upstream.ListPayloads, http.MethodGet, "/"+string(at.Webhook)+"/payloads?cursor="+strconv.FormatInt(at.Cursor, 10), nil)
	c.Webhook = string(at.Webhook)
	answer, err := up.Do(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	switch refused, err := judge(answer); {
	case err != nil:
		return nil, fmt.Errorf("read changes: %w", err)
	case refused != "":
		return nil, nil
	}
	var page payloadPage
	if err := json.Unmarshal(answer.Body, &page); err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	return &page, nil
}

// judge tells an answer that may be another one the next time (an error) from a refusal
// (what Airtable said). Neither is a success.
func judge(a upstream.Answer) (refused string, err error) {
	e := v0.ReadError(a)
	switch {
	case e == nil:
		return "", nil
	case a.Status == http.StatusTooManyRequests, a.Status >= http.StatusInternalServerError:
		return "", fmt.Errorf("airtable answered %d", a.Status)
	case e.Type == "" && e.Message == "":
		return strconv.Itoa(a.Status), nil
	case e.Message == "":
		return e.Type, nil
	}
	return e.Type + ": " + e.Message, nil
}

// payloadPage is what Airtable answers to who reads payloads.
type payloadPage struct {
	Payloads []struct {
		Error           bool                       `json:"error"`
		ChangedTables   map[string]json.RawMessage `json:"changedTablesById"`
		CreatedTables   map[string]json.RawMessage `json:"createdTablesById"`
		DestroyedTables []string                   `json:"destroyedTableIds"`
	} `json:"payloads"`
	Cursor        int64 `json:"cursor"`
	MightHaveMore bool  `json:"mightHaveMore"`
}

// changed is what payloads make stale: the whole base if no tables are named.
type changed struct {
	any    bool
	tables []string
}

// changed names the tables of which nothing but records changed, unless there was more:
// a new field or another name may show anywhere in the base.
func (p *payloadPage) changed() (out changed) {
	seen := map[string]bool{}
	for _, payload := range p.Payloads {
		if payload.Error || len(payload.CreatedTables) > 0 || len(payload.DestroyedTables) > 0 || len(payload.ChangedTables) == 0 {
			return changed{any: true}
		}
		for table, raw := range payload.ChangedTables {
			if !recordsAlone(raw) {
				return changed{any: true}
			}
			if !seen[table] {
				seen[table] = true
				out.tables = append(out.tables, table)
			}
		}
	}
	out.any = len(out.tables) > 0
	return out
}

// recordsAlone reports whether nothing but records of the table changed. What Airtable
// may tell one day that is not known here counts as more.
func recordsAlone(table json.RawMessage) bool {
	var parts map[string]json.RawMessage
	if json.Unmarshal(table, &parts) != nil {
		return false
	}
	for part := range parts {
		switch part {
		case "createdRecordsById", "changedRecordsById", "destroyedRecordIds":
		default:
			return false
		}
	}
	return true
}
