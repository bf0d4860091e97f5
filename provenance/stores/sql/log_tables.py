"""Entries, tiles and checkpoints as rows.

Invariants: entry indexes are 0 to size - 1 without a gap; a tile's bytes only grow; the checkpoint never goes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from provenance.errors import ConflictError, MalformedError
from provenance.limits import MAX_ENTRY_BYTES, MAX_PAGE_ITEMS, check_size
from provenance.stores.rows import CheckpointRow, EntryRow
from provenance.stores.sql.bounds import clamped, hash_bytes, page
from provenance.stores.sql.queries import Queries, Row, Shape, Statements, damaged

_ENTRY_PAGE = 256
"""Entries read at once: at most 16 MiB."""
_HASH_PAGE = 8_192
_HASH_BYTES = 32
_TILE_BYTES = 256 * _HASH_BYTES
_ENTRY: Shape = (int, bytes, bytes)
_CHECKPOINT: Shape = (int, bytes, bytes)
_ENTRIES = "SELECT idx, leaf_hash, envelope FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?"
_PUT_TILE = """INSERT INTO tiles (level, idx, data) VALUES (?, ?, ?)
    ON CONFLICT (level, idx) DO UPDATE SET data = excluded.data
    WHERE substr(excluded.data, 1, length(tiles.data)) = tiles.data"""
_LEAF_HASHES = "SELECT idx, leaf_hash FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?"


class LogQueries(Queries):
    """See `provenance.stores.base.LogReader`."""

    def size(self) -> int:
        row = self._row((int | None,), "SELECT max(idx) FROM entries")
        return 0 if row is None or row[0] is None else int(row[0]) + 1

    def entry(self, index: int) -> EntryRow | None:
        row = self._row(
            _ENTRY, "SELECT idx, leaf_hash, envelope FROM entries WHERE idx = ?", (clamped(index, "entry index"),)
        )
        return None if row is None else EntryRow(*row)

    def entries(self, start: int, count: int) -> Iterator[EntryRow]:
        return (EntryRow(*row) for row in self._paged(_ENTRY, _ENTRIES, start, count, _ENTRY_PAGE))

    def leaf_hashes(self, start: int, count: int) -> Iterator[bytes]:
        return (row[1] for row in self._paged((int, bytes), _LEAF_HASHES, start, count, _HASH_PAGE))

    def _paged(self, shape: Shape, sql: str, start: int, count: int, page_rows: int) -> Iterator[Row]:
        # Checks at once, not at the first row.
        return self._pages(shape, sql, clamped(start, "entry index"), clamped(count, "number of entries"), page_rows)

    def _pages(self, shape: Shape, sql: str, position: int, left: int, page_rows: int) -> Iterator[Row]:
        while left > 0:
            wanted = min(left, page_rows)
            rows = self._rows(shape, sql, (position, wanted))
            for row in rows:
                if row[0] != position:
                    raise damaged(self.location, f"entry {position} is missing")
                position += 1
                yield row
            left -= len(rows)
            if len(rows) < wanted:
                return

    def tile(self, level: int, index: int) -> bytes | None:
        row = self._row(
            (bytes,),
            "SELECT data FROM tiles WHERE level = ? AND idx = ?",
            (clamped(level, "tile level"), clamped(index, "tile index")),
        )
        return None if row is None else bytes(row[0])

    def checkpoint(self) -> CheckpointRow | None:
        row = self._row(_CHECKPOINT, "SELECT size, root, note FROM checkpoint")
        return None if row is None else CheckpointRow(*row)

    def checkpoint_at(self, size: int) -> CheckpointRow | None:
        row = self._row(
            _CHECKPOINT,
            "SELECT size, root, note FROM kept_checkpoints WHERE size = ?",
            (clamped(size, "checkpoint size"),),
        )
        return None if row is None else CheckpointRow(*row)

    def checkpoint_covering(self, index: int) -> CheckpointRow | None:
        row = self._row(
            _CHECKPOINT,
            "SELECT size, root, note FROM kept_checkpoints WHERE size > ? ORDER BY size LIMIT 1",
            (clamped(index, "entry index"),),
        )
        return None if row is None else CheckpointRow(*row)

    def checkpoints(self, *, after_size: int | None = None, limit: int = MAX_PAGE_ITEMS) -> list[CheckpointRow]:
        after = -1 if after_size is None else clamped(after_size, "checkpoint size")
        rows = self._rows(
            _CHECKPOINT,
            "SELECT size, root, note FROM kept_checkpoints WHERE size > ? ORDER BY size LIMIT ?",
            (after, page(limit)),
        )
        return [CheckpointRow(*row) for row in rows]


class LogStatements(LogQueries, Statements):
    """See `provenance.stores.base.LogWriter`."""

    def append_entries(self, first_index: int, entries: Sequence[tuple[bytes, bytes]]) -> int:
        size = self.size()
        if first_index != size:
            raise ConflictError("entries do not continue the log", expected=f"first index {size}", got=first_index)
        if not all(_is_entry(*entry) for entry in entries):
            for leaf_hash, envelope in entries:
                _check_entry(leaf_hash, envelope)
        with self._all_or_nothing():
            self._load(
                "entries",
                ((index, *entry) for index, entry in enumerate(entries, first_index)),
                action="appending entries",
            )
        self.written_bytes += sum(len(envelope) for _, envelope in entries)
        return size + len(entries)

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        for (level, _), data in tiles.items():
            _check_tile(level, data)
        with self._all_or_nothing():
            rows = [(level, clamped(index, "tile index"), data) for (level, index), data in tiles.items()]
            if self._run_many(_PUT_TILE, rows, action="writing tiles") != len(rows):
                level, index = next(key for key, data in tiles.items() if self.tile(*key) != data)
                raise ConflictError("a tile would lose hashes it holds", where=f"level {level}, index {index}")

    def set_checkpoint(self, row: CheckpointRow, *, expected_size: int | None) -> None:
        _check_checkpoint(row)
        current = self.checkpoint()
        if (None if current is None else current.size) != expected_size:
            raise ConflictError(
                "another checkpoint came first",
                expected="none" if expected_size is None else f"size {expected_size}",
                got="none" if current is None else f"size {current.size}",
            )
        if current is not None and row.size < current.size:
            raise ConflictError("the log would go back", expected=f"a size from {current.size}", got=row.size)
        if current is not None and row.size == current.size and row.root != current.root:
            raise ConflictError(
                "the log would fork",
                expected=f"root {current.root.hex()}",
                got=row.root.hex(),
                where=f"size {row.size}",
            )
        if row.size > (size := self.size()):
            raise ConflictError(
                "a checkpoint covers entries that are not there", expected=f"at most {size}", got=row.size
            )
        self._run(
            """INSERT INTO checkpoint (id, size, root, note) VALUES (1, ?, ?, ?)
               ON CONFLICT (id) DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note""",
            (row.size, row.root, row.note),
            action="setting the checkpoint",
        )

    def keep_checkpoint(self, row: CheckpointRow) -> None:
        _check_checkpoint(row)
        kept = self.checkpoint_at(row.size)
        if kept is not None and kept.root != row.root:
            raise ConflictError(
                "another root is kept for this size",
                expected=kept.root.hex(),
                got=row.root.hex(),
                where=f"size {row.size}",
            )
        self._run(
            """INSERT INTO kept_checkpoints (size, root, note) VALUES (?, ?, ?)
               ON CONFLICT (size) DO UPDATE SET note = excluded.note""",
            (row.size, row.root, row.note),
            action="keeping a checkpoint",
        )


def _is_entry(leaf_hash: bytes, envelope: bytes) -> bool:
    return (
        type(leaf_hash) is bytes
        and len(leaf_hash) == _HASH_BYTES
        and type(envelope) is bytes
        and 0 < len(envelope) <= MAX_ENTRY_BYTES
    )


def _check_entry(leaf_hash: bytes, envelope: bytes) -> None:
    hash_bytes(leaf_hash, "leaf hash")
    if not isinstance(envelope, bytes) or not envelope:
        raise MalformedError("an entry is empty or no bytes", expected="an envelope", got=repr(envelope)[:40])
    check_size("log entry", len(envelope), MAX_ENTRY_BYTES)


def _check_tile(level: int, data: bytes) -> None:
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 63:
        raise MalformedError("a tile level is out of range", expected="0 to 63", got=repr(level))
    if not isinstance(data, bytes) or not 0 < len(data) <= _TILE_BYTES or len(data) % _HASH_BYTES:
        got = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise MalformedError("not a tile", expected="1 to 256 hashes of 32 bytes", got=got)


def _check_checkpoint(row: CheckpointRow) -> None:
    hash_bytes(row.root, "checkpoint root")
    if clamped(row.size, "checkpoint size") != row.size:
        raise MalformedError("a checkpoint size cannot be stored", expected="below 2^63", got=row.size)
