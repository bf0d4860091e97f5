"""Entries as segments: a row of consecutive entries, each after its length, as in an entry bundle (tlog-tiles).

Invariants: entry indexes are 0 to size - 1 without a gap; a segment holds 1 to 256 entries and never crosses a multiple
of 256, so that an entry bundle is its segments one after another; a segment of several entries has at most 32 KiB of
them, so that to read one entry is to read little. A batch is appended as a segment or a few; a bundle that is complete,
and lies in many more pieces than it must, is packed anew in the same transaction.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import accumulate
from typing import Final

from provenance.errors import ConflictError, MalformedError, ProvenanceError
from provenance.log.entry import check_entries
from provenance.log.tile import TILE_WIDTH, join_entries, parse_entries
from provenance.stores.rows import EntryRow
from provenance.stores.sql.bounds import clamped
from provenance.stores.sql.queries import Queries, Shape, Statements, damaged

SEGMENT_BYTES: Final = 32 * 2**10
"""Entries of a segment together; one entry alone may have more."""
LENGTH_BYTES: Final = 2
_PAGE_SEGMENTS: Final = 64
"""Segments read at once: 2 MiB, or 4 of the largest entries."""
_MAX_SPARE: Final = 4
"""So many times the pieces that it must have, a complete bundle may keep: to write it anew costs more."""
_SEGMENT: Shape = (int, int, bytes)
_SIZE: Final = "SELECT first + count FROM segments ORDER BY first DESC LIMIT 1"
_HOLDING: Final = "SELECT first, count, data FROM segments WHERE first <= ? ORDER BY first DESC LIMIT 1"
_FROM: Final = """SELECT first, count, data FROM segments
    WHERE first >= coalesce((SELECT max(first) FROM segments WHERE first <= ?), 0) ORDER BY first LIMIT ?"""
_PIECES: Final = """SELECT count(*), CAST(coalesce(sum(length(data)), 0) AS bigint) FROM segments
    WHERE first >= ? AND first < ?"""
_BUNDLE: Final = "SELECT first, count, data FROM segments WHERE first >= ? AND first < ? ORDER BY first"

WITH_ENTRIES: Final = ("datasets", "events", "locations")
"""Tables whose `entry_index` is that of an entry."""

Segment = tuple[int, int, bytes]
"""First index, number of entries, entries."""


class SegmentQueries(Queries):
    """Reads of entries; see `provenance.stores.base.LogReader`."""

    def size(self) -> int:
        row = self._row((int,), _SIZE)
        return 0 if row is None else int(row[0])

    def entry(self, index: int) -> EntryRow | None:
        index = clamped(index, "entry index")
        row = self._row(_SEGMENT, _HOLDING, (index,))
        if row is None or index >= row[0] + row[1]:
            return None
        first, count, data = row
        return EntryRow(index, self._nth(first, count, data, index - first))

    def entries(self, start: int, count: int) -> Iterator[EntryRow]:
        # Checks at once, not at the first row.
        return self._entries(clamped(start, "entry index"), clamped(count, "number of entries"))

    def _entries(self, position: int, left: int) -> Iterator[EntryRow]:
        while left > 0:
            wanted = min(_PAGE_SEGMENTS, left + 1)
            rows = self._rows(_SEGMENT, _FROM, (position, wanted))
            for first, count, data in rows:
                if first + count <= position:
                    continue
                if first > position:
                    raise damaged(self.location, f"entry {position} is missing")
                envelopes = self._parsed(first, count, data)[position - first :][:left]
                for envelope in envelopes:
                    yield EntryRow(position, envelope)
                    position += 1
                left -= len(envelopes)
                if not left:
                    return
            if len(rows) < wanted:
                return

    def _parsed(self, first: int, count: int, data: bytes) -> tuple[bytes, ...]:
        try:
            return parse_entries(data, width=count)
        except ProvenanceError as error:
            where = f"entry {first}" if count == 1 else f"entries {first} to {first + count - 1}"
            raise damaged(self.location, f"{where}: {error.what}") from error

    def _nth(self, first: int, count: int, data: bytes, number: int) -> bytes:
        at = 0
        for _ in range(number):
            at += LENGTH_BYTES + int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        start = at + LENGTH_BYTES
        stop = start + int.from_bytes(data[at:start], "big")
        if not start < stop <= len(data) or (number == count - 1 and stop != len(data)):
            raise damaged(self.location, f"entry {first + number} is cut")
        return data[start:stop]


class SegmentStatements(SegmentQueries, Statements):
    """Appending entries; see `provenance.stores.base.LogWriter`."""

    _counted: int | None = None

    def size(self) -> int:
        self._counted = super().size()
        return self._counted

    def _size_now(self) -> int:
        """The size; nobody else appends while this transaction is open."""
        return self.size() if self._counted is None else self._counted

    def append_entries(self, first_index: int, envelopes: Sequence[bytes]) -> int:
        size = self._size_now()
        if first_index != size:
            raise ConflictError("entries do not continue the log", expected=f"first index {size}", got=first_index)
        _check(envelopes)
        end = size + len(envelopes)
        segments = list(pack(size, envelopes))
        completes = size % TILE_WIDTH > 0 and end // TILE_WIDTH > size // TILE_WIDTH
        # One statement needs no savepoint.
        with self._all_or_nothing() if completes or len(segments) > 1 else nullcontext():
            self._add(segments, action="appending entries")
            if completes:
                self._complete(size - size % TILE_WIDTH)
        self._counted = end
        return end

    def _add(self, segments: Sequence[Segment], *, action: str) -> None:
        self._load("segments", segments, action=action)
        self.written_bytes += sum(len(data) for _, _, data in segments)

    def _complete(self, base: int) -> None:
        """Pack the bundle that begins at `base`, if it lies in too many pieces."""
        span = (base, base + TILE_WIDTH)
        row = self._row((int, int), _PIECES, span)
        if row is None or row[0] <= _MAX_SPARE * (1 + row[1] // SEGMENT_BYTES):
            return
        pieces = self._rows(_SEGMENT, _BUNDLE, span)
        entries = [entry for piece in pieces for entry in self._parsed(*piece)]
        if len(entries) != TILE_WIDTH:
            raise damaged(self.location, f"{TILE_WIDTH} entries from {base} on are {len(entries)}")
        self._run("DELETE FROM segments WHERE first >= ? AND first < ?", span, action="packing entries")
        self._add(list(pack(base, entries)), action="packing entries")


def pack(first: int, envelopes: Sequence[bytes]) -> Iterator[Segment]:
    """The segments of consecutive entries, which were checked, whose first has the index `first`."""
    start = 0
    while start < len(envelopes):
        room = TILE_WIDTH - (first + start) % TILE_WIDTH
        bundle = envelopes[start : start + room]
        yield from _split(first + start, bundle)
        start += len(bundle)


def without_entry(table: str) -> str:
    """The query that counts rows of a table that name entries that are not there."""
    return f"""SELECT count(*) FROM {table} t WHERE coalesce((SELECT s.first + s.count FROM segments s
        WHERE s.first <= t.entry_index ORDER BY s.first DESC LIMIT 1), 0) <= t.entry_index"""  # noqa: S608


def _split(first: int, bundle: Sequence[bytes]) -> Iterator[Segment]:
    ends = list(accumulate(map(len, bundle)))
    start = 0
    while start < len(bundle):
        limit = SEGMENT_BYTES + (ends[start - 1] if start else 0)
        stop = max(start + 1, bisect_right(ends, limit, start))
        yield first + start, stop - start, join_entries(bundle[start:stop])
        start = stop


def _check(envelopes: Sequence[bytes]) -> None:
    if not set(map(type, envelopes)) <= {bytes}:
        got = next(repr(one)[:40] for one in envelopes if type(one) is not bytes)
        raise MalformedError("an entry is no bytes", expected="an envelope", got=got)
    check_entries(envelopes)
