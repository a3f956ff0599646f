package services

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Timing of announcements. A revocation is announced at once by the replica that
// made it; the poll finds those that an event caused, those of a replica that died in
// between, and those that Redis was away for. The whole set is told again from time to time, for a Redis
// that came back without its data.
const (
	announcePoll   = 200 * time.Millisecond
	announceAll    = 15 * time.Second
	announceAtOnce = 500
)

// Announcer tells the fleet, by Redis, which tokens are worthless. Revocations
// are committed with what they revoke, so that a Redis that is away delays them
// and loses none.
type Announcer struct {
	repo *repository.Repository
	to   *repository.Announcements
	now  func() time.Time
	wake chan struct{}
}

// NewAnnouncer returns an announcer; Run does the work.
func NewAnnouncer(repo *repository.Repository, to *repository.Announcements, now func() time.Time) *Announcer {
	return &Announcer{repo: repo, to: to, now: now, wake: make(chan struct{}, 1)}
}

// Wake says that there may be something to announce. It never blocks.
func (a *Announcer) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run announces until ctx ends.
func (a *Announcer) Run(ctx context.Context) error {
	poll, all := time.NewTicker(announcePoll), time.NewTicker(announceAll)
	defer poll.Stop()
	defer all.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
			err = a.Announce(ctx)
		case <-poll.C:
			err = a.Announce(ctx)
		case <-all.C:
			err = a.Remind(ctx)
		}
		if err != nil && ctx.Err() == nil {
			logging.From(ctx).Warn("revocations are announced later", zap.Error(err))
		}
	}
}

// Announce announces what was not announced yet.
func (a *Announcer) Announce(ctx context.Context) error {
	for {
		n, err := a.repo.Announce(ctx, announceAtOnce, a.now(), func(list []models.Revocation) error {
			return a.to.Announce(ctx, list, a.now())
		})
		if err != nil || n < announceAtOnce {
			return err
		}
	}
}

// Remind announces again what Redis has forgotten.
func (a *Announcer) Remind(ctx context.Context) error {
	list, err := a.repo.Revocations(ctx, a.now())
	if err != nil {
		return err
	}
	return a.to.Remind(ctx, list)
}
