"""Trees as RFC 9162 2.1.1 defines them, word for word, and what tests do with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from provenance.merkle import ReadHash, leaf_hash

LEAVES = [leaf_hash(str(i).encode()) for i in range(300)]


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162 2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def reader(leaves: Sequence[bytes]) -> ReadHash:
    """Reads the perfect subtrees over `leaves`; an AssertionError for one that is not there."""
    cache: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        assert 0 <= index < len(leaves) >> level
        key = level, index
        if key not in cache:
            cache[key] = (
                leaves[index]
                if level == 0
                else sha256(b"\x01" + read(level - 1, 2 * index) + read(level - 1, 2 * index + 1)).digest()
            )
        return cache[key]

    return read


def mutations(hashes: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The hashes with every byte changed, one at a time; with each left out, doubled and cut; and with one more."""
    for number, value in enumerate(hashes):
        for place in range(len(value)):
            changed = bytearray(value)
            changed[place] ^= 1 << place % 8
            yield [*hashes[:number], bytes(changed), *hashes[number + 1 :]]
        yield [*hashes[:number], *hashes[number + 1 :]]
        yield [*hashes[:number], value, value, *hashes[number + 1 :]]
        yield [*hashes[:number], value[:-1], *hashes[number + 1 :]]
    yield [*hashes, bytes(32)]
    yield [bytes(32), *hashes]
