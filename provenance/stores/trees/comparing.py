"""Which leaves two sorted trees do not share: one pass over both, block by block, in bounded memory.

Guarantees: every leaf that is in one tree alone is named once, in ascending order; as the files say: nothing is checked
against the roots, which `StoredTree.check` does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from provenance.merkle.bulk import Hashes
from provenance.merkle.sorted_hashes import Positions, locate
from provenance.stores.trees.stored import StoredTree

_BLOCK_LEAVES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class SetDifference:
    """Part of a difference: leaf hashes, shape (k, 32), and their positions in their tree, shape (k,)."""

    removed: Hashes
    removed_positions: Positions
    added: Hashes
    added_positions: Positions


def diff_sorted(old: StoredTree, new: StoredTree, *, block_leaves: int = _BLOCK_LEAVES) -> Iterator[SetDifference]:
    """What is in `old` alone and in `new` alone, a part for each block in which there is any; ascending."""
    left, right = _Cursor(old, block_leaves), _Cursor(new, block_leaves)
    while len(left.block) or len(right.block):
        bounds = [cursor.block[-1].tobytes() for cursor in (left, right) if len(cursor.block)]
        before, before_begin = left.take(min(bounds))
        after, after_begin = right.take(min(bounds))
        gone = np.flatnonzero(locate(after, before) < 0)
        come = np.flatnonzero(locate(before, after) < 0)
        if len(gone) or len(come):
            yield SetDifference(before[gone], before_begin + gone, after[come], after_begin + come)


class _Cursor:
    """A place in a sorted tree, and the block of leaves from there on: empty at its end alone."""

    def __init__(self, tree: StoredTree, block_leaves: int) -> None:
        self._tree, self._block_leaves = tree, block_leaves
        self._begin = 0
        self.block = self._load()

    def take(self, bound: bytes) -> tuple[Hashes, int]:
        """The leaves of the block up to `bound` with it, and the first one's position."""
        block, begin = self.block, self._begin
        count = bisect_right(range(len(block)), bound, key=lambda index: block[index].tobytes())
        self._begin += count
        self.block = block[count:] if count < len(block) else self._load()
        return block[:count], begin

    def _load(self) -> Hashes:
        return self._tree.leaves(self._begin, min(self._begin + self._block_leaves, self._tree.size))
