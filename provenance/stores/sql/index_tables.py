"""Datasets, parents, files and locations as rows.

Invariants: what is indexed is in the log (foreign keys); a namespace, name and version is indexed once; the index
covers a prefix of the log, whose length moves by compare-and-swap.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from provenance.encoding import Digest
from provenance.errors import ConflictError, MalformedError
from provenance.limits import MAX_PAGE_ITEMS
from provenance.stores.rows import DatasetRow, EventRow, FileMatch, FileRow, LocationRow, ParentRow
from provenance.stores.sql.bounds import clamped, hash_bytes, page
from provenance.stores.sql.queries import Queries, Row, Shape, Statements, Value, damaged

_HEX_PREFIX = re.compile(r"[0-9a-f]{1,64}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.")
_NAMES: Shape = (int, str, str, str)
_DATASET: Shape = (*_NAMES, bytes, bytes, str, str, str | None, str, str, bytes | None, bytes | None, bytes | None)
PARENT: Shape = (int, int, str, str, str, bytes, int | None)
_DATASETS = """SELECT d.entry_index, d.namespace, d.name, d.version, d.digest, d.file_root, d.kind, d.sensitivity,
    d.license, d.keyid, d.created, d.manifest, d.oms, d.record_root FROM datasets d"""
_FILES = """SELECT d.entry_index, d.namespace, d.name, d.version, d.digest, d.file_root, d.kind, d.sensitivity,
    d.license, d.keyid, d.created, d.manifest, d.oms, d.record_root, f.path
    FROM files f JOIN datasets d ON d.entry_index = f.dataset"""
_PATH = 14
"""Where `_FILES` has the path: after a dataset's columns."""


