package models

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// The domains of hashes: leaves and nodes as in RFC 9162, section 2.1.1, links of the
// chain beside them.
const (
	leafDomain  = 0x00
	nodeDomain  = 0x01
	chainDomain = 0x02
)

// LeafHash is the hash of an entry's canonical form.
func LeafHash(canonical []byte) Hash {
	h := sha256.New()
	_, _ = h.Write([]byte{leafDomain}) // a hash does not fail
	_, _ = h.Write(canonical)
	var out Hash
	h.Sum(out[:0])
	return out
}

// NodeHash is the hash of the node above two others.
func NodeHash(left, right Hash) Hash { return pair(nodeDomain, left, right) }

// ChainHash is the chain's value behind a leaf.
func ChainHash(before, leaf Hash) Hash { return pair(chainDomain, before, leaf) }

func pair(domain byte, a, b Hash) Hash {
	var buf [1 + 2*sha256.Size]byte
	buf[0] = domain
	copy(buf[1:], a[:])
	copy(buf[1+sha256.Size:], b[:])
	return sha256.Sum256(buf[:])
}

// HashOf reads a hash of 32 bytes.
func HashOf(b []byte) (Hash, error) {
	if len(b) != sha256.Size {
		return Hash{}, fmt.Errorf("a hash has %d bytes, not %d", sha256.Size, len(b))
	}
	return Hash(b), nil
}

// HashesOf reads hashes one behind the other.
func HashesOf(b []byte) ([]Hash, error) {
	if len(b)%sha256.Size != 0 {
		return nil, fmt.Errorf("%d bytes are no hashes", len(b))
	}
	list := make([]Hash, len(b)/sha256.Size)
	for i := range list {
		copy(list[i][:], b[i*sha256.Size:])
	}
	return list, nil
}

// Bytes writes hashes one behind the other.
func Bytes(list []Hash) []byte {
	out := make([]byte, 0, len(list)*sha256.Size)
	for _, h := range list {
		out = append(out, h[:]...)
	}
	return out
}

// Tree is the right edge of a Merkle tree: enough to append to it and to know its root.
// Peaks are the roots of its largest complete subtrees, from the left.
type Tree struct {
	Size  int64
	Peaks []Hash
}

// Check reports whether the tree has as many peaks as its size asks for.
func (t *Tree) Check() error {
	if t.Size < 0 || bits.OnesCount64(uint64(t.Size)) != len(t.Peaks) {
		return fmt.Errorf("a tree of %d entries cannot have %d peaks", t.Size, len(t.Peaks))
	}
	return nil
}

// Append adds a leaf. made, if not nil, is told of every node that becomes complete.
func (t *Tree) Append(leaf Hash, made func(level int, index int64, h Hash)) {
	h, n := leaf, t.Size
	for level := 1; n&1 == 1; level++ {
		last := len(t.Peaks) - 1
		h = NodeHash(t.Peaks[last], h)
		t.Peaks = t.Peaks[:last]
		n >>= 1
		if made != nil {
			made(level, n, h)
		}
	}
	t.Peaks = append(t.Peaks, h)
	t.Size++
}

// Root is the tree's root; that of no entries is the hash of nothing.
func (t *Tree) Root() Hash {
	if len(t.Peaks) == 0 {
		return sha256.Sum256(nil)
	}
	h := t.Peaks[len(t.Peaks)-1]
	for i := len(t.Peaks) - 2; i >= 0; i-- {
		h = NodeHash(t.Peaks[i], h)
	}
	return h
}

// Clone is a copy that can be appended to.
func (t *Tree) Clone() *Tree {
	return &Tree{Size: t.Size, Peaks: append([]Hash(nil), t.Peaks...)}
}

// TileHeight is the height of the nodes that are stored: every node whose level is a
// multiple of it. Those between follow from at most 256 below.
const TileHeight = 8

// TileWidth is how many leaves are below a stored node of the lowest level.
const TileWidth = 1 << TileHeight

// ErrGone is returned for nodes that need leaves which have been pruned.
var ErrGone = errors.New("the leaves are pruned")

// Nodes gives the hashes that proofs are made of. Level 0 are the leaves, the others
// multiples of TileHeight. It returns ErrGone for what has been pruned.
type Nodes interface {
	Hashes(level int, from, to int64) ([]Hash, error)
}

// RootAt is the root of the tree of the first size entries.
func RootAt(n Nodes, size int64) (Hash, error) {
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	return subtree(n, 0, size)
}

