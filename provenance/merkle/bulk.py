"""Many hashes at a time: leaves and inner nodes of RFC 9162 trees over arrays of hashes.

Invariants: the result is that of hashlib, whichever tier does the work; of every call that the lanes do, two digests
are hashed again with hashlib, and a difference is an error. Arrays of hashes have shape (n, 32) and type uint8.

The lanes are stringzilla's `Sha256s`: 16 messages at a time with AVX-512, 8 with AVX2. Its view of an Arrow array
ignores the array's offset and turns null into empty, so it is given fresh arrays at offset 0 without nulls, and nothing
else.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import stringzilla

from provenance.errors import VerificationError
from provenance.merkle.hashing import EMPTY_ROOT, HASH_BYTES
from provenance.merkle.tier import HashTier

__all__ = ["HashTier", "Hashes", "hash_parents", "hash_slices", "root_of_array", "subtree_levels"]

Hashes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

_BATCH: Final = 8_192
"""Messages a call: their digests and state stay in a core's cache."""
_NODE_BYTES: Final = 1 + 2 * HASH_BYTES
_NODE_OFFSETS: Final[Offsets] = np.arange(_BATCH + 1, dtype=np.int64) * _NODE_BYTES


def hash_slices(data: npt.NDArray[np.uint8], offsets: Offsets, *, tier: HashTier) -> Hashes:
    """SHA-256 of `data[offsets[i]:offsets[i + 1]]` for every i, shape (n, 32). A leaf's prefix is the caller's."""
    count = len(offsets) - 1
    result: Hashes = np.empty((count, HASH_BYTES), np.uint8)
    if tier is HashTier.HASHLIB:
        view = np.ascontiguousarray(data).data
        ends = offsets.tolist()
        digests = b"".join(sha256(view[ends[i] : ends[i + 1]]).digest() for i in range(count))
        result.reshape(-1)[:] = np.frombuffer(digests, np.uint8)
        return result
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        first, last = int(offsets[start]), int(offsets[stop])
        _lanes(data[first:last], offsets[start : stop + 1] - first, result[start:stop])
    return result


def hash_parents(level: Hashes, *, tier: HashTier) -> Hashes:
    """The level above: one node for each pair, shape (ceil(n / 2), 32); an odd last hash is taken up as it is."""
    pairs = len(level) // 2
    result: Hashes = np.empty((pairs + len(level) % 2, HASH_BYTES), np.uint8)
    if len(level) % 2:
        result[pairs] = level[-1]
    if tier is HashTier.HASHLIB:
        data = level[: 2 * pairs].tobytes()
        nodes = b"".join(sha256(b"\x01" + data[i : i + 64]).digest() for i in range(0, len(data), 64))
        result[:pairs].reshape(-1)[:] = np.frombuffer(nodes, np.uint8)
        return result
    children = level[: 2 * pairs].reshape(pairs, 2 * HASH_BYTES)
    node = np.empty((min(_BATCH, pairs), _NODE_BYTES), np.uint8)
    node[:, 0] = 1
    for start in range(0, pairs, _BATCH):
        count = min(_BATCH, pairs - start)
        node[:count, 1:] = children[start : start + count]
        _lanes(node.reshape(-1)[: count * _NODE_BYTES], _NODE_OFFSETS[: count + 1], result[start : start + count])
    return result


def subtree_levels(leaves: Hashes, *, tier: HashTier) -> list[Hashes]:
    """Every level of the perfect subtrees over leaf hashes, the leaves first: level l has `len(leaves) >> l` nodes."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append(hash_parents(below[: len(below) // 2 * 2], tier=tier))
    return levels


def root_of_array(leaves: Hashes, *, tier: HashTier) -> bytes:
    """The RFC 9162 root over leaf hashes in order; `EMPTY_ROOT` for none."""
    if not len(leaves):
        return EMPTY_ROOT
    while len(leaves) > 1:
        leaves = hash_parents(leaves, tier=tier)
    root: bytes = leaves[0].tobytes()
    return root


def _lanes(data: npt.NDArray[np.uint8], offsets: Offsets, result: Hashes) -> None:
    count = len(result)
    # Fresh, without nulls, at offset 0, its offsets from 0 on.
    messages = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(data)], null_count=0
    )
    stringzilla.Sha256s(count).update(stringzilla.Strs(messages)).digest(out=result)
    for index in {0, count - 1}:
        expected = sha256(data[offsets[index] : offsets[index + 1]].data).digest()
        if expected != result[index].tobytes():
            raise VerificationError(
                "hashing in lanes disagrees with hashlib",
                expected=expected.hex(),
                got=result[index].tobytes().hex(),
                where=f"stringzilla {stringzilla.__version__}",
                hint="set PROVENANCE_HASH_TIER=hashlib and report this processor",
            )
