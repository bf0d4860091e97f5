package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// trees are those that were made by growTree, and those that readTiles found in tiles.
var trees = map[string]tlog.HashReader{}

// grown is a tree of this program: every hash of it in the package's storage order.
type grown struct {
	size   int64
	hashes []tlog.Hash
}

func (t *grown) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		found[i] = t.hashes[index]
	}
	return found, nil
}

func reader(q *question) (tlog.HashReader, error) {
	tree, known := trees[q.Tree]
	if !known {
		return nil, fmt.Errorf("%w: no tree %q", errBroken, q.Tree)
	}
	return tree, nil
}

func keyHash(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

// growTree appends records to Tree, which begins empty, until it has Size: its root.
func growTree(q *question) (any, error) {
	tree, known := trees[q.Tree].(*grown)
	if !known {
		tree = &grown{}
		trees[q.Tree] = tree
	}
	for ; tree.size < q.Size; tree.size++ {
		record := []byte(fmt.Sprintf("%s%d", q.Prefix, tree.size))
		hashes, err := tlog.StoredHashes(tree.size, record, tree)
		if err != nil {
			return nil, err
		}
		tree.hashes = append(tree.hashes, hashes...)
	}
	return tlog.TreeHash(tree.size, tree)
}

// treeRoot is the root of the first Size records of Tree.
func treeRoot(q *question) (any, error) {
	tree, err := reader(q)
	if err != nil {
		return nil, err
	}
	return tlog.TreeHash(q.Size, tree)
}

// recordHashes are the hashes of the records at Indexes of Tree.
func recordHashes(q *question) (any, error) {
	tree, err := reader(q)
	if err != nil {
		return nil, err
	}
	var indexes []int64
	for _, index := range q.Indexes {
		indexes = append(indexes, tlog.StoredHashIndex(0, index))
	}
	return tree.ReadHashes(indexes)
}

// proveRecord is the inclusion proof of the record at Index in the first Size records of Tree.
func proveRecord(q *question) (any, error) {
	tree, err := reader(q)
	if err != nil {
		return nil, err
	}
	return tlog.ProveRecord(q.Size, q.Index, tree)
}

// proveTree is the consistency proof from Old to Size records of Tree.
func proveTree(q *question) (any, error) {
	tree, err := reader(q)
	if err != nil {
		return nil, err
	}
	return tlog.ProveTree(q.Size, q.Old, tree)
}

// checkRecord checks Proof of Leaf at Index in the tree of Size and Root.
func checkRecord(q *question) (any, error) {
	return true, tlog.CheckRecord(q.Proof, q.Size, q.Root, q.Index, q.Leaf)
}

// checkTree checks Proof from the tree of Old and OldRoot to that of Size and Root.
func checkTree(q *question) (any, error) {
	return true, tlog.CheckTree(q.Proof, q.Size, q.Root, q.Old, q.OldRoot)
}

// addCheckpointRequest is what a log sends to a witness with Note, a checkpoint of Tree: the proof from Old to Size.
func addCheckpointRequest(q *question) (any, error) {
	lines := []string{fmt.Sprintf("old %d", q.Old)}
	if q.Old > 0 {
		tree, err := reader(q)
		if err != nil {
			return nil, err
		}
		proof, err := tlog.ProveTree(q.Size, q.Old, tree)
		if err != nil {
			return nil, err
		}
		for _, hash := range proof {
			lines = append(lines, hash.String())
		}
	}
	return append([]byte(strings.Join(lines, "\n")+"\n\n"), q.Note...), nil
}
