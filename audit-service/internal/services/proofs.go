package services

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Notary signs heads and proves and verifies logs.
type Notary struct {
	repo  *repository.Repository
	vault *Vault
	log   *zap.Logger
	now   func() time.Time

	keyID   string
	key     ed25519.PrivateKey
	keys    []repository.SigningKey
	publics models.Keys
}

// NewNotary reads the signing key, which is sealed by box, or makes one.
func NewNotary(ctx context.Context, repo *repository.Repository, vault *Vault, box *seal.Box, log *zap.Logger, now func() time.Time) (*Notary, error) {
	n := &Notary{repo: repo, vault: vault, log: log.Named("notary"), now: now, publics: models.Keys{}}
	context := func(id string) []byte { return []byte("audit.signing/" + id) }
	var err error
	n.keys, err = repo.SigningKeys(ctx, func() (repository.SigningKey, error) {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return repository.SigningKey{}, fmt.Errorf("make signing key: %w", err)
		}
		id := models.KeyID(public)
		sealed, err := box.Seal(private.Seed(), context(id))
		return repository.SigningKey{ID: id, Public: public, Sealed: sealed, CreatedAt: now().UTC().Truncate(time.Microsecond)}, err
	})
	if err != nil {
		return nil, err
	}
	for _, k := range n.keys {
		seed, err := box.Open(k.Sealed, context(k.ID))
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("open signing key %s (SEAL_KEYS): %w", k.ID, seal.ErrOpen)
		}
		// The public half is taken from the sealed one: who can write rows can make no key
		// that is trusted.
		private := ed25519.NewKeyFromSeed(seed)
		n.publics[k.ID] = private.Public().(ed25519.PublicKey)
		if n.key == nil {
			n.keyID, n.key = k.ID, private
		}
	}
	return n, nil
}

// PublicKeys are those that have ever signed, newest first.
func (n *Notary) PublicKeys() []auditapi.Key {
	list := make([]auditapi.Key, len(n.keys))
	for i, k := range n.keys {
		list[i] = auditapi.Key{ID: k.ID, Algorithm: "Ed25519", PublicKey: n.publics[k.ID], CreatedAt: k.CreatedAt}
	}
	return list
}

// Head returns the signed head of the log as it is now. It signs nothing that does not
// continue the head before: then it returns auditapi.ErrTampered.
func (n *Notary) Head(ctx context.Context, log string) (models.Head, error) {
	last, err := n.repo.LastHead(ctx, log)
	if err != nil && !errors.Is(err, errs.ErrNotFound) {
		return last, err
	}
	h := models.Head{Log: log, SignedAt: n.now().UTC().Truncate(time.Microsecond)}
	err = n.repo.WithTree(ctx, log, func(l models.Log, nodes models.Nodes) error {
		h.Size, h.Root, h.Chain = l.Tree.Size, l.Tree.Root(), l.Chain
		if h.Size == 0 {
			return errs.ErrNotFound
		}
		return n.continues(last, l, nodes)
	})
	if err != nil {
		return h, err
	}
	if last.Size == h.Size {
		return last, nil
	}
	h.Sign(n.keyID, n.key)
	if err := n.repo.AddHead(ctx, h); err != nil {
		return h, err
	}
	// Whoever keeps the service's log elsewhere can tell when the database is set back.
	n.log.Info("head signed", zap.String("log", log), zap.Int64("size", h.Size), zap.String("root", b64(h.Root)))
	return h, nil
}

// continues reports, as auditapi.ErrTampered, a log that is not a continuation of the
// head before.
func (n *Notary) continues(last models.Head, l models.Log, nodes models.Nodes) error {
	if last.Size == 0 {
		return nil
	}
	tampered := func(what string) error {
		n.log.Error("a log was tampered with; nothing is signed", zap.String("log", l.ID), zap.Int64("size", last.Size), zap.String("fault", what))
		return auditapi.ErrTampered.Because(errors.New(what))
	}
	if !last.SignedBy(n.publics[last.KeyID]) {
		return tampered("the newest head's signature is not good")
	}
	if last.Size > l.Tree.Size {
		return tampered("the log is shorter than its newest head")
	}
	if last.Size == l.Tree.Size {
		if last.Root != l.Tree.Root() || last.Chain != l.Chain {
			return tampered("the tree is not that of the newest head")
		}
		return nil
	}
	path, err := models.Consistency(nodes, last.Size, l.Tree.Size)
	if errors.Is(err, models.ErrGone) {
		return nil // the entries of that head are pruned, or being pruned
	}
	if err != nil {
		return tampered(err.Error())
	}
	if !models.CheckConsistency(last.Size, l.Tree.Size, last.Root, l.Tree.Root(), path) {
		return tampered("the tree does not continue the newest head")
	}
	return nil
}

const listed = 500

