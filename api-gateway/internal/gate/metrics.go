package gate

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	kit "github.com/pyairtable/pyairtable/pkg/metrics"

	"github.com/pyairtable/pyairtable/api-gateway/internal/proxy"
)

// metrics are the gateway's figures. What is counted on a request's path is resolved when
// the route is registered; the rest is read when Prometheus asks.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight atomic.Int64
	limiter  *prometheus.CounterVec
	yes, no  map[string]prometheus.Counter
}

func newMetrics(o Options) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_requests_total", Help: "Requests by route and class of status; 499 is a client that went away.",
		}, []string{"route", "method", "class"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_request_duration_seconds", Help: "Time from a request's head to the end of its answer.", Buckets: kit.Buckets,
		}, []string{"route", "method"}),
		limiter: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_rate_limit_decisions_total", Help: "Rate limit decisions.",
		}, []string{"class", "decision"}),
		yes: map[string]prometheus.Counter{}, no: map[string]prometheus.Counter{},
	}
	o.Metrics.MustRegister(m.requests, m.duration, m.limiter)
	gauge(o.Metrics, "gateway_requests_in_flight", "Requests being served.", func() float64 { return float64(m.inFlight.Load()) })
	o.Metrics.MustRegister(upstreams(o.Services))
	m.state(o)
	return m
}

func (m *metrics) allowed(class string) prometheus.Counter { return m.yes[class] }
func (m *metrics) refused(class string) prometheus.Counter { return m.no[class] }

func gauge(r prometheus.Registerer, name, help string, f func() float64) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

func counter(r prometheus.Registerer, name, help string, f func() int64) {
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
}

// state registers what others count.
func (m *metrics) state(o Options) {
	r := o.Metrics
	for _, class := range o.Limits.Classes() {
		m.yes[class] = m.limiter.WithLabelValues(class, "allowed")
		m.no[class] = m.limiter.WithLabelValues(class, "refused")
	}
	if s := o.Limits.Shared(); s != nil {
		counter(r, "gateway_rate_limit_exchanges_total", "Round trips with the other replicas through Redis.", s.Exchanges.Load)
		counter(r, "gateway_rate_limit_exchange_failures_total", "Those that failed.", s.Failures.Load)
		counter(r, "gateway_rate_limit_fallbacks_total", "Strict decisions made without Redis.", s.Fallbacks.Load)
	}
	if t := o.Tokens; t != nil {
		counter(r, "gateway_pat_cache_hits_total", "Personal access tokens that were known.", t.Hits.Load)
		counter(r, "gateway_pat_cache_misses_total", "Personal access tokens that auth-service was asked about.", t.Misses.Load)
		counter(r, "gateway_pat_refused_total", "Personal access tokens that auth-service refused.", t.Refused.Load)
	}
	if o.Access != nil {
		counter(r, "gateway_access_log_lines_total", "Lines of the access log.", o.Access.Lines)
		counter(r, "gateway_access_log_dropped_total", "Lines of the access log that were lost.", o.Access.Dropped)
	}
}

// routeMetrics are one route's and method's, by class of status.
type routeMetrics struct {
	classes  [6]prometheus.Counter // 0: client gone
	duration prometheus.Observer
}

func (m *metrics) route(name, method string) *routeMetrics {
	r := &routeMetrics{duration: m.duration.WithLabelValues(name, method)}
	for i, class := range strings.Fields("499 1xx 2xx 3xx 4xx 5xx") {
		r.classes[i] = m.requests.WithLabelValues(name, method, class)
	}
	return r
}

func (r *routeMetrics) observe(status int, took time.Duration) {
	class := status / 100
	if status == statusClientGone || class < 0 || class > 5 {
		class = 0
	}
	r.classes[class].Inc()
	r.duration.Observe(took.Seconds())
}

// upstreams collects the figures of services and their addresses.
type upstreams map[string]*proxy.Service

var (
	descBreaker  = prometheus.NewDesc("gateway_upstream_breaker_state", "Circuit breaker of an address: 0 closed, 1 half open, 2 open.", []string{"service", "address"}, nil)
	descFailures = prometheus.NewDesc("gateway_upstream_failures_total", "Requests that an address broke off or did not answer.", []string{"service", "address"}, nil)
	descRetries  = prometheus.NewDesc("gateway_upstream_retries_total", "Requests sent to another address.", []string{"service"}, nil)
	descStale    = prometheus.NewDesc("gateway_upstream_stale_connections_total", "Requests repeated since their pooled connection had been closed.", []string{"service"}, nil)
	descSlow     = prometheus.NewDesc("gateway_upstream_handovers_total", "Requests carried by net/http: upgrades, long bodies, trailers.", []string{"service"}, nil)
)

func (u upstreams) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBreaker, descFailures, descRetries, descStale, descSlow} {
		ch <- d
	}
}

func (u upstreams) Collect(ch chan<- prometheus.Metric) {
	for name, s := range u {
		for _, a := range s.Addresses() {
			ch <- prometheus.MustNewConstMetric(descBreaker, prometheus.GaugeValue, float64(a.State()), name, a.Host)
			ch <- prometheus.MustNewConstMetric(descFailures, prometheus.CounterValue, float64(a.Failures()), name, a.Host)
		}
		ch <- prometheus.MustNewConstMetric(descRetries, prometheus.CounterValue, float64(s.Retries.Load()), name)
		ch <- prometheus.MustNewConstMetric(descStale, prometheus.CounterValue, float64(s.Stale.Load()), name)
		ch <- prometheus.MustNewConstMetric(descSlow, prometheus.CounterValue, float64(s.HandOvers.Load()), name)
	}
}
