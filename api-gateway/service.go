// Package apigateway is the door of the house: every request from outside passes it.
package apigateway

import (
	"context"
	"fmt"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	kitredis "github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pkg/rpc"

	"github.com/pyairtable/pyairtable/api-gateway/internal/accesslog"
	"github.com/pyairtable/pyairtable/api-gateway/internal/apidocs"
	"github.com/pyairtable/pyairtable/api-gateway/internal/clientip"
	"github.com/pyairtable/pyairtable/api-gateway/internal/config"
	"github.com/pyairtable/pyairtable/api-gateway/internal/gate"
	"github.com/pyairtable/pyairtable/api-gateway/internal/proxy"
	"github.com/pyairtable/pyairtable/api-gateway/internal/ratelimit"
	"github.com/pyairtable/pyairtable/api-gateway/internal/routes"
	"github.com/pyairtable/pyairtable/api-gateway/internal/tokens"
)

// Service is api-gateway.
var Service = app.Define(catalog.Gateway.Name, Wire)

// Config is what can be set about the gateway.
type Config = config.Config

// Wire is the whole service on one screen.
func Wire(ctx context.Context, a *app.App, cfg Config) error {
	table, err := routes.Table(catalog.Services)
	if err != nil {
		return err
	}
	services, err := upstreams(a, table)
	if err != nil {
		return err
	}
	clients, err := clientip.New(cfg.TrustedProxies)
	if err != nil {
		return fmt.Errorf("TRUSTED_PROXIES: %w", err)
	}
	rdb, err := connect(ctx, a)
	if err != nil {
		return err
	}
	limits, err := limits(cfg, rdb)
	if err != nil {
		return err
	}
	a.Go("rate limits", limits.Run)

	g, err := gate.New(gate.Options{
		Routes: table, Services: services, Limits: limits, Tokens: checker(a, rdb), Clients: clients,
		Origins: cfg.CORSOrigins, Access: access(a, cfg), Log: a.Log, Tracer: a.Tracer, Metrics: a.Metrics,
		Refusals: a.Refusals,
	})
	if err != nil {
		return err
	}
	docs := apidocs.New(catalog.Services, a.Base.Addresses, a.Log)
	a.Go("api documents", docs.Run)
	return serve(a, g, docs)
}

// serve replaces the kit's router, whose chain is made for handlers, by one whose only
// routes are the gateway's; probes and metrics stay the kit's.
func serve(a *app.App, g *gate.Gate, docs *apidocs.Docs) error {
	kit, router := a.Router, httpx.NewEngine()
	for _, path := range []string{"/health", "/ready", "/metrics"} {
		router.GET(path, gin.WrapH(kit))
	}
	docs.Register(router)
	if err := g.Register(router); err != nil {
		return err
	}
	a.Router = router
	return nil
}

// upstreams are the services that have routes.
func upstreams(a *app.App, table []routes.Route) (map[string]*proxy.Service, error) {
	services := map[string]*proxy.Service{}
	for _, r := range table {
		if services[r.Service] != nil {
			continue
		}
		s, err := proxy.New(r.Service, a.Base.Addresses[r.Service])
		if err != nil {
			return nil, err
		}
		services[r.Service] = s
		a.Go("connections to "+r.Service, s.Run)
	}
	return services, nil
}

// connectWait is how long a start waits for Redis; then the gateway serves without it.
const connectWait = time.Second

// connect opens Redis. The gateway serves without it, and is ready without it: what Redis
// adds is that replicas count together and hear of revoked tokens.
func connect(ctx context.Context, a *app.App) (redis.UniversalClient, error) {
	url := a.Base.RedisURL.Reveal()
	if url == "" {
		a.Log.Warn("REDIS_URL is not set: rate limits are this replica's own, revoked tokens hold until they expire")
		return nil, nil
	}
	rdb, err := kitredis.New(url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	a.TellRefusals(rdb)
	a.Go("redis", func(ctx context.Context) error {
		<-ctx.Done()
		return rdb.Close()
	})
	short, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	if err := rdb.Ping(short).Err(); err != nil {
		a.Log.Warn("redis does not answer; serving without it until it does", zap.Error(err))
	}
	return rdb, nil
}

func limits(cfg Config, rdb redis.UniversalClient) (*ratelimit.Set, error) {
	common, err := ratelimit.ParsePolicy(routes.DefaultRate, cfg.RateLimit, false)
	if err != nil {
		return nil, fmt.Errorf("RATE_LIMIT: %w", err)
	}
	strict, err := ratelimit.ParsePolicy(api.RateAuth, cfg.RateLimitAuth, true)
	if err != nil {
		return nil, fmt.Errorf("RATE_LIMIT_AUTH: %w", err)
	}
	return ratelimit.New([]ratelimit.Policy{common, strict}, rdb), nil
}

// checker verifies access tokens, and exchanges personal access tokens at auth-service.
func checker(a *app.App, rdb redis.UniversalClient) *tokens.Checker {
	heard := func() bool { return false }
	if rdb != nil {
		a.HearRevocations(rdb)
		heard = a.Revoked.Live
	}
	client := a.Client(authapi.Service)
	exchange := func(ctx context.Context, token string) (tokens.Grant, error) {
		answer, err := rpc.Call(ctx, client, authapi.ExchangePAT, authapi.PATExchange{Token: token})
		return tokens.Grant{JWT: answer.AccessToken, IPRanges: answer.IPRanges}, err
	}
	return tokens.NewChecker(a.Verifier, exchange, heard)
}

func access(a *app.App, cfg Config) *accesslog.Log {
	if !cfg.AccessLog {
		return nil
	}
	l := accesslog.New(a.Output, a.Name)
	a.Go("access log", l.Run)
	return l
}
