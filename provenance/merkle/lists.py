"""Hashes of many byte strings and the roots over them, for whoever has no arrays: loads neither numpy nor pyarrow.

Invariants: as `provenance.merkle.bulk`, whose counterpart for lists this is: hashlib's results, two of every call
checked.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate
from typing import Final

from provenance.errors import VerificationError
from provenance.merkle.compiled import LIBRARY, extensions_or_error
from provenance.merkle.hashing import EMPTY_ROOT, HASH_BYTES
from provenance.merkle.tier import HashTier

_BATCH: Final = 4_096
_FEW: Final = 64
"""Below this many, lanes gain nothing over hashlib."""


def hash_messages(messages: Sequence[bytes | memoryview], *, tier: HashTier) -> bytes:
    """The SHA-256 of each message, one after another: 32 bytes a message."""
    if tier is HashTier.HASHLIB or len(messages) < _FEW:
        return b"".join([sha256(message).digest() for message in messages])
    if tier is HashTier.EXTENSIONS:
        return by_extensions(messages)
    import stringzilla

    parts = []
    for start in range(0, len(messages), _BATCH):
        batch = messages[start : start + _BATCH]
        result = bytearray(HASH_BYTES * len(batch))
        stringzilla.Sha256s(len(batch)).update(batch).digest(out=result)
        check_sample(batch[0], batch[-1], result, f"stringzilla {stringzilla.__version__}")
        parts.append(bytes(result))
    return b"".join(parts)


def root_of_hashes(leaves: bytes, *, tier: HashTier) -> bytes:
    """The RFC 9162 root over leaf hashes, 32 bytes each, one after another; `EMPTY_ROOT` for none."""
    if not leaves:
        return EMPTY_ROOT
    pair = 2 * HASH_BYTES
    while len(leaves) > HASH_BYTES:
        whole = len(leaves) // pair * pair
        if tier is HashTier.EXTENSIONS:
            nodes = parents_by_extensions(leaves, whole // pair)
        else:
            nodes = hash_messages([b"\x01" + leaves[at : at + pair] for at in range(0, whole, pair)], tier=tier)
        leaves = nodes + leaves[whole:]
    return leaves


def check_sample(first: bytes | memoryview, last: bytes | memoryview, digests: bytes | bytearray, where: str) -> None:
    """Raise `VerificationError` unless hashlib gives the first and the last of many digests, too."""
    for message, found in ((first, digests[:HASH_BYTES]), (last, digests[-HASH_BYTES:])):
        expected = sha256(message).digest()
        if found != expected:
            hint = "set PROVENANCE_HASH_TIER=hashlib and report this processor"
            what = "hashing many messages at a time disagrees with hashlib"
            raise VerificationError(what, expected=expected.hex(), got=found.hex(), where=where, hint=hint)


def by_extensions(messages: Sequence[bytes | memoryview]) -> bytes:
    """As `hash_messages`, of one message or more, by the SHA extensions however few there are."""
    offsets = array("q", accumulate(map(len, messages), initial=0))
    place = array("B", bytes(HASH_BYTES * len(messages)))
    extensions_or_error().slices(b"".join(messages), offsets.buffer_info()[0], len(messages), place.buffer_info()[0])
    found = place.tobytes()
    check_sample(messages[0], messages[-1], found, LIBRARY)
    return found


def parents_by_extensions(leaves: bytes, count: int) -> bytes:
    """The nodes over so many pairs of hashes, one or more, one after another."""
    place = array("B", bytes(HASH_BYTES * count))
    pair = 2 * HASH_BYTES
    extensions_or_error().pieces(leaves, pair, count, 1, place.buffer_info()[0])
    found = place.tobytes()
    check_sample(b"\1" + leaves[:pair], b"\1" + leaves[pair * (count - 1) : pair * count], found, LIBRARY)
    return found
