package services

import (
	"context"
	"errors"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Keeper prunes logs and forwards them.
type Keeper struct {
	repo      *repository.Repository
	vault     *Vault
	box       *seal.Box
	collector Collector
	log       *zap.Logger
	now       func() time.Time
}

// Collector takes what is forwarded.
type Collector interface {
	// Check returns why a URL cannot be a collector's, or nil.
	Check(u *url.URL) error
	// Deliver returns nil when the collector has taken all of the events.
	Deliver(ctx context.Context, s models.Sink, token string, list []models.Event) error
}

// NewKeeper keeps what is in repo.
func NewKeeper(repo *repository.Repository, vault *Vault, box *seal.Box, c Collector, log *zap.Logger, now func() time.Time) *Keeper {
	return &Keeper{repo, vault, box, c, log.Named("keeper"), now}
}

// SetRetention changes how long the entries of who's tenant are kept.
func (k *Keeper) SetRetention(ctx context.Context, who auth.Principal, days int) error {
	return k.repo.SetRetention(ctx, models.LogOf(who.TenantID), days, func(old int) events.Event {
		return auditapi.SettingsChanged.New(ctx, who.TenantID, who.TenantID.String(), 0, auditapi.SettingsChangedData{
			TenantID: who.TenantID.String(), OldRetentionDays: old, RetentionDays: days, ActorID: who.UserID.String()})
	})
}

// Prune deletes what the tenants' retentions let go, every so often, until ctx ends.
func (k *Keeper) Prune(ctx context.Context, every time.Duration) error {
	return loop(ctx, every, func() {
		err := eachLog(func(after string) ([]string, error) { return k.repo.RetainedLogs(ctx, after, listed) },
			func(log string) error { return k.PruneLog(ctx, log) })
		if err != nil && ctx.Err() == nil {
			k.log.Warn("logs were not pruned", zap.Error(err))
		}
	})
}

// PruneLog deletes the entries of one log that are older than its retention.
func (k *Keeper) PruneLog(ctx context.Context, log string) error {
	tenant, _ := id.Parse[id.Tenant](log) // none for the log of no tenant
	for {
		n, err := k.repo.Prune(ctx, log, func(l models.Log) events.Event {
			return auditapi.Pruned.New(ctx, tenant, log, 0, auditapi.PrunedData{TenantID: log, Pruned: l.Pruned, Chain: l.PrunedChain[:]})
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

func (k *Keeper) tokenContext(s models.Sink) []byte { return []byte("audit.sink/" + s.ID.String()) }

func (k *Keeper) sealToken(s *models.Sink, token string) (err error) {
	s.Token = nil
	if token != "" {
		s.Token, err = k.box.Seal([]byte(token), k.tokenContext(*s))
	}
	return err
}

func changed(ctx context.Context, t events.Type[auditapi.SinkChanged], who auth.Principal, s models.Sink) events.Event {
	return t.New(ctx, who.TenantID, s.ID.String(), 0, auditapi.SinkChanged{
		SinkID: s.ID.String(), URL: s.URL, Format: s.Format, Enabled: s.Enabled, ActorID: who.UserID.String()})
}

// CreateSink makes a sink for who's tenant. It returns auditapi.ErrBadSink and
// auditapi.ErrTooMany.
func (k *Keeper) CreateSink(ctx context.Context, who auth.Principal, in auditapi.NewSink) (models.Sink, error) {
	u, err := url.Parse(in.URL)
	if err == nil {
		err = k.collector.Check(u)
	}
	if err != nil {
		return models.Sink{}, auditapi.ErrBadSink.With(errs.Field{Pointer: "/url", Detail: "want https://host/path or syslog+tls://host:port at a public address"}).Because(err)
	}
	s := models.Sink{
		Log: models.LogOf(who.TenantID), ID: models.NewSinkID(), Name: in.Name, URL: in.URL, Format: in.Format, Enabled: true, NextSeq: -1,
		CreatedAt: k.now().UTC().Truncate(time.Microsecond),
	}
	if in.FromSeq != nil {
		s.NextSeq = *in.FromSeq
	}
	if err := k.sealToken(&s, in.Token); err != nil {
		return s, err
	}
	return k.repo.CreateSink(ctx, s, changed(ctx, auditapi.SinkCreated, who, s), func(count int) error {
		if count >= models.MaxSinks {
			return auditapi.ErrTooMany
		}
		return nil
	})
}

// UpdateSink changes a sink of who's tenant, or returns errs.ErrNotFound.
func (k *Keeper) UpdateSink(ctx context.Context, who auth.Principal, sink models.SinkID, p auditapi.SinkPatch) (models.Sink, error) {
	return k.repo.UpdateSink(ctx, models.LogOf(who.TenantID), sink, func(s *models.Sink) (events.Event, error) {
		if p.Name != nil {
			s.Name = *p.Name
		}
		if p.Enabled != nil {
			s.Enabled = *p.Enabled
		}
		if p.NextSeq != nil {
			s.NextSeq = *p.NextSeq
		}
		if p.Token != nil {
			if err := k.sealToken(s, *p.Token); err != nil {
				return events.Event{}, err
			}
		}
		return changed(ctx, auditapi.SinkUpdated, who, *s), nil
	})
}

// DeleteSink ends a sink of who's tenant, or returns errs.ErrNotFound.
func (k *Keeper) DeleteSink(ctx context.Context, who auth.Principal, sink models.SinkID) error {
	return k.repo.DeleteSink(ctx, models.LogOf(who.TenantID), sink, func(s models.Sink) events.Event {
		return changed(ctx, auditapi.SinkDeleted, who, s)
	})
}

const (
	forwardBatch   = 200
	forwardLease   = time.Minute
	forwardTimeout = 30 * time.Second // of one delivery: less than the lease
	forwardAtOnce  = 8
	errorMost      = 300
)

// Forward sends the sinks what they have not taken yet, until ctx ends. What was sent
// and not noted, since the service was killed, is sent again.
func (k *Keeper) Forward(ctx context.Context, every time.Duration) error {
	return loop(ctx, every, func() {
		for ctx.Err() == nil {
			n, err := k.forwardDue(ctx)
			if err != nil && ctx.Err() == nil {
				k.log.Warn("entries were not forwarded", zap.Error(err))
			}
			if err != nil || n == 0 {
				return
			}
		}
	})
}

// forwardDue sends a batch to each of some sinks, side by side, and returns how many.
func (k *Keeper) forwardDue(ctx context.Context) (int, error) {
	sinks, err := k.repo.LeaseSinks(ctx, forwardAtOnce, forwardLease)
	if err != nil {
		return 0, err
	}
	failures := make(chan error, len(sinks))
	for _, s := range sinks {
		go func() { failures <- k.forward(ctx, s) }()
	}
	for range sinks {
		err = errors.Join(err, <-failures)
	}
	return len(sinks), err
}

// forward sends the next batch. Its error is one of the database; the collector's is
// noted at the sink.
func (k *Keeper) forward(ctx context.Context, s models.Sink) error {
	list, err := k.repo.Following(ctx, s.Log, s.NextSeq, forwardBatch)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return k.repo.Failed(ctx, s, "the log has no such entries", models.Pause(s.Failures))
	}
	opened, err := k.vault.Open(ctx, s.Log, list)
	if err != nil {
		return err
	}
	told := make([]models.Event, len(opened))
	for i := range opened {
		told[i] = Tell(&opened[i])
	}
	var token []byte
	if s.Token != nil {
		if token, err = k.box.Open(s.Token, k.tokenContext(s)); err != nil {
			return k.repo.Failed(ctx, s, "the token cannot be opened", models.Pause(s.Failures))
		}
	}
	sending, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	if err := k.collector.Deliver(sending, s, string(token), told); err != nil {
		if ctx.Err() != nil {
			return nil // the service stops; the lease ends by itself
		}
		cause := err.Error()
		return k.repo.Failed(ctx, s, cause[:min(len(cause), errorMost)], models.Pause(s.Failures))
	}
	return k.repo.Sent(context.WithoutCancel(ctx), s, list[len(list)-1].Seq+1)
}
