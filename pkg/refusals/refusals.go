// Package refusals tells audit-service of the requests that a service refused. It never
// holds a request up: what the buffer does not take is counted and lost.
package refusals

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
)

const (
	buffered    = 4096
	batch       = 200
	gather      = 50 * time.Millisecond
	sendTimeout = 2 * time.Second
)

// Recorder publishes refusals. A nil one records nothing.
type Recorder struct {
	service string
	log     *zap.Logger
	queue   chan refusal
	lost    prometheus.Counter
}

type refusal struct {
	from   origin.Origin
	tenant id.TenantID
	at     time.Time
	data   auditapi.RequestRefusedData
}

// New returns a recorder for the service. It publishes nothing before Run.
func New(service string, log *zap.Logger, metrics prometheus.Registerer) *Recorder {
	r := &Recorder{
		service: service, log: log.Named("refusals"), queue: make(chan refusal, buffered),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "refused_requests_unrecorded_total", Help: "Refused requests that the audit log was not told of."}),
	}
	metrics.MustRegister(r.lost)
	return r
}

// Counts reports whether the status is that of a refused request: nobody known, not
// allowed, not there for him, too often.
func Counts(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
		return true
	}
	return false
}

// Note takes note of a refused request by somebody of the tenant, which is zero if
// nobody knows him. It does not wait.
func (r *Recorder) Note(from origin.Origin, tenant id.TenantID, data auditapi.RequestRefusedData) {
	if r == nil {
		return
	}
	data.Service = r.service
	select {
	case r.queue <- refusal{from, tenant, time.Now(), data}:
	default:
		r.lost.Inc()
	}
}

// Run publishes until ctx ends, and then what is left. It outlives outages of Redis;
// what is noted meanwhile is lost beyond the buffer.
func (r *Recorder) Run(ctx context.Context, rdb redis.UniversalClient) error {
	for {
		select {
		case <-ctx.Done():
			r.send(context.WithoutCancel(ctx), rdb, r.take(nil))
			return nil
		case first := <-r.queue:
			wait := time.NewTimer(gather)
			select {
			case <-ctx.Done():
			case <-wait.C:
			}
			wait.Stop()
			r.send(context.WithoutCancel(ctx), rdb, r.take([]refusal{first}))
		}
	}
}

// take adds what waits, up to a batch.
func (r *Recorder) take(list []refusal) []refusal {
	for len(list) < batch {
		select {
		case one := <-r.queue:
			list = append(list, one)
		default:
			return list
		}
	}
	return list
}

func (r *Recorder) send(ctx context.Context, rdb redis.UniversalClient, list []refusal) {
	if len(list) == 0 {
		return
	}
	evs := make([]events.Event, len(list))
	for i, one := range list {
		e := auditapi.RequestRefused.New(origin.Into(ctx, one.from), one.tenant, one.data.Op, 0, one.data)
		e.Source, e.Time = "/"+r.service, one.at.UTC().Truncate(time.Microsecond)
		evs[i] = e
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := events.Send(ctx, rdb, evs...); err != nil {
		r.lost.Add(float64(len(list)))
		r.log.Warn("refused requests were not recorded", zap.Int("requests", len(list)), zap.Error(err))
	}
}
