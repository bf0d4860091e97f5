"""What differs between two trees, leaf by leaf in the same place, read from the top down.

Invariants: every hash that is read is checked against the roots: two children must hash to the parent that is known
already; so whoever answers the reads can refuse, but not deceive. Subtrees with equal hashes are not entered: the work
is O(changes * log n). A leaf that was inserted moves all that come after it: those are differences too; which leaves
two trees share wherever they are is for their sorted trees to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from provenance.errors import MalformedError, VerificationError
from provenance.limits import MAX_UINT64
from provenance.merkle.hashing import EMPTY_ROOT, HASH_BYTES, node_hash
from provenance.merkle.proof import ReadHash


def diff_trees(
    read_old: ReadHash, old_size: int, old_root: bytes, read_new: ReadHash, new_size: int, new_root: bytes
) -> Iterator[tuple[int, int]]:
    """Runs [begin, end) of leaves that differ, ascending, as they are found.

    Only places that both trees have are compared: what the longer has more, from the shorter's size on, is its own.
    `VerificationError` for a hash that the roots do not lead to.
    """
    old, new = _CheckedTree(read_old, old_size, old_root), _CheckedTree(read_new, new_size, new_root)
    begin = end = 0
    for leaf in _different(old, new, min(old_size, new_size)):
        if leaf != end or begin == end:
            if begin != end:
                yield begin, end
            begin = leaf
        end = leaf + 1
    if begin != end:
        yield begin, end


class _CheckedTree:
    """A tree whose hashes are checked on the way down from its root."""

    def __init__(self, read: ReadHash, size: int, root: bytes) -> None:
        if not 0 <= size <= MAX_UINT64:
            raise MalformedError("size is out of range", expected=f"0 to {MAX_UINT64}", got=size)
        self._read, self._size = read, size
        self._peaks = [(level, index, self._hash(level, index)) for level, index in _perfect_subtrees(size)]
        found = self._peaks[-1][2] if self._peaks else EMPTY_ROOT
        for _, _, left in reversed(self._peaks[:-1]):
            found = node_hash(left, found)
        if found != root:
            raise VerificationError("right edge does not lead to the root", expected=root.hex(), got=found.hex())

    def children(self, level: int, index: int, value: bytes) -> tuple[bytes, bytes]:
        """The two hashes below the one at `level` and `index`, which is known to be `value`."""
        left, right = self._hash(level - 1, 2 * index), self._hash(level - 1, 2 * index + 1)
        found = node_hash(left, right)
        if found != value:
            where = f"level {level}, hash {index}"
            raise VerificationError(
                "children are not their parent's", expected=value.hex(), got=found.hex(), where=where
            )
        return left, right

    def node(self, level: int, index: int) -> bytes:
        """Any hash of the tree, by way of those above it."""
        for top, place, value in self._peaks:
            if top >= level and index >> (top - level) == place:
                while top > level:
                    pair = self.children(top, place, value)
                    top -= 1
                    place = index >> (top - level)
                    value = pair[place & 1]
                return value
        raise MalformedError("no such subtree", expected=f"one of {self._size} leaves", got=f"{level}, {index}")

    def _hash(self, level: int, index: int) -> bytes:
        value = self._read(level, index)
        if len(value) != HASH_BYTES:
            raise MalformedError("not a hash", expected=f"{HASH_BYTES} bytes", got=f"{len(value)} bytes")
        return value


def _different(old: _CheckedTree, new: _CheckedTree, size: int) -> Iterator[int]:
    for top, place in _perfect_subtrees(size):
        pending = [(top, place, old.node(top, place), new.node(top, place))]
        while pending:
            level, index, before, after = pending.pop()
            if before == after:
                continue
            if level == 0:
                yield index
                continue
            pairs = old.children(level, index, before), new.children(level, index, after)
            pending += [(level - 1, 2 * index + side, pairs[0][side], pairs[1][side]) for side in (1, 0)]


def _perfect_subtrees(size: int) -> Iterator[tuple[int, int]]:
    """Level and index of the largest perfect subtrees that make up `size` leaves, from left to right."""
    begin = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            yield level, begin >> level
            begin += 1 << level
