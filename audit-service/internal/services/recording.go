// Package services decides what audit-service does: it records events, seals what is
// personal, signs, proves and verifies logs, prunes and forwards them.
package services

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Vault keeps the keys of persons.
type Vault struct {
	repo *repository.Repository
	box  *seal.Box

	mu   sync.Mutex
	held map[repository.Subject]*seal.Box // for sealing only; nil for the erased
}

// mostHeld bounds the keys in memory.
const mostHeld = 10_000

// NewVault keeps keys in repo, sealed by box.
func NewVault(repo *repository.Repository, box *seal.Box) *Vault {
	return &Vault{repo: repo, box: box, held: map[repository.Subject]*seal.Box{}}
}

func keyContext(s repository.Subject) []byte { return []byte("audit.subject/" + s.Log + "/" + s.ID) }

// sealers returns the boxes of the subjects; nil for one who was erased. A box that is
// held while its key is destroyed seals what nobody can open, which is as it should be.
func (v *Vault) sealers(ctx context.Context, subjects map[repository.Subject]bool) (map[repository.Subject]*seal.Box, error) {
	boxes := make(map[repository.Subject]*seal.Box, len(subjects))
	var missing []repository.Subject
	v.mu.Lock()
	for s := range subjects {
		if box, held := v.held[s]; held {
			boxes[s] = box
		} else {
			missing = append(missing, s)
		}
	}
	v.mu.Unlock()
	if len(missing) == 0 {
		return boxes, nil
	}
	keys, err := v.repo.EnsureKeys(ctx, missing, func(s repository.Subject) ([]byte, error) {
		return v.box.Seal([]byte(seal.NewKey()), keyContext(s))
	})
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.held)+len(missing) > mostHeld {
		clear(v.held)
	}
	for _, s := range missing {
		var box *seal.Box
		if key := keys[s]; key != nil {
			if box, err = v.open(s, key); err != nil {
				return nil, err
			}
		}
		boxes[s], v.held[s] = box, box
	}
	return boxes, nil
}

func (v *Vault) open(s repository.Subject, sealed []byte) (*seal.Box, error) {
	key, err := v.box.Open(sealed, keyContext(s))
	if err != nil {
		return nil, fmt.Errorf("open key of %s: %w", s.ID, err)
	}
	box, err := seal.New(string(key))
	if err != nil {
		return nil, fmt.Errorf("read key of %s: %w", s.ID, err)
	}
	return box, nil
}

// part says where in an entry personal data is sealed.
func part(eventID, name string) []byte { return []byte("audit.entry/" + eventID + "/" + name) }

// Opened is an entry with what is personal in it, as far as it was not erased. Own and
// Other are as they were sealed.
type Opened struct {
	models.Entry
	Own, Other         []byte
	OwnData, OtherData models.Personal
	Erased             bool
	Broken             []string // what personal data is not what was recorded, and why
}

// Open opens the entries of one log. Keys are read each time: what was erased a moment
// ago is not shown.
func (v *Vault) Open(ctx context.Context, log string, list []models.Entry) ([]Opened, error) {
	seen := map[string]bool{}
	var subjects []string
	for _, e := range list {
		for _, s := range []string{e.Own.Subject, e.Other.Subject} {
			if s != "" && !seen[s] {
				seen[s] = true
				subjects = append(subjects, s)
			}
		}
	}
	keys, err := v.repo.Keys(ctx, log, subjects)
	if err != nil {
		return nil, err
	}
	boxes := map[string]*seal.Box{}
	faults := map[string]error{}
	for s, key := range keys {
		if boxes[s], err = v.open(repository.Subject{Log: log, ID: s}, key); err != nil {
			faults[s] = err
		}
	}
	out := make([]Opened, len(list))
	for i, e := range list {
		o := &out[i]
		o.Entry = e
		o.Own, o.OwnData = o.unseal(e.EventID, "own", e.Own, boxes, faults)
		o.Other, o.OtherData = o.unseal(e.EventID, "other", e.Other, boxes, faults)
	}
	return out, nil
}

