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
from provenance.merkle.compiled import LIBRARY, address_of, extensions_or_error
from provenance.merkle.hashing import EMPTY_ROOT, HASH_BYTES
from provenance.merkle.tier import HashTier

_BATCH: Final = 4_096
_FEW: Final = {HashTier.HASHLIB: 0, HashTier.LANES: 64, HashTier.EXTENSIONS: 16}
"""Below so many, a tier gains nothing over hashlib."""


def hash_messages(messages: Sequence[bytes | memoryview], *, tier: HashTier, run: memoryview | None = None) -> bytes:
    """The SHA-256 of each message, one after another: 32 bytes a message. `run`: writable memory in which the messages
    lie one after another, if they do; it saves a copy."""
    if tier is HashTier.HASHLIB or len(messages) < _FEW[tier]:
        return b"".join([sha256(message).digest() for message in messages])
    if tier is HashTier.EXTENSIONS:
        return _by_extensions(messages, b"".join(messages) if run is None else address_of(run))
    import stringzilla

    parts = []
    for start in range(0, len(messages), _BATCH):
        batch = messages[start : start + _BATCH]
        result = bytearray(HASH_BYTES * len(batch))
        stringzilla.Sha256s(len(batch)).update(batch).digest(out=result)
        check_sample(batch[0], batch[-1], result, f"stringzilla {stringzilla.__version__}")
        parts.append(bytes(result))
    return b"".join(parts)


def hash_pairs(hashes: bytes, *, tier: HashTier) -> bytes:
    """Concatenated hashes, each pair replaced by its RFC 9162 node; an odd last hash is left out."""
    pair = 2 * HASH_BYTES
    count = len(hashes) // pair
    if tier is not HashTier.EXTENSIONS or count < _FEW[tier]:
        return hash_messages([b"\1" + hashes[at - pair : at] for at in range(pair, len(hashes) + 1, pair)], tier=tier)
    place = array("B", bytes(HASH_BYTES * count))
    extensions_or_error().pieces(hashes, pair, count, 1, place.buffer_info()[0])
    found = place.tobytes()
    check_sample(b"\1" + hashes[:pair], b"\1" + hashes[pair * (count - 1) : pair * count], found, LIBRARY)
    return found


def root_of_hashes(leaves: bytes, *, tier: HashTier) -> bytes:
    """The RFC 9162 root over leaf hashes, 32 bytes each, one after another; `EMPTY_ROOT` for none."""
    if not leaves:
        return EMPTY_ROOT
    while len(leaves) > HASH_BYTES:
        odd = leaves[-HASH_BYTES:] if len(leaves) // HASH_BYTES % 2 else b""
        leaves = hash_pairs(leaves, tier=tier) + odd
    return leaves


def check_sample(first: bytes | memoryview, last: bytes | memoryview, digests: bytes | bytearray, where: str) -> None:
    """Raise `VerificationError` unless hashlib gives the first and the last of many digests, too."""
    for message, found in ((first, digests[:HASH_BYTES]), (last, digests[-HASH_BYTES:])):
        expected = sha256(message).digest()
        if found != expected:
            hint = "set PROVENANCE_HASH_TIER=hashlib and report this processor"
            what = "hashing many messages at a time disagrees with hashlib"
            raise VerificationError(what, expected=expected.hex(), got=found.hex(), where=where, hint=hint)


def _by_extensions(messages: Sequence[bytes | memoryview], data: bytes | int) -> bytes:
    offsets = array("q", accumulate(map(len, messages), initial=0))
    place = array("B", bytes(HASH_BYTES * len(messages)))
    extensions_or_error().slices(data, offsets.buffer_info()[0], len(messages), place.buffer_info()[0])
    found = place.tobytes()
    check_sample(messages[0], messages[-1], found, LIBRARY)
    return found
