package models

import (
	"crypto/ed25519"
	"time"
)

// Key signs access tokens from ActiveFrom until the next one does.
type Key struct {
	ID         string // kid
	Private    ed25519.PrivateKey
	ActiveFrom time.Time
}

// Public is the key's public half.
func (k Key) Public() ed25519.PublicKey { return k.Private.Public().(ed25519.PublicKey) }

// KeyPolicy says how keys follow each other.
type KeyPolicy struct {
	Period time.Duration // that a key signs for
	Ahead  time.Duration // that it is published before it signs: longer than anyone caches the key set
	Keep   time.Duration // that it is published after it signed last: longer than any token lives
}

// Keyring are the keys that are not forgotten yet, in the order of ActiveFrom.
type Keyring []Key

// Signer is the key to sign with; false only if there is none yet.
func (r Keyring) Signer(now time.Time) (Key, bool) {
	for i := len(r) - 1; i >= 0; i-- {
		if !r[i].ActiveFrom.After(now) {
			return r[i], true
		}
	}
	return Key{}, false
}

// Due tells when the key that has to be made now shall begin to sign; false if
// none has to be. The first one signs at once.
func (r Keyring) Due(p KeyPolicy, now time.Time) (time.Time, bool) {
	if len(r) == 0 {
		return now, true
	}
	last := r[len(r)-1].ActiveFrom
	if last.After(now) || now.Before(last.Add(p.Period-p.Ahead)) {
		return time.Time{}, false
	}
	if from := last.Add(p.Period); from.After(now.Add(p.Ahead)) {
		return from, true
	}
	return now.Add(p.Ahead), true // nobody was there to make it in time
}

// Spent are the ids of the keys that nothing alive was signed with.
func (r Keyring) Spent(p KeyPolicy, now time.Time) []string {
	var ids []string
	for i := 0; i+1 < len(r); i++ {
		if successor := r[i+1].ActiveFrom; now.After(successor.Add(p.Keep)) {
			ids = append(ids, r[i].ID)
		}
	}
	return ids
}
