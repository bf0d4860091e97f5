"""Many hashes at a time: leaves and inner nodes of RFC 9162 trees over arrays of hashes.

Invariants: the result is that of hashlib, whichever tier does the work; of every call that lanes or extensions do, two
digests are hashed again with hashlib, and a difference is an error; offsets are checked before anything is read through
them. Arrays of hashes have shape (n, 32) and type uint8.

The lanes are stringzilla's `Sha256s`: 16 messages at a time with AVX-512, 8 with AVX2. Its view of an Arrow array
ignores the array's offset and turns null into empty, so it is given fresh arrays at offset 0 without nulls, and nothing
else. Lanes wait for the longest message among them: where lengths differ much, messages go in by length, and those that
would run alone are left to hashlib.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import stringzilla

from provenance.errors import MalformedError
from provenance.merkle.compiled import LIBRARY, extensions_or_error
from provenance.merkle.hashing import EMPTY_ROOT, HASH_BYTES
from provenance.merkle.lists import check_sample
from provenance.merkle.tier import HashTier

__all__ = ["HashTier", "Hashes", "check_hashes", "hash_parents", "hash_slices", "root_of_array", "subtree_levels"]

Hashes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

_BATCH: Final = 8_192
"""Messages a call: their digests and state stay in a core's cache."""
_BATCH_BYTES: Final = 4 * 2**20
"""Bytes a call: with ten times as many it takes twice as long for each."""
_LONE_BYTES: Final = 4_096
"""A message of this length that is four times the mean runs alone."""
_UNEVEN_MEAN_BYTES: Final = 1_024
"""Below this mean, sorting messages costs more than lanes that wait."""
_FEW_MEAN_BYTES: Final = 64 * 2**10
"""From this mean on, too few messages of one length meet in a batch."""
_NODE_BYTES: Final = 1 + 2 * HASH_BYTES
_NODE_OFFSETS: Final[Offsets] = np.arange(_BATCH + 1, dtype=np.int64) * _NODE_BYTES


def hash_slices(data: npt.NDArray[np.uint8], offsets: Offsets, *, tier: HashTier) -> Hashes:
    """SHA-256 of `data[offsets[i]:offsets[i + 1]]` for every i, shape (n, 32). A leaf's prefix is the caller's.

    `MalformedError` for offsets that descend or lie outside `data`.
    """
    _check_offsets(data, offsets)
    count = len(offsets) - 1
    result: Hashes = np.empty((count, HASH_BYTES), np.uint8)
    if tier is HashTier.EXTENSIONS and count:
        _by_extensions(data, np.ascontiguousarray(offsets), result)
        return result
    start = 0
    while start < count:
        fits = int(np.searchsorted(offsets, offsets[start] + _BATCH_BYTES, side="right")) - 1
        stop = min(max(fits, start + 1), start + _BATCH, count)
        first, last = int(offsets[start]), int(offsets[stop])
        batch, places = data[first:last], offsets[start : stop + 1] - first
        if tier is HashTier.HASHLIB:
            _alone(batch, places, result[start:stop])
        else:
            _together(batch, places, result[start:stop])
        start = stop
    return result


def hash_parents(level: Hashes, *, tier: HashTier) -> Hashes:
    """The level above: one node for each pair, shape (ceil(n / 2), 32); an odd last hash is taken up as it is."""
    check_hashes(level)
    pairs = len(level) // 2
    result: Hashes = np.empty((pairs + len(level) % 2, HASH_BYTES), np.uint8)
    if len(level) % 2:
        result[pairs] = level[-1]
    children = level[: 2 * pairs].reshape(pairs, 2 * HASH_BYTES)
    if tier is HashTier.EXTENSIONS and pairs:
        _pairs_by_extensions(np.ascontiguousarray(children), result)
        return result
    node = np.empty((min(_BATCH, pairs), _NODE_BYTES), np.uint8)
    node[:, 0] = 1
    for start in range(0, pairs, _BATCH):
        count = min(_BATCH, pairs - start)
        node[:count, 1:] = children[start : start + count]
        hash_batch = _alone if tier is HashTier.HASHLIB else _lanes
        hash_batch(node.reshape(-1)[: count * _NODE_BYTES], _NODE_OFFSETS[: count + 1], result[start : start + count])
    return result


