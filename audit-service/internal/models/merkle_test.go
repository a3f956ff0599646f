package models_test

import (
	"encoding/hex"
	"testing"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
)

// leaves are all nodes of a tree in memory.
type leaves []models.Hash

func (l leaves) Hashes(level int, from, to int64) ([]models.Hash, error) {
	row := append(leaves(nil), l...)
	for range level {
		for i := range len(row) / 2 {
			row[i] = models.NodeHash(row[2*i], row[2*i+1])
		}
		row = row[:len(row)/2]
	}
	return append([]models.Hash(nil), row[from:to]...), nil
}

// The tree of eight leaves that implementations of Certificate Transparency are tested with.
func TestTree_HasTheRootsOfRFC9162(t *testing.T) {
	t.Parallel()
	want := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	data := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	var tree models.Tree
	for size, hash := range want {
		if root := tree.Root(); hex.EncodeToString(root[:]) != hash {
			t.Errorf("size %d: %x", size, root)
		}
		if size < len(data) {
			b, err := hex.DecodeString(data[size])
			if err != nil {
				t.Fatal(err)
			}
			tree.Append(models.LeafHash(b), nil)
		}
	}
}

// For all sizes up to 70: each proof holds, and for nothing else.
func TestProofs_HoldForTheirEntryAndSizeAlone(t *testing.T) {
	t.Parallel()
	var all leaves
	var roots []models.Hash
	var tree models.Tree
	roots = append(roots, tree.Root())
	for i := range 70 {
		all = append(all, models.LeafHash([]byte{byte(i)}))
		tree.Append(all[i], nil)
		roots = append(roots, tree.Root())
	}
	for size := int64(1); size <= int64(len(all)); size++ {
		if root, err := models.RootAt(all, size); err != nil || root != roots[size] {
			t.Fatalf("root of %d: %v", size, err)
		}
		if edge, err := models.PeaksAt(all, size); err != nil || edge.Root() != roots[size] || edge.Check() != nil {
			t.Fatalf("edge of %d: %v", size, err)
		}
		for seq := range size {
			path, err := models.Inclusion(all, seq, size)
			if err != nil {
				t.Fatal(err)
			}
			if !models.CheckInclusion(all[seq], seq, size, path, roots[size]) {
				t.Fatalf("entry %d in %d", seq, size)
			}
			if models.CheckInclusion(all[(seq+1)%70], seq, size, path, roots[size]) || models.CheckInclusion(all[seq], seq, size, path, roots[size-1]) ||
				size > 1 && models.CheckInclusion(all[seq], (seq+1)%size, size, path, roots[size]) {
				t.Fatalf("the proof of entry %d in %d holds for another", seq, size)
			}
		}
		for from := int64(1); from <= size; from++ {
			path, err := models.Consistency(all, from, size)
			if err != nil {
				t.Fatal(err)
			}
			if !models.CheckConsistency(from, size, roots[from], roots[size], path) {
				t.Fatalf("%d in %d", from, size)
			}
			if models.CheckConsistency(from, size, roots[from-1], roots[size], path) || models.CheckConsistency(from, size, roots[from], roots[size-1], path) {
				t.Fatalf("the proof of %d in %d holds for another", from, size)
			}
		}
	}
}
