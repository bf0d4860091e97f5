"""Tiles and checkpoints as rows, beside the entries (`segments`).

Invariants: a tile's bytes only grow; the checkpoint never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping

from provenance.errors import ConflictError, MalformedError
from provenance.limits import MAX_PAGE_ITEMS
from provenance.stores.rows import CheckpointRow
from provenance.stores.sql.bounds import clamped, hash_bytes, page
from provenance.stores.sql.queries import Shape
from provenance.stores.sql.segments import SegmentQueries, SegmentStatements

_HASH_BYTES = 32
_TILE_BYTES = 256 * _HASH_BYTES
_CHECKPOINT: Shape = (int, bytes, bytes)
_PUT_TILE = """INSERT INTO tiles (level, idx, data) VALUES (?, ?, ?)
    ON CONFLICT (level, idx) DO UPDATE SET data = excluded.data
    WHERE substr(excluded.data, 1, length(tiles.data)) = tiles.data"""


class LogQueries(SegmentQueries):
    """See `provenance.stores.base.LogReader`."""

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


class LogStatements(LogQueries, SegmentStatements):
    """See `provenance.stores.base.LogWriter`."""

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
        if row.size > (size := self._size_now()):
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
