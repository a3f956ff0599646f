package local

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// macKeySize is the length of the key of a webhook's pings.
const macKeySize = 32

// mostPayloadBytes ends a page of payloads early.
const mostPayloadBytes = 8 << 20

type wireWebhook struct {
	ID            models.WebhookID `json:"id"`
	Pings         bool             `json:"areNotificationsEnabled"`
	Enabled       bool             `json:"isHookEnabled"`
	Cursor        int64            `json:"cursorForNextPayload"`
	URL           *string          `json:"notificationUrl"`
	Expires       string           `json:"expirationTime"`
	LastSuccess   *string          `json:"lastSuccessfulNotificationTime"`
	LastPing      json.RawMessage  `json:"lastNotificationResult"`
	Specification map[string]any   `json:"specification"`
}

// hooksBase returns the base of a call about webhooks.
func (s *Store) hooksBase(ctx context.Context, c upstream.Call) (*models.Base, error) {
	return s.schema(ctx, c.Caller.Tenant, models.BaseID(c.Base))
}

// remembered is since when a webhook must have been alive to be known still.
func remembered(now time.Time) time.Time { return now.Add(-models.WebhookAfterlife) }

func noWebhook(err error) error {
	if errors.Is(err, errs.ErrNotFound) {
		return models.ErrNoWebhook
	}
	return err
}

func (s *Store) listWebhooks(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.hooksBase(ctx, c)
	if err != nil {
		return nil, err
	}
	now := s.clock()
	hooks, err := s.repo.Webhooks(ctx, c.Caller.Tenant, base.ID, remembered(now))
	if err != nil {
		return nil, err
	}
	out := make([]wireWebhook, len(hooks))
	for i, h := range hooks {
		out[i] = wireWebhook{
			ID: h.ID, Pings: h.Pings, Enabled: h.Active(now), Cursor: h.LastPayload + 1,
			Expires: models.Timestamp(h.ExpiresAt), LastPing: h.LastPing, Specification: h.Specification,
		}
		if h.URL != "" {
			out[i].URL = &h.URL
		}
		if !h.PingedAt.IsZero() {
			at := models.Timestamp(h.PingedAt)
			out[i].LastSuccess = &at
		}
	}
	return models.Marshal(map[string][]wireWebhook{"webhooks": out}), nil
}

