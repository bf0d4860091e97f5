"""What does not fit into memory while a table is sorted: sorted runs in one file, read again by ranges of hashes.

Guarantees: a piece holds every record of its range of hashes, and at most as many records as it was asked to, however
the hashes are distributed: a run is sorted and holds each hash once, so that a range can be halved until it fits (or
holds one hash, once a run).

Bytes of a run: its hashes (32 each), then its row numbers (8 each, little-endian).
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final, TypeAlias

import numpy as np

from provenance.errors import StoreError
from provenance.merkle.bulk import Hashes
from provenance.merkle.hashing import HASH_BYTES
from provenance.merkle.sorted_hashes import RowNumbers, sort_distinct

_ROW_BYTES: Final = 8
_END: Final = 1 << 8 * HASH_BYTES


@dataclass(frozen=True, slots=True)
class _Part:
    """Records [begin, end) of the run of `count` that lies at `offset`."""

    offset: int
    count: int
    begin: int
    end: int


Piece: TypeAlias = tuple[_Part, ...]


class RunFile:
    """Sorted runs in a file, which is the caller's to close."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._runs: list[_Part] = []
        self._offset = 0

    def add(self, hashes: Hashes, rows: RowNumbers) -> None:
        """Add a run: distinct hashes in ascending order, each with its row number. OSError if it cannot be written."""
        self._file.write(hashes.data)
        self._file.write(rows.astype("<u8").data)
        self._runs.append(_Part(self._offset, len(hashes), 0, len(hashes)))
        self._offset += (HASH_BYTES + _ROW_BYTES) * len(hashes)

    def pieces(self, max_records: int) -> Iterator[Piece]:
        """Every record in pieces, the pieces in ascending order of their hashes."""
        self._file.flush()
        pending = [(0, _END, tuple(self._runs))]
        while pending:
            low, high, piece = pending.pop()
            # One hash is there once a run at most: that cannot be halved.
            if sum(part.end - part.begin for part in piece) <= max_records or high - low == 1:
                if piece:
                    yield piece
                continue
            middle = (low + high) // 2
            left, right = self._split(piece, middle.to_bytes(HASH_BYTES, "big"))
            pending += [(middle, high, right), (low, middle, left)]

    def load(self, piece: Piece) -> tuple[Hashes, RowNumbers]:
        """The distinct hashes of a piece in ascending order, each with its lowest row number."""
        hashes: Hashes = np.empty((sum(part.end - part.begin for part in piece), HASH_BYTES), np.uint8)
        rows: RowNumbers = np.empty(len(hashes), np.uint64)
        start = 0
        for part in piece:
            count = part.end - part.begin
            data = self._read(part.offset + HASH_BYTES * part.begin, HASH_BYTES * count)
            hashes[start : start + count] = np.frombuffer(data, np.uint8).reshape(count, HASH_BYTES)
            data = self._read(part.offset + HASH_BYTES * part.count + _ROW_BYTES * part.begin, _ROW_BYTES * count)
            rows[start : start + count] = np.frombuffer(data, "<u8")
            start += count
        return sort_distinct(hashes, rows)

    def _split(self, piece: Piece, bound: bytes) -> tuple[Piece, Piece]:
        left, right = [], []
        for part in piece:
            middle = self._first_from(part, bound)
            if part.begin < middle:
                left.append(_Part(part.offset, part.count, part.begin, middle))
            if middle < part.end:
                right.append(_Part(part.offset, part.count, middle, part.end))
        return tuple(left), tuple(right)

    def _first_from(self, part: _Part, bound: bytes) -> int:
        def at(index: int) -> bytes:
            return self._read(part.offset + HASH_BYTES * index, HASH_BYTES)

        return bisect_left(range(part.count), bound, part.begin, part.end, key=at)

    def _read(self, offset: int, count: int) -> bytes:
        data = os.pread(self._file.fileno(), count, offset)
        if len(data) != count:
            raise StoreError("a file of this run was cut", expected=f"{count} bytes", got=f"{len(data)} bytes")
        return data
