package repository

import (
	"context"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
)

// Announcements is Redis as the fleet's notice board of revocations; see
// authapi.Revocation.
type Announcements struct{ rdb goredis.UniversalClient }

// NewAnnouncements announces by rdb.
func NewAnnouncements(rdb goredis.UniversalClient) *Announcements { return &Announcements{rdb} }

// Announce puts the revocations into the set, publishes each, and drops those
// from the set that are over.
func (a *Announcements) Announce(ctx context.Context, list []models.Revocation, now time.Time) error {
	_, err := a.rdb.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, v := range list {
			told := announcement(v)
			// The set first: who reads it after subscribing has missed nothing.
			p.ZAddGT(ctx, authapi.RevokedSet, goredis.Z{Score: float64(told.Until), Member: told.Member()})
			p.Publish(ctx, authapi.RevocationsChannel, told.JSON())
		}
		p.ZRemRangeByScore(ctx, authapi.RevokedSet, "-inf", "("+strconv.FormatInt(now.Unix(), 10))
		return nil
	})
	if err != nil {
		return fmt.Errorf("announce %d revocations: %w", len(list), err)
	}
	return nil
}

// Remind puts those of the revocations into the set that are not there, and
// publishes these.
func (a *Announcements) Remind(ctx context.Context, list []models.Revocation) error {
	if len(list) == 0 {
		return nil
	}
	added := make([]*goredis.IntCmd, len(list))
	_, err := a.rdb.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, v := range list {
			told := announcement(v)
			added[i] = p.ZAddGT(ctx, authapi.RevokedSet, goredis.Z{Score: float64(told.Until), Member: told.Member()})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remind of %d revocations: %w", len(list), err)
	}
	for i, v := range list {
		if added[i].Val() == 0 {
			continue
		}
		if err := a.rdb.Publish(ctx, authapi.RevocationsChannel, announcement(v).JSON()).Err(); err != nil {
			return fmt.Errorf("publish revocation: %w", err)
		}
	}
	return nil
}

// announcement rounds Until up: a second too long does no harm.
func announcement(v models.Revocation) authapi.Revocation {
	r := authapi.Revocation{Until: v.Until.Unix() + 1}
	switch v.Kind {
	case models.RevokedSession:
		r.Session = v.ID
	case models.RevokedToken:
		r.Token = v.ID
	default:
		r.User = v.ID
	}
	return r
}
