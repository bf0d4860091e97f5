"""Inclusion of a run of leaves: one proof for many neighbours.

Invariants: `0 <= begin < end <= size`; the proof holds, from left to right, the hash of every largest subtree that lies
outside the run, and nothing else; verification recomputes the root from the leaves alone and uses every hash once.

Source: the tree is RFC 9162 2.1's; the proof for one leaf holds the hashes of 2.1.3, in another order.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence

from provenance.errors import MalformedError, VerificationError
from provenance.limits import MAX_UINT64
from provenance.merkle.hashing import HASH_BYTES, node_hash
from provenance.merkle.proof import ReadHash, subtree_hash

_MAX_HASHES = 128


def prove_range(begin: int, end: int, size: int, read: ReadHash) -> list[bytes]:
    """The hashes outside leaves [begin, end) of the tree of `size`, left to right: at most about 2 log2(size)."""
    check_range(begin, end, size)
    proof: list[bytes] = []
    pending = [(0, size)]
    while pending:
        low, high = pending.pop()
        if high <= begin or end <= low:
            proof.append(subtree_hash(low, high, read))
        elif not (begin <= low and high <= end):
            split = low + _largest_power_below(high - low)
            pending += [(split, high), (low, split)]
    return proof


def verify_range(leaves: Sequence[bytes], begin: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if the leaf hashes are those at `begin` and after in the tree of `size` with `root`."""
    end = begin + len(leaves)
    check_range(begin, end, size)
    for value in (*leaves, *proof, root):
        if len(value) != HASH_BYTES:
            raise MalformedError("not a hash", expected=f"{HASH_BYTES} bytes", got=f"{len(value)} bytes")
    if len(proof) > _MAX_HASHES:
        raise MalformedError("proof is too long", expected=f"at most {_MAX_HASHES} hashes", got=f"{len(proof)} hashes")
    outside = iter(proof)
    found = _root(0, size, begin, end, leaves, outside)
    if next(outside, None) is not None:
        raise MalformedError("range proof is too long", got=f"{len(proof)} hashes")
    if not hmac.compare_digest(found, root):
        raise VerificationError("range proof does not lead to the root", expected=root.hex(), got=found.hex())


def check_range(begin: int, end: int, size: int) -> None:
    """Raise `MalformedError` unless `0 <= begin < end <= size` in 64 bits."""
    if not 0 <= begin < end <= size <= MAX_UINT64:
        raise MalformedError("range is not in the tree", expected=f"within 0 to {size}", got=f"{begin} to {end}")


def _root(low: int, high: int, begin: int, end: int, leaves: Sequence[bytes], outside: Iterator[bytes]) -> bytes:
    if high <= begin or end <= low:
        value = next(outside, None)
        if value is None:
            raise MalformedError("range proof is too short", expected=f"a hash for leaves {low} to {high}")
        return value
    if high - low == 1:
        return leaves[low - begin]
    split = low + _largest_power_below(high - low)
    left = _root(low, split, begin, end, leaves, outside)
    return node_hash(left, _root(split, high, begin, end, leaves, outside))


def _largest_power_below(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)
