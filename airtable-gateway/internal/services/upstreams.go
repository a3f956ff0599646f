package services

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/announce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/cache"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/coalesce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/ledger"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/marker"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/retry"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/stable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/airtable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/watch"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Parts are what upstreams are made of.
type Parts struct {
	Local    upstream.Upstream
	Airtable *airtable.Client
	Cache    *cache.Cache
	Budget   *budget.Budget
	Ledger   *ledger.Ledger
	Coalesce *coalesce.Coalescer
	Announce *announce.Announcer
	Stable   *stable.Links
	Watch    *watch.Watcher
	Box      *seal.Box
	Allowed  models.AllowedURLs
	Metrics  prometheus.Registerer
}

// Upstreams finds what answers for a connection.
type Upstreams struct {
	Parts
	retrier *retry.Retrier
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewUpstreams registers its metrics.
func NewUpstreams(p Parts) *Upstreams {
	u := &Upstreams{
		Parts: p, retrier: retry.New(p.Metrics),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "airtable_upstream_calls_total",
			Help: "Calls to upstreams, by what became of them.",
		}, []string{"kind", "op", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "airtable_upstream_call_seconds", Help: "How long upstreams took to answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"kind", "op"}),
	}
	p.Metrics.MustRegister(u.calls, u.seconds)
	return u
}

// errNotAllowed: the list of allowed addresses became shorter since the
// connection was made.
var errNotAllowed = errors.New("the connection's address is not on the list of allowed ones")

// Of returns the upstream of c, with everything that stands between the gateway and
// it: both doors, /v0 and /api/v1, come through.
func (u *Upstreams) Of(c models.Connection) (upstream.Upstream, error) {
	if c.Kind == models.LocalConnection {
		return measured{u.Local, c.Kind, u}, nil
	}
	token, err := u.Box.Open(c.Token, c.SealContext())
	if err != nil {
		return nil, fmt.Errorf("token of connection %s: %w", c.ID, err)
	}
	up, err := u.pipeline(c, string(token))
	if err != nil {
		return nil, err
	}
	return u.Cache.Of(u.Watch.Of(up, c), c), nil
}

// pipeline is what stands before an Airtable account. Writes are coalesced before
// anything else: a batch is announced, marked and repeated as one. Events are told of
// what repeating made certain, so the announcer stands before the retrier, and before
// the markers, under which a create is no create any more. Links are made stable below
// all of these: what is announced has them too.
func (u *Upstreams) pipeline(c models.Connection, token string) (upstream.Upstream, error) {
	queue, err := u.queue(c.ID, c.APIURL, token)
	if err != nil {
		return nil, err
	}
	account := accountKey(c, token)
	up := u.Stable.Of(u.retrier.Of(queue), c)
	up = marker.Of(up)
	up = u.Announce.Of(up, announce.Account{Key: account, BeforeImages: c.Settings.BeforeImages})
	return u.Coalesce.Of(up, coalesce.Account{
		Key: account, Turns: queue,
		Table: func(base, idOrName string) string { return u.Announce.Table(account, base, idOrName) },
		Saved: func(call upstream.Call) { u.Ledger.Saved(c.ID, call, ledger.Coalescing, 1) },
	}), nil
}

// accountKey tells the tokens and the settings of a connection apart: calls under
// different ones share nothing.
func accountKey(c models.Connection, token string) string {
	sum := sha256.Sum256([]byte(c.APIURL + "\x00" + token))
	return c.ID.String() + "/" + hex.EncodeToString(sum[:12]) + "/" +
		strconv.FormatBool(c.Settings.BeforeImages) + strconv.FormatBool(c.Settings.StableAttachments)
}

// Account returns the Airtable account of a connection with nothing before it but
// what keeps to its limits, for what goes on behind calls; or errs.ErrNotFound.
func (u *Upstreams) Account(ctx context.Context, repo *repository.Connections, tenant id.TenantID, connection models.ConnectionID) (upstream.Upstream, error) {
	c, err := repo.Connection(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	return u.Bare(c)
}

// Bare is Account of a connection that is known.
func (u *Upstreams) Bare(c models.Connection) (upstream.Upstream, error) {
	token, err := u.Box.Open(c.Token, c.SealContext())
	if err != nil {
		return nil, fmt.Errorf("token of connection %s: %w", c.ID, err)
	}
	return u.At(c.ID, c.APIURL, string(token))
}

// At returns the Airtable account of the token at the address, which must be
// allowed. Each try of a call waits for the budget, and each that leaves is in the
// ledger of the connection.
func (u *Upstreams) At(connection models.ConnectionID, address, token string) (upstream.Upstream, error) {
	queue, err := u.queue(connection, address, token)
	if err != nil {
		return nil, err
	}
	return u.retrier.Of(queue), nil
}

// queue makes single tries.
func (u *Upstreams) queue(connection models.ConnectionID, address, token string) (budget.Queue, error) {
	origin, ok := u.Allowed.Admit(address)
	if !ok {
		return budget.Queue{}, errNotAllowed
	}
	var up upstream.Upstream = measured{u.Airtable.At(origin, token), models.AirtableConnection, u}
	up = u.Ledger.Of(up, connection)
	return u.Budget.Of(up, origin, token), nil
}

// measured counts the calls of an upstream.
type measured struct {
	upstream.Upstream
	kind models.ConnectionKind
	u    *Upstreams
}

func (m measured) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	start := time.Now()
	answer, err := m.Upstream.Do(ctx, c)
	m.u.seconds.WithLabelValues(string(m.kind), string(c.Op)).Observe(time.Since(start).Seconds())
	m.u.calls.WithLabelValues(string(m.kind), string(c.Op), outcome(ctx, answer, err)).Inc()
	return answer, err
}

// outcome is "2xx" to "5xx", "rate_limited", "cancelled" (the caller went away or
// his time was up) or "away".
func outcome(ctx context.Context, a upstream.Answer, err error) string {
	switch {
	case err != nil && ctx.Err() != nil:
		return "cancelled"
	case err != nil:
		return "away"
	case a.Status == 429:
		return "rate_limited"
	default:
		return strconv.Itoa(a.Status/100) + "xx"
	}
}
