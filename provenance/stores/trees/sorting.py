"""The index of a table: the distinct leaf hashes in ascending order as a tree, and the first row of each.

Guarantees: as `writing`; memory is in proportion to `memory_rows` however long the table is and however its leaves are
distributed: each time so many rows have come they are sorted, every leaf is kept once, and the run goes to a file;
in the end runs are merged by ranges of hashes. Rows that are there many times take no more room than one in each run.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import numpy as np

from provenance.errors import MalformedError, StoreError
from provenance.merkle.bulk import Hashes, HashTier, check_hashes
from provenance.merkle.hashing import HASH_BYTES
from provenance.merkle.sorted_hashes import RowNumbers, sort_distinct
from provenance.stores.trees.runs import RunFile
from provenance.stores.trees.stored import StoredTree
from provenance.stores.trees.workplace import Workplace, abandon
from provenance.stores.trees.writing import TreeWriter

DEFAULT_MEMORY_ROWS: Final = 1 << 20
_WINDOW: Final = 2
_READ_BYTES: Final = 1 << 20


class SortedTreeWriter:
    """The sorted tree over the leaf hashes that are appended, row after row, stored in `folder`.

    Without a folder only its root is kept, and runs go to the system's temporary folder.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        tier: HashTier,
        pool: Executor | None = None,
        memory_rows: int = DEFAULT_MEMORY_ROWS,
    ) -> None:
        if memory_rows < 1:
            raise MalformedError("too little memory to sort in", expected="at least 1 row", got=memory_rows)
        self._folder, self._tier, self._pool, self._memory_rows = folder, tier, pool, memory_rows
        self._held: Hashes = np.empty((0, HASH_BYTES), np.uint8)
        self._held_rows = self._size = self._distinct = 0
        self._ended = False
        self._workplace: Workplace | None = None
        self._file: IO[bytes] | None = None
        self._runs: RunFile | None = None

    @property
    def distinct(self) -> int:
        """Distinct leaves, once the tree is finished."""
        return self._distinct

    def append(self, leaves: Hashes) -> None:
        """Append the leaf hashes of the next rows, shape (k, 32); they are copied."""
        check_hashes(leaves)
        if self._ended:
            raise StoreError("tree is finished", expected="leaves before its root")
        if not len(self._held):
            self._held = np.empty((self._memory_rows, HASH_BYTES), np.uint8)  # pages come as they are written to
        start = 0
        while start < len(leaves):
            count = min(self._memory_rows - self._held_rows, len(leaves) - start)
            self._held[self._held_rows : self._held_rows + count] = leaves[start : start + count]
            self._held_rows += count
            self._size += count
            start += count
            if self._held_rows == self._memory_rows:
                self._spill()

    def finish_root(self) -> bytes:
        """The root alone; nothing is stored."""
        with TreeWriter(None, tier=self._tier, pool=self._pool) as writer:
            for hashes, _ in self._sorted():
                writer.append(hashes)
            self._distinct = writer.size
            return writer.finish_root()

    def finish(self, suffix: str = ".index") -> StoredTree:
        """Sort, write and open the tree, a file named by its root and `suffix`; row numbers are its companion."""
        if self._folder is None:
            raise StoreError("tree was given no place to be stored", expected="a folder")
        width = 4 if self._size < 1 << 32 else 8
        memory_bytes = HASH_BYTES * self._memory_rows
        with TreeWriter(self._folder, tier=self._tier, pool=self._pool, memory_bytes=memory_bytes) as writer:
            place = self._place()
            numbers = place.open("rows")
            try:
                for hashes, rows in self._sorted():
                    writer.append(hashes)
                    numbers.write(rows.astype(f"<u{width}").data)
                self._distinct = writer.size
                numbers.seek(0)
                return writer.finish(suffix, _read_numbers(numbers, width), companion_bytes=width)
            except OSError as error:
                raise place.unwritable(error) from error
            finally:
                abandon(numbers)

    def close(self) -> None:
        """Let go of everything that was not finished."""
        self._ended = True
        abandon(self._file)
        self._file = self._runs = None
        self._held = np.empty((0, HASH_BYTES), np.uint8)
        if self._workplace is not None:
            self._workplace.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _place(self) -> Workplace:
        if self._workplace is None:
            self._workplace = Workplace(self._folder or Path(tempfile.gettempdir()))
        return self._workplace

    def _spill(self) -> None:
        place = self._place()
        if self._runs is None:
            self._file = place.open("runs")
            self._runs = RunFile(self._file)
        try:
            self._runs.add(*self._sort_held())
        except OSError as error:
            self._ended = True  # some of the run may be written
            raise place.unwritable(error) from error

    def _sort_held(self) -> tuple[Hashes, RowNumbers]:
        rows = np.arange(self._size - self._held_rows, self._size, dtype=np.uint64)
        held, self._held_rows = self._held[: self._held_rows], 0
        return sort_distinct(held, rows)

    def _sorted(self) -> Iterator[tuple[Hashes, RowNumbers]]:
        if self._ended:
            raise StoreError("tree is finished", expected="to be finished once")
        if self._runs is None:
            self._ended = True
            yield self._sort_held()
            return
        if self._held_rows:
            self._spill()
        self._ended = True
        self._held = np.empty((0, HASH_BYTES), np.uint8)
        pending: deque[Future[tuple[Hashes, RowNumbers]]] = deque()
        # Sorting a piece takes about four times its size, and a few are under way.
        for piece in self._runs.pieces(max(self._memory_rows // 4, 1)):
            if self._pool is None:
                yield self._runs.load(piece)
                continue
            pending.append(self._pool.submit(self._runs.load, piece))
            if len(pending) > _WINDOW:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _read_numbers(file: IO[bytes], width: int) -> Iterator[RowNumbers]:
    while data := file.read(_READ_BYTES):
        yield np.frombuffer(data, f"<u{width}").astype(np.uint64)
