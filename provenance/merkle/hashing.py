"""RFC 9162 section 2.1.1 hashing.

Invariants: every hash is 32 bytes; a leaf and a node can never have the same preimage (0x00 and 0x01 prefixes).

Bytes: leaf = SHA-256(0x00 || data); node = SHA-256(0x01 || left || right); empty tree = SHA-256("").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from provenance.merkle.tier import HashTier

HASH_BYTES: Final = 32
_LONG_BYTES: Final = 4_096
"""For a message of this length the others in lanes would wait."""
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf, 32 bytes."""
    return sha256(b"\x00" + data).digest()


def leaf_hashes(messages: Sequence[bytes], *, tier: HashTier = HashTier.HASHLIB) -> bytes:
    """The hashes of leaves, concatenated, 32 bytes each."""
    if tier is HashTier.HASHLIB or (tier is HashTier.LANES and max(map(len, messages), default=0) > _LONG_BYTES):
        return b"".join([sha256(b"\x00" + message).digest() for message in messages])
    from provenance.merkle.lists import hash_messages

    return hash_messages([b"\x00" + message for message in messages], tier=tier)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, 32 bytes."""
    return sha256(b"\x01" + left + right).digest()


def fold_pairs(hashes: bytes, *, tier: HashTier = HashTier.HASHLIB) -> bytes:
    """Concatenated hashes, each pair replaced by its node; an odd last hash is left out."""
    pair = 2 * HASH_BYTES  # in place of a call and two slices a node: it is much of what an append computes
    if tier is not HashTier.HASHLIB:
        from provenance.merkle.lists import hash_pairs

        return hash_pairs(hashes, tier=tier)
    return b"".join([sha256(b"\x01" + hashes[at - pair : at]).digest() for at in range(pair, len(hashes) + 1, pair)])


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes in order; `EMPTY_ROOT` for none. O(n) time and memory."""
    level = list(leaf_hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        pairs = iter(level)
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)] + odd
    return level[0]
