package services

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// Profiles is user-service, as far as it says who users are.
type Profiles interface {
	LookUp(ctx context.Context, users []id.UserID) ([]userapi.UserCard, error)
}

// Users is user-service on the network.
type Users struct{ Client *rpc.Client }

// LookUp asks who the users are.
func (u Users) LookUp(ctx context.Context, users []id.UserID) ([]userapi.UserCard, error) {
	in := userapi.UserIDs{IDs: make([]string, len(users))}
	for i, user := range users {
		in.IDs[i] = user.String()
	}
	out, err := rpc.Call(ctx, u.Client, userapi.LookUpUsers, in)
	return out.Items, err
}

// People keeps the directory of who may be named in local bases.
type People struct {
	directory *repository.Directory
	profiles  Profiles
	log       *zap.Logger

	mu  sync.Mutex
	met map[membership]bool
}

type membership struct {
	tenant id.TenantID
	user   id.UserID
}

const (
	maxMet       = 10_000          // memberships remembered to be in the directory
	refreshEvery = 2 * time.Second // how long a new name may take to show
	askAgain     = time.Minute     // after asking in vain
	askAtOnce    = 100             // users; the most that user-service answers
)

// NewPeople returns the keeper of the directory.
func NewPeople(d *repository.Directory, profiles Profiles, log *zap.Logger) *People {
	return &People{directory: d, profiles: profiles, log: log.Named("people"), met: map[membership]bool{}}
}

// Meet enters the caller in his tenant's directory. That it fails is no reason to
// refuse his call.
func (p *People) Meet(ctx context.Context, who auth.Principal) {
	key := membership{who.TenantID, who.UserID}
	p.mu.Lock()
	known := p.met[key]
	p.mu.Unlock()
	if known {
		return
	}
	if err := p.directory.Meet(ctx, key.tenant, key.user); err != nil {
		logging.From(ctx).Warn("enter caller in the directory", zap.Error(err))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.met) >= maxMet {
		clear(p.met)
	}
	p.met[key] = true
}

// Whoami is what the token says of its owner.
func (p *People) Whoami(ctx context.Context, who auth.Principal) (models.Person, error) {
	owner := models.Person{ID: models.PersonID(models.UserIDOf(who.UserID))}
	if !who.HasScope(v0.ScopeEmail) {
		return owner, nil
	}
	people, err := p.directory.People(ctx, who.TenantID, nil, []id.UserID{who.UserID})
	owner.Email = people.Of(who.UserID).Email
	return owner, err
}

// Run asks user-service for the profiles that have changed, until ctx ends.
func (p *People) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := p.Refresh(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("names were not refreshed", zap.Error(err))
		}
	}
}

// Refresh asks for all profiles that are known to have changed.
func (p *People) Refresh(ctx context.Context) error {
	for {
		users, err := p.directory.Stale(ctx, askAgain, askAtOnce)
		if err != nil || len(users) == 0 {
			return err
		}
		cards, err := p.profiles.LookUp(ctx, users)
		if err != nil {
			return fmt.Errorf("look up %d users: %w", len(users), err)
		}
		for _, card := range cards {
			user, err := id.Parse[id.User](card.ID)
			if err != nil {
				return fmt.Errorf("user-service names %q: %w", card.ID, err)
			}
			if err := p.directory.Learn(ctx, user, card); err != nil {
				return err
			}
		}
	}
}
