package local

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/egress"
)

const (
	pingTimeout = 10 * time.Second
	// pingHeld is longer than a ping can take: a webhook that is held longer was left
	// behind by a pinger that died.
	pingHeld = time.Minute
	// pingEvery is how often the database is asked for due pings that nobody in this
	// process knows of; it is also the least time between two pings of one webhook.
	pingEvery    = time.Second
	pingsAtOnce  = 32
	mostPingBody = 64 << 10 // that is read of an answer
	sweepEvery   = time.Hour
)

// pingDelays are the pauses after the first failure, the second and so on; after
// the last one's failure the notifications are switched off. Airtable's own numbers
// are unconfirmed.
var pingDelays = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour,
}

// Pinger tells the programs behind webhooks that there is news. What is due stands
// in the database, written with the change that it tells of: any number of Pingers
// share the work, and one that dies loses none of it. A program may be told twice.
type Pinger struct {
	store  *Store
	client *http.Client
	now    func() time.Time
	log    *zap.Logger
	pings  *prometheus.CounterVec

	running sync.WaitGroup
	slots   chan struct{}
}

// PingerOptions are what a Pinger is made of.
type PingerOptions struct {
	Now     func() time.Time // time.Now outside of tests; not the clock of the data
	Log     *zap.Logger
	Metrics prometheus.Registerer
}

// NewPinger returns a Pinger for the webhooks of the store's database.
func NewPinger(store *Store, o PingerOptions) *Pinger {
	p := &Pinger{
		store: store, now: o.Now, log: o.Log.Named("webhooks"), slots: make(chan struct{}, pingsAtOnce),
		client: store.egress.Client(egress.Options{Timeout: pingTimeout}),
		pings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "airtable_webhook_pings_total", Help: "Pings of webhooks of the base store, by what became of them.",
		}, []string{"outcome"}),
	}
	o.Metrics.MustRegister(p.pings)
	return p
}

// Run pings until ctx ends; pings that are under way then are left to others.
func (p *Pinger) Run(ctx context.Context) error {
	defer p.client.CloseIdleConnections()
	defer p.running.Wait()
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		if err := p.round(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("due webhooks were not found out", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-p.store.news:
		}
	}
}

