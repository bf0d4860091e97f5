"""A Merkle tree that keeps only its right edge: 32 bytes for every set bit of its size.

Invariants: `_edge[i]` is the root of a perfect subtree, sizes strictly falling; appending never rehashes a leaf.
"""

from __future__ import annotations

from provenance.merkle.hashing import EMPTY_ROOT, node_hash


class CompactRange:
    """The tree over everything appended so far, in O(log n) memory."""

    __slots__ = ("_edge", "_size")

    def __init__(self) -> None:
        self._edge: list[bytes] = []
        self._size = 0

    @property
    def size(self) -> int:
        """Leaves appended."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Append a leaf hash, 32 bytes."""
        carry, position = leaf, self._size
        while position & 1:
            carry = node_hash(self._edge.pop(), carry)
            position >>= 1
        self._edge.append(carry)
        self._size += 1

    def root(self) -> bytes:
        """The RFC 9162 root; `EMPTY_ROOT` before the first append."""
        if not self._edge:
            return EMPTY_ROOT
        value = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            value = node_hash(left, value)
        return value
