"""Hashes of many byte strings and the roots over them, for whoever has no arrays: loads neither numpy nor pyarrow.

Invariants: as `provenance.merkle.bulk`, whose counterpart for lists this is: hashlib's results, two of every call
checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from provenance.errors import VerificationError
from provenance.merkle.hashing import EMPTY_ROOT, HASH_BYTES
from provenance.merkle.tier import HashTier

_BATCH: Final = 4_096
_FEW: Final = 64
"""Below this many, lanes gain nothing over hashlib."""


def hash_messages(messages: Sequence[bytes | memoryview], *, tier: HashTier) -> bytes:
    """The SHA-256 of each message, one after another: 32 bytes a message."""
    if tier is HashTier.HASHLIB or len(messages) < _FEW:
        return b"".join([sha256(message).digest() for message in messages])
    import stringzilla

    parts = []
    for start in range(0, len(messages), _BATCH):
        batch = messages[start : start + _BATCH]
        result = bytearray(HASH_BYTES * len(batch))
        stringzilla.Sha256s(len(batch)).update(batch).digest(out=result)
        for index in (0, len(batch) - 1):
            expected = sha256(batch[index]).digest()
            if result[HASH_BYTES * index : HASH_BYTES * (index + 1)] != expected:
                where = f"stringzilla {stringzilla.__version__}"
                hint = "set PROVENANCE_HASH_TIER=hashlib and report this processor"
                raise VerificationError("hashing in lanes disagrees with hashlib", where=where, hint=hint)
        parts.append(bytes(result))
    return b"".join(parts)


def root_of_hashes(leaves: bytes, *, tier: HashTier) -> bytes:
    """The RFC 9162 root over leaf hashes, 32 bytes each, one after another; `EMPTY_ROOT` for none."""
    if not leaves:
        return EMPTY_ROOT
    pair = 2 * HASH_BYTES
    while len(leaves) > HASH_BYTES:
        whole = len(leaves) // pair * pair
        nodes = [b"\x01" + leaves[start : start + pair] for start in range(0, whole, pair)]
        leaves = hash_messages(nodes, tier=tier) + leaves[whole:]
    return leaves
