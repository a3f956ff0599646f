package watch

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Settle is the job that looks after the webhook of a base.
type Settle struct {
	models.WatchKey
}

// Kind implements river.JobArgs.
func (Settle) Kind() string { return "settle_airtable_watch" }

// InsertOpts implements river.JobArgsWithInsertOpts: one job a base at a time.
func (Settle) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 8, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
	}}}
}

type settleWorker struct {
	river.WorkerDefaults[Settle]
	watcher *Watcher
}

// Timeout implements river.Worker: each of its calls may wait long for its turn.
func (*settleWorker) Timeout(*river.Job[Settle]) time.Duration { return 10 * time.Minute }

// Work implements river.Worker.
func (w *settleWorker) Work(ctx context.Context, j *river.Job[Settle]) error {
	err := w.watcher.settle(ctx, j.Args.WatchKey)
	if errors.Is(err, errs.ErrNotFound) { // with its connection
		return nil
	}
	return err
}

// settle makes the webhook of the watch what it should be.
func (w *Watcher) settle(ctx context.Context, key models.WatchKey) error {
	at, err := w.Repo.Watch(ctx, key)
	if err != nil {
		return err
	}
	conn, up, err := w.reach(ctx, key)
	if err != nil {
		return err
	}
	hooks, refused, err := list(ctx, up, key)
	if err != nil {
		return err
	}
	if !w.wants(conn) || w.Now().Sub(at.UsedAt) > unusedAfter {
		if err := remove(ctx, up, key, ours(hooks, at)); err != nil {
			return err
		}
		return w.Repo.Forget(ctx, key)
	}
	if refused == "" {
		refused, err = w.keep(ctx, conn, up, &at, hooks)
		if err != nil {
			return err
		}
	}
	if refused != "" {
		logging.From(ctx).Info("airtable refuses a webhook", zap.String("base", at.Base), zap.Stringer("connection", at.Connection), zap.String("reason", refused))
		at.Webhook, at.Secret, at.ExpiresAt = "", nil, time.Time{}
	}
	at.Refused, at.CheckAt = refused, w.Now().Add(checkEvery)
	return w.Repo.Settle(ctx, at)
}

// keep has one webhook for the watch that pings and lives, or tells why Airtable refused
// it.
func (w *Watcher) keep(ctx context.Context, conn models.Connection, up upstream.Upstream, at *models.Watch, hooks []hook) (refused string, err error) {
	mine := ours(hooks, *at)
	for _, h := range mine {
		if h.ID != at.Webhook || !h.Enabled || h.URL != w.url(*at) || h.expired(w.Now()) {
			continue
		}
		if refused, err := w.prolong(ctx, up, at, h); err != nil || refused == "" {
			return "", err
		}
	}
	// One that was made by a job that did not live to store its secret is of no use.
	if err := remove(ctx, up, at.WatchKey, mine); err != nil {
		return "", err
	}
	if refused, err = w.create(ctx, up, at); err != nil || refused != "" {
		return refused, err
	}
	w.Cache.Drop(ctx, conn, at.Base) // what changed before was not heard of
	return "", nil
}

// prolong has a webhook live for another week, and ping.
func (w *Watcher) prolong(ctx context.Context, up upstream.Upstream, at *models.Watch, h hook) (refused string, err error) {
	if !h.Pings {
		c := call(at.WatchKey, upstream.EnableWebhook, http.MethodPost, "/"+string(h.ID)+"/enableNotifications", []byte(`{"enable":true}`))
		if _, refused, err = do(ctx, up, c); err != nil || refused != "" {
			return refused, err
		}
	}
	body, refused, err := do(ctx, up, call(at.WatchKey, upstream.RefreshWebhook, http.MethodPost, "/"+string(h.ID)+"/refresh", nil))
	if err != nil || refused != "" {
		return refused, err
	}
	var said expiry
	if err := json.Unmarshal(body, &said); err != nil {
		return "", fmt.Errorf("refresh webhook: %w", err)
	}
	at.ExpiresAt = said.at()
	if h.Next > at.Cursor { // what it pinged about may have been lost
		return "", w.pinged(ctx, at.WatchKey)
	}
	return "", nil
}

// specification asks for everything: a change made through this gateway as well, since
// it cannot be told from one that another program makes.
const specification = `{"options":{"filters":{"dataTypes":["tableData","tableFields","tableMetadata"]}}}`

