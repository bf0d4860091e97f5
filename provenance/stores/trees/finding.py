"""Many leaves at once in a sorted tree: one pass over it, block by block, or one search each if they are few.

Guarantees: memory is in proportion to what is asked for, and a block of leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from provenance.errors import MalformedError
from provenance.merkle.bulk import Hashes, check_hashes
from provenance.merkle.sorted_hashes import Positions, locate, prefixes

if TYPE_CHECKING:
    from provenance.stores.trees.stored import StoredTree

_BLOCK_LEAVES: Final = 1 << 18
_FEW: Final = 1_024
"""A search by itself costs as much as a pass over about as many leaves."""


def find_many(tree: StoredTree, targets: Hashes) -> Positions:
    """Where each target is in the sorted tree, or -1, shape (k,)."""
    check_hashes(targets)
    found = np.full(len(targets), -1, np.int64)
    if len(targets) * _FEW < tree.size:
        for number, target in enumerate(targets):
            position = tree.find(target.tobytes())
            found[number] = -1 if position is None else position
        return found
    keys = prefixes(targets)
    order = np.argsort(keys)
    keys = keys[order]
    start = 0
    for begin in range(0, tree.size, _BLOCK_LEAVES):
        if start == len(order):
            break
        block = tree.leaves(begin, min(begin + _BLOCK_LEAVES, tree.size))
        last = prefixes(block[-1:])[0]
        part = order[start : int(np.searchsorted(keys, last, side="right"))]
        places = locate(block, targets[part])
        there = places >= 0
        found[part[there]] = begin + places[there]
        # Those with the last prefix may stand in the next block: they are looked for there as well.
        start = int(np.searchsorted(keys, last, side="left"))
    return found


def read_companions(tree: StoredTree, positions: Positions) -> npt.NDArray[np.int64]:
    """The row numbers of leaves of the sorted tree; -1 for -1."""
    layout = tree.layout
    width = layout.companion_bytes
    if not width:
        raise MalformedError("tree has no row numbers", expected="a sorted tree")
    if len(positions) and not -1 <= int(positions.min()) <= int(positions.max()) < tree.size:
        got = f"{positions.min()} to {positions.max()}"
        raise MalformedError("no such row number", expected=f"-1 to {tree.size - 1}", got=got)
    rows = np.full(len(positions), -1, np.int64)
    order = np.argsort(positions)
    ordered = positions[order]
    for begin, numbers in companion_blocks(tree):
        first, last = np.searchsorted(ordered, [begin, begin + len(numbers)])
        rows[order[first:last]] = numbers[ordered[first:last] - begin]
    return rows


def companion_blocks(tree: StoredTree) -> Iterator[tuple[int, npt.NDArray[np.unsignedinteger]]]:
    """Where a block of row numbers begins, and the block."""
    layout = tree.layout
    width = layout.companion_bytes
    for begin in range(0, tree.size, _BLOCK_LEAVES):
        count = min(_BLOCK_LEAVES, tree.size - begin)
        data = tree.read_bytes(layout.companion_offset + width * begin, width * count)
        yield begin, np.frombuffer(data, f"<u{width}")
