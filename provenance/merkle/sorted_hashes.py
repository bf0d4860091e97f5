"""Arrays of hashes in ascending order: sorting them, and finding others in them.

Invariants: the order is that of their bytes; shapes are (n, 32) and types uint8; work goes by a few leading bits of
each, and all of them decide wherever those are the same.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from provenance.merkle.bulk import Hashes

RowNumbers: TypeAlias = npt.NDArray[np.uint64]
Positions: TypeAlias = npt.NDArray[np.int64]
ShortKeys: TypeAlias = npt.NDArray[np.uint32]


def prefixes(hashes: Hashes) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each as a number that sorts as they do."""
    return np.ascontiguousarray(hashes[:, :8]).view(">u8").ravel().astype(np.uint64)


def sort_distinct(hashes: Hashes, rows: RowNumbers) -> tuple[Hashes, RowNumbers]:
    """The distinct hashes in ascending order, each with the lowest of its row numbers."""
    if not len(hashes):
        return hashes, rows
    keys = _short_keys(hashes)
    order = _radix_order(keys)
    keys, rows = keys[order], rows[order]
    hashes = np.take(_words(hashes), order, axis=0).view(np.uint8)
    pairs = np.flatnonzero(keys[1:] == keys[:-1])
    same = _same(hashes[pairs + 1], hashes[pairs])
    if not same.all():
        _order_groups(hashes, rows, keys, pairs, keys[pairs[~same]])
        same = _same(hashes[pairs + 1], hashes[pairs])
    if not same.any():
        return hashes, rows
    first = np.ones(len(hashes), np.bool_)
    first[pairs[same] + 1] = False
    starts = np.flatnonzero(first)
    return np.take(_words(hashes), starts, axis=0).view(np.uint8), np.minimum.reduceat(rows, starts)


def locate(block: Hashes, targets: Hashes) -> Positions:
    """Where each target is in a block of distinct hashes in ascending order, or -1, shape (k,)."""
    keys, wanted = prefixes(block), prefixes(targets)
    places = np.searchsorted(keys, wanted, side="left").astype(np.int64)
    found = np.full(len(targets), -1, np.int64)
    open_targets = np.arange(len(targets))
    while len(open_targets):  # once, but for hashes that share their first eight bytes
        at = places[open_targets]
        inside = at < len(block)
        open_targets, at = open_targets[inside], at[inside]
        near = keys[at] == wanted[open_targets]
        open_targets, at = open_targets[near], at[near]
        same = _same(block[at], targets[open_targets])
        found[open_targets[same]] = at[same]
        open_targets = open_targets[~same]
        places[open_targets] += 1
    return found


def first_disorder(hashes: Hashes) -> int:
    """The index of the first hash that is not above the one before it; -1 if all ascend."""
    keys = prefixes(hashes)
    for index in np.flatnonzero(keys[1:] <= keys[:-1]).tolist():
        if hashes[index + 1].tobytes() <= hashes[index].tobytes():
            return int(index) + 1
    return -1


def _same(left: Hashes, right: Hashes) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (_words(left) == _words(right)).all(axis=1)
    return same


def _words(hashes: Hashes) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(hashes).view(np.uint64)


def _short_keys(hashes: Hashes) -> ShortKeys:
    """The 32 bits of each that tell most: those below what all of them begin with."""
    first = prefixes(hashes)
    lowest = first.min()
    shift = max(int(first.max() - lowest).bit_length() - 32, 0)
    keys: ShortKeys = ((first - lowest) >> np.uint64(shift)).astype(np.uint32)
    return keys


def _radix_order(keys: ShortKeys) -> Positions:
    """The stable ascending order: numpy sorts 16 bits by counting, several times as fast as it compares 64."""
    low = np.argsort((keys & 0xFFFF).astype(np.uint16), kind="stable")
    high = np.argsort((keys >> 16).astype(np.uint16)[low], kind="stable")
    return low[high]


def _order_groups(hashes: Hashes, rows: RowNumbers, keys: ShortKeys, pairs: Positions, mixed: ShortKeys) -> None:
    """Sort, in place, the groups of one short key that hold more than one hash: their keys are `mixed`."""
    grouped = np.zeros(len(keys), np.bool_)
    grouped[pairs] = grouped[pairs + 1] = True
    among = np.flatnonzero(grouped)
    among = among[np.isin(keys[among], mixed)]
    words = np.ascontiguousarray(hashes[among]).view(">u8")
    order = among[np.lexsort([*(words[:, number] for number in (3, 2, 1, 0)), keys[among]])]
    hashes[among], rows[among] = hashes[order], rows[order]