class IndexQueries(Queries):
    """See `provenance.stores.base.IndexReader`; ancestors and descendants are in `lineage_queries`."""

    def index_size(self) -> int:
        row = self._row((int,), "SELECT size FROM index_state")
        if row is None:
            raise damaged(self.location, "the index has no state")
        return int(row[0])

    def dataset(self, namespace: str, name: str, version: str) -> DatasetRow | None:
        where = "d.namespace = ? AND d.name = ? AND d.version = ?"
        return _first(self._datasets(where, (namespace, name, version), limit=1))

    def dataset_at(self, entry_index: int) -> DatasetRow | None:
        return _first(self._datasets("d.entry_index = ?", (clamped(entry_index, "entry index"),), limit=1))

    def dataset_latest(self, namespace: str, name: str) -> DatasetRow | None:
        where = "d.namespace = ? AND d.name = ?"
        return _first(self._datasets(where, (namespace, name), limit=1, order="d.entry_index DESC"))

    def datasets_by_digest(self, digest: Digest, *, limit: int = MAX_PAGE_ITEMS) -> list[DatasetRow]:
        return self._datasets("d.digest = ?", (digest.raw,), limit=limit)

    def datasets_by_root(self, root: bytes, *, limit: int = MAX_PAGE_ITEMS) -> list[DatasetRow]:
        value = hash_bytes(root, "root")
        return self._datasets("d.file_root = ? OR d.record_root = ?", (value, value), limit=limit)

    def datasets_by_prefix(self, hex_prefix: str, *, limit: int = MAX_PAGE_ITEMS) -> list[DatasetRow]:
        if not isinstance(hex_prefix, str) or not _HEX_PREFIX.fullmatch(hex_prefix):
            raise MalformedError("not a digest prefix", expected="1 to 64 lower-case hex digits", got=repr(hex_prefix))
        lowest, highest = (bytes.fromhex(hex_prefix.ljust(64, digit)) for digit in "0f")
        return self._datasets("d.digest BETWEEN ? AND ?", (lowest, highest), limit=limit)

    def datasets_by_file(self, digest: Digest, *, limit: int = MAX_PAGE_ITEMS) -> list[FileMatch]:
        rows = self._rows(
            (*_DATASET, str),
            f"{_FILES} WHERE f.digest = ? ORDER BY f.dataset, f.path LIMIT ?",
            (digest.raw, page(limit)),
        )
        return [FileMatch(self._dataset_row(row[:_PATH]), row[_PATH]) for row in rows]

    def datasets_page(
        self, *, after: int | None = None, limit: int = MAX_PAGE_ITEMS, namespace: str | None = None
    ) -> list[DatasetRow]:
        if namespace is None:
            return self._datasets("d.entry_index > ?", (_cursor(after),), limit=limit)
        return self._datasets("d.namespace = ? AND d.entry_index > ?", (namespace, _cursor(after)), limit=limit)

    def versions(
        self, namespace: str, name: str, *, after: int | None = None, limit: int = MAX_PAGE_ITEMS
    ) -> list[DatasetRow]:
        where = "d.namespace = ? AND d.name = ? AND d.entry_index > ?"
        return self._datasets(where, (namespace, name, _cursor(after)), limit=limit)

    def parents(self, entry_index: int) -> list[ParentRow]:
        rows = self._rows(
            PARENT,
            """SELECT child, position, namespace, name, version, digest, parent_entry FROM parents
               WHERE child = ? ORDER BY position""",
            (clamped(entry_index, "entry index"),),
        )
        return [self._parent_row(row) for row in rows]

    def children(self, entry_index: int, *, after: int | None = None, limit: int = MAX_PAGE_ITEMS) -> list[DatasetRow]:
        where = "d.entry_index IN (SELECT child FROM parents WHERE parent_entry = ? AND child > ?)"
        return self._datasets(where, (clamped(entry_index, "entry index"), _cursor(after)), limit=limit)

    def events_about(self, about: Digest, *, after: int | None = None, limit: int = MAX_PAGE_ITEMS) -> list[EventRow]:
        rows = self._rows(
            (int, bytes, str, str, str),
            """SELECT entry_index, about, type, keyid, created FROM events WHERE about = ? AND entry_index > ?
               ORDER BY entry_index LIMIT ?""",
            (about.raw, _cursor(after), page(limit)),
        )
        return [EventRow(index, self._digest(raw), kind, keyid, made) for index, raw, kind, keyid, made in rows]

    def events_by(
        self, about: Digest, keyid: str, event_type: str, *, since: str, limit: int = MAX_PAGE_ITEMS
    ) -> list[EventRow]:
        rows = self._rows(
            (int, bytes, str, str, str),
            """SELECT entry_index, about, type, keyid, created FROM events
               WHERE about = ? AND keyid = ? AND type = ? AND created >= ? ORDER BY created, entry_index LIMIT ?""",
            (about.raw, keyid, event_type, since, page(limit)),
        )
        return [EventRow(index, self._digest(raw), kind, signer, made) for index, raw, kind, signer, made in rows]

    def locations(self, entry_index: int) -> list[LocationRow]:
        rows = self._rows(
            (int, bytes, int),
            """SELECT entry_index, path, registered_s FROM locations WHERE entry_index = ?
               ORDER BY registered_s DESC, path""",
            (clamped(entry_index, "entry index"),),
        )
        return [LocationRow(index, os.fsdecode(path), registered_s) for index, path, registered_s in rows]

    def locations_at(self, path: str, *, limit: int = MAX_PAGE_ITEMS) -> list[LocationRow]:
        rows = self._rows(
            (int, bytes, int),
            """SELECT entry_index, path, registered_s FROM locations WHERE path = ?
               ORDER BY entry_index DESC LIMIT ?""",
            (_path_bytes(path), page(limit)),
        )
        return [LocationRow(index, os.fsdecode(found), registered_s) for index, found, registered_s in rows]

    def _datasets(
        self, where: str, values: tuple[Value, ...], *, limit: int, order: str = "d.entry_index"
    ) -> list[DatasetRow]:
        sql = f"{_DATASETS} WHERE {where} ORDER BY {order} LIMIT ?"
        return [self._dataset_row(row) for row in self._rows(_DATASET, sql, (*values, page(limit)))]

    def _dataset_row(self, row: Row) -> DatasetRow:
        values: list[Any] = list(row)
        values[4] = self._digest(row[4])
        for nullable in (11, 12):
            values[nullable] = None if row[nullable] is None else self._digest(row[nullable])
        return DatasetRow(*values)

    def _parent_row(self, row: Row) -> ParentRow:
        child, position, namespace, name, version, digest, parent_entry = row
        return ParentRow(child, position, namespace, name, version, self._digest(digest), parent_entry)

    def _digest(self, raw: bytes) -> Digest:
        if len(raw) != 32:
            raise damaged(self.location, f"a digest of {len(raw)} bytes")
        return Digest(raw)


