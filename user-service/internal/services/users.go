// Package services decides what may be done with profiles, and what it means.
package services

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
	"github.com/pyairtable/pyairtable/user-service/internal/repository"
)

// Users are the profiles. Callers who may not know of a user get
// userapi.ErrUserNotFound.
type Users struct {
	repo    *repository.Repository
	permits permit.Checker
	changes *prometheus.CounterVec
	now     func() time.Time
}

// The values of the metric's label.
const (
	createdByToken = "created_by_token"
	updated        = "updated"
	deleted        = "deleted"
)

// NewUsers returns the service on the repository.
func NewUsers(repo *repository.Repository, permits permit.Checker, metrics prometheus.Registerer, now func() time.Time) *Users {
	u := &Users{repo: repo, permits: permits, now: now, changes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "user_profile_changes_total", Help: "Changes of profiles by requests, by kind.",
	}, []string{"change"})}
	for _, kind := range []string{createdByToken, updated, deleted} {
		u.changes.WithLabelValues(kind)
	}
	metrics.MustRegister(u.changes)
	return u
}

// View is a profile as one caller sees it.
type View struct {
	models.User
	Editable bool // by the caller
}

// User returns the profile. The caller's own is made if there is none yet.
func (s *Users) User(ctx context.Context, who auth.Principal, user id.UserID) (View, error) {
	c, err := callerOf(who)
	if err != nil {
		return View{}, err
	}
	if c.User != user {
		c.ManagesMembers, _ = s.managesMembers(ctx, who) // he sees less if it cannot be found out
	}
	m, err := s.repo.User(ctx, c, user)
	if errors.Is(err, errs.ErrNotFound) && c.User == user {
		if err := s.create(ctx, c); err != nil {
			return View{}, err
		}
		m, err = s.repo.User(ctx, c, user)
	}
	if err != nil {
		return View{}, hide(err)
	}
	if m.Deleted() {
		return View{}, userapi.ErrUserNotFound
	}
	return view(c, m), nil
}

// Known returns those of the users that the service has heard of, the erased
// included. It is for other services: it asks nobody's permission.
func (s *Users) Known(ctx context.Context, users []id.UserID) ([]models.User, error) {
	return s.repo.Known(ctx, users)
}

// Update changes the profile, if match holds.
func (s *Users) Update(ctx context.Context, who auth.Principal, user id.UserID, match etag.Match, ch Change) (View, error) {
	return s.change(ctx, who, user, updated, func(c models.Caller, m *repository.Member) ([]events.Event, error) {
		switch {
		case m.Deleted():
			return nil, userapi.ErrUserNotFound
		case !c.MayEdit(m.ID, m.Role):
			return nil, userapi.ErrMayNotEdit
		case !match.Holds(m.Version):
			return nil, errs.ErrPreconditionFailed
		}
		next, err := ch.apply(m.Profile)
		if err != nil {
			return nil, err
		}
		changed := m.Edit(next, s.time())
		if len(changed) == 0 {
			return nil, nil
		}
		return []events.Event{userapi.UserUpdated.New(ctx, m.Tenant, m.ID.String(), m.Version, userapi.UserUpdatedData{
			UserID: m.ID.String(), TenantID: m.Tenant.String(), Changed: changed, ActorID: c.User.String(),
		})}, nil
	})
}

// Delete erases the profile, if match holds, and announces that the user is gone.
// For a user who is gone already it does nothing.
func (s *Users) Delete(ctx context.Context, who auth.Principal, user id.UserID, match etag.Match) error {
	_, err := s.change(ctx, who, user, deleted, func(c models.Caller, m *repository.Member) ([]events.Event, error) {
		switch {
		case m.Deleted() && c.MayRepeat(m.User):
			return nil, nil
		case m.Deleted():
			return nil, userapi.ErrUserNotFound
		case !c.MayErase(m.ID, m.Role):
			return nil, userapi.ErrMayNotEdit
		case !c.Manages(m.User):
			return nil, userapi.ErrNotManaged
		case !match.Holds(m.Version):
			return nil, errs.ErrPreconditionFailed
		}
		m.Erase(s.time())
		return []events.Event{userapi.UserDeleted.New(ctx, m.Tenant, m.ID.String(), m.Version, userapi.UserDeletedData{
			UserID: m.ID.String(), TenantID: m.Tenant.String(), ActorID: c.User.String(),
		})}, nil
	})
	return err
}

