package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/allowance"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/policy"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Gateway answers Airtable calls for callers: it decides whether the caller's
// token permits the call, finds the connection of the base, and asks its upstream for what
// the caller may do and see.
type Gateway struct {
	connections *Connections
	upstreams   *Upstreams
	people      *People
	guard       *policy.Guard
	allowance   *allowance.Allowance
	later       func(ctx context.Context, o policy.Ownership) error
}

// NewGateway returns a Gateway on the connections. later makes somebody the owner of his
// base when that could not be done at once.
func NewGateway(c *Connections, u *Upstreams, p *People, guard *policy.Guard, within *allowance.Allowance,
	later func(ctx context.Context, o policy.Ownership) error,
) *Gateway {
	return &Gateway{c, u, p, guard, within, later}
}

// Uncounted is the Gateway for services that read in users' names: what they do is not the
// tenant's use of the API.
func (g *Gateway) Uncounted() *Gateway {
	c := *g
	c.allowance = nil
	return &c
}

// Do answers the call that v0.Parse read. Refusals of the upstream are answers.
// The errors are errs.ErrUnauthenticated, airtableapi.ErrNotPermitted (a missing
// scope), tenantapi.ErrQuotaExceeded and ErrLimitReached (the tenant's plan), ErrBaseNotFound
// (also for a base that the token does not list),
// ErrConnectionRefused, ErrUpstreamAway (nothing was executed, or the call only
// reads) and ErrOutcomeUnknown.
func (g *Gateway) Do(ctx context.Context, who auth.Principal, c upstream.Call) (upstream.Answer, error) {
	if err := permit(who, c); err != nil {
		return upstream.Answer{}, err
	}
	if err := g.allowance.Call(ctx, who.TenantID); err != nil {
		return upstream.Answer{}, err
	}
	c.Caller = upstream.Caller{Tenant: who.TenantID, User: who.UserID}
	c.Scopes = who.Scopes
	g.people.Meet(ctx, who)
	switch c.Op {
	case upstream.Whoami:
		owner, err := g.people.Whoami(ctx, who)
		return v0.Whoami(owner), err
	case upstream.ListBases:
		return g.listBases(ctx, who, c)
	case upstream.CreateBase:
		if err := g.guard.MayCreateBase(ctx, who); err != nil {
			return upstream.Answer{}, err
		}
		return g.createBase(ctx, who, c)
	}
	conn, _, err := g.connections.OfBase(ctx, who.TenantID, c.Base)
	if err != nil {
		return upstream.Answer{}, notBegun(err)
	}
	if err := permitWatching(who, conn, c); err != nil {
		return upstream.Answer{}, err
	}
	up, err := g.upstreams.Of(conn)
	if err != nil {
		return upstream.Answer{}, airtableapi.ErrUpstreamAway.Because(err)
	}
	seen, err := g.guard.Admit(ctx, who, policy.Door{Upstream: up, Local: conn.Kind == models.LocalConnection}, c)
	if refused, ok := models.AsError(err); ok {
		return policy.Deny(refused), nil
	}
	if err != nil {
		return upstream.Answer{}, err
	}
	return g.ask(ctx, conn, seen, c)
}

// notBegun makes of a fault one that says that nothing was executed, so that clients
// may try again; refusals stay as they are.
func notBegun(err error) error {
	if errs.From(err).Kind == errs.Internal {
		return errs.ErrUnavailable.Because(err)
	}
	return err
}

// Base returns a base that the caller may see, or ErrBaseNotFound.
func (g *Gateway) Base(ctx context.Context, who auth.Principal, base string) (models.OfferedBase, error) {
	if !who.MaySeeBase(base) {
		return models.OfferedBase{}, airtableapi.ErrBaseNotFound
	}
	_, offered, err := g.connections.OfBase(ctx, who.TenantID, base)
	if err != nil {
		return offered, err
	}
	return g.guard.Base(ctx, who, offered)
}

// Bases lists the bases that the caller may see, in the order of their
// connections.
func (g *Gateway) Bases(ctx context.Context, who auth.Principal) ([]models.OfferedBase, error) {
	all, err := g.connections.Bases(ctx, who.TenantID)
	if err != nil {
		return nil, err
	}
	seen := make([]models.OfferedBase, 0, len(all))
	for _, b := range all {
		if who.MaySeeBase(b.ID) {
			seen = append(seen, b)
		}
	}
	return g.guard.Bases(ctx, who, seen)
}

// permit refuses what the caller's token does not open. That the base is hidden
// is told before that a scope is missing, as Airtable does.
func permit(who auth.Principal, c upstream.Call) error {
	scope := v0.Scope(c)
	switch {
	case who.UserID.IsZero() || who.TenantID.IsZero():
		return errs.ErrUnauthenticated
	case c.Base != "" && !who.MaySeeBase(c.Base):
		return airtableapi.ErrBaseNotFound
	case scope != "" && !who.HasScope(scope):
		return airtableapi.ErrNotPermitted.Saying("The token lacks the scope %s.", scope)
	case c.Op == upstream.CreateBase && !who.MaySeeBase(auth.Any):
		return airtableapi.ErrNotPermitted.Saying("A token for certain bases cannot create one.")
	}
	return nil
}

