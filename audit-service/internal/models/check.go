package models

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"

	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
)

// Keys are public keys by their ids.
type Keys map[string]ed25519.PublicKey

const mostFaults = 100

// Checker verifies a log entry by entry. After a fault it goes on with what was
// recorded, so that one changed entry is one fault.
type Checker struct {
	Report auditapi.Report
	log    string
	keys   Keys
	tree   *Tree
	chain  Hash
	lost   bool // entries are missing: the tree cannot be known any more
	good   int64
}

// NewChecker begins before the entry number tree.Size, where the chain has that value.
func NewChecker(log string, keys Keys, tree *Tree, chain Hash) *Checker {
	return &Checker{
		Report: auditapi.Report{Size: tree.Size, Pruned: tree.Size, Faults: []auditapi.Fault{}},
		log:    log, keys: keys, tree: tree, chain: chain, good: tree.Size,
	}
}

// Fault adds one to the report.
func (c *Checker) Fault(kind string, seq, last int64, format string, args ...any) {
	c.Report.OK = false
	if len(c.Report.Faults) < mostFaults {
		c.Report.Faults = append(c.Report.Faults, auditapi.Fault{Kind: kind, Seq: seq, Last: last, Detail: fmt.Sprintf(format, args...)})
	}
}

// Entry checks the next entry: its number, its canonical form against the recorded leaf,
// the leaf against the chain. made is told of the tree's nodes that become complete.
func (c *Checker) Entry(seq int64, canonical []byte, leaf, chain Hash, made func(level int, index int64, h Hash)) {
	c.Report.Checked++
	switch next := c.Report.Size; {
	case seq < next:
		c.Fault(auditapi.FaultExtra, seq, 0, "entry %d comes twice, or out of order", seq)
		return
	case seq > next:
		c.Fault(auditapi.FaultMissing, next, seq-1, "entries %d to %d are missing", next, seq-1)
		c.lost = true
	case ChainHash(c.chain, leaf) != chain:
		c.Fault(auditapi.FaultChain, seq, 0, "entry %d does not follow from the one before", seq)
	}
	if LeafHash(canonical) != leaf {
		c.Fault(auditapi.FaultEntry, seq, 0, "entry %d is not what was recorded", seq)
	}
	c.chain, c.Report.Size = chain, seq+1
	if !c.lost {
		c.tree.Append(leaf, made)
	}
}

// Whole reports whether no entry was missing so far, so that the tree is known.
func (c *Checker) Whole() bool { return !c.lost }

// Root is the tree's root so far.
func (c *Checker) Root() Hash { return c.tree.Root() }

// Head compares a signed head of the entries so far.
func (c *Checker) Head(h Head) {
	c.Report.Heads++
	key, known := c.keys[h.KeyID]
	switch {
	case h.Log != c.log || h.Size != c.Report.Size:
		c.Fault(auditapi.FaultHead, h.Size, 0, "a head of %d entries of %s is not one of these %d of %s", h.Size, h.Log, c.Report.Size, c.log)
	case !known:
		c.Fault(auditapi.FaultHead, h.Size, 0, "the head of %d entries is signed by the unknown key %q", h.Size, h.KeyID)
	case !h.SignedBy(key):
		c.Fault(auditapi.FaultHead, h.Size, 0, "the signature of the head of %d entries is not good", h.Size)
	case c.lost: // said already
	case h.Root != c.tree.Root() || h.Chain != c.chain:
		c.Fault(auditapi.FaultHead, c.good, h.Size-1, "the signed head of %d entries is not that of these", h.Size)
	default:
		c.good = h.Size
	}
}

// Done ends the verification of a log that should have the given size.
func (c *Checker) Done(size int64) auditapi.Report {
	switch {
	case c.Report.Size < size:
		c.Fault(auditapi.FaultMissing, c.Report.Size, size-1, "entries %d to %d are missing", c.Report.Size, size-1)
	case c.Report.Size > size:
		c.Fault(auditapi.FaultExtra, size, c.Report.Size-1, "entries %d to %d were never recorded", size, c.Report.Size-1)
	}
	c.Report.OK = len(c.Report.Faults) == 0
	return c.Report
}

// mostLine bounds a line of an export.
const mostLine = 16 << 20

