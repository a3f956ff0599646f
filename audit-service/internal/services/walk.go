package services

import (
	"context"
	"errors"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
)

const (
	walkPage = 1000
	headPage = 1000
)

// walk goes through a log in pieces, each a short transaction, and checks it on the way:
// as large as it was when the walk began.
type walk struct {
	n           *Notary
	log         string
	from, size  int64
	pruned      int64
	peaks       *models.Tree
	start       models.Hash // the chain's value before from
	root, chain models.Hash // of the log
	last        models.Hash // the chain's value as walked
	check       *models.Checker
	heads       []models.Head
	nextHead    int64
	signed      int64 // size of the last head that was met
	tiles       []tile
}

type tile struct {
	level int
	index int64
	hash  models.Hash
}

// walk begins at from, or where the log was pruned, whichever is later.
func (n *Notary) walk(ctx context.Context, log string, from int64) (*walk, error) {
	w := &walk{n: n, log: log}
	err := n.repo.WithTree(ctx, log, func(l models.Log, nodes models.Nodes) error {
		w.pruned, w.size, w.root, w.chain = l.Pruned, l.Tree.Size, l.Tree.Root(), l.Chain
		w.from = max(from, l.Pruned)
		w.start = l.PrunedChain
		if w.from > w.size {
			return auditapi.ErrBadSize
		}
		var err error
		w.peaks, err = models.PeaksAt(nodes, w.from)
		if errors.Is(err, models.ErrGone) {
			return auditapi.ErrPruned
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if w.from > w.pruned {
		before, err := n.repo.Entry(ctx, log, w.from-1)
		if err != nil {
			return nil, err
		}
		w.start = before.Chain
	}
	w.last = w.start
	w.check = models.NewChecker(log, n.publics, w.peaks.Clone(), w.start)
	w.nextHead = max(w.from, 1)
	return w, nil
}

// run gives the entries in their order, opened, and each head after the last entry that
// it covers.
func (w *walk) run(ctx context.Context, entries func([]Opened) error, head func(models.Head) error) error {
	for at := w.from; ; {
		list, err := w.n.repo.Following(ctx, w.log, at, walkPage)
		if err != nil {
			return err
		}
		// Beyond the size: recorded since, or never recorded.
		extra := len(list)
		for extra > 0 && list[extra-1].Seq >= w.size {
			extra--
		}
		full := extra == walkPage
		if list = list[:extra]; len(list) == 0 {
			return w.strangers(ctx)
		}
		opened, err := w.n.vault.Open(ctx, w.log, list)
		if err != nil {
			return err
		}
		if err := w.entries(ctx, opened, entries, head); err != nil {
			return err
		}
		at = list[len(list)-1].Seq + 1
		if err := w.compareTiles(ctx); err != nil {
			return err
		}
		if !full {
			return w.strangers(ctx)
		}
	}
}

func (w *walk) entries(ctx context.Context, list []Opened, entries func([]Opened) error, head func(models.Head) error) error {
	done := 0
	for i := range list {
		e := &list[i]
		canonical, err := e.Canonical()
		if err != nil {
			// Facts that are no JSON: nobody recorded that.
			canonical = nil
		}
		w.check.Entry(e.Seq, canonical, e.Leaf, e.Chain, func(level int, index int64, h models.Hash) {
			if level%models.TileHeight == 0 {
				w.tiles = append(w.tiles, tile{level, index, h})
			}
		})
		w.last = e.Chain
		for {
			h, ok, err := w.headOf(ctx, e.Seq+1)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := entries(list[done : i+1]); err != nil {
				return err
			}
			done = i + 1
			w.check.Head(h)
			w.signed = h.Size
			if err := head(h); err != nil {
				return err
			}
		}
	}
	return entries(list[done:])
}

// headOf returns the signed head of that size, if there is one.
func (w *walk) headOf(ctx context.Context, size int64) (models.Head, bool, error) {
	if len(w.heads) == 0 && w.nextHead <= size {
		var err error
		if w.heads, err = w.n.repo.Heads(ctx, w.log, w.nextHead, headPage); err != nil {
			return models.Head{}, false, err
		}
		w.nextHead = w.size + 1
		if len(w.heads) == headPage {
			w.nextHead = w.heads[headPage-1].Size + 1
		}
	}
	for len(w.heads) > 0 && w.heads[0].Size <= size {
		h := w.heads[0]
		w.heads = w.heads[1:]
		if h.Size == size {
			return h, true, nil
		}
	}
	return models.Head{}, false, nil
}

// compareTiles compares the nodes that the entries make with those that are stored.
func (w *walk) compareTiles(ctx context.Context) error {
	for _, t := range w.tiles {
		stored, err := w.n.repo.Tiles(ctx, w.log, t.level, t.index, t.index+1)
		if err != nil {
			return err
		}
		if len(stored) != 1 || stored[0] != t.hash {
			w.check.Fault(auditapi.FaultTree, t.index<<t.level, (t.index+1)<<t.level-1, "node %d of level %d is not that of its entries", t.index, t.level)
		}
	}
	w.tiles = w.tiles[:0]
	return nil
}

// strangers finds entries and heads beyond the log's size, that were there before it
// grew: such were never recorded.
func (w *walk) strangers(ctx context.Context) error {
	return w.n.repo.WithTree(ctx, w.log, func(l models.Log, _ models.Nodes) error {
		list, err := w.n.repo.Following(ctx, w.log, l.Tree.Size, 1)
		if err != nil || len(list) == 0 {
			return err
		}
		now, err := w.n.repo.Log(ctx, w.log)
		if err != nil {
			return err
		}
		if list[0].Seq >= now.Tree.Size {
			w.check.Fault(auditapi.FaultExtra, list[0].Seq, 0, "entry %d was never recorded", list[0].Seq)
		}
		return nil
	})
}