// call asks the connection's upstream.
func (g *Gateway) call(ctx context.Context, conn models.Connection, c upstream.Call) (upstream.Answer, error) {
	up, err := g.upstreams.Of(conn)
	if err != nil {
		return upstream.Answer{}, airtableapi.ErrUpstreamAway.Because(err)
	}
	return g.ask(ctx, conn, up, c)
}

// ask makes the call by way of up.
func (g *Gateway) ask(ctx context.Context, conn models.Connection, up upstream.Upstream, c upstream.Call) (upstream.Answer, error) {
	answer, err := up.Do(ctx, c)
	switch {
	case errors.Is(err, tenantapi.ErrLimitReached):
		return answer, err
	case err != nil && (v0.Reads(c) || errors.Is(err, upstream.ErrNotSent)):
		return answer, airtableapi.ErrUpstreamAway.Because(err)
	case err != nil:
		return answer, airtableapi.ErrOutcomeUnknown.Because(err)
	}
	if !answer.Kept {
		g.connections.note(ctx, conn, answer)
	}
	if answer.Status == statusUnauthorized {
		return answer, airtableapi.ErrConnectionRefused
	}
	return answer, nil
}

// What answers of an upstream say about its token.
const (
	statusUnauthorized = 401
	statusServerError  = 500
)

// basesPerPage is Airtable's.
const basesPerPage = 1000

// iterator begins the offsets that listBases gives out. They name the last base of
// a page, so that no state is kept.
const iterator = "itr00000000000000/"

func (g *Gateway) listBases(ctx context.Context, who auth.Principal, c upstream.Call) (upstream.Answer, error) {
	offset, bad := v0.BasesQuery(c.RawQuery)
	if bad != nil {
		return v0.Refuse(bad), nil
	}
	bases, err := g.Bases(ctx, who)
	if err != nil {
		return upstream.Answer{}, err
	}
	from := 0
	if offset != "" {
		if from = after(bases, offset); from < 0 {
			return v0.Refuse(models.InvalidOffset(offset)), nil
		}
	}
	type entry struct {
		ID              string `json:"id"`
		Name            string `json:"name"`
		PermissionLevel string `json:"permissionLevel"`
	}
	page := struct {
		Bases  []entry `json:"bases"`
		Offset string  `json:"offset,omitempty"`
	}{Bases: []entry{}}
	for _, b := range bases[from:min(from+basesPerPage, len(bases))] {
		page.Bases = append(page.Bases, entry{b.ID, b.Name, b.PermissionLevel})
	}
	if n := len(page.Bases); from+n < len(bases) {
		page.Offset = iterator + page.Bases[n-1].ID
	}
	return v0.OK(page), nil
}

// after is the place behind the base that the offset names, -1 if there is none.
func after(bases []models.OfferedBase, offset string) int {
	for i, b := range bases {
		if iterator+b.ID == offset {
			return i + 1
		}
	}
	return -1
}

// createBase makes the base at the connection that the workspaceId belongs to.
func (g *Gateway) createBase(ctx context.Context, who auth.Principal, c upstream.Call) (upstream.Answer, error) {
	var draft struct {
		Name        string `json:"name"`
		WorkspaceID string `json:"workspaceId"`
	}
	_ = json.Unmarshal(c.Body, &draft) // the upstream tells what is wrong with the body
	conn, err := g.connections.ofWorkspace(ctx, who.TenantID, draft.WorkspaceID)
	if err != nil {
		return upstream.Answer{}, err
	}
	answer, err := g.call(ctx, conn, c)
	if err != nil || answer.Status != 200 {
		return answer, err
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer.Body, &made); err != nil {
		return answer, fmt.Errorf("read the created base: %w", err)
	}
	// Remembering it is a matter of speed only: an unknown base is looked for.
	if err := g.connections.repo.AddBase(ctx, conn, models.OfferedBase{
		Connection: conn.ID, ID: made.ID, Name: draft.Name, PermissionLevel: "create",
	}); err != nil {
		logging.From(ctx).Warn("remember created base", zap.Error(err))
	}
	return answer, g.own(ctx, policy.Ownership{Tenant: who.TenantID, User: who.UserID, Base: made.ID})
}

// own makes the creator the owner of his base, at once or soon. That it cannot be done
// does not undo the base.
func (g *Gateway) own(ctx context.Context, o policy.Ownership) error {
	err := g.guard.Own(ctx, o)
	if err == nil {
		return nil
	}
	logging.From(ctx).Warn("owner of a new base not told", zap.String("base", o.Base), zap.Error(err))
	if err := g.later(context.WithoutCancel(ctx), o); err != nil {
		return airtableapi.ErrOutcomeUnknown.Because(err)
	}
	return nil
}