// change has the rule decide under the row lock, and counts what it decided as
// kind. The caller's own profile is made if there is none yet.
func (s *Users) change(ctx context.Context, who auth.Principal, user id.UserID, kind string,
	rule func(models.Caller, *repository.Member) ([]events.Event, error)) (View, error) {
	c, err := callerOf(who)
	if err != nil {
		return View{}, err
	}
	if c.User != user {
		if c.ManagesMembers, err = s.managesMembers(ctx, who); err != nil {
			return View{}, err
		}
	}
	changed := false
	decide := func(m *repository.Member) ([]events.Event, error) {
		evs, err := rule(c, m)
		changed = len(evs) > 0
		return evs, err
	}
	m, err := s.repo.Update(ctx, c, user, decide)
	if errors.Is(err, errs.ErrNotFound) && c.User == user {
		if err := s.create(ctx, c); err != nil {
			return View{}, err
		}
		m, err = s.repo.Update(ctx, c, user, decide)
	}
	if err != nil {
		return View{}, hide(err)
	}
	if changed {
		s.changes.WithLabelValues(kind).Inc()
	}
	return view(c, m), nil
}

// create makes the caller's profile of what his token says. Whoever else makes it
// at the same time is fine.
func (s *Users) create(ctx context.Context, c models.Caller) error {
	u := models.New(c.User, c.Tenant, s.time())
	role := c.Role
	if role == "" {
		role = models.RoleGuest
	}
	created, err := s.repo.Create(ctx, u, role, userapi.ProfileCreated.New(ctx, u.Tenant, u.ID.String(), u.Version,
		userapi.ProfileCreatedData{UserID: u.ID.String(), TenantID: u.Tenant.String()}))
	if created {
		s.changes.WithLabelValues(createdByToken).Inc()
	}
	return err
}

// cursor is the sort key of a list.
type cursor struct {
	ID id.UserID `json:"id"`
}

// List returns a page of the users whom the caller sees, the profile of the
// caller being made if there is none yet.
func (s *Users) List(ctx context.Context, who auth.Principal, text string, q api.PageQuery) ([]View, string, error) {
	c, err := callerOf(who)
	if err != nil {
		return nil, "", err
	}
	text = strings.TrimSpace(text)
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, "", errs.ErrInvalid.With(errs.Field{Pointer: "q", Detail: "must be text"})
	}
	c.ManagesMembers, _ = s.managesMembers(ctx, who) // he sees less if it cannot be found out
	filters := page.Filters(c.Tenant, c.User, c.SeesTenant(), c.Everyone, models.Fold(text))
	var after cursor
	if q.Cursor != "" {
		if err := page.Decode(q.Cursor, filters, &after); err != nil {
			return nil, "", err
		}
	} else if _, err := s.User(ctx, who, c.User); err != nil && !errors.Is(err, userapi.ErrUserNotFound) {
		return nil, "", err
	}
	list, err := s.repo.List(ctx, c, text, after.ID, q.Limit+1)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(list) > q.Limit {
		list = list[:q.Limit]
		next = page.Encode(filters, cursor{list[q.Limit-1].ID})
	}
	views := make([]View, len(list))
	for i, m := range list {
		views[i] = view(c, m)
	}
	return views, next, nil
}

func (s *Users) time() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// callerOf is who asks. The scope of all users has to be named: "*" is not it.
func callerOf(who auth.Principal) (models.Caller, error) {
	if who.UserID.IsZero() || who.TenantID.IsZero() {
		return models.Caller{}, errs.ErrForbidden
	}
	return models.Caller{
		User: who.UserID, Tenant: who.TenantID, Role: who.Role, Everyone: slices.Contains(who.Scopes, userapi.ScopeUsers),
	}, nil
}

// managesMembers reports whether the caller has permissionapi.ManageMembers. Of those who
// need none it is not asked.
func (s *Users) managesMembers(ctx context.Context, who auth.Principal) (bool, error) {
	if who.IsAdmin() || slices.Contains(who.Scopes, userapi.ScopeUsers) {
		return false, nil
	}
	err := s.permits.Check(ctx, who, permissionapi.ManageMembers, permit.Tenant(who.TenantID))
	if errors.Is(err, errs.ErrForbidden) || errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func view(c models.Caller, m repository.Member) View {
	return View{User: m.User, Editable: c.MayEdit(m.ID, m.Role)}
}

// hide says it in the service's own words that there is no such user.
func hide(err error) error {
	if errors.Is(err, errs.ErrNotFound) {
		return userapi.ErrUserNotFound.Because(err)
	}
	return err
}
