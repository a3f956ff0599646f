// Package services decides: who may sign in, what a token is good for, and what
// has to be announced.
package services

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Lifetimes of what is handed out. They are no configuration: clients, gateways
// and the key rotation rely on them.
const (
	AccessTTL  = 15 * time.Minute
	patTTL     = models.TokenAccess
	serviceTTL = 15 * time.Minute
	grace      = 10 * time.Second
)

// Options are what an Auth works with.
type Options struct {
	Repo      *repository.Repository
	Attempts  *repository.Attempts
	Keys      *Keys
	Passwords *Passwords
	Announcer *Announcer
	Metrics   *Metrics
	Now       func() time.Time

	Issuer        string
	Idle, Max     time.Duration // of sessions
	PublicURL     string        // that mails point to
	VerifyFirst   bool          // no sign-in before the address is verified
	ServiceSecret func(service string) string
	KnownService  func(name string) bool
}

// Auth is auth-service without its transport.
type Auth struct {
	Options
	lifetimes models.Lifetimes
	verifier  *auth.Verifier
	used      *lastUsed
}

// New returns an Auth.
func New(o Options) *Auth {
	return &Auth{
		Options:   o,
		lifetimes: models.Lifetimes{Access: AccessTTL, Idle: o.Idle, Max: o.Max, Grace: grace},
		verifier:  auth.NewVerifier(o.Issuer, o.Keys, nil),
		used:      newLastUsed(),
	}
}

// Clock is the time as it is stored: UTC, in microseconds.
func Clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Metrics counts what matters to the business.
type Metrics struct {
	registrations, logins, refreshes, exchanges *prometheus.CounterVec
	hashes                                      prometheus.Counter
	waiting                                     prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"outcome"})
	}
	m := &Metrics{
		registrations: counter("auth_registrations_total", "Registrations, by outcome."),
		logins:        counter("auth_logins_total", "Sign-ins, by outcome."),
		refreshes:     counter("auth_refreshes_total", "Refreshes of sessions, by outcome."),
		exchanges:     counter("auth_pat_exchanges_total", "Exchanges of personal access tokens, by outcome."),
		hashes:        prometheus.NewCounter(prometheus.CounterOpts{Name: "auth_password_hashes_total", Help: "Passwords hashed or compared."}),
		waiting:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "auth_password_queue", Help: "Passwords being hashed or waiting for it."}),
	}
	r.MustRegister(m.registrations, m.logins, m.refreshes, m.exchanges, m.hashes, m.waiting)
	return m
}

// count notes how something ended: ok, the code of the error, or error.
func count(c *prometheus.CounterVec, err error) {
	outcome := "ok"
	if err != nil {
		outcome = errs.From(err).Code
	}
	c.WithLabelValues(outcome).Inc()
}

// instead answers other where the repository found nothing.
func instead(err error, other *errs.Error) error {
	if errors.Is(err, errs.ErrNotFound) {
		return other.Because(err)
	}
	return err
}

// RequireSession refuses a principal whose session or token is not live any more,
// although its access token has not expired. It is checked here on every call,
// since what is signed in here can make new credentials.
func (a *Auth) RequireSession(ctx context.Context, who auth.Principal) error {
	_, err := a.Session(ctx, who)
	return err
}

// Session is the live session of the principal. It refuses as RequireSession does.
func (a *Auth) Session(ctx context.Context, who auth.Principal) (models.Session, error) {
	if who.SessionID.IsZero() {
		return models.Session{}, errs.ErrForbidden.Saying("This needs a signed-in user.")
	}
	s, err := a.Repo.Session(ctx, who.TenantID, who.UserID, who.SessionID)
	if err != nil {
		return s, instead(err, errs.ErrUnauthenticated)
	}
	if !s.RevokedAt.IsZero() {
		return s, errs.ErrUnauthenticated.Saying("The session has ended.")
	}
	return s, nil
}

// credentials is the event that a user's means of signing in have changed.
func credentials(u *models.User, what, about string) authapi.CredentialsChangedData {
	return authapi.CredentialsChangedData{UserID: u.ID.String(), What: what, ID: about}
}
