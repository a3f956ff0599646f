// Package metrics makes the Prometheus registry of one service. Nothing is
// registered globally, since many services may share a process.
package metrics

import (
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// New returns a registry with the Go runtime's and the process's figures.
func New() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler serves the registry's metrics.
func Handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r})
}

// Buckets of request durations, in seconds: from a cached read to a slow import.
var Buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// HTTP counts the requests that a service serves, by operation.
type HTTP struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	errors   *prometheus.CounterVec
}

// NewHTTP registers the request metrics at r.
func NewHTTP(r prometheus.Registerer) *HTTP {
	h := &HTTP{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests served, by operation and status.",
		}, []string{"op", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time to serve a request.", Buckets: Buckets,
		}, []string{"op", "method"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "http_requests_in_flight", Help: "Requests being served.",
		}, []string{"op"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_request_errors_total", Help: "Requests answered with an error, by operation and error code.",
		}, []string{"op", "code"}),
	}
	r.MustRegister(h.requests, h.duration, h.inFlight, h.errors)
	return h
}

// Op is the part of HTTP for one operation, its labels resolved once.
type Op struct {
	h            *HTTP
	name, method string
	duration     prometheus.Observer
	inFlight     prometheus.Gauge
}

// Op resolves the labels of one operation.
func (h *HTTP) Op(name, method string) *Op {
	return &Op{
		h: h, name: name, method: method,
		duration: h.duration.WithLabelValues(name, method), inFlight: h.inFlight.WithLabelValues(name),
	}
}

// Begin counts a request that is now being served.
func (o *Op) Begin() { o.inFlight.Inc() }

// End counts it as served. code is the error's, or "" on success.
func (o *Op) End(seconds float64, status, code string) {
	o.inFlight.Dec()
	o.duration.Observe(seconds)
	o.h.requests.WithLabelValues(o.name, o.method, status).Inc()
	if code != "" {
		o.h.errors.WithLabelValues(o.name, code).Inc()
	}
}

// Pool registers the figures of a PostgreSQL pool.
func Pool(r prometheus.Registerer, pool *pgxpool.Pool) {
	gauge := func(name, help string, value func(*pgxpool.Stat) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "postgres_pool_" + name, Help: help},
			func() float64 { return value(pool.Stat()) }))
	}
	gauge("acquired_connections", "Connections in use.", func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) })
	gauge("idle_connections", "Connections not in use.", func(s *pgxpool.Stat) float64 { return float64(s.IdleConns()) })
	gauge("max_connections", "Connections that the pool may open.", func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) })
	r.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "postgres_pool_waits_total", Help: "Acquisitions that had to wait for a connection."},
			func() float64 { return float64(pool.Stat().EmptyAcquireCount()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "postgres_pool_wait_seconds_total", Help: "Time spent waiting for a connection."},
			func() float64 { return pool.Stat().AcquireDuration().Seconds() }),
	)
}