// Run signs the heads of logs that have grown, until ctx ends.
func (n *Notary) Run(ctx context.Context, every time.Duration) error {
	return loop(ctx, every, func() {
		err := eachLog(func(after string) ([]string, error) { return n.repo.UnsignedLogs(ctx, after, listed) }, func(log string) error {
			if _, err := n.Head(ctx, log); err != nil && !errors.Is(err, auditapi.ErrTampered) {
				return err
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			n.log.Warn("heads were not signed", zap.Error(err))
		}
	})
}

// loop calls fn at once and then every so often, until ctx ends.
func loop(ctx context.Context, every time.Duration, fn func()) error {
	for {
		fn()
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// eachLog calls fn for all logs of a list that comes in pieces.
func eachLog(list func(after string) ([]string, error), fn func(log string) error) error {
	for after := ""; ; {
		logs, err := list(after)
		if err != nil {
			return err
		}
		for _, log := range logs {
			if err := fn(log); err != nil {
				return err
			}
			after = log
		}
		if len(logs) < listed {
			return nil
		}
	}
}

// Inclusion proves that an entry is in the tree of a size; 0 stands for the newest
// head's. It returns errs.ErrNotFound for an entry that the tree does not have,
// auditapi.ErrBadSize and auditapi.ErrPruned.
func (n *Notary) Inclusion(ctx context.Context, log string, seq, size int64) (auditapi.Proof, error) {
	return n.prove(ctx, log, size, func(nodes models.Nodes, p *auditapi.Proof) ([]models.Hash, error) {
		if seq >= p.Size {
			return nil, errs.ErrNotFound
		}
		leaf, err := nodes.Hashes(0, seq, seq+1)
		if err != nil {
			return nil, err
		}
		if len(leaf) != 1 {
			return nil, errs.ErrNotFound
		}
		p.Leaf = leaf[0][:]
		return models.Inclusion(nodes, seq, p.Size)
	})
}

// Consistency proves that the tree of one size is the beginning of that of another.
func (n *Notary) Consistency(ctx context.Context, log string, from, to int64) (auditapi.Proof, error) {
	return n.prove(ctx, log, to, func(nodes models.Nodes, p *auditapi.Proof) ([]models.Hash, error) {
		if from > p.Size {
			return nil, auditapi.ErrBadSize
		}
		return models.Consistency(nodes, from, p.Size)
	})
}

func (n *Notary) prove(ctx context.Context, log string, size int64, fn func(models.Nodes, *auditapi.Proof) ([]models.Hash, error)) (auditapi.Proof, error) {
	head, err := n.Head(ctx, log)
	if err != nil {
		return auditapi.Proof{}, err
	}
	p := auditapi.Proof{Size: size, Path: [][]byte{}}
	if size == 0 {
		p.Size = head.Size
	}
	if p.Size > head.Size {
		return p, auditapi.ErrBadSize
	}
	err = n.repo.WithTree(ctx, log, func(_ models.Log, nodes models.Nodes) error {
		path, err := fn(nodes, &p)
		if err != nil {
			return err
		}
		for _, h := range path {
			p.Path = append(p.Path, h[:])
		}
		root, err := models.RootAt(nodes, p.Size)
		p.Root = root[:]
		return err
	})
	if errors.Is(err, models.ErrGone) {
		return p, auditapi.ErrPruned
	}
	if err != nil {
		return p, err
	}
	heads, err := n.repo.Heads(ctx, log, p.Size, 1)
	if err == nil && len(heads) == 1 && heads[0].Size == p.Size {
		wire := heads[0].Wire()
		p.Head = &wire
	}
	return p, err
}

// Verify recomputes a log from its entries and compares everything that is stored of it:
// leaves, chain, tree, signed heads and sealed data. It reads what was there when it began.
func (n *Notary) Verify(ctx context.Context, log string) (auditapi.Report, error) {
	// What is recorded but not yet signed would otherwise be vouched for by the chain alone.
	_, err := n.Head(ctx, log)
	if errors.Is(err, errs.ErrNotFound) {
		return auditapi.Report{OK: true, Faults: []auditapi.Fault{}}, nil
	}
	if err != nil && !errors.Is(err, auditapi.ErrTampered) {
		return auditapi.Report{}, err
	}
	w, err := n.walk(ctx, log, 0)
	if err != nil {
		return auditapi.Report{}, err
	}
	err = w.run(ctx, func(list []Opened) error {
		for _, o := range list {
			for _, why := range o.Broken {
				w.check.Fault(auditapi.FaultSealed, o.Seq, 0, "entry %d: %s", o.Seq, why)
			}
		}
		return nil
	}, func(models.Head) error { return nil })
	if err != nil {
		return auditapi.Report{}, err
	}
	if l, err := n.repo.Log(ctx, log); err != nil {
		return auditapi.Report{}, err
	} else if l.Pruned != w.pruned {
		return auditapi.Report{}, errs.ErrUnavailable.Saying("The log was pruned meanwhile.").After(time.Second)
	}
	if w.check.Whole() && w.check.Report.Size == w.size && (w.check.Root() != w.root || w.last != w.chain) {
		w.check.Fault(auditapi.FaultTree, w.signed, w.size-1, "the state of the log is not that of its entries")
	}
	report := w.check.Done(w.size)
	report.Pruned = w.pruned
	return report, nil
}
