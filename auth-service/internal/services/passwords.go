package services

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
)

// Bounds on the hashing of passwords: how many may wait for each one that is
// being hashed, and for how long.
const (
	waitersPerSlot = 32
	maxHashWait    = 5 * time.Second
)

// Passwords hashes passwords, a few at a time: bcrypt is slow on purpose, and a
// flood of sign-ins must leave the processor to everything else. Who would have
// to wait too long is refused with authapi.ErrBusy at once.
type Passwords struct {
	cost    int
	slots   chan struct{}
	waiting atomic.Int64
	decoy   []byte
	metrics *Metrics
}

// NewPasswords hashes at the bcrypt cost, at most parallel at a time.
func NewPasswords(cost, parallel int, m *Metrics) (*Passwords, error) {
	// A hash that no password matches, of the same cost: comparing with it takes
	// as long as comparing with a user's.
	decoy, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), cost)
	if err != nil {
		return nil, fmt.Errorf("bcrypt cost %d: %w", cost, err)
	}
	return &Passwords{cost: cost, slots: make(chan struct{}, parallel), decoy: decoy, metrics: m}, nil
}

// Hash hashes a password of at most models.MaxPassword bytes.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	var hash []byte
	err := p.run(ctx, func() (err error) {
		hash, err = bcrypt.GenerateFromPassword([]byte(password), p.cost)
		return err
	})
	return string(hash), err
}

// Check reports whether the password is the one of the hash. Without a hash,
// which is to say without a user, the answer is no after the same work.
func (p *Passwords) Check(ctx context.Context, hash, password string) (bool, error) {
	against := []byte(hash)
	// bcrypt would compare the first 72 bytes only.
	possible := hash != "" && len(password) <= models.MaxPassword
	if !possible {
		against = p.decoy
	}
	var matched bool
	err := p.run(ctx, func() error {
		err := bcrypt.CompareHashAndPassword(against, []byte(password))
		matched = err == nil && possible
		if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			return nil
		}
		return err
	})
	return matched, err
}

// run runs f when it is its turn.
func (p *Passwords) run(ctx context.Context, f func() error) error {
	defer func() { p.metrics.waiting.Set(float64(p.waiting.Add(-1))) }()
	if n := p.waiting.Add(1); n > int64(cap(p.slots)*(waitersPerSlot+1)) {
		return authapi.ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, maxHashWait)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return authapi.ErrBusy.Because(ctx.Err())
	}
	defer func() { <-p.slots }()
	p.metrics.hashes.Inc()
	return f()
}
