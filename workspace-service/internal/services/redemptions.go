package services

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// redeemedFor is how long who redeemed a link has its role, until he does so again.
const redeemedFor = 24 * time.Hour

// actionOf is the strongest action of the roles that links have.
var actionOf = map[string]string{
	permissionapi.RoleViewer: permissionapi.Read, permissionapi.RoleCommenter: permissionapi.Comment, permissionapi.RoleEditor: permissionapi.Edit,
}

// mayGive refuses a role that the maker of a link has not himself.
func (s *Links) mayGive(ctx context.Context, who auth.Principal, l models.ShareLink) error {
	err := s.shares.tree.rights.Check(ctx, who, actionOf[l.Role], repository.LinkObject(l))
	if errors.Is(err, errs.ErrForbidden) {
		return permissionapi.ErrTooStrong
	}
	return err
}

// Redeem exchanges a secret, and the password if there is one, for the link's role on its
// object: for an account of the tenant, for a day, and no longer than the link lives. Who
// has as much already is given nothing, and loses nothing with the link.
func (s *Links) Redeem(ctx context.Context, who auth.Principal, secret, password string) (models.Redemption, error) {
	l, err := s.bySecret(ctx, secret)
	if err != nil {
		return models.Redemption{}, err
	}
	if l.Tenant != who.TenantID {
		return models.Redemption{}, workspaceapi.ErrShareMembers
	}
	if s.shares.tree.rights.keeper == nil {
		return models.Redemption{}, workspaceapi.ErrOffline
	}
	if err := unseen(s.mayGive(ctx, maker(l), l)); err != nil {
		return models.Redemption{}, err
	}
	if err := s.unlock(ctx, l, password); err != nil {
		return models.Redemption{}, err
	}
	now := s.now()
	m := models.Redemption{Tenant: l.Tenant, Link: l.ID, User: who.UserID, Kind: l.Kind, Object: l.Object, Role: l.Role, Until: now.Add(redeemedFor)}
	if !l.ExpiresAt.IsZero() && l.ExpiresAt.Before(m.Until) {
		m.Until = l.ExpiresAt
	}
	again, err := s.repo.Redeemed(ctx, l, who.UserID, now)
	if err != nil {
		return m, err
	}
	if !again {
		err := s.shares.tree.rights.Check(ctx, who, actionOf[l.Role], repository.LinkObject(l))
		if err == nil {
			m.Until = time.Time{}
			return m, nil
		}
		if !errors.Is(err, errs.ErrForbidden) && !errors.Is(err, errs.ErrNotFound) {
			return m, err
		}
	}
	if err := s.repo.Redeem(ctx, l, m, now, repository.LinkEvent(ctx, workspaceapi.ShareLinkRedeemed, l, who.UserID)); err != nil {
		return m, err
	}
	return m, s.give(ctx, l, m)
}

// give has permission-service know of a redemption. A link that ended meanwhile has had
// everything taken back that was there: what came after it is taken back here.
func (s *Links) give(ctx context.Context, l models.ShareLink, m models.Redemption) error {
	g := grantOf(m)
	g.ExpiresAt = m.Until
	_, err := s.shares.tree.rights.keeper.Write(ctx, permissionapi.WriteRequest{
		TenantID: m.Tenant.String(), ActorID: l.Maker.String(), Grants: []permissionapi.Grant{g},
	})
	if err != nil {
		return err
	}
	now, err := s.repo.ShareLink(ctx, l.Tenant, l.ID)
	if err == nil && now.Version == l.Version {
		return nil
	}
	if err != nil && !errors.Is(err, errs.ErrNotFound) {
		return err
	}
	return errors.Join(errs.ErrNotFound, s.takeBack(context.WithoutCancel(ctx), m))
}

func grantOf(m models.Redemption) permissionapi.Grant {
	return permissionapi.Grant{
		Subject: permit.Subject(auth.Principal{UserID: m.User}), Role: m.Role,
		Object: string(repository.LinkObject(models.ShareLink{Tenant: m.Tenant, Kind: m.Kind, Object: m.Object})),
	}
}

// takeBack ends what a redemption gave.
func (s *Links) takeBack(ctx context.Context, m models.Redemption) error {
	if keeper := s.shares.tree.rights.keeper; keeper != nil {
		_, err := keeper.Write(ctx, permissionapi.WriteRequest{TenantID: m.Tenant.String(), Revokes: []permissionapi.Grant{grantOf(m)}})
		if err != nil {
			return err
		}
	}
	return s.repo.ForgetRedemption(ctx, m)
}

// takeBackAll ends what was given by links that are no more, or by the one.
func (s *Links) takeBackAll(ctx context.Context, link models.ShareLinkID) error {
	for {
		list, err := s.repo.Dropped(ctx, link, scan)
		if err != nil {
			return err
		}
		for _, m := range list {
			if err := s.takeBack(ctx, m); err != nil {
				return err
			}
		}
		if len(list) < scan {
			return nil
		}
	}
}

// Recall takes back what was given by links that ended, were changed, or whose makers may
// share no more.
func (s *Links) Recall(ctx context.Context) error {
	if err := s.repo.ForgetEnded(ctx, s.now()); err != nil {
		return err
	}
	for after := (models.ShareLinkID{}); ; {
		list, err := s.repo.RedeemedLinks(ctx, after, scan)
		if err != nil {
			return err
		}
		for _, l := range list {
			after = l.ID
			if err := s.recallDead(ctx, l); err != nil {
				return err
			}
		}
		if len(list) < scan {
			return s.takeBackAll(ctx, models.ShareLinkID{})
		}
	}
}

func (s *Links) recallDead(ctx context.Context, l models.ShareLink) error {
	_, err := s.alive(ctx, l)
	if err == nil {
		err = s.mayGive(ctx, maker(l), l)
	}
	switch {
	case errors.Is(err, errs.ErrNotFound), errors.Is(err, permissionapi.ErrTooStrong):
		return s.repo.DropRedemptions(ctx, l.Tenant, l.ID)
	}
	return err
}

// RecallShares is the job that takes back what links gave that are no more.
type RecallShares struct{}

// Kind implements river.JobArgs.
func (RecallShares) Kind() string { return "recall_shares" }

// RecallEvery is when, by one replica at a time.
func RecallEvery() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(time.Minute),
		func() (river.JobArgs, *river.InsertOpts) { return RecallShares{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

// RecallSharesWorker works RecallShares.
type RecallSharesWorker struct {
	river.WorkerDefaults[RecallShares]
	Links *Links
}

// Work implements river.Worker.
func (w *RecallSharesWorker) Work(ctx context.Context, _ *river.Job[RecallShares]) error {
	return w.Links.Recall(ctx)
}