func (s *Store) createWebhook(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.hooksBase(ctx, c)
	if err != nil {
		return nil, err
	}
	draft, err := models.ParseWebhook(c.Body, base)
	if err != nil {
		return nil, err
	}
	if !mayRead(c, draft.Spec) {
		return nil, models.ErrModelNotFound
	}
	if draft.URL != "" && s.egress.CheckURL(draft.URL) != nil {
		return nil, models.ErrWebhookURL
	}
	now := s.clock()
	hook := models.Webhook{
		ID: s.ids.Webhook(), Base: base.ID, URL: draft.URL, Spec: draft.Spec, CreatedAt: now, ExpiresAt: now.Add(models.WebhookLife),
	}
	key := s.ids.Bytes(macKeySize)
	if hook.Secret, err = s.box.Seal(key, secretContext(c.Caller.Tenant, hook.ID)); err != nil {
		return nil, err
	}
	added := false
	err = s.repo.Write(ctx, c.Caller.Tenant, func(tx *repository.Tx) error {
		var err error
		added, err = tx.AddWebhook(ctx, c.Caller.Tenant, hook, c.Caller.User, models.MaxWebhooks)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !added:
		return nil, models.ErrTooManyWebhooks
	}
	s.wakePinger()
	return models.Marshal(struct {
		ID      models.WebhookID `json:"id"`
		Secret  string           `json:"macSecretBase64"`
		Expires string           `json:"expirationTime"`
	}{hook.ID, base64.StdEncoding.EncodeToString(key), models.Timestamp(hook.ExpiresAt)}), nil
}

// secretContext binds the sealed key of a webhook's pings to the webhook.
func secretContext(tenant id.TenantID, hook models.WebhookID) []byte {
	return []byte("webhook.secret/" + tenant.String() + "/" + string(hook))
}

// mayRead reports whether the caller's token lets him see what the webhook shows.
func mayRead(c upstream.Call, spec models.WebhookSpec) bool {
	if c.Scopes == nil {
		return true
	}
	return !slices.ContainsFunc(v0.WatchScopes(spec), func(scope string) bool { return !v0.Granted(c.Scopes, scope) })
}

func (s *Store) deleteWebhook(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.hooksBase(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := s.repo.DeleteWebhook(ctx, c.Caller.Tenant, base.ID, models.WebhookID(c.Webhook), remembered(s.clock())); err != nil {
		return nil, noWebhook(err)
	}
	return []byte("{}"), nil
}

func (s *Store) enableWebhook(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.hooksBase(ctx, c)
	if err != nil {
		return nil, err
	}
	enable, err := models.ParseEnable(c.Body)
	if err != nil {
		return nil, err
	}
	err = s.repo.EnablePings(ctx, c.Caller.Tenant, base.ID, models.WebhookID(c.Webhook), enable, remembered(s.clock()))
	if err != nil {
		return nil, noWebhook(err)
	}
	s.wakePinger()
	return []byte("{}"), nil
}

// extend makes c's webhook live on from now, if it still lives.
func (s *Store) extend(ctx context.Context, c upstream.Call, base *models.Base, now time.Time) (repository.StoredWebhook, error) {
	hook, err := s.repo.ExtendWebhook(ctx, c.Caller.Tenant, base.ID, models.WebhookID(c.Webhook), now, now.Add(models.WebhookLife), remembered(now))
	return hook, noWebhook(err)
}

func (s *Store) refreshWebhook(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.hooksBase(ctx, c)
	if err != nil {
		return nil, err
	}
	now := s.clock()
	hook, err := s.extend(ctx, c, base, now)
	if err != nil {
		return nil, err
	}
	if !hook.Active(now) {
		return nil, models.ErrWebhookExpired
	}
	return models.Marshal(map[string]string{"expirationTime": models.Timestamp(hook.ExpiresAt)}), nil
}

func (s *Store) listPayloads(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.hooksBase(ctx, c)
	if err != nil {
		return nil, err
	}
	cursor, limit, err := models.ParsePayloads(c.RawQuery)
	if err != nil {
		return nil, err
	}
	now := s.clock()
	hook, err := s.extend(ctx, c, base, now)
	if err != nil {
		return nil, err
	}
	spec, err := models.ReadWebhookSpec(hook.Specification, base)
	if err != nil {
		return nil, err
	}
	if !mayRead(c, spec) {
		return nil, models.ErrModelNotFound
	}
	payloads, err := s.repo.Payloads(ctx, c.Caller.Tenant, hook.ID, cursor, limit, mostPayloadBytes, remembered(now))
	if err != nil {
		return nil, err
	}
	out := []byte(`{"payloads":[`)
	shown := printer{files: s.files, tenant: c.Caller.Tenant}
	for i, p := range payloads {
		if i > 0 {
			out = append(out, ',')
		}
		out = shown.payload(out, p)
		cursor = p.Number + 1
	}
	out = append(out, `],"cursor":`...)
	out = appendValue(out, cursor)
	out = append(out, `,"mightHaveMore":`...)
	// What was told since the webhook was looked at is left to the next ping.
	out = appendValue(out, len(payloads) > 0 && cursor <= hook.LastPayload)
	return append(out, '}'), nil
}

// payload completes the stored body: with what was known at its commit alone, and
// with links that can be followed now.
func (p *printer) payload(out []byte, stored repository.Payload) []byte {
	out = append(out, `{"timestamp":`...)
	out = appendString(out, models.Timestamp(stored.CreatedAt))
	out = append(out, `,"baseTransactionNumber":`...)
	out = appendValue(out, stored.Transaction)
	out = append(out, ',')
	return models.Relink(out, stored.Body[1:], p.attachment)
}