func (o *Opened) unseal(eventID, name string, s models.Sealed, boxes map[string]*seal.Box, faults map[string]error) ([]byte, models.Personal) {
	if s.Subject == "" {
		return nil, models.Personal{}
	}
	if err := faults[s.Subject]; err != nil {
		o.Broken = append(o.Broken, err.Error())
		return nil, models.Personal{}
	}
	box := boxes[s.Subject]
	if box == nil || len(s.Cipher) == 0 {
		o.Erased = true
		return nil, models.Personal{}
	}
	plain, err := box.Open(s.Cipher, part(eventID, name))
	if err != nil {
		o.Broken = append(o.Broken, name+": "+err.Error())
		return nil, models.Personal{}
	}
	p, err := models.Unpack(plain, s.Commitment)
	if err != nil {
		o.Broken = append(o.Broken, name+": "+err.Error())
		return nil, models.Personal{}
	}
	return plain, p
}

// Recorder makes entries of events.
type Recorder struct {
	repo  *repository.Repository
	vault *Vault
	now   func() time.Time
}

// NewRecorder records to repo.
func NewRecorder(repo *repository.Repository, vault *Vault, now func() time.Time) *Recorder {
	return &Recorder{repo, vault, now}
}

// Record adds an entry for each event to the log of its tenant, in the transaction that
// also notes the events as applied. An erased user's keys are destroyed with the entry
// that tells of the erasure.
func (r *Recorder) Record(ctx context.Context, tx pgx.Tx, list []events.Event) error {
	now := r.now().UTC().Truncate(time.Microsecond)
	drafts := make([]models.Draft, len(list))
	subjects := map[repository.Subject]bool{}
	for i, e := range list {
		drafts[i] = models.Record(e, now)
		for _, s := range []models.Sealed{drafts[i].Own, drafts[i].Other} {
			if s.Subject != "" {
				subjects[repository.Subject{Log: drafts[i].Log, ID: s.Subject}] = true
			}
		}
	}
	boxes, err := r.vault.sealers(ctx, subjects)
	if err != nil {
		return err
	}
	entries := make([]models.Entry, len(drafts))
	for i := range drafts {
		d := &drafts[i]
		if err := conceal(boxes, d.Log, d.EventID, "own", &d.Own, &d.OwnData); err != nil {
			return err
		}
		if err := conceal(boxes, d.Log, d.EventID, "other", &d.Other, &d.OtherData); err != nil {
			return err
		}
		entries[i] = d.Entry
	}
	if err := r.repo.Append(ctx, tx, entries); err != nil {
		return err
	}
	return r.erase(ctx, tx, list)
}

// conceal seals data into s. Of an erased person nothing is kept.
func conceal(boxes map[repository.Subject]*seal.Box, log, eventID, name string, s *models.Sealed, data *models.Personal) error {
	if s.Subject == "" {
		return nil
	}
	box := boxes[repository.Subject{Log: log, ID: s.Subject}]
	if box == nil {
		return nil
	}
	plain, commitment, err := data.Pack()
	if err != nil {
		return err
	}
	s.Commitment = commitment
	if s.Cipher, err = box.Seal(plain, part(eventID, name)); err != nil {
		return fmt.Errorf("seal personal data: %w", err)
	}
	return nil
}

func (r *Recorder) erase(ctx context.Context, tx pgx.Tx, list []events.Event) error {
	for _, e := range list {
		switch e.Type {
		case userapi.UserDeleted.Name:
			d, err := userapi.UserDeleted.Decode(e)
			if err != nil {
				return err
			}
			if err := r.repo.EraseSubject(ctx, tx, strings.ToLower(d.UserID)); err != nil {
				return err
			}
		case tenantapi.TenantDeleted.Name:
			if e.TenantID.IsZero() {
				continue
			}
			if err := r.repo.EraseLog(ctx, tx, e.TenantID.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

func b64(h models.Hash) string { return base64.StdEncoding.EncodeToString(h[:]) }
