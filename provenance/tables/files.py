"""Tables of one or several files that all have the same columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from provenance.encoding.records import RecordSchema
from provenance.errors import MalformedError, SourceError
from provenance.tables.base import Fragment, Identity, Table, identify


@dataclass(frozen=True, slots=True)
class FileTable:
    """Fragments of files with one schema."""

    schema: pa.Schema
    parts: tuple[Fragment, ...]

    def fragments(self) -> Sequence[Fragment]:
        """The pieces, in table order."""
        return self.parts


@dataclass(frozen=True, slots=True)
class Opened:
    """What one file says of itself: its schema, and which parts it is read in (None: as a whole)."""

    schema: pa.Schema
    parts: tuple[object, ...] = (None,)


def table_of(
    paths: Sequence[Path],
    open_file: Callable[[Path], Opened],
    read: Callable[[Fragment], Iterator[pa.RecordBatch]],
    schema: RecordSchema | None,
) -> FileTable:
    """One table of files that describe themselves. `SourceError` names the file whose columns are others."""
    identities = [identify(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_file, paths))
    first = opened[0].schema
    wanted = record_schema(first, paths[0]) if schema is None else schema
    for path, one in zip(paths, opened, strict=True):
        check_same(one.schema, wanted, path)
    fragments = (
        Fragment(str(path), identity, read, part)
        for path, identity, one in zip(paths, identities, opened, strict=True)
        for part in one.parts
    )
    return FileTable(first, tuple(fragments))


def fragments_of(
    paths: Sequence[Path],
    identities: Sequence[Identity],
    read: Callable[[Fragment], Iterator[pa.RecordBatch]],
    part: object = None,
) -> tuple[Fragment, ...]:
    """One fragment a file."""
    return tuple(Fragment(str(path), found, read, part) for path, found in zip(paths, identities, strict=True))


def join_tables(tables: Sequence[Table]) -> FileTable:
    """The tables one after another; `SourceError` if their columns differ."""
    first = tables[0].schema
    wanted = record_schema(first, Path(tables[0].fragments()[0].path))
    for table in tables:
        check_same(table.schema, wanted, Path(table.fragments()[0].path))
    return FileTable(first, tuple(fragment for table in tables for fragment in table.fragments()))


def record_schema(schema: pa.Schema, path: Path | str) -> RecordSchema:
    """The record schema of a file; `SourceError` names the file and the column that has none."""
    try:
        return RecordSchema.of(schema)
    except MalformedError as error:
        where = f"{path}, column {error.where}" if error.where else path
        raise SourceError(error.what, expected=error.expected, got=error.got, where=where, hint=error.hint) from error


def check_same(schema: pa.Schema, wanted: RecordSchema, path: Path | str) -> None:
    """Raise `SourceError` unless a file's columns are the table's, by name, order and record type."""
    found = record_schema(schema, path)
    if found.names != wanted.names:
        raise SourceError(
            "file has other columns than the table", expected=_listed(wanted), got=_listed(found), where=path
        )
    for one, other in zip(wanted.fields, found.fields, strict=True):
        if one.type != other.type:
            where = f"{path}, column {one.name}"
            raise SourceError(
                "column is of another type than in the table", expected=one.type, got=other.type, where=where
            )


def _listed(schema: RecordSchema) -> str:
    return ", ".join(ascii(name) for name in schema.names[:20]) + (" ..." if len(schema.names) > 20 else "")
