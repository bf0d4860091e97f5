"""Tables by what they are: a path's suffix, or what an object can do. `open_table` loads a reader when it is needed.

| suffix | format |
| --- | --- |
| `.parquet`, `.pq` | Parquet |
| `.arrow`, `.feather`, `.ipc`, `.arrows` | Arrow IPC, file or stream |
| `.csv`, `.tsv` | RFC 4180 |
| `.jsonl`, `.ndjson` | JSON Lines |
| `.tar` | WebDataset shards |

Third parties add formats by entry points of the group `provenance.tables`: name = suffix without the dot, value = a
callable (paths, schema or None) that returns a `Table`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.errors import SourceError

if TYPE_CHECKING:
    from provenance.encoding.records import RecordSchema
    from provenance.tables.base import Fragment, Table

__all__ = ["ENTRY_POINT_GROUP", "Fragment", "Table", "is_table", "open_table"]

ENTRY_POINT_GROUP = "provenance.tables"

_MODULES = {
    "parquet": "parquet",
    "pq": "parquet",
    "arrow": "arrow",
    "feather": "arrow",
    "ipc": "arrow",
    "arrows": "arrow",
    "csv": "csv",
    "tsv": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "tar": "webdataset",
}


def is_table(name: str) -> bool:
    """Whether a file of this name is read as a table."""
    suffix = _suffix(name)
    return suffix in _MODULES or bool(suffix and entry_points(group=ENTRY_POINT_GROUP, name=suffix))


def open_table(what: Any, *, schema: RecordSchema | None = None) -> Table:
    """The table in a file, in several files of one schema (rows in the order given), or in an object of any library.

    `schema` says what CSV and JSON Lines hold; without one it is inferred from all of their rows. For other formats it
    must be theirs. `SourceError` names the file, and the column where files differ.
    """
    if isinstance(what, str | os.PathLike):
        return _open_files([Path(what)], schema)
    if isinstance(what, Sequence) and what and all(isinstance(item, str | os.PathLike) for item in what):
        return _open_files([Path(item) for item in what], schema)
    from provenance.tables.capsule import open_object

    return open_object(what, schema)


def _open_files(paths: list[Path], schema: RecordSchema | None) -> Table:
    kinds = {_reader(path) for path in paths}
    if len(kinds) > 1:
        from provenance.tables.files import join_tables

        return join_tables([_open_files([path], schema) for path in paths])
    return _load(kinds.pop())(paths, schema)


def _reader(path: Path) -> str:
    suffix = _suffix(path.name)
    if suffix in _MODULES:
        return f"provenance.tables.{_MODULES[suffix]}"
    if suffix and entry_points(group=ENTRY_POINT_GROUP, name=suffix):
        return suffix
    expected = ", ".join(f".{name}" for name in _MODULES)
    raise SourceError("file is no table", expected=expected, got=ascii(path.suffix), where=path)


def _load(reader: str) -> Callable[[list[Path], RecordSchema | None], Table]:
    if reader.startswith("provenance."):
        opener: Callable[[list[Path], RecordSchema | None], Table] = import_module(reader).open_files
        return opener
    plug_in = next(iter(entry_points(group=ENTRY_POINT_GROUP, name=reader)))
    try:
        loaded: Callable[[list[Path], RecordSchema | None], Table] = plug_in.load()
    except Exception as error:
        raise SourceError("table reader does not load", got=type(error).__name__, where=plug_in.value) from error
    return loaded


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""
