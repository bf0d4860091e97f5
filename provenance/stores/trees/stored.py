"""A stored tree, read from its file. Needs no numpy for a proof, which is a few reads.

Guarantees: the file is as long as its header says; the stored right edge leads to the stated root when it is opened;
every proof is checked against the root before it is given out, so that a damaged node is an error and never a proof.
Reads go by the file's descriptor and not through a memory map, where a file that is cut or a disk that fails ends the
process: here each is a `StoreError`.
"""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from provenance.errors import MalformedError, StoreError, VerificationError
from provenance.merkle import EMPTY_ROOT, node_hash, prove_inclusion, subtree_hash, verify_inclusion
from provenance.merkle.absence import AbsenceProof, KeyOf, find_leaf, plain_key, prove_absence, verify_absence
from provenance.merkle.hashing import HASH_BYTES
from provenance.merkle.span import prove_range, verify_range
from provenance.merkle.tier import HashTier
from provenance.merkle.tree_file import HEADER_BYTES, TreeLayout, parse_header

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_READ_BYTES: Final = 1 << 30
_HINT: Final = "remove it and fingerprint the dataset again"


class StoredTree:
    """One tree's file. Close it, or use it as a context manager. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._expected: str | None = None
        try:
            # A pipe of that name would be waited for.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise self._unreadable(error) from error
        self._close = weakref.finalize(self, os.close, self._descriptor)
        try:
            self._layout = self._read_layout()
            self._expected = self.root.hex()
            self._offsets = self._layout.offsets
            found = subtree_hash(0, self.size, self.read) if self.size else EMPTY_ROOT
            if found != self.root:
                raise self._damaged(found.hex())
        except BaseException:
            self.close()
            raise

    @property
    def layout(self) -> TreeLayout:
        """Where everything in the file is."""
        return self._layout

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
        if level < 0 or not 0 <= index < self.size >> level:
            raise MalformedError("no such subtree", expected=f"one of {self.size} leaves", got=f"{level}, {index}")
        offset = self._offsets.get(level)
        if offset is not None:
            return self.read_bytes(offset + HASH_BYTES * index, HASH_BYTES)
        data = self.read_bytes(self._offsets[0] + (HASH_BYTES * index << level), HASH_BYTES << level)
        hashes = [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]
        while len(hashes) > 1:
            pairs = iter(hashes)
            hashes = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=True)]
        return hashes[0]

    def read_bytes(self, offset: int, count: int) -> bytes:
        """Bytes of the file, exactly `count`."""
        if not self._close.alive:
            raise StoreError("stored tree is closed", where=self.path)
        parts: list[bytes] = []
        while count:
            try:
                part = os.pread(self._descriptor, min(count, _READ_BYTES), offset)
            except OSError as error:
                raise self._unreadable(error) from error
            if not part:
                raise self._damaged(f"a file that ends at byte {offset}")
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def prove(self, index: int) -> list[bytes]:
        """The RFC 9162 inclusion proof of a leaf."""
        proof = prove_inclusion(index, self.size, self.read)
        self._checked(lambda: verify_inclusion(self.read(0, index), index, self.size, proof, self.root))
        return proof

    def prove_range(self, begin: int, end: int) -> list[bytes]:
        """The proof of leaves [begin, end)."""
        proof = prove_range(begin, end, self.size, self.read)
        data = self.read_bytes(self._offsets[0] + HASH_BYTES * begin, HASH_BYTES * (end - begin))
        leaves = [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]
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
        return int.from_bytes(self.read_bytes(self._layout.companion_offset + width * index, width), "little")

    def leaves(self, begin: int = 0, end: int | None = None) -> npt.NDArray[np.uint8]:
        """Leaf hashes [begin, end), shape (n, 32), read-only."""
        return self.hashes(0, begin, self.size if end is None else end)

    def hashes(self, level: int, begin: int, end: int) -> npt.NDArray[np.uint8]:
        """Hashes [begin, end) of a stored level, shape (n, 32), read-only."""
        import numpy as np

        offset = self._offsets.get(level)
        if offset is None or not 0 <= begin <= end <= self.size >> level:
            raise MalformedError("no such hashes", expected="some of a stored level", got=f"{level}, {begin} to {end}")
        data = self.read_bytes(offset + HASH_BYTES * begin, HASH_BYTES * (end - begin))
        return np.frombuffer(data, np.uint8).reshape(end - begin, HASH_BYTES)

    def companions(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The row numbers of leaves of a sorted tree; -1 stays -1. `MalformedError` for any other that is no leaf."""
        from provenance.stores.trees.finding import read_companions

        return read_companions(self, positions)

    def find_many(self, leaves: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Where each of the leaf hashes, shape (k, 32), is in a sorted tree; -1 for those that are not there.

        As the file says: nothing is checked against the root. `prove` and `prove_absence` do that for one.
        """
        from provenance.stores.trees.finding import find_many

        return find_many(self, leaves)

    def check(self, tier: HashTier = HashTier.HASHLIB) -> None:
        """Derive every stored hash again from the leaves; `StoreError` names the first that is another.

        Of a sorted tree also the order of its leaves and the checksum of its row numbers.
        """
        from provenance.stores.trees.checking import check_tree

        check_tree(self, tier)

    def close(self) -> None:
        """Let the file go. Twice is the same as once."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_layout(self) -> TreeLayout:
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError("stored tree is no regular file", where=self.path)
        if status.st_size < HEADER_BYTES:
            expected = f"at least {HEADER_BYTES} bytes"
            raise StoreError("stored tree is cut short", expected=expected, got=status.st_size, where=self.path)
        try:
            layout = parse_header(self.read_bytes(0, HEADER_BYTES))
        except MalformedError as error:
            raise StoreError(error.what, expected=error.expected, got=error.got, where=self.path, hint=_HINT) from error
        if status.st_size != layout.file_bytes:
            expected, got = f"{layout.file_bytes} bytes", f"{status.st_size} bytes"
            raise StoreError("stored tree has another length", expected=expected, got=got, where=self.path, hint=_HINT)
        return layout

    def _checked(self, check: Callable[[], None]) -> None:
        try:
            check()
        except VerificationError as error:
            raise self._damaged("a proof that leads elsewhere") from error

    def _damaged(self, got: str) -> StoreError:
        return StoreError("stored tree is damaged", expected=self._expected, got=got, where=self.path, hint=_HINT)

    def _unreadable(self, error: OSError) -> StoreError:
        return StoreError("stored tree cannot be read", got=os.strerror(error.errno or 0), where=self.path)


def open_tree(path: str | os.PathLike[str]) -> StoredTree:
    """The tree in a file. `StoreError` if it cannot be read, is cut short or damaged at its edge."""
    return StoredTree(Path(path))
