package emulator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Collaborator is somebody who may be named in the seed's bases, and whom a token may
// belong to. The first has made what the seed plants, and owns the tokens that name
// nobody.
type Collaborator struct {
	ID    models.PersonID `json:"id"`
	Email string          `json:"email"`
	Name  string          `json:"name"`
}

// nobodyElse are the collaborators of a seed that names none.
var nobodyElse = []Collaborator{{ID: "usrOwner000000001", Email: "owner@example.com", Name: "Owner"}}

// collaborators are those of the seed, or the one that there is without.
func collaborators(list []Collaborator) []Collaborator {
	if len(list) == 0 {
		return nobodyElse
	}
	return list
}

// user is who the i-th collaborator is in the store.
func user(list []Collaborator, i int) id.UserID {
	if i == 0 {
		return owner.User
	}
	sum := sha256.Sum256([]byte(list[i].ID))
	sum[6], sum[8] = 0x80|sum[6]&0x0f, 0x80|sum[8]&0x3f // a UUID of version 8
	return mustID[id.User](fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}

// owns returns the collaborator whom the token belongs to, and in whose name it calls.
func (e *Emulator) owns(t Token) (Collaborator, upstream.Caller) {
	list := collaborators(e.opts.Collaborators)
	i := max(slices.IndexFunc(list, func(c Collaborator) bool { return c.ID == t.User }), 0)
	return list[i], upstream.Caller{Tenant: owner.Tenant, User: user(list, i)}
}

// check refuses collaborators without ids, and tokens of none of them.
func (s Seed) check() error {
	list := collaborators(s.Collaborators)
	for i, c := range list {
		if !models.IsID("usr", string(c.ID)) || slices.IndexFunc(list, func(o Collaborator) bool { return o.ID == c.ID }) != i {
			return fmt.Errorf("collaborator %q: want an id of its own that begins with usr", c.ID)
		}
	}
	for _, t := range s.Tokens {
		if t.User != "" && !slices.ContainsFunc(list, func(c Collaborator) bool { return c.ID == t.User }) {
			return fmt.Errorf("token %q: %s is no collaborator", t.Token, t.User)
		}
	}
	return nil
}

// enter makes the collaborators known to the store.
func (s Seed) enter(ctx context.Context, store *local.Store) error {
	list := collaborators(s.Collaborators)
	var errs []error
	for i, c := range list {
		person := models.Person{ID: c.ID, User: user(list, i), Email: c.Email, Name: c.Name}
		if err := store.EnterPerson(ctx, owner.Tenant, person); err != nil {
			errs = append(errs, fmt.Errorf("seed collaborator %s: %w", c.ID, err))
		}
	}
	return errors.Join(errs...)
}
