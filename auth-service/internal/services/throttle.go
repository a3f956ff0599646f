package services

import (
	"context"
	"encoding/hex"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
)

// guard is one limit on failures.
type guard struct {
	key   string
	rule  models.Backoff
	clear bool // success forgets all failures, not only the attempt that succeeded
}

// attempt is something that may fail, counted as a failure until it succeeds: a
// burst of guesses finds the door closed after the first few, not after the
// first answer.
type attempt struct {
	a       *Auth
	counted []guard
}

// begin counts an attempt at every guard, or returns authapi.ErrTooManyAttempts
// with the time to wait.
func (a *Auth) begin(ctx context.Context, guards ...guard) (*attempt, error) {
	t := &attempt{a: a}
	for _, g := range guards {
		if wait := a.Attempts.Take(ctx, g.key, g.rule, a.Now()); wait > 0 {
			t.undo(ctx)
			return nil, authapi.ErrTooManyAttempts.After(wait)
		}
		t.counted = append(t.counted, g)
	}
	return t, nil
}

// undo forgets that the attempt was made: it came to no answer.
func (t *attempt) undo(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	for _, g := range t.counted {
		t.a.Attempts.Give(ctx, g.key)
	}
}

// succeed says that the attempt was no failure.
func (t *attempt) succeed(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	for _, g := range t.counted {
		if g.clear {
			t.a.Attempts.Forget(ctx, g.key)
		} else {
			t.a.Attempts.Give(ctx, g.key)
		}
	}
}

// loginGuards are the limits on signing in to the account of an address. A
// network from which the user signed in before is not slowed by what others do
// to the account. Unknown addresses are guarded like known ones.
func (a *Auth) loginGuards(ctx context.Context, key string, u models.User, d models.Device) ([]guard, error) {
	account, network := digest(key), models.Network(d.IP)
	guards := []guard{
		{key: "pair:" + account + ":" + network, rule: models.PairBackoff, clear: true},
		{key: "network:" + network, rule: models.NetworkBackoff},
	}
	known, err := a.Repo.KnowsNetwork(ctx, u.Tenant, u.ID, network) // asked for nobody, too
	if err != nil {
		return nil, err
	}
	if known {
		return guards, nil
	}
	return append(guards, guard{key: "account:" + account, rule: models.AccountBackoff}), nil
}

// codeGuard limits guesses at the second factor. Only who has the password gets
// as far, so that it cannot be used against the user.
func codeGuard(u models.User) guard {
	return guard{key: "code:" + u.ID.String(), rule: models.CodeBackoff, clear: true}
}

// digest keeps addresses out of Redis.
func digest(s string) string { return hex.EncodeToString(models.Hash(s)[:16]) }
