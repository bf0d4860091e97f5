"""RFC 9162 Merkle trees: hashing, proofs and compact ranges."""

from provenance.merkle.compact import CompactRange
from provenance.merkle.hashing import EMPTY_ROOT, HASH_BYTES, fold_pairs, leaf_hash, leaf_hashes, node_hash, root_of
from provenance.merkle.proof import (
    ReadHash,
    prove_consistency,
    prove_inclusion,
    root_from_inclusion,
    subtree_hash,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "CompactRange",
    "ReadHash",
    "fold_pairs",
    "leaf_hash",
    "leaf_hashes",
    "node_hash",
    "prove_consistency",
    "prove_inclusion",
    "root_from_inclusion",
    "root_of",
    "subtree_hash",
    "verify_consistency",
    "verify_inclusion",
]
