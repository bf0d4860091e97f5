"""A stored tree against itself: every stored hash derived again from the leaves, block by block."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import numpy as np

from provenance.errors import StoreError
from provenance.merkle.bulk import Hashes, HashTier, hash_parents, subtree_levels
from provenance.merkle.sorted_hashes import first_disorder
from provenance.stores.trees.finding import companion_blocks

if TYPE_CHECKING:
    from provenance.stores.trees.stored import StoredTree

_BLOCK_LEVEL: Final = 16
_BLOCK_LEAVES: Final = 1 << _BLOCK_LEVEL


def check_tree(tree: StoredTree, tier: HashTier) -> None:
    """Return if every hash is what the leaves make it, and the row numbers are whole; otherwise `StoreError`."""
    for begin in range(0, tree.size, _BLOCK_LEAVES):
        leaves = tree.leaves(begin, min(begin + _BLOCK_LEAVES, tree.size))
        for level, hashes in enumerate(subtree_levels(leaves, tier=tier)):
            if level and level in tree.layout.offsets:
                _compare(tree, level, begin >> level, hashes[: len(leaves) >> level])
    for level in range(_BLOCK_LEVEL, tree.size.bit_length() - 1):
        below = tree.hashes(level, 0, tree.layout.count(level))
        _compare(tree, level + 1, 0, hash_parents(below[: len(below) // 2 * 2], tier=tier))
    if tree.layout.companion_bytes:
        _check_order(tree)
        _check_companion(tree)


def _compare(tree: StoredTree, level: int, begin: int, expected: Hashes) -> None:
    found = tree.hashes(level, begin, begin + len(expected))
    wrong = np.flatnonzero((found != expected).any(axis=1))
    if len(wrong):
        first = int(wrong[0])
        raise StoreError(
            "stored tree is damaged",
            expected=expected[first].tobytes().hex(),
            got=found[first].tobytes().hex(),
            where=f"{tree.path}, level {level}, hash {begin + first}",
        )


def _check_order(tree: StoredTree) -> None:
    for begin in range(0, tree.size, _BLOCK_LEAVES):
        start = max(begin - 1, 0)
        wrong = first_disorder(tree.leaves(start, min(begin + _BLOCK_LEAVES, tree.size)))
        if wrong >= 0:
            where = f"{tree.path}, leaf {start + wrong}"
            raise StoreError("leaves of a sorted tree are out of order", expected="ascending", where=where)


def _check_companion(tree: StoredTree) -> None:
    found = sha256()
    for _, numbers in companion_blocks(tree):
        found.update(numbers.data)
    if found.digest() != tree.layout.companion_sum:
        raise StoreError(
            "row numbers of a stored tree are damaged",
            expected=tree.layout.companion_sum.hex(),
            got=found.hexdigest(),
            where=tree.path,
        )
