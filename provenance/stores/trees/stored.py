"""A stored tree, read by memory map. Needs no numpy: one proof is a few slices.

Guarantees: the file is as long as its header says; the stored right edge leads to the stated root when it is opened;
every proof is checked against the root before it is given out, so that a damaged node is an error and never a proof.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from provenance.errors import MalformedError, StoreError, VerificationError
from provenance.merkle import EMPTY_ROOT, node_hash, prove_inclusion, subtree_hash, verify_inclusion
from provenance.merkle.absence import AbsenceProof, KeyOf, find_leaf, plain_key, prove_absence, verify_absence
from provenance.merkle.hashing import HASH_BYTES
from provenance.merkle.span import prove_range, verify_range
from provenance.merkle.tree_file import HEADER_BYTES, parse_header

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FIND_LEAVES = 1 << 20


class StoredTree:
    """One tree's file. Close it, or use it as a context manager. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                header = file.read(HEADER_BYTES)
                self._layout = parse_header(header)
                found = os.fstat(file.fileno()).st_size
                if found != self._layout.file_bytes:
                    expected = f"{self._layout.file_bytes} bytes"
                    raise StoreError("stored tree is cut short", expected=expected, got=f"{found} bytes", where=path)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise StoreError("stored tree cannot be read", got=os.strerror(error.errno or 0), where=path) from error
        except MalformedError as error:
            raise StoreError(error.what, expected=error.expected, got=error.got, where=path) from error
        self._offsets = {level: self._layout.offset(level) for level in self._layout.levels}
        self._check_edge()

    @property
    def size(self) -> int:
        """Leaves."""
        return self._layout.size

    @property
    def root(self) -> bytes:
        """The RFC 9162 root, 32 bytes."""
        return self._layout.root

    def read(self, level: int, index: int) -> bytes:
        """The hash of the perfect subtree over leaves [index << level, (index + 1) << level)."""
        if not 0 <= index < self.size >> level:
            raise MalformedError("no such subtree", expected=f"0 to {(self.size >> level) - 1}", got=index)
        offset = self._offsets.get(level)
        if offset is not None:
            start = offset + HASH_BYTES * index
            return self._map[start : start + HASH_BYTES]
        return node_hash(self.read(level - 1, 2 * index), self.read(level - 1, 2 * index + 1))

    def prove(self, index: int) -> list[bytes]:
        """The RFC 9162 inclusion proof of a leaf."""
        proof = prove_inclusion(index, self.size, self.read)
        self._checked(lambda: verify_inclusion(self.read(0, index), index, self.size, proof, self.root))
        return proof

    def prove_range(self, begin: int, end: int) -> list[bytes]:
        """The proof of leaves [begin, end)."""
        proof = prove_range(begin, end, self.size, self.read)
        leaves = [self.read(0, index) for index in range(begin, end)]
        self._checked(lambda: verify_range(leaves, begin, self.size, proof, self.root))
        return proof

    def find(self, leaf: bytes, key_of: KeyOf = plain_key) -> int | None:
        """Where a leaf is in a sorted tree; None if it is not there. O(log n) reads."""
        position, there = find_leaf(leaf, self.size, self.read, key_of)
        return position if there else None

    def prove_absence(self, leaf: bytes, key_of: KeyOf = plain_key) -> AbsenceProof:
        """That a sorted tree lacks a leaf; `VerificationError` if it is there."""
        absence = prove_absence(leaf, self.size, self.read, key_of)
        self._checked(lambda: verify_absence(leaf, absence, self.size, self.root, key_of))
        return absence

    def companion(self, index: int) -> int:
        """The row number that belongs to a leaf of a sorted tree."""
        width = self._layout.companion_bytes
        if not width or not 0 <= index < self.size:
            raise MalformedError("no such row number", expected=f"a leaf from 0 to {self.size - 1}", got=index)
        start = self._layout.companion_offset + width * index
        return int.from_bytes(self._map[start : start + width], "little")

    def leaves(self, begin: int = 0, end: int | None = None) -> npt.NDArray[np.uint8]:
        """Leaf hashes [begin, end), shape (n, 32): a copy."""
        import numpy as np

        end = self.size if end is None else end
        if not 0 <= begin <= end <= self.size:
            raise MalformedError("no such leaves", expected=f"within 0 to {self.size}", got=f"{begin} to {end}")
        start = self._offsets[0] + HASH_BYTES * begin
        data = self._map[start : start + HASH_BYTES * (end - begin)]
        return np.frombuffer(data, np.uint8).reshape(end - begin, HASH_BYTES)

    def companions(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The row numbers of leaves of a sorted tree; -1 stays -1."""
        import numpy as np

        width = self._layout.companion_bytes
        if not width:
            raise MalformedError("tree has no row numbers", expected="a sorted tree")
        view = np.frombuffer(self._map, f"<u{width}", count=self.size, offset=self._layout.companion_offset)
        rows = np.full(len(positions), -1, np.int64)
        there = positions >= 0
        rows[there] = view[positions[there]]
        return rows

    def find_many(self, leaves: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Where each of the leaf hashes, shape (k, 32), is in a sorted tree; -1 for those that are not there."""
        import numpy as np

        order = np.argsort(_prefix(leaves))
        wanted = np.ascontiguousarray(leaves[order])
        keys = _prefix(wanted)
        found = np.full(len(leaves), -1, np.int64)
        start = 0
        for begin in range(0, self.size, _FIND_LEAVES):
            block = self.leaves(begin, min(begin + _FIND_LEAVES, self.size))
            prefixes = _prefix(block)
            stop = int(np.searchsorted(keys, prefixes[-1], side="right"))
            # Some with the last prefix may stand in the next block: they are looked for in both.
            places = np.searchsorted(prefixes, keys[start:stop], side="left")
            self._match(block, places, wanted[start:stop], found, order[start:stop], begin)
            start = int(np.searchsorted(keys, prefixes[-1], side="left"))
        return found

    @staticmethod
    def _match(block: Any, places: Any, wanted: Any, found: Any, order: Any, begin: int) -> None:
        import numpy as np

        for step in range(len(block)):  # one step, but for leaves that share their first eight bytes
            at = places + step
            inside = at < len(block)
            rows = np.flatnonzero(inside)
            same = (block[at[rows]] == wanted[rows]).all(axis=1)
            hits = rows[same]
            found[order[hits]] = begin + at[hits]
            more = rows[~same]
            more = more[_prefix(block[at[more]]) == _prefix(wanted[more])] if len(more) else more
            if not len(more):
                return
            places, wanted, order = places[more], wanted[more], order[more]

    def check(self) -> None:
        """Derive every stored hash again from the leaves; `StoreError` names the first that is another."""
        from provenance.stores.trees.writing import check_tree

        check_tree(self)

    def close(self) -> None:
        """Let the file go."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_edge(self) -> None:
        found = subtree_hash(0, self.size, self.read) if self.size else EMPTY_ROOT
        if found != self.root:
            self._map.close()
            raise self._damaged(found)

    def _checked(self, check: Any) -> None:
        try:
            check()
        except VerificationError as error:
            raise self._damaged(None) from error

    def _damaged(self, found: bytes | None) -> StoreError:
        hint = "remove it and fingerprint the dataset again"
        got = found.hex() if found is not None else "a proof that leads elsewhere"
        return StoreError("stored tree is damaged", expected=self.root.hex(), got=got, where=self.path, hint=hint)


def open_tree(path: str | os.PathLike[str]) -> StoredTree:
    """The tree in a file. `StoreError` if it cannot be read, is cut short or damaged at its edge."""
    return StoredTree(Path(path))


def _prefix(leaves: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    import numpy as np

    return np.ascontiguousarray(leaves[:, :8]).view(">u8").ravel().astype(np.uint64)
