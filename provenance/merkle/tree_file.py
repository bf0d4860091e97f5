"""A stored tree: one file that answers a proof with a few reads. Its layout; reading and writing are a store's.

Invariants: numbers are little-endian; the header's checksum covers all of it; level arrays lie one after another
behind it, lowest first, each hash 32 bytes; level l holds the roots of the perfect subtrees of 2^l leaves, `size >> l`
of them. Levels 1 and 2 are not stored: they are hashed again from at most eight leaves. A companion array may follow:
for a sorted tree the number of the first row with each leaf.

Bytes of the header, 2,048 of them:

    0     8   "PLTREE" 0x00 0x01
    8     8   size: leaves
    16    32  root
    48    1   number of stored levels; 49 width of the companion's numbers, 0, 4 or 8 bytes; 50 to 55 zero
    56    8   where the companion begins, 0 without one
    64    16  a stored level: level (8), where it begins (8); up to 64 of them, zero behind the last
    1088  32  SHA-256 of the companion's bytes, zero without one
    2016  32  SHA-256 of bytes 0 to 2,015
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from provenance.errors import MalformedError
from provenance.limits import MAX_UINT64
from provenance.merkle.hashing import HASH_BYTES

MAGIC: Final = b"PLTREE\x00\x01"
HEADER_BYTES: Final = 2_048
MAX_LEAVES: Final = MAX_UINT64 >> 8
NO_COMPANION: Final = bytes(HASH_BYTES)
_COMPANION_SUM_AT: Final = 1_088
_SUM_AT: Final = HEADER_BYTES - HASH_BYTES
_FIRST: Final = struct.Struct("<8sQ32sBB6xQ")
_LEVEL: Final = struct.Struct("<QQ")
_SKIPPED: Final = (1, 2)


@dataclass(frozen=True, slots=True)
class TreeLayout:
    """Where everything in a tree's file is. `companion_bytes` is the width of a row number: 0 (none), 4 or 8."""

    size: int
    root: bytes
    companion_bytes: int = 0
    companion_sum: bytes = NO_COMPANION

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_LEAVES:
            raise MalformedError("tree is too large", expected="less than 2^56 leaves", got=self.size)
        if self.companion_bytes not in (0, 4, 8):
            raise MalformedError("row numbers have another width", expected="0, 4 or 8", got=self.companion_bytes)
        for value in (self.root, self.companion_sum):
            if len(value) != HASH_BYTES:
                raise MalformedError("not a hash", expected=f"{HASH_BYTES} bytes", got=f"{len(value)} bytes")
        if not self.companion_bytes and self.companion_sum != NO_COMPANION:
            raise MalformedError("checksum of nothing", expected="zero without row numbers")

    @property
    def levels(self) -> tuple[int, ...]:
        """The stored levels, lowest first."""
        return tuple(level for level in range(max(self.size.bit_length(), 1)) if level not in _SKIPPED)

    @property
    def offsets(self) -> dict[int, int]:
        """Where each stored level begins, in bytes."""
        found, offset = {}, HEADER_BYTES
        for level in self.levels:
            found[level] = offset
            offset += HASH_BYTES * self.count(level)
        return found

    @property
    def companion_offset(self) -> int:
        """Where the companion begins, in bytes; where the file ends without one."""
        return HEADER_BYTES + HASH_BYTES * sum(map(self.count, self.levels))

    @property
    def file_bytes(self) -> int:
        """The file's length."""
        return self.companion_offset + self.companion_bytes * self.size

    def count(self, level: int) -> int:
        """Hashes of a level."""
        return self.size >> level


def encode_header(layout: TreeLayout) -> bytes:
    """The header's bytes."""
    companion = layout.companion_offset if layout.companion_bytes else 0
    first = _FIRST.pack(MAGIC, layout.size, layout.root, len(layout.levels), layout.companion_bytes, companion)
    levels = b"".join(_LEVEL.pack(level, offset) for level, offset in layout.offsets.items())
    covered = ((first + levels).ljust(_COMPANION_SUM_AT, b"\0") + layout.companion_sum).ljust(_SUM_AT, b"\0")
    return covered + sha256(covered).digest()


def parse_header(data: bytes) -> TreeLayout:
    """The layout that a header states; `MalformedError` for any header that would not be written today."""
    if len(data) != HEADER_BYTES or not data.startswith(MAGIC):
        raise MalformedError("not a stored tree", expected=f"{HEADER_BYTES} bytes from {MAGIC!r} on", got=data[:8])
    if sha256(data[:_SUM_AT]).digest() != data[_SUM_AT:]:
        raise MalformedError("stored tree's header is damaged", expected="its checksum")
    _, size, root, _, companion_bytes, _ = _FIRST.unpack_from(data)
    companion_sum = data[_COMPANION_SUM_AT : _COMPANION_SUM_AT + HASH_BYTES]
    layout = TreeLayout(size, root, companion_bytes, companion_sum)
    if encode_header(layout) != data:
        raise MalformedError("stored tree has another layout", expected="the one of this version")
    return layout