def subtree_levels(leaves: Hashes, *, tier: HashTier) -> list[Hashes]:
    """Every level of the perfect subtrees over leaf hashes, the leaves first: level l has `len(leaves) >> l` nodes."""
    check_hashes(leaves)
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append(hash_parents(below[: len(below) // 2 * 2], tier=tier))
    return levels


def root_of_array(leaves: Hashes, *, tier: HashTier) -> bytes:
    """The RFC 9162 root over leaf hashes in order; `EMPTY_ROOT` for none."""
    check_hashes(leaves)
    if not len(leaves):
        return EMPTY_ROOT
    while len(leaves) > 1:
        leaves = hash_parents(leaves, tier=tier)
    root: bytes = leaves[0].tobytes()
    return root


def check_hashes(hashes: Hashes) -> None:
    """Raise `MalformedError` unless the array has shape (n, 32) and type uint8."""
    if hashes.ndim != 2 or hashes.shape[1] != HASH_BYTES or hashes.dtype != np.uint8:
        got = f"{hashes.dtype} of shape {hashes.shape}"
        raise MalformedError("not an array of hashes", expected=f"uint8 of shape (n, {HASH_BYTES})", got=got)


def _check_offsets(data: npt.NDArray[np.uint8], offsets: Offsets) -> None:
    if data.ndim != 1 or data.dtype != np.uint8 or not data.flags.c_contiguous:
        raise MalformedError("data is not a run of bytes", expected="uint8 of one dimension", got=data.dtype)
    if offsets.ndim != 1 or offsets.dtype != np.int64 or not len(offsets):
        raise MalformedError("offsets have another form", expected="int64, one more than slices", got=offsets.dtype)
    if offsets[0] < 0 or offsets[-1] > len(data) or (offsets[1:] < offsets[:-1]).any():
        got = f"from {offsets[0]} to {offsets[-1]}"
        raise MalformedError("offsets leave the data", expected=f"ascending within 0 to {len(data)}", got=got)


def _alone(data: npt.NDArray[np.uint8], offsets: Offsets, result: Hashes) -> None:
    raw, ends = data.tobytes(), offsets.tolist()
    digests = [sha256(raw[begin:end]).digest() for begin, end in pairwise(ends)]
    result.reshape(-1)[:] = np.frombuffer(b"".join(digests), np.uint8)


def _by_extensions(data: npt.NDArray[np.uint8], offsets: Offsets, result: Hashes) -> None:
    extensions_or_error().slices(data.ctypes.data, offsets.ctypes.data, len(result), result.ctypes.data)
    first, last = (data[offsets[index] : offsets[index + 1]].tobytes() for index in (0, len(result) - 1))
    check_sample(first, last, _ends(result), LIBRARY)


def _pairs_by_extensions(children: Hashes, result: Hashes) -> None:
    nodes = result[: len(children)]
    extensions_or_error().pieces(children.ctypes.data, 2 * HASH_BYTES, len(children), 1, nodes.ctypes.data)
    first, last = (b"\1" + children[index].tobytes() for index in (0, -1))
    check_sample(first, last, _ends(nodes), LIBRARY)


def _ends(result: Hashes) -> bytes:
    ends: bytes = result[0].tobytes() + result[-1].tobytes()
    return ends


def _together(data: npt.NDArray[np.uint8], offsets: Offsets, result: Hashes) -> None:
    lengths = np.diff(offsets)
    mean, longest = len(data) / len(lengths), int(lengths.max())
    if longest < _LONE_BYTES:
        return _lanes(data, offsets, result)
    uneven = mean >= _UNEVEN_MEAN_BYTES and 2 * longest > 3 * mean
    few = len(lengths) <= 4 or (uneven and mean >= _FEW_MEAN_BYTES)
    lone = lengths > (-1 if few else max(_LONE_BYTES, 4 * mean))
    if not uneven and int(lengths[lone].sum()) * 16 < len(data):
        return _lanes(data, offsets, result)
    for index in np.flatnonzero(lone).tolist():
        digest = sha256(data[offsets[index] : offsets[index + 1]].data).digest()
        result[index] = np.frombuffer(digest, np.uint8)
    others = np.flatnonzero(~lone)
    if len(others):
        order = others[np.argsort(lengths[others], kind="stable")]
        result[order] = _lanes_in_order(data, offsets, order)
    return None


def _lanes_in_order(data: npt.NDArray[np.uint8], offsets: Offsets, order: npt.NDArray[np.int64]) -> Hashes:
    taken = _messages(data, offsets).take(pa.array(order))
    _, ends, values = taken.buffers()
    result: Hashes = np.empty((len(order), HASH_BYTES), np.uint8)
    places = np.frombuffer(ends, np.int64, count=len(order) + 1, offset=8 * taken.offset)
    _lanes(np.frombuffer(values, np.uint8)[places[0] : places[-1]], places - places[0], result)
    return result


def _messages(data: npt.NDArray[np.uint8], offsets: Offsets) -> pa.LargeBinaryArray:
    """A fresh array without nulls, at offset 0, its offsets from 0 on: the only kind that lanes may be given."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers, null_count=0)


def _lanes(data: npt.NDArray[np.uint8], offsets: Offsets, result: Hashes) -> None:
    count = len(result)
    stringzilla.Sha256s(count).update(stringzilla.Strs(_messages(data, offsets))).digest(out=result)
    first, last = (data[offsets[index] : offsets[index + 1]].tobytes() for index in (0, count - 1))
    check_sample(first, last, _ends(result), f"stringzilla {stringzilla.__version__}")
