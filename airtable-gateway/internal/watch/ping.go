package watch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// MACHeader carries the HMAC-SHA256 of a ping's body, as "hmac-sha256=" and hex digits.
const MACHeader = "X-Airtable-Content-MAC"

// ErrForged says that a ping does not come from the webhook that it was sent to.
var ErrForged = errors.New("the ping's MAC does not match")

// Ping takes the ping of a webhook whose address ends with rest ("tenant/watch"): what
// changed is found out by a job. It returns errs.ErrNotFound if nothing is watched
// there, and ErrForged.
func (w *Watcher) Ping(ctx context.Context, rest string, body []byte, mac string) error {
	err := w.ping(ctx, rest, body, mac)
	outcome := "taken"
	switch {
	case errors.Is(err, errs.ErrNotFound):
		outcome = "unknown"
	case errors.Is(err, ErrForged):
		outcome = "forged"
	case err != nil:
		outcome = "failed"
	}
	w.pings.WithLabelValues(outcome).Inc()
	return err
}

func (w *Watcher) ping(ctx context.Context, rest string, body []byte, mac string) error {
	first, second, _ := strings.Cut(rest, "/")
	tenant, err := id.Parse[id.Tenant](first)
	var key models.WatchID
	if err != nil || key.UnmarshalText([]byte(second)) != nil {
		return errs.ErrNotFound
	}
	at, err := w.Repo.WatchByID(ctx, tenant, key)
	if err != nil {
		return err
	}
	if at.Webhook == "" {
		return errs.ErrNotFound
	}
	secret, err := w.Box.Open(at.Secret, at.SealContext())
	if err != nil {
		return fmt.Errorf("secret of watch %s: %w", at.ID, err)
	}
	digits, ok := strings.CutPrefix(mac, "hmac-sha256=")
	told, err := hex.DecodeString(digits)
	sum := hmac.New(sha256.New, secret)
	sum.Write(body)
	if !ok || err != nil || !hmac.Equal(told, sum.Sum(nil)) {
		return ErrForged
	}
	return w.pinged(ctx, at.WatchKey)
}

func (w *Watcher) pinged(ctx context.Context, key models.WatchKey) error {
	return w.Repo.Ping(ctx, key, w.Now(), handleEvery, func(wait time.Duration) river.JobArgs { return Read{key, wait} })
}
