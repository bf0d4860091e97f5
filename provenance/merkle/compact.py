"""A run of leaves that keeps only the roots of its perfect subtrees: O(log n) hashes for any number of leaves.

Invariants: the nodes cover leaves [begin, end) without gap, each the largest perfect subtree that fits at its place;
appending never hashes a leaf again; ranges that meet merge into the range of both, whoever made them.

Source: the compact ranges of Certificate Transparency's tree builders; for `begin` 0 the nodes are the right edge.
"""

from __future__ import annotations

from collections.abc import Iterable

from provenance.errors import MalformedError
from provenance.limits import MAX_UINT64
from provenance.merkle.hashing import EMPTY_ROOT, HASH_BYTES, node_hash


class CompactRange:
    """Leaves from `begin` on; nothing is appended yet."""

    __slots__ = ("_begin", "_end", "_nodes")

    def __init__(self, begin: int = 0) -> None:
        if not 0 <= begin <= MAX_UINT64:
            raise MalformedError("range begins at no leaf", expected=f"0 to {MAX_UINT64}", got=begin)
        self._begin = self._end = begin
        self._nodes: list[tuple[int, bytes]] = []  # level, hash; from left to right

    @property
    def begin(self) -> int:
        """The first leaf's index."""
        return self._begin

    @property
    def size(self) -> int:
        """The end of the range: for one that begins at 0, the leaves appended."""
        return self._end

    @property
    def nodes(self) -> tuple[tuple[int, bytes], ...]:
        """Level and hash of each perfect subtree, from left to right."""
        return tuple(self._nodes)

    def append(self, leaf: bytes) -> None:
        """Append a leaf hash, 32 bytes."""
        self.append_subtree(0, leaf)

    def append_subtree(self, level: int, root: bytes) -> None:
        """Append a perfect subtree of 2^level leaves, which must begin at a multiple of that."""
        if not 0 <= level < 64 or self._end + (1 << level) > MAX_UINT64:
            raise MalformedError(
                "range ends after the last leaf", expected=f"at most {MAX_UINT64}", got=f"level {level}"
            )
        if len(root) != HASH_BYTES:
            raise MalformedError("not a hash", expected=f"{HASH_BYTES} bytes", got=f"{len(root)} bytes")
        if self._end & ((1 << level) - 1):
            raise MalformedError(
                "subtree is not aligned", expected=f"a multiple of {1 << level}", got=f"leaf {self._end}"
            )
        start = self._end
        self._end += 1 << level
        # A left sibling is at an even index of its level, and lies within the range.
        while self._nodes and self._nodes[-1][0] == level and (start >> level) & 1:
            root = node_hash(self._nodes.pop()[1], root)
            start -= 1 << level
            level += 1
        self._nodes.append((level, root))

    def merge(self, following: CompactRange) -> None:
        """Append a range that begins where this one ends."""
        if following.begin != self._end:
            raise MalformedError("ranges do not meet", expected=f"leaf {self._end}", got=f"leaf {following.begin}")
        for level, root in following.nodes:
            self.append_subtree(level, root)

    @classmethod
    def of(cls, begin: int, nodes: Iterable[tuple[int, bytes]]) -> CompactRange:
        """The range that a worker sent as its `begin` and `nodes`. `MalformedError` for what no range has."""
        found = cls(begin)
        given = []
        for level, root in nodes:
            found.append_subtree(level, root)
            given.append((level, root))
        if list(found.nodes) != given:
            raise MalformedError("range is not compact", expected=f"{len(found.nodes)} nodes", got=f"{len(given)}")
        return found

    def root(self) -> bytes:
        """The RFC 9162 root over all leaves; `EMPTY_ROOT` before the first. Only a range from 0 on has one."""
        if self._begin:
            raise MalformedError("range has no root", expected="one from leaf 0 on", got=f"leaf {self._begin}")
        if not self._nodes:
            return EMPTY_ROOT
        value = self._nodes[-1][1]
        for _, left in reversed(self._nodes[:-1]):
            value = node_hash(left, value)
        return value