class IndexStatements(IndexQueries, Statements):
    """See `provenance.stores.base.IndexWriter`."""

    def add_dataset(self, row: DatasetRow, parents: Sequence[ParentRow], files: Iterable[FileRow]) -> None:
        for parent in parents:
            if parent.child != row.entry_index:
                raise MalformedError("a parent of another dataset", expected=row.entry_index, got=parent.child)
        with self._all_or_nothing():
            self._run(
                "INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _dataset_values(row),
                action=f"indexing {row.namespace}/{row.name}@{row.version}",
            )
            self._load(
                "parents",
                ((p.child, p.position, p.namespace, p.name, p.version, p.digest.raw, p.parent_entry) for p in parents),
                action="indexing parents",
            )
            self._load(
                "files", ((file.digest.raw, row.entry_index, file.path) for file in files), action="indexing files"
            )

    def add_event(self, row: EventRow) -> None:
        self._run(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
            (clamped(row.entry_index, "entry index"), row.about.raw, row.type, row.keyid, row.created),
            action=f"indexing entry {row.entry_index}",
        )

    def link_parents(self, row: DatasetRow) -> int:
        return self._run(
            """UPDATE parents SET parent_entry = ?
               WHERE parent_entry IS NULL AND digest = ? AND namespace = ? AND name = ? AND version = ?""",
            (row.entry_index, row.digest.raw, row.namespace, row.name, row.version),
            action="linking parents",
        )

    def set_index_size(self, size: int, *, expected_size: int) -> None:
        current = self.index_size()
        if current != expected_size:
            raise ConflictError("the index moved on", expected=f"size {expected_size}", got=f"size {current}")
        if clamped(size, "index size") > (entries := self._entry_count()):
            raise ConflictError("the index would pass the log", expected=f"at most {entries}", got=size)
        self._run("UPDATE index_state SET size = ?", (size,), action="setting the index size")

    def clear_index(self) -> None:
        with self._all_or_nothing():
            for statement in (
                "DELETE FROM files",
                "DELETE FROM events",
                "DELETE FROM parents",
                "DELETE FROM datasets",
                "UPDATE index_state SET size = 0",
            ):
                self._run(statement, action="clearing the index")

    def add_location(self, row: LocationRow) -> None:
        values = (row.registered_s, row.entry_index, _path_bytes(row.path))
        action = "remembering a location"
        # Two statements, for a path is too long to be a key of PostgreSQL's, which ON CONFLICT would need.
        if not self._run(
            "UPDATE locations SET registered_s = ? WHERE entry_index = ? AND path = ?", values, action=action
        ):
            self._run("INSERT INTO locations (registered_s, entry_index, path) VALUES (?, ?, ?)", values, action=action)

    def _entry_count(self) -> int:
        row = self._row(
            (int,),
            "SELECT coalesce(max(first + count), 0) FROM segments WHERE first = (SELECT max(first) FROM segments)",
        )
        return 0 if row is None else int(row[0])


def _first(rows: list[DatasetRow]) -> DatasetRow | None:
    return rows[0] if rows else None


def _dataset_values(row: DatasetRow) -> tuple[Value, ...]:
    return (
        clamped(row.entry_index, "entry index"),
        row.namespace,
        row.name,
        row.version,
        row.digest.raw,
        hash_bytes(row.file_root, "file root"),
        row.kind,
        row.sensitivity,
        row.license,
        row.keyid,
        row.created,
        None if row.manifest is None else row.manifest.raw,
        None if row.oms is None else row.oms.raw,
        None if row.record_root is None else hash_bytes(row.record_root, "record root"),
    )


def _cursor(after: int | None) -> int:
    return -1 if after is None else clamped(after, "cursor")


def _path_bytes(path: str) -> bytes:
    if not Path(path).is_absolute() and not _URI.match(path):
        raise MalformedError("a location is relative", expected="an absolute path or a URI", got=path)
    try:
        return os.fsencode(path)
    except UnicodeEncodeError as error:
        raise MalformedError("a location is no path", expected="what the file system can name", got=path) from error