// Sweep deletes, every hour until ctx ends, what nobody may see any more: webhooks
// a week after their end, and payloads of that age.
func (p *Pinger) Sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		webhooks, payloads, err := p.store.SweepWebhooks(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			p.log.Warn("old webhooks were not swept", zap.Error(err))
		case webhooks+payloads > 0:
			p.log.Info("swept what is too old to be seen", zap.Int64("webhooks", webhooks), zap.Int64("payloads", payloads))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// SweepWebhooks deletes, of all tenants, what nobody may see any more, and returns
// how many webhooks and how many payloads of others.
func (s *Store) SweepWebhooks(ctx context.Context) (webhooks, payloads int64, err error) {
	return s.repo.SweepWebhooks(ctx, remembered(s.clock()))
}

// round begins as many due pings as there is room for.
func (p *Pinger) round(ctx context.Context) error {
	free := cap(p.slots) - len(p.slots)
	if free == 0 {
		return nil
	}
	now := p.now()
	due, err := p.store.repo.TakePings(ctx, now, now.Add(pingHeld), free)
	for _, d := range due {
		p.slots <- struct{}{}
		p.running.Go(func() {
			p.deliver(ctx, d)
			<-p.slots
		})
	}
	return err
}

// deliver pings once and notes what became of it.
func (p *Pinger) deliver(ctx context.Context, d repository.DuePing) {
	began := p.now()
	err := p.ping(ctx, d, began)
	after := context.WithoutCancel(ctx)
	if err != nil && ctx.Err() != nil {
		if err := p.store.repo.GiveBackPing(after, d); err != nil {
			p.log.Warn("a webhook was not given back", zap.Error(err))
		}
		return
	}
	if err := p.store.repo.PingDone(after, d, p.outcome(d, err, p.now(), p.now().Sub(began))); err != nil {
		p.log.Warn("the outcome of a ping was not noted", zap.String("webhook", string(d.Webhook)), zap.Error(err))
	}
}

// wireNotification is Airtable's lastNotificationResult.
type wireNotification struct {
	Success       bool       `json:"success"`
	Error         *wireFault `json:"error,omitempty"`
	Completion    string     `json:"completionTimestamp"`
	DurationMs    float64    `json:"durationMs"`
	RetryNumber   int        `json:"retryNumber"`
	WillBeRetried *bool      `json:"willBeRetried,omitempty"`
}

type wireFault struct {
	Message string `json:"message"`
}

func (p *Pinger) outcome(d repository.DuePing, err error, at time.Time, took time.Duration) repository.PingOutcome {
	result := wireNotification{
		Success: err == nil, Completion: models.Timestamp(at), DurationMs: float64(took.Microseconds()) / 1_000, RetryNumber: d.Failures,
	}
	var out repository.PingOutcome
	switch again := d.Failures < len(pingDelays); {
	case err == nil:
		p.pings.WithLabelValues("delivered").Inc()
		out.Success, out.Again = at, at.Add(pingEvery)
	case again:
		p.pings.WithLabelValues("failed").Inc()
		result.Error, result.WillBeRetried = &wireFault{err.Error()}, &again
		out.Again = at.Add(pingDelays[d.Failures])
	default:
		p.pings.WithLabelValues("given_up").Inc()
		result.Error, result.WillBeRetried = &wireFault{err.Error()}, &again
	}
	out.Result = models.Marshal(result)
	return out
}

// What lastNotificationResult says of a ping that got no answer. The reason is left
// out: it would tell about this service's network.
var (
	errPingTimeout = errors.New("The HTTP request timed out")                              //nolint:staticcheck // a sentence of Airtable's
	errPingRefused = errors.New("The notification URL does not point to a public address") //nolint:staticcheck // as above
	errPingFailed  = errors.New("The HTTP request could not be completed")                 //nolint:staticcheck // as above
)

// ping posts one notification.
func (p *Pinger) ping(ctx context.Context, d repository.DuePing, at time.Time) error {
	key, err := p.store.box.Open(d.Secret, secretContext(d.Tenant, d.Webhook))
	if err != nil {
		p.log.Error("the key of a webhook cannot be opened", zap.String("webhook", string(d.Webhook)), zap.Error(err))
		return errPingFailed
	}
	type named struct {
		ID string `json:"id"`
	}
	body := models.Marshal(struct {
		Base      named  `json:"base"`
		Webhook   named  `json:"webhook"`
		Timestamp string `json:"timestamp"`
	}{named{string(d.Base)}, named{string(d.Webhook)}, models.Timestamp(at)})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(body))
	if err != nil {
		return errPingFailed
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(body) // never fails
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "PyAirtable")
	req.Header.Set("X-Airtable-Content-MAC", fmt.Sprintf("hmac-sha256=%x", mac.Sum(nil)))
	resp, err := p.client.Do(req)
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, egress.ErrRefused):
		return errPingRefused
	case errors.As(err, &timeout) && timeout.Timeout():
		return errPingTimeout
	case err != nil:
		return errPingFailed
	}
	_, _ = io.CopyN(io.Discard, resp.Body, mostPingBody) // so that the connection can be used again
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("The HTTP request returned a %d status code instead of 200 or 204", resp.StatusCode) //nolint:staticcheck // Airtable's words
	}
	return nil
}

// spread has pings of what w told go out at once.
func (s *Store) spread(w watch) {
	if w.told {
		s.wakePinger()
	}
}

func (s *Store) wakePinger() {
	select {
	case s.news <- struct{}{}:
	default: // he is awake
	}
}