// PeaksAt is the right edge of the tree of the first size entries.
func PeaksAt(n Nodes, size int64) (*Tree, error) {
	t := &Tree{Size: size}
	for at := int64(0); at < size; {
		width := int64(1) << (bits.Len64(uint64(size-at)) - 1)
		h, err := subtree(n, at, at+width)
		if err != nil {
			return nil, err
		}
		t.Peaks = append(t.Peaks, h)
		at += width
	}
	return t, nil
}

// Inclusion proves that the leaf at seq is in the tree of the first size entries.
func Inclusion(n Nodes, seq, size int64) ([]Hash, error) { return inclusion(n, seq, 0, size) }

func inclusion(n Nodes, seq, from, to int64) ([]Hash, error) {
	if to-from == 1 {
		return nil, nil
	}
	mid := from + split(to-from)
	inner, other := [2]int64{from, mid}, [2]int64{mid, to}
	if seq >= mid {
		inner, other = other, inner
	}
	path, err := inclusion(n, seq, inner[0], inner[1])
	if err != nil {
		return nil, err
	}
	h, err := subtree(n, other[0], other[1])
	return append(path, h), err
}

// Consistency proves that the tree of the first from entries is the beginning of that of
// the first to.
func Consistency(n Nodes, from, to int64) ([]Hash, error) {
	if from == to {
		return nil, nil
	}
	return consistency(n, from, 0, to, true)
}

func consistency(n Nodes, m, from, to int64, whole bool) ([]Hash, error) {
	if m == to {
		if whole {
			return nil, nil
		}
		h, err := subtree(n, from, to)
		return []Hash{h}, err
	}
	mid := from + split(to-from)
	if m <= mid {
		path, err := consistency(n, m, from, mid, whole)
		if err != nil {
			return nil, err
		}
		h, err := subtree(n, mid, to)
		return append(path, h), err
	}
	path, err := consistency(n, m, mid, to, false)
	if err != nil {
		return nil, err
	}
	h, err := subtree(n, from, mid)
	return append(path, h), err
}

// split is the largest power of two below n.
func split(n int64) int64 { return 1 << (bits.Len64(uint64(n-1)) - 1) }

// subtree is the root over the leaves from..to, as RFC 9162 divides them.
func subtree(n Nodes, from, to int64) (Hash, error) {
	if width := to - from; width&(width-1) == 0 {
		level := bits.TrailingZeros64(uint64(width))
		return complete(n, level, from>>level)
	}
	mid := from + split(to-from)
	left, err := subtree(n, from, mid)
	if err != nil {
		return Hash{}, err
	}
	right, err := subtree(n, mid, to)
	if err != nil {
		return Hash{}, err
	}
	return NodeHash(left, right), nil
}

// complete is a node whose leaves are all there, from the stored ones below it.
func complete(n Nodes, level int, index int64) (Hash, error) {
	stored := level / TileHeight * TileHeight
	up := level - stored
	list, err := n.Hashes(stored, index<<up, (index+1)<<up)
	if err != nil {
		return Hash{}, err
	}
	if len(list) != 1<<up {
		return Hash{}, fmt.Errorf("the tree lacks nodes of level %d at %d", stored, index<<up)
	}
	for len(list) > 1 {
		for i := range len(list) / 2 {
			list[i] = NodeHash(list[2*i], list[2*i+1])
		}
		list = list[:len(list)/2]
	}
	return list[0], nil
}

// CheckInclusion verifies a proof (RFC 9162, section 2.1.3.2).
func CheckInclusion(leaf Hash, seq, size int64, path []Hash, root Hash) bool {
	if seq < 0 || seq >= size {
		return false
	}
	fn, sn, r := seq, size-1, leaf
	for _, p := range path {
		if sn == 0 {
			return false
		}
		if fn&1 == 1 || fn == sn {
			r = NodeHash(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = NodeHash(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	return sn == 0 && r == root
}

// CheckConsistency verifies a proof (RFC 9162, section 2.1.4.2).
func CheckConsistency(from, to int64, first, second Hash, path []Hash) bool {
	if from <= 0 || from > to {
		return false
	}
	if from == to {
		return len(path) == 0 && first == second
	}
	if from&(from-1) == 0 {
		path = append([]Hash{first}, path...)
	}
	if len(path) == 0 {
		return false
	}
	fn, sn := from-1, to-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr, sr := path[0], path[0]
	for _, c := range path[1:] {
		if sn == 0 {
			return false
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = NodeHash(c, fr), NodeHash(c, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = NodeHash(sr, c)
		}
		fn, sn = fn>>1, sn>>1
	}
	return sn == 0 && fr == first && sr == second
}
