// Package models holds the rules of audit-service that need no I/O: what an event
// becomes, how it is hashed, chained, proved and verified, and how it is told to others.
package models

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// Unowned is the log of what belongs to no tenant. No tenant has this id.
const Unowned = "00000000-0000-0000-0000-000000000000"

// LogOf is the log of a tenant; nobody's is Unowned.
func LogOf(tenant id.TenantID) string {
	if tenant.IsZero() {
		return Unowned
	}
	return tenant.String()
}

// Entry is a line of a log, as it is stored.
type Entry struct {
	Log        string // of which tenant
	Seq        int64
	EventID    string
	At         time.Time
	RecordedAt time.Time
	Action     string
	Source     string
	Object     string
	Version    int64
	Result     string
	User       string
	Actor      string
	Session    string
	Token      string
	Request    string
	Base       string
	Record     string
	Fields     string // comma-separated
	Facts      string // a JSON object
	Own        Sealed // what is personal to the user who acted
	Other      Sealed // what is personal to somebody else whom the event is about
	Leaf       Hash
	Chain      Hash
}

// Sealed is personal data under the key of the person. The commitment hashes it together
// with a salt that is sealed, too: who has the data can check it, and who has not learns
// nothing from the hash once the key is gone.
type Sealed struct {
	Subject    string // whose key; "" for no such data
	Commitment []byte
	Cipher     []byte
}

// Personal is what is sealed. IP and Agent are of the user who acted.
type Personal struct {
	Salt  []byte          `json:"salt"`
	IP    string          `json:"ip,omitempty"`
	Agent string          `json:"agent,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"` // members of the event's data
}

const saltSize = 16

// Pack renders what is to be sealed, with a new salt, and its commitment.
func (p *Personal) Pack() (plain, commitment []byte, err error) {
	p.Salt = make([]byte, saltSize)
	_, _ = rand.Read(p.Salt) // never fails (Go 1.24)
	if plain, err = json.Marshal(p); err != nil {
		return nil, nil, fmt.Errorf("render personal data: %w", err)
	}
	sum := sha256.Sum256(plain)
	return plain, sum[:], nil
}

// ErrCommitment says that personal data is not what the entry commits to.
var ErrCommitment = errors.New("the personal data is not what was recorded")

// Unpack reads what Pack rendered, and checks it against the commitment.
func Unpack(plain, commitment []byte) (Personal, error) {
	var p Personal
	if sum := sha256.Sum256(plain); subtle.ConstantTimeCompare(sum[:], commitment) != 1 {
		return p, ErrCommitment
	}
	if err := json.Unmarshal(plain, &p); err != nil {
		return p, fmt.Errorf("read personal data: %w", err)
	}
	return p, nil
}

// canonical is the form that is hashed. Members are added at its end only, and omitted
// where they are empty, so that old entries keep their hashes.
type canonical struct {
	Log        string           `json:"tenant"`
	Seq        int64            `json:"seq"`
	EventID    string           `json:"event_id"`
	At         string           `json:"at"`
	RecordedAt string           `json:"recorded_at"`
	Action     string           `json:"action"`
	Source     string           `json:"source"`
	Object     string           `json:"object"`
	Version    int64            `json:"version"`
	Result     string           `json:"result"`
	User       string           `json:"user_id"`
	Actor      string           `json:"actor"`
	Session    string           `json:"session_id"`
	Token      string           `json:"token_id"`
	Request    string           `json:"request_id"`
	Base       string           `json:"base_id"`
	Record     string           `json:"record_id"`
	Fields     string           `json:"fields"`
	Facts      json.RawMessage  `json:"facts"`
	Own        *canonicalSealed `json:"own,omitempty"`
	Other      *canonicalSealed `json:"other,omitempty"`
}

type canonicalSealed struct {
	Subject    string `json:"subject"`
	Commitment []byte `json:"commitment"`
	CipherHash []byte `json:"cipher_sha256"`
}

func (s Sealed) canonical() *canonicalSealed {
	if s.Subject == "" {
		return nil
	}
	sum := sha256.Sum256(s.Cipher)
	return &canonicalSealed{s.Subject, s.Commitment, sum[:]}
}

const stamp = "2006-01-02T15:04:05.000000Z"

// Canonical is the JSON that is hashed as the entry's leaf: everything but the personal
// data, which is there as a commitment and the hash of its ciphertext.
func (e *Entry) Canonical() ([]byte, error) {
	b, err := json.Marshal(canonical{
		Log: e.Log, Seq: e.Seq, EventID: e.EventID, At: e.At.UTC().Format(stamp), RecordedAt: e.RecordedAt.UTC().Format(stamp),
		Action: e.Action, Source: e.Source, Object: e.Object, Version: e.Version, Result: e.Result,
		User: e.User, Actor: e.Actor, Session: e.Session, Token: e.Token, Request: e.Request,
		Base: e.Base, Record: e.Record, Fields: e.Fields, Facts: json.RawMessage(e.Facts),
		Own: e.Own.canonical(), Other: e.Other.canonical(),
	})
	if err != nil {
		return nil, fmt.Errorf("render entry %d: %w", e.Seq, err)
	}
	return b, nil
}

// Log is the state of a tenant's log.
type Log struct {
	ID     string
	Tree   Tree
	Chain  Hash
	Pruned int64 // entries below are gone
	// PrunedChain is the chain's value at Pruned; Edge are the leaves of the tile that
	// the pruning ended in.
	PrunedChain   Hash
	Edge          []Hash
	RetentionDays int
}

// Append numbers, chains and hashes the entry as the log's next one. made is told of
// the nodes to store.
func (l *Log) Append(e *Entry, made func(level int, index int64, h Hash)) error {
	e.Log, e.Seq = l.ID, l.Tree.Size
	body, err := e.Canonical()
	if err != nil {
		return err
	}
	e.Leaf = LeafHash(body)
	e.Chain = ChainHash(l.Chain, e.Leaf)
	l.Chain = e.Chain
	l.Tree.Append(e.Leaf, func(level int, index int64, h Hash) {
		if level%TileHeight == 0 {
			made(level, index, h)
		}
	})
	return nil
}