// create makes the webhook.
func (w *Watcher) create(ctx context.Context, up upstream.Upstream, at *models.Watch) (refused string, err error) {
	wish, err := json.Marshal(map[string]any{"notificationUrl": w.url(*at), "specification": json.RawMessage(specification)})
	if err != nil {
		return "", err
	}
	body, refused, err := do(ctx, up, call(at.WatchKey, upstream.CreateWebhook, http.MethodPost, "", wish))
	if err != nil || refused != "" {
		return refused, err
	}
	var made struct {
		ID     models.WebhookID `json:"id"`
		Secret string           `json:"macSecretBase64"`
		expiry
	}
	if err := json.Unmarshal(body, &made); err != nil {
		return "", fmt.Errorf("create webhook: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(made.Secret)
	if err != nil || made.ID == "" {
		return "", fmt.Errorf("create webhook: %w", errors.Join(err, errors.New("the answer names no webhook or no secret")))
	}
	if at.Secret, err = w.Box.Seal(secret, at.SealContext()); err != nil {
		return "", fmt.Errorf("seal secret: %w", err)
	}
	at.Webhook, at.Cursor, at.ExpiresAt = made.ID, 1, made.at()
	return "", nil
}

// hook is a webhook as Airtable lists it.
type hook struct {
	ID      models.WebhookID `json:"id"`
	URL     string           `json:"notificationUrl"`
	Enabled bool             `json:"isHookEnabled"`
	Pings   bool             `json:"areNotificationsEnabled"`
	Next    int64            `json:"cursorForNextPayload"`
	expiry
}

func (h hook) expired(now time.Time) bool { return !h.at().IsZero() && !h.at().After(now) }

// expiry is when a webhook ends, which none does that an account's owner made by hand.
type expiry struct {
	Time *time.Time `json:"expirationTime"`
}

func (e expiry) at() time.Time {
	if e.Time == nil {
		return time.Time{}
	}
	return *e.Time
}

// list asks for the webhooks of the base.
func list(ctx context.Context, up upstream.Upstream, key models.WatchKey) (hooks []hook, refused string, err error) {
	body, refused, err := do(ctx, up, call(key, upstream.ListWebhooks, http.MethodGet, "", nil))
	if err != nil || refused != "" {
		return nil, refused, err
	}
	var in struct {
		Webhooks []hook `json:"webhooks"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, "", fmt.Errorf("list webhooks: %w", err)
	}
	return in.Webhooks, "", nil
}

// ours are those that ping the watch, at whichever address the gateway had.
func ours(hooks []hook, at models.Watch) []hook {
	return slices.DeleteFunc(slices.Clone(hooks), func(h hook) bool { return !strings.HasSuffix(h.URL, path(at)) })
}

// remove deletes webhooks. One that cannot be deleted ends by itself.
func remove(ctx context.Context, up upstream.Upstream, key models.WatchKey, hooks []hook) error {
	for _, h := range hooks {
		if _, _, err := do(ctx, up, call(key, upstream.DeleteWebhook, http.MethodDelete, "/"+string(h.ID), nil)); err != nil {
			return err
		}
	}
	return nil
}

// do makes a call and returns the body of its success, or why it was refused.
func do(ctx context.Context, up upstream.Upstream, c upstream.Call) (body []byte, refused string, err error) {
	answer, err := up.Do(ctx, c)
	if err == nil {
		refused, err = judge(answer)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", c.Op, err)
	}
	return bytes.TrimSpace(answer.Body), refused, nil
}

// Leave is the job that deletes the webhooks of a connection which is gone.
type Leave struct {
	Tenant     id.TenantID         `json:"tenant"`
	Connection models.ConnectionID `json:"connection"`
	APIURL     string              `json:"api_url"`
	Token      []byte              `json:"token"` // sealed
	Webhooks   []LeaveWebhook      `json:"webhooks"`
}

// LeaveWebhook is one of them.
type LeaveWebhook struct {
	Base string           `json:"base"`
	ID   models.WebhookID `json:"id"`
}

// Kind implements river.JobArgs.
func (Leave) Kind() string { return "leave_airtable_webhooks" }

// InsertOpts implements river.JobArgsWithInsertOpts. What cannot be deleted within about
// a day ends within a week by itself.
func (Leave) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 12} }

// Leave has the webhooks of a connection deleted if tx, which deletes it, commits.
func (w *Watcher) Leave(ctx context.Context, tx pgx.Tx, c models.Connection) error {
	return w.Repo.Leave(ctx, tx, c, func(list []models.Watch) river.JobArgs {
		job := Leave{Tenant: c.Tenant, Connection: c.ID, APIURL: c.APIURL, Token: c.Token}
		for _, at := range list {
			job.Webhooks = append(job.Webhooks, LeaveWebhook{at.Base, at.Webhook})
		}
		return job
	})
}

type leaveWorker struct {
	river.WorkerDefaults[Leave]
	watcher *Watcher
}

// Work implements river.Worker.
func (w *leaveWorker) Work(ctx context.Context, j *river.Job[Leave]) error {
	up, err := w.watcher.At(models.Connection{
		Tenant: j.Args.Tenant, ID: j.Args.Connection, Kind: models.AirtableConnection, APIURL: j.Args.APIURL, Token: j.Args.Token,
	})
	if err != nil {
		return err
	}
	for _, h := range j.Args.Webhooks {
		key := models.WatchKey{Tenant: j.Args.Tenant, Connection: j.Args.Connection, Base: h.Base}
		if err := remove(ctx, up, key, []hook{{ID: h.ID}}); err != nil {
			return err
		}
	}
	return nil
}

// Sweep is the job that has all webhooks looked after whose time has come.
type Sweep struct{}

// Kind implements river.JobArgs.
func (Sweep) Kind() string { return "sweep_airtable_watches" }

// SweepPeriodically is when, by one replica at a time.
func SweepPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(10*time.Minute),
		func() (river.JobArgs, *river.InsertOpts) { return Sweep{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// mostSettled bounds the jobs of one sweep; the others follow at the next.
const mostSettled = 1_000

type sweepWorker struct {
	river.WorkerDefaults[Sweep]
	watcher *Watcher
}

// Work implements river.Worker.
func (w *sweepWorker) Work(ctx context.Context, _ *river.Job[Sweep]) error {
	_, err := w.watcher.Repo.EnqueueDue(ctx, w.watcher.Now(), mostSettled, func(key models.WatchKey) river.JobArgs { return Settle{key} })
	return err
}