// CheckExport verifies an export as NDJSON with nothing but public keys, and heads that
// were obtained before, if any. The error is one of reading; what does not verify is in
// the report.
func CheckExport(r io.Reader, keys Keys, earlier []Head) (auditapi.Report, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), mostLine)
	var c *Checker
	var start auditapi.ExportStart
	pending := map[int64][]Head{}
	for _, h := range earlier {
		pending[h.Size] = append(pending[h.Size], h)
	}
	ended := false
	for n := 1; lines.Scan(); n++ {
		var line auditapi.ExportLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return auditapi.Report{}, fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case n == 1:
			if line.Start == nil || line.Start.Format != auditapi.ExportFormat {
				return auditapi.Report{}, fmt.Errorf("line 1: not an export in the format %s", auditapi.ExportFormat)
			}
			start = *line.Start
			var err error
			if c, err = begin(start, keys); err != nil {
				return auditapi.Report{}, fmt.Errorf("line 1: %w", err)
			}
		case line.Entry != nil:
			if err := c.exported(*line.Entry); err != nil {
				return auditapi.Report{}, fmt.Errorf("line %d: %w", n, err)
			}
			for _, h := range pending[c.Report.Size] {
				c.Head(h)
			}
			delete(pending, c.Report.Size)
		}
		if line.Head != nil && n > 1 {
			h, err := HeadOf(*line.Head)
			if err != nil {
				return auditapi.Report{}, fmt.Errorf("line %d: %w", n, err)
			}
			c.Head(h)
			ended = line.End != nil
		}
	}
	if err := lines.Err(); err != nil {
		return auditapi.Report{}, fmt.Errorf("read export: %w", err)
	}
	if c == nil {
		return auditapi.Report{}, io.ErrUnexpectedEOF
	}
	if !ended {
		c.Fault(auditapi.FaultMissing, c.Report.Size, 0, "the export has no end")
	}
	for size := range pending {
		if size > start.From {
			c.Fault(auditapi.FaultHead, c.Report.Size, size-1, "a head of %d entries is known, and the export ends before", size)
		}
	}
	return c.Done(start.Size), nil
}

func begin(start auditapi.ExportStart, keys Keys) (*Checker, error) {
	chain, err := HashOf(start.Chain)
	if err != nil {
		return nil, err
	}
	peaks, err := HashesOf(bytes.Join(start.Peaks, nil))
	if err != nil {
		return nil, err
	}
	tree := &Tree{Size: start.From, Peaks: peaks}
	if err := tree.Check(); err != nil {
		return nil, err
	}
	return NewChecker(start.Tenant, keys, tree, chain), nil
}

func (c *Checker) exported(e auditapi.ExportEntry) error {
	var form canonical
	if err := json.Unmarshal(e.Canonical, &form); err != nil {
		return err
	}
	leaf, err := HashOf(e.Leaf)
	if err != nil {
		return err
	}
	chain, err := HashOf(e.Chain)
	if err != nil {
		return err
	}
	c.Entry(form.Seq, e.Canonical, leaf, chain, nil)
	for _, part := range []struct {
		plain     json.RawMessage
		committed *canonicalSealed
	}{{e.Own, form.Own}, {e.Other, form.Other}} {
		if part.plain == nil {
			continue
		}
		if part.committed == nil {
			c.Fault(auditapi.FaultSealed, form.Seq, 0, "entry %d was recorded without the personal data that it has here", form.Seq)
		} else if _, err := Unpack(part.plain, part.committed.Commitment); err != nil {
			c.Fault(auditapi.FaultSealed, form.Seq, 0, "entry %d: %v", form.Seq, err)
		}
	}
	return nil
}

// HeadOf reads a head off the wire.
func HeadOf(h auditapi.Head) (Head, error) {
	root, err := HashOf(h.Root)
	if err != nil {
		return Head{}, err
	}
	chain, err := HashOf(h.Chain)
	if err != nil {
		return Head{}, err
	}
	return Head{Log: h.Tenant, Size: h.Size, Root: root, Chain: chain, SignedAt: h.SignedAt, KeyID: h.KeyID, Signature: h.Signature}, nil
}

// Wire is the head as it is shown.
func (h *Head) Wire() auditapi.Head {
	return auditapi.Head{
		Tenant: h.Log, Size: h.Size, Root: h.Root[:], Chain: h.Chain[:], SignedAt: h.SignedAt, KeyID: h.KeyID, Signature: h.Signature,
	}
}
