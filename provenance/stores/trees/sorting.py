"""The index of a table: the distinct leaf hashes in ascending order as a tree, and the first row of each.

Guarantees: as `writing`; memory is bounded by `memory_rows` however long the table is: above that, leaves go to bucket
files by their first byte, and each bucket is sorted by itself. A row that is there many times is kept once a bucket's
file has grown beyond that.

Bytes of a bucket's record, 40: leaf hash (32), row number (8, little-endian).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from provenance.merkle.bulk import Hashes, HashTier
from provenance.merkle.hashing import HASH_BYTES
from provenance.stores.trees.stored import StoredTree
from provenance.stores.trees.workplace import Workplace
from provenance.stores.trees.writing import TreeWriter

DEFAULT_MEMORY_ROWS: Final = 1 << 21
_RECORD_BYTES: Final = HASH_BYTES + 8
_BUCKETS: Final = 256
_WINDOW: Final = 2

RowNumbers: TypeAlias = npt.NDArray[np.uint64]


class SortedTreeWriter:
    """The sorted tree over the leaf hashes that are appended, row after row, stored in `folder`."""

    def __init__(
        self,
        folder: Path | None,
        *,
        tier: HashTier,
        pool: Executor | None = None,
        memory_rows: int = DEFAULT_MEMORY_ROWS,
    ) -> None:
        self._folder, self._tier, self._pool, self._memory_rows = folder, tier, pool, memory_rows
        self._held: list[Hashes] = []
        self._held_rows = self._first_row = self._size = 0
        self._workplace: Workplace | None = None
        self._buckets: list[IO[bytes]] = []
        self._counts = np.zeros(_BUCKETS, np.int64)
        self._compact_above = np.full(_BUCKETS, memory_rows, np.int64)
        self._distinct = 0

    @property
    def distinct(self) -> int:
        """Distinct leaves, once the tree is finished."""
        return self._distinct

    def append(self, leaves: Hashes) -> None:
        """Append the leaf hashes of the next rows, shape (k, 32)."""
        self._held.append(leaves)
        self._held_rows += len(leaves)
        self._size += len(leaves)
        if self._held_rows >= self._memory_rows:
            self._spill()

    def finish_root(self) -> bytes:
        """The root alone; nothing is stored."""
        with TreeWriter(None, tier=self._tier, pool=self._pool) as writer:
            for hashes, _ in self._sorted():
                writer.append(hashes)
            self._distinct = writer.size
            return writer.finish_root()

    def finish(self, suffix: str = ".index") -> StoredTree:
        """Sort, write and open the tree; row numbers are its companion."""
        width = 4 if self._size < 1 << 32 else 8
        with TreeWriter(self._folder, tier=self._tier, pool=self._pool) as writer:
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
                numbers.close()

    def close(self) -> None:
        """Let go of everything that was not finished."""
        for bucket in self._buckets:
            bucket.close()
        self._buckets, self._held = [], []
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
            self._workplace = Workplace(self._folder or Path(_temporary_folder()))
        return self._workplace

    def _take_held(self) -> tuple[Hashes, RowNumbers]:
        hashes = np.concatenate(self._held) if self._held else np.empty((0, HASH_BYTES), np.uint8)
        rows = np.arange(self._first_row, self._first_row + len(hashes), dtype=np.uint64)
        self._first_row += len(hashes)
        self._held, self._held_rows = [], 0
        return hashes, rows

    def _spill(self) -> None:
        place = self._place()
        if not self._buckets:
            self._buckets = [place.open(f"{number:02x}") for number in range(_BUCKETS)]
        hashes, rows = self._take_held()
        order = np.argsort(hashes[:, 0], kind="stable")
        counts = np.bincount(hashes[:, 0], minlength=_BUCKETS)
        start = 0
        try:
            for number, count in enumerate(counts.tolist()):
                part = order[start : start + count]
                start += count
                if count:
                    self._buckets[number].write(_records(hashes[part], rows[part]).data)
                    self._counts[number] += count
                    if self._counts[number] > self._compact_above[number]:
                        self._compact(number)
        except OSError as error:
            raise place.unwritable(error) from error

    def _compact(self, number: int) -> None:
        """Keep each leaf of a bucket once. What is left may be as much again before it is looked at the next time."""
        hashes, rows = self._load(number)
        bucket = self._buckets[number]
        bucket.seek(0)
        bucket.truncate()
        bucket.write(_records(hashes, rows).data)
        self._counts[number] = len(hashes)
        self._compact_above[number] = max(self._memory_rows, 2 * len(hashes))

    def _load(self, number: int) -> tuple[Hashes, RowNumbers]:
        bucket = self._buckets[number]
        bucket.flush()
        bucket.seek(0)
        records = np.frombuffer(bucket.read(), np.uint8).reshape(-1, _RECORD_BYTES)
        rows = np.ascontiguousarray(records[:, HASH_BYTES:]).view("<u8").ravel()
        return sort_distinct(np.ascontiguousarray(records[:, :HASH_BYTES]), rows)

    def _sorted(self) -> Iterator[tuple[Hashes, RowNumbers]]:
        if not self._buckets:
            yield sort_distinct(*self._take_held())
            return
        self._spill()
        if self._pool is None:
            for number in range(_BUCKETS):
                yield self._load(number)
            return
        pending: deque[Future[tuple[Hashes, RowNumbers]]] = deque()
        for number in range(_BUCKETS):
            pending.append(self._pool.submit(self._load, number))
            if len(pending) > _WINDOW:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def sort_distinct(hashes: Hashes, rows: RowNumbers) -> tuple[Hashes, RowNumbers]:
    """The distinct hashes in ascending order, each with the lowest of its row numbers."""
    words = hashes.view(">u8").reshape(-1, HASH_BYTES // 8)
    first = words[:, 0].astype(np.uint64)
    order = np.argsort(first)
    ordered = first[order]
    ties = ordered[1:] == ordered[:-1]
    if ties.any():
        # Few share eight bytes, unless they are the same: only those are sorted by all of them, then by row.
        tied = np.flatnonzero(np.append(ties, False) | np.append(False, ties))
        group = order[tied]
        keys = (rows[group], *(words[group, number] for number in (3, 2, 1, 0)))
        order[tied] = group[np.lexsort(keys)]
    hashes, rows = hashes[order], rows[order]
    if ties.any():
        again = np.zeros(len(hashes), np.bool_)
        places = np.flatnonzero(ties) + 1
        again[places] = (hashes[places] == hashes[places - 1]).all(axis=1)
        hashes, rows = hashes[~again], rows[~again]
    return hashes, rows


def _records(hashes: Hashes, rows: RowNumbers) -> npt.NDArray[np.uint8]:
    records = np.empty((len(hashes), _RECORD_BYTES), np.uint8)
    records[:, :HASH_BYTES] = hashes
    records[:, HASH_BYTES:] = rows.astype("<u8").view(np.uint8).reshape(-1, 8)
    return records


def _read_numbers(file: IO[bytes], width: int) -> Iterator[RowNumbers]:
    while data := file.read(1 << 20):
        yield np.frombuffer(data, f"<u{width}").astype(np.uint64)


def _temporary_folder() -> str:
    import tempfile

    return tempfile.gettempdir()
