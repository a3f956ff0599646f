// Package services decides: what a caller's token opens, which connection a base
// is reached through, what makes a connection valid.
package services

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/cache"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Connections are the tenants' ways to bases.
type Connections struct {
	repo      *repository.Connections
	places    *repository.Places
	upstreams *Upstreams
	now       func() time.Time
	reading   singleflight.Group
	lookups   *lookups
}

// NewConnections returns the connections kept in repo, to bases that places does not
// withhold. now tells the time.
func NewConnections(repo *repository.Connections, places *repository.Places, u *Upstreams, now func() time.Time) *Connections {
	return &Connections{repo: repo, places: places, upstreams: u, lookups: newLookups(), now: func() time.Time { return now().UTC().Truncate(time.Microsecond) }}
}

const (
	defaultName = "Base store"
	// readInterval bounds how often an unknown base id makes the gateway ask an
	// Airtable account for its bases.
	readInterval = 10 * time.Second
	// mostBasePages bounds the reading of an account's bases: 1,000 a page.
	mostBasePages = 20
)

// Draft is what a connection is made with.
type Draft struct {
	Name, APIURL, Token string
	Kind                models.ConnectionKind
	Settings            SettingsPatch
}

// Patch is what may be changed about a connection; nil leaves it.
type Patch struct {
	Name, APIURL, Token *string
	Settings            SettingsPatch
}

// SettingsPatch is what may be changed about settings; nil leaves it.
type SettingsPatch struct {
	Freshness                       *time.Duration
	StableAttachments, BeforeImages *bool
	Watch                           *bool
}

func (p SettingsPatch) apply(s *models.ConnectionSettings) {
	put(&s.Freshness, p.Freshness)
	put(&s.StableAttachments, p.StableAttachments)
	put(&s.BeforeImages, p.BeforeImages)
	put(&s.Watch, p.Watch)
}

func put[T any](to, v *T) {
	if v != nil {
		*to = *v
	}
}

// Create stores a connection. The token of an Airtable account is tried first: a
// refused one is ErrTokenRefused at /token; when the account cannot be asked, the
// connection is kept as unchecked.
func (s *Connections) Create(ctx context.Context, who auth.Principal, d Draft) (models.Connection, error) {
	c := models.NewConnection(who.TenantID, d.Kind, d.Name, s.now())
	d.Settings.apply(&c.Settings)
	if d.Kind == models.LocalConnection {
		if d.APIURL != "" || d.Token != "" {
			return c, airtableapi.ErrFixedKind
		}
	} else if err := s.open(ctx, &c, d.APIURL, d.Token); err != nil {
		return c, err
	}
	defer s.lookups.forget() // before the caller hears of it
	err := s.repo.CreateConnection(ctx, c, tell(ctx, airtableapi.ConnectionCreated, c, who.UserID))
	switch {
	case errors.Is(err, repository.ErrLocalExists):
		return c, airtableapi.ErrLocalExists
	case errors.Is(err, repository.ErrTooManyConnections):
		return c, airtableapi.ErrTooManyConnections
	case err != nil:
		return c, err
	}
	if _, err := s.read(ctx, c, true); err != nil { // an unknown base is looked for later on
		logging.From(ctx).Info("bases of a new connection not read", zap.Stringer("connection", c.ID), zap.Error(err))
	}
	return c, nil
}

// open gives c an address and a token, after trying them.
func (s *Connections) open(ctx context.Context, c *models.Connection, address, token string) error {
	if token == "" {
		return errs.ErrInvalid.With(errs.Field{Pointer: "/token", Detail: "is required for this kind"})
	}
	origin, ok := s.upstreams.Allowed.Admit(address)
	if !ok {
		return airtableapi.ErrURLNotAllowed.With(errs.Field{Pointer: "/api_url", Detail: "is not allowed"})
	}
	status, err := s.try(ctx, *c, origin, token)
	if err != nil {
		return err
	}
	sealed, err := s.upstreams.Box.Seal([]byte(token), c.SealContext())
	if err != nil {
		return fmt.Errorf("seal token: %w", err)
	}
	c.APIURL, c.Token, c.Status = origin, sealed, status
	if status == models.ConnectionActive {
		c.CheckedAt = s.now()
	}
	return nil
}

