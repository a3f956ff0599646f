package events

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type relayMetrics struct {
	pending, oldest, leading prometheus.Gauge
	published, failed        prometheus.Counter
	republished              prometheus.Counter
}

func newRelayMetrics(r prometheus.Registerer) relayMetrics {
	return relayMetrics{
		pending:     gauge(r, "events_outbox_pending", "Events that wait in the outbox."),
		oldest:      gauge(r, "events_outbox_oldest_seconds", "Age of the oldest event that waits in the outbox."),
		leading:     gauge(r, "events_relay_leading", "1 if this replica relays the outbox."),
		published:   counter(r, "events_published_total", "Events put on their stream."),
		failed:      counter(r, "events_relay_errors_total", "Failed passes of the relay."),
		republished: counter(r, "events_republished_total", "Events put back to be published again because Redis had lost them."),
	}
}

// Outcomes of a delivery, the label of events_consumed_total.
const (
	applied   = "applied"
	duplicate = "duplicate"
	ignored   = "ignored"
	failed    = "failed"
	postponed = "postponed" // not the event's fault: the database was away
	dead      = "dead"
)

type consumerMetrics struct {
	consumed *prometheus.CounterVec
	dead     *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	lag      *prometheus.GaugeVec
}

func newConsumerMetrics(r prometheus.Registerer) consumerMetrics {
	return consumerMetrics{
		consumed: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "events_consumed_total", Help: "Deliveries by type and outcome."}, []string{"type", "outcome"})),
		dead: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "events_dead_total", Help: "Events given up; see the table dead_events."}, []string{"type"})),
		seconds: register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "events_handle_seconds", Help: "Duration of a handler's transaction.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30}}, []string{"type"})),
		lag: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "events_lag", Help: "Events on a stream that this service has not finished."}, []string{"stream"})),
	}
}

func gauge(r prometheus.Registerer, name, help string) prometheus.Gauge {
	return register(r, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}))
}

func counter(r prometheus.Registerer, name, help string) prometheus.Counter {
	return register(r, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}

// register returns c, or the equal collector that is registered already: a
// service may have two relays.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	var twice prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &twice) {
		if old, ok := twice.ExistingCollector.(C); ok {
			return old
		}
	} else if err != nil {
		panic(err) // a name taken by another kind of metric: a programming error
	}
	return c
}
