"""Leaves and trees that the tests of stored trees share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from provenance.merkle.bulk import Hashes, HashTier
from provenance.stores.trees import StoredTree
from provenance.stores.trees.sorting import SortedTreeWriter
from provenance.stores.trees.writing import TreeWriter


def random_leaves(count: int, seed: int = 1) -> Hashes:
    """Different leaf hashes, shape (count, 32)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def as_list(hashes: Hashes) -> list[bytes]:
    """The rows of an array."""
    return [row.tobytes() for row in hashes]


def store(folder: Path, leaves: Hashes) -> StoredTree:
    """The tree over leaves in their order."""
    with TreeWriter(folder, tier=HashTier.LANES) as writer:
        writer.append(leaves)
        return writer.finish()


def store_sorted(folder: Path, leaves: Hashes, memory_rows: int = 1 << 20) -> StoredTree:
    """The sorted tree over leaves."""
    with SortedTreeWriter(folder, tier=HashTier.LANES, memory_rows=memory_rows) as writer:
        writer.append(leaves)
        return writer.finish()
