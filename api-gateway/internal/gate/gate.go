// Package gate is the way of a request through the gateway: where it comes from, who
// asks, whether there are too many of it, where it goes, and what is noted of it.
package gate

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/refusals"
	"github.com/pyairtable/pyairtable/pkg/tracing"

	"github.com/pyairtable/pyairtable/api-gateway/internal/accesslog"
	"github.com/pyairtable/pyairtable/api-gateway/internal/clientip"
	"github.com/pyairtable/pyairtable/api-gateway/internal/proxy"
	"github.com/pyairtable/pyairtable/api-gateway/internal/ratelimit"
	"github.com/pyairtable/pyairtable/api-gateway/internal/routes"
	"github.com/pyairtable/pyairtable/api-gateway/internal/tokens"
)

// Options are what a Gate is made of.
type Options struct {
	Routes   []routes.Route
	Services map[string]*proxy.Service
	Limits   *ratelimit.Set
	Tokens   *tokens.Checker
	Clients  clientip.Finder
	Origins  []string // that may call across origins; "*" for any
	Access   *accesslog.Log
	Log      *zap.Logger
	Tracer   *tracing.Tracer // nil: trace context is passed on, no spans are made
	Metrics  prometheus.Registerer
	Refusals *refusals.Recorder // nil: refused requests are not told of
}

// Gate serves the route table.
type Gate struct {
	Options
	origins  map[string]bool
	anywhere bool
	metrics  *metrics
	prefixes []*route // longest first
	visits   sync.Pool
	unrouted *route
	wrong    *route // known path, other method
}

// route is a line of the table with everything looked up that can be.
type route struct {
	routes.Route
	service *proxy.Service
	limit   *ratelimit.Limiter
	limits  limitText
	metrics map[string]*routeMetrics // by method
	other   *routeMetrics            // of any other method
}

// New checks the table against the services and limits that there are.
func New(o Options) (*Gate, error) {
	g := &Gate{Options: o, origins: map[string]bool{}, metrics: newMetrics(o)}
	g.visits.New = func() any { return &visit{g: g} }
	for _, origin := range o.Origins {
		origin = strings.TrimSpace(origin)
		g.anywhere = g.anywhere || origin == "*"
		g.origins[origin] = true
	}
	var err error
	if g.unrouted, err = g.route(routes.Route{Name: "unmatched", Rate: routes.DefaultRate}); err != nil {
		return nil, err
	}
	g.wrong = g.unrouted
	return g, nil
}

func (g *Gate) route(r routes.Route) (*route, error) {
	rt := &route{Route: r, service: g.Services[r.Service], limit: g.Limits.Class(r.Rate), metrics: map[string]*routeMetrics{}}
	if rt.service == nil && r.Service != "" {
		return nil, fmt.Errorf("route %s: no address for %s", r.Path, r.Service)
	}
	if rt.limit == nil {
		return nil, fmt.Errorf("route %s: no rate class %q", r.Path, r.Rate)
	}
	rt.limits = newLimitText(rt.limit.Policy)
	methods := []string{r.Method}
	if r.Method == "" {
		methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	}
	for _, m := range methods {
		rt.metrics[m] = g.metrics.route(r.Name, m)
	}
	rt.other = g.metrics.route(r.Name, "other")
	return rt, nil
}

// Register puts the table on the engine. Paths are matched as they were written, encoded
// slashes included, and never redirected or cleaned.
func (g *Gate) Register(e *gin.Engine) error {
	e.RedirectTrailingSlash, e.RedirectFixedPath, e.RemoveExtraSlash = false, false, false
	e.UseRawPath, e.UnescapePathValues = true, false
	e.HandleMethodNotAllowed = true
	for _, r := range g.Routes {
		rt, err := g.route(r)
		if err != nil {
			return err
		}
		switch {
		case r.Prefix && g.alone(r):
			e.Any(r.Path+"*rest", func(c *gin.Context) { g.serve(c, rt) })
		case r.Prefix:
			g.prefixes = append(g.prefixes, rt)
		case r.Method == "":
			e.Any(r.Gin(), func(c *gin.Context) { g.serve(c, rt) })
		default:
			e.Handle(r.Method, r.Gin(), func(c *gin.Context) { g.serve(c, rt) })
		}
	}
	sort.SliceStable(g.prefixes, func(i, j int) bool { return len(g.prefixes[i].Path) > len(g.prefixes[j].Path) })
	e.NoRoute(func(c *gin.Context) { g.serve(c, g.under(c, g.unrouted)) })
	e.NoMethod(func(c *gin.Context) { g.serve(c, g.under(c, g.wrong)) })
	return nil
}

// alone says whether no other route lies below the prefix, as Gin's tree wants it.
func (g *Gate) alone(prefix routes.Route) bool {
	for _, r := range g.Routes {
		if r.Path != prefix.Path && strings.HasPrefix(r.Path, prefix.Path) {
			return false
		}
	}
	return true
}

// under finds the prefix that a path without a route of its own lies below.
func (g *Gate) under(c *gin.Context, otherwise *route) *route {
	path := c.Request.URL.EscapedPath()
	for _, rt := range g.prefixes {
		if strings.HasPrefix(path, rt.Path) {
			return rt
		}
	}
	return otherwise
}

// serve takes one request through the gateway.
func (g *Gate) serve(c *gin.Context, rt *route) {
	v := g.visits.Get().(*visit)
	v.begin(c, rt)
	defer v.end()
	if v.preflight() {
		return
	}
	if !v.limit() || !v.routed() || !v.identify() {
		return
	}
	v.forward()
}

// writePatience is how long a client may take to accept a part of an answer.
const writePatience = 60 * time.Second

func (v *visit) begin(c *gin.Context, rt *route) {
	v.c, v.w, v.r, v.rt = c, c.Writer, c.Request, rt
	v.start = time.Now()
	v.m = rt.metrics[v.r.Method]
	if v.m == nil {
		v.m = rt.other
	}
	v.g.metrics.inFlight.Add(1)
	_ = http.NewResponseController(v.w).SetWriteDeadline(v.start.Add(writePatience))
	v.name()
	v.origin = v.g.Clients.Of(v.r)
}