// try asks the account who the token belongs to.
func (s *Connections) try(ctx context.Context, c models.Connection, address, token string) (models.ConnectionStatus, error) {
	up, err := s.upstreams.At(c.ID, address, token)
	if err != nil {
		return "", airtableapi.ErrURLNotAllowed.Because(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := up.Do(ctx, upstream.Call{
		Op: upstream.Whoami, Caller: upstream.Caller{Tenant: c.Tenant}, Method: "GET", Path: "/v0/meta/whoami",
	})
	switch {
	case err != nil:
		logging.From(ctx).Info("token of a connection not checked", zap.Error(err))
		return models.ConnectionUnchecked, nil
	case answer.Status == statusUnauthorized || answer.Status == 403:
		return "", airtableapi.ErrTokenRefused.With(errs.Field{Pointer: "/token", Detail: "is refused by Airtable"})
	case answer.Status == 200:
		return models.ConnectionActive, nil
	}
	return models.ConnectionUnchecked, nil
}

// Update changes a connection. A new address needs the token again: a kept one is
// never sent to another place than it was given for.
func (s *Connections) Update(ctx context.Context, who auth.Principal, key models.ConnectionID, ifVersion int64, p Patch) (models.Connection, error) {
	c, err := s.Connection(ctx, who.TenantID, key)
	if err != nil {
		return c, err
	}
	var opened *models.Connection
	if p.APIURL != nil || p.Token != nil {
		if opened, err = s.reopen(ctx, c, p); err != nil {
			return c, err
		}
		if ifVersion == 0 {
			ifVersion = c.Version // what was tried must be what is stored
		}
	}
	defer s.lookups.forget()
	c, err = s.repo.UpdateConnection(ctx, who.TenantID, key, ifVersion, func(c *models.Connection) ([]events.Event, error) {
		put(&c.Name, p.Name)
		p.Settings.apply(&c.Settings)
		if opened != nil {
			c.APIURL, c.Token, c.Status, c.CheckedAt = opened.APIURL, opened.Token, opened.Status, opened.CheckedAt
		}
		c.UpdatedAt = s.now()
		return []events.Event{tell(ctx, airtableapi.ConnectionUpdated, *c, who.UserID)}, nil
	})
	if err != nil {
		return c, notFound(err)
	}
	if opened != nil {
		if _, err := s.read(ctx, c, true); err != nil {
			logging.From(ctx).Info("bases of a changed connection not read", zap.Stringer("connection", c.ID), zap.Error(err))
		}
	}
	return c, nil
}

func (s *Connections) reopen(ctx context.Context, c models.Connection, p Patch) (*models.Connection, error) {
	if c.Kind == models.LocalConnection {
		return nil, airtableapi.ErrFixedKind
	}
	address, token := c.APIURL, ""
	if p.APIURL != nil {
		address = *p.APIURL
	}
	if p.Token != nil {
		token = *p.Token
	}
	if token == "" {
		return nil, errs.ErrInvalid.With(errs.Field{Pointer: "/token", Detail: "is required with a new api_url"})
	}
	return &c, s.open(ctx, &c, address, token)
}

// Delete removes a connection and no base.
func (s *Connections) Delete(ctx context.Context, who auth.Principal, key models.ConnectionID, ifVersion int64) error {
	defer s.lookups.forget()
	return notFound(s.repo.DeleteConnection(ctx, who.TenantID, key, ifVersion, func(tx pgx.Tx, c models.Connection) ([]events.Event, error) {
		return []events.Event{tell(ctx, airtableapi.ConnectionDeleted, c, who.UserID)}, s.upstreams.Watch.Leave(ctx, tx, c)
	}))
}

// Connection returns ErrConnectionNotFound if the tenant has no such connection.
func (s *Connections) Connection(ctx context.Context, tenant id.TenantID, key models.ConnectionID) (models.Connection, error) {
	c, err := s.repo.Connection(ctx, tenant, key)
	return c, notFound(err)
}

// List returns at most limit connections made after the given one.
func (s *Connections) List(ctx context.Context, tenant id.TenantID, after models.ConnectionID, limit int) ([]models.Connection, error) {
	return s.repo.Connections(ctx, tenant, after, limit)
}

// Local returns the tenant's local connection, made if it is absent.
func (s *Connections) Local(ctx context.Context, tenant id.TenantID) (models.Connection, error) {
	c, err := s.repo.LocalConnection(ctx, tenant)
	if !errors.Is(err, errs.ErrNotFound) {
		return c, err
	}
	c = models.NewConnection(tenant, models.LocalConnection, defaultName, s.now())
	err = s.repo.CreateConnection(ctx, c, tell(ctx, airtableapi.ConnectionCreated, c, id.UserID{}))
	switch {
	case errors.Is(err, repository.ErrLocalExists): // another call was faster
		return s.repo.LocalConnection(ctx, tenant)
	case errors.Is(err, repository.ErrTooManyConnections):
		return c, airtableapi.ErrTooManyConnections
	}
	return c, err
}

// Watches lists at most limit of the bases whose changes Airtable tells of, by id, those
// after the given one. It returns ErrConnectionNotFound if the tenant has no such connection.
func (s *Connections) Watches(ctx context.Context, tenant id.TenantID, key models.ConnectionID, after string, limit int) ([]models.Watch, error) {
	if _, err := s.Connection(ctx, tenant, key); err != nil {
		return nil, err
	}
	return s.upstreams.Watch.Repo.Watches(ctx, tenant, key, after, limit)
}

// all lists the connections that bases are looked for in. A tenant without any is
// given a local one.
func (s *Connections) all(ctx context.Context, tenant id.TenantID) ([]models.Connection, error) {
	list, err := s.repo.Connections(ctx, tenant, models.ConnectionID{}, repository.MostConnections)
	if err != nil || len(list) > 0 {
		return list, err
	}
	c, err := s.Local(ctx, tenant)
	return []models.Connection{c}, err
}

// OfBase returns the connection that answers for the base: of several that offer
// it the oldest one. An unknown base makes every connection be asked once for its
// bases, an Airtable account at most every readInterval. What another replica changed
// counts after lookupAge, as does that a base was put into the trash, in which it is
// unknown, or taken out.
func (s *Connections) OfBase(ctx context.Context, tenant id.TenantID, base string) (models.Connection, models.OfferedBase, error) {
	key, epoch, now := lookupKey{tenant, base}, s.lookups.epoch.Load(), s.now()
	if known, ok := s.lookups.find(key, now); ok {
		return known.conn, known.offered, nil
	}
	c, b, err := s.findBase(ctx, tenant, base)
	if err == nil {
		s.lookups.keep(key, lookup{conn: c, offered: b}, epoch, now)
	}
	return c, b, err
}

func (s *Connections) findBase(ctx context.Context, tenant id.TenantID, base string) (models.Connection, models.OfferedBase, error) {
	c, b, err := s.repo.BaseConnection(ctx, tenant, base)
	if !errors.Is(err, errs.ErrNotFound) {
		return c, b, unknown(err)
	}
	// One search serves all that wait for it, so its end must not depend on which
	// of them began it.
	found := s.reading.DoChan(tenant.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, s.readDue(ctx, tenant)
	})
	select {
	case r := <-found:
		if r.Err != nil {
			return c, b, r.Err
		}
	case <-ctx.Done():
		return c, b, ctx.Err()
	}
	c, b, err = s.repo.BaseConnection(ctx, tenant, base)
	return c, b, unknown(err)
}

// unknown makes an unknown base of one that is not offered, or in the trash.
func unknown(err error) error {
	if errors.Is(err, errs.ErrNotFound) || errors.Is(err, repository.ErrWithheld) {
		return airtableapi.ErrBaseNotFound
	}
	return err
}

// readDue reads the bases of all connections that may be asked again. One that is
// away does not hide the others'.
func (s *Connections) readDue(ctx context.Context, tenant id.TenantID) error {
	list, err := s.all(ctx, tenant)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, c := range list {
		group.Go(func() error {
			if c.Kind != models.LocalConnection {
				if due, err := s.repo.ClaimRead(ctx, c, s.now(), readInterval); err != nil || !due {
					return err
				}
			}
			if _, err := s.read(ctx, c, true); err != nil {
				logging.From(ctx).Warn("bases of a connection not read", zap.Stringer("connection", c.ID), zap.Error(err))
			}
			return nil
		})
	}
	return group.Wait()
}

// Bases lists the bases of all connections of the tenant, each once, as fresh as the
// connection's answers are; those of a connection that is away as they were. Those in the
// trash are not among them.
func (s *Connections) Bases(ctx context.Context, tenant id.TenantID) ([]models.OfferedBase, error) {
	list, err := s.all(ctx, tenant)
	if err != nil {
		return nil, err
	}
	seen, err := s.places.Withheld(ctx, tenant)
	if err != nil {
		return nil, err
	}
	offered := make([][]models.OfferedBase, len(list))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, c := range list {
		group.Go(func() (err error) {
			if offered[i], err = s.read(ctx, c, false); err != nil {
				logging.From(ctx).Warn("bases of a connection not read", zap.Stringer("connection", c.ID), zap.Error(err))
				offered[i], err = s.repo.Bases(ctx, c)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []models.OfferedBase
	for _, bases := range offered {
		for _, b := range bases {
			if !seen[b.ID] {
				seen[b.ID] = true
				out = append(out, b)
			}
		}
	}
	return out, nil
}

// read asks the connection for its bases, as they are now or as they were answered not
// long ago, and remembers them.
func (s *Connections) read(ctx context.Context, c models.Connection, now bool) ([]models.OfferedBase, error) {
	up, err := s.upstreams.Of(c)
	if err != nil {
		return nil, err
	}
	call := upstream.Call{
		Op: upstream.ListBases, Caller: upstream.Caller{Tenant: c.Tenant}, Method: "GET", Path: "/v0/meta/bases",
	}
	if now {
		call.Header = cache.Anew()
	}
	var bases []models.OfferedBase
	for range mostBasePages {
		answer, err := up.Do(ctx, call)
		if err != nil {
			return nil, err
		}
		if !answer.Kept {
			s.note(ctx, c, answer)
		}
		offset, err := addBases(&bases, c, answer)
		if err != nil {
			return nil, err
		}
		if offset == "" {
			break
		}
		call.RawQuery = url.Values{"offset": {offset}}.Encode()
	}
	return bases, s.save(ctx, c, bases)
}

// save remembers the bases, if that is news.
func (s *Connections) save(ctx context.Context, c models.Connection, bases []models.OfferedBase) error {
	known, err := s.repo.Bases(ctx, c)
	if err != nil {
		return err
	}
	byID := func(a, b models.OfferedBase) int { return cmp.Compare(a.ID, b.ID) }
	if slices.Equal(slices.SortedFunc(slices.Values(known), byID), slices.SortedFunc(slices.Values(bases), byID)) {
		return nil
	}
	defer s.lookups.forget()
	return s.repo.SaveBases(ctx, c, bases)
}

func addBases(to *[]models.OfferedBase, c models.Connection, answer upstream.Answer) (offset string, err error) {
	if answer.Status != 200 {
		return "", fmt.Errorf("list bases: the upstream answered %d", answer.Status)
	}
	var page struct {
		Bases []struct {
			ID              string `json:"id"`
			Name            string `json:"name"`
			PermissionLevel string `json:"permissionLevel"`
		} `json:"bases"`
		Offset string `json:"offset"`
	}
	if err := json.Unmarshal(answer.Body, &page); err != nil {
		return "", fmt.Errorf("list bases: %w", err)
	}
	for _, b := range page.Bases {
		*to = append(*to, models.OfferedBase{Connection: c.ID, ID: b.ID, Name: b.Name, PermissionLevel: b.PermissionLevel})
	}
	return page.Offset, nil
}

// ofWorkspace returns the connection in which a base of the workspace is created:
// the local one for its own workspace id, otherwise the oldest Airtable account,
// since only Airtable knows its workspaces, and the local one if there is none.
func (s *Connections) ofWorkspace(ctx context.Context, tenant id.TenantID, workspace string) (models.Connection, error) {
	list, err := s.all(ctx, tenant)
	if err != nil {
		return models.Connection{}, err
	}
	chosen := list[0]
	for _, c := range list {
		if c.Kind == models.LocalConnection && c.WorkspaceID() == workspace {
			return c, nil
		}
		if chosen.Kind == models.LocalConnection && c.Kind != models.LocalConnection {
			chosen = c
		}
	}
	return chosen, nil
}

// note keeps the connection's status true to what the upstream said to its token.
// An answer of a broken upstream says nothing about it.
func (s *Connections) note(ctx context.Context, c models.Connection, answer upstream.Answer) {
	status := models.ConnectionActive
	switch {
	case answer.Status == statusUnauthorized:
		status = models.ConnectionRefused
	case answer.Status >= statusServerError:
		return
	}
	if c.Kind == models.LocalConnection || status == c.Status {
		return
	}
	defer s.lookups.forget()
	if err := s.repo.NoteStatus(ctx, c, status, s.now()); err != nil {
		logging.From(ctx).Warn("status of a connection not noted", zap.Stringer("connection", c.ID), zap.Error(err))
	}
}

func notFound(err error) error {
	if errors.Is(err, errs.ErrNotFound) {
		return airtableapi.ErrConnectionNotFound
	}
	return err
}
