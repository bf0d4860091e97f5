"""Trees written as their leaves come: block by block, hashed by several threads, in bounded memory.

Guarantees: the file appears under its name whole, synced, or not at all; what a killed run left behind is removed by
the next writer; memory is a few blocks, and 8 bytes a leaf for upper levels until they exceed `memory_bytes`, when they
go to files beside the leaves.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import numpy as np
import numpy.typing as npt

from provenance.errors import MalformedError, StoreError
from provenance.merkle.bulk import Hashes, HashTier, check_hashes, hash_parents, subtree_levels
from provenance.merkle.compact import CompactRange
from provenance.merkle.hashing import HASH_BYTES
from provenance.merkle.tree_file import HEADER_BYTES, NO_COMPANION, TreeLayout, encode_header
from provenance.stores.trees.stored import StoredTree, open_tree
from provenance.stores.trees.workplace import Workplace, abandon

BLOCK_LEVEL: Final = 16
BLOCK_LEAVES: Final = 1 << BLOCK_LEVEL
DEFAULT_MEMORY_BYTES: Final = 64 * 2**20
_WINDOW: Final = 4
_LOWEST_UPPER: Final = 3


class TreeWriter:
    """The tree over the leaf hashes that are appended, stored in `folder`. Without a folder only its root is kept.

    `pool` hashes blocks, a few at a time; without one they are hashed as they fill. Close it, or use it as a context
    manager: what was not finished leaves nothing behind.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        tier: HashTier,
        pool: Executor | None = None,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> None:
        self._tier, self._pool = tier, pool
        self._block: Hashes = np.empty((BLOCK_LEAVES, HASH_BYTES), np.uint8)
        self._filled = 0
        self._ended = False
        self._edge = CompactRange()
        self._pending: deque[Future[list[Hashes]] | list[Hashes]] = deque()
        self._tops: list[bytes] = []
        self._upper: dict[int, IO[bytes]] = {}
        self._memory_bytes = memory_bytes
        self._workplace = Workplace(folder) if folder is not None else None
        self._leaves = _begin_file(self._workplace) if self._workplace is not None else None

    @property
    def size(self) -> int:
        """Leaves appended."""
        return self._edge.size + len(self._pending) * BLOCK_LEAVES + self._filled

    def append(self, leaves: Hashes) -> None:
        """Append leaf hashes, shape (k, 32); they are copied."""
        check_hashes(leaves)
        if self._ended:
            raise StoreError("tree is finished", expected="leaves before its root")
        start = 0
        while start < len(leaves):
            count = min(BLOCK_LEAVES - self._filled, len(leaves) - start)
            self._block[self._filled : self._filled + count] = leaves[start : start + count]
            self._filled += count
            start += count
            if self._filled == BLOCK_LEAVES:
                self._submit()

    def _submit(self) -> None:
        block = self._block
        self._block, self._filled = np.empty((BLOCK_LEAVES, HASH_BYTES), np.uint8), 0
        if self._pool is None:
            self._pending.append(subtree_levels(block, tier=self._tier))
        else:
            self._pending.append(self._pool.submit(subtree_levels, block, tier=self._tier))
        while len(self._pending) > (_WINDOW if self._pool is not None else 0):
            self._take()

    def _take(self) -> None:
        first = self._pending[0]
        levels = first if isinstance(first, list) else first.result()
        self._pending.popleft()
        self._keep(levels)
        self._edge.append_subtree(BLOCK_LEVEL, levels[-1].tobytes())
        self._tops.append(levels[-1].tobytes())

    def _keep(self, levels: list[Hashes]) -> None:
        if self._leaves is None or self._workplace is None:
            return
        try:
            self._leaves.write(levels[0].data)
            for level, hashes in enumerate(levels):
                if level >= _LOWEST_UPPER and len(hashes):
                    self._upper_file(level).write(hashes.data)
        except OSError as error:
            self._ended = True  # some of the block may be written
            raise self._workplace.unwritable(error) from error

    def _upper_file(self, level: int) -> IO[bytes]:
        assert self._workplace is not None  # only a stored tree has upper files
        if level not in self._upper:
            # In memory first; to a file once this level has had its share.
            share = max(self._memory_bytes >> (level - _LOWEST_UPPER + 1), 4_096)
            folder = str(self._workplace.folder)
            self._upper[level] = tempfile.SpooledTemporaryFile(max_size=share, dir=folder)  # noqa: SIM115
        return self._upper[level]

    def finish_root(self) -> bytes:
        """The root over everything appended; nothing can be appended after it."""
        while self._pending:
            self._take()
        if self._filled:
            levels = subtree_levels(self._block[: self._filled], tier=self._tier)
            self._keep([level[: self._filled >> number] for number, level in enumerate(levels)])
            self._append_rest(levels)
            self._filled = 0
        self._ended = True
        return self._edge.root()

    def _append_rest(self, levels: list[Hashes]) -> None:
        position = 0
        for level in reversed(range(len(levels))):
            if self._filled >> level & 1:
                self._edge.append_subtree(level, levels[level][position >> level].tobytes())
                position += 1 << level

    def finish(
        self,
        suffix: str = ".tree",
        companion: Iterable[npt.NDArray[np.uint64]] | None = None,
        *,
        companion_bytes: int = 0,
    ) -> StoredTree:
        """Write what is left and open the tree, a file named by its root and `suffix`.

        `companion` are row numbers, one a leaf, for a sorted tree, `companion_bytes` wide.
        """
        workplace, file = self._workplace, self._leaves
        if workplace is None or file is None:
            raise StoreError("tree was given no place to be stored", expected="a folder")
        if file.closed:
            raise StoreError("tree is finished", expected="to be finished once", where=workplace.place)
        try:
            root = self.finish_root()
            self._write_upper(file)
            width = companion_bytes if companion is not None else 0
            found = _write_companion(file, companion or (), width, self.size)
            file.seek(0)
            file.write(encode_header(TreeLayout(self.size, root, width, found)))
            path = workplace.publish(file, "tree", f"{root.hex()}{suffix}")
        except OSError as error:
            raise workplace.unwritable(error) from error
        finally:
            self.close()
        return open_tree(path)

    def _write_upper(self, file: IO[bytes]) -> None:
        above: Hashes = np.frombuffer(b"".join(self._tops), np.uint8).reshape(-1, HASH_BYTES)
        level = BLOCK_LEVEL
        while len(above) > 1:
            above = hash_parents(above[: len(above) // 2 * 2], tier=self._tier)
            level += 1
            self._upper_file(level).write(above.data)
        for _, source in sorted(self._upper.items()):
            source.seek(0)
            shutil.copyfileobj(source, file, 1 << 20)

    def close(self) -> None:
        """Let go of everything that was not finished."""
        self._ended = True
        for future in self._pending:
            if isinstance(future, Future):
                future.cancel()
        self._pending.clear()
        for file in (self._leaves, *self._upper.values()):
            abandon(file)
        self._upper = {}
        if self._workplace is not None:
            self._workplace.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _begin_file(workplace: Workplace) -> IO[bytes]:
    try:
        file = workplace.open("tree")
    except StoreError:
        workplace.remove()
        raise
    file.seek(HEADER_BYTES)
    return file


def _write_companion(file: IO[bytes], companion: Iterable[npt.NDArray[np.uint64]], width: int, size: int) -> bytes:
    if not width:
        return NO_COMPANION
    found, count = sha256(), 0
    for numbers in companion:
        data = numbers.astype(f"<u{width}").data
        found.update(data)
        file.write(data)
        count += len(numbers)
    if count != size:
        raise MalformedError("row numbers are not the tree's", expected=f"{size} of them", got=count)
    return found.digest()
