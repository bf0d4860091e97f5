"""The readers and writers of other libraries that an autolog watches, and how each is replaced and put back.

Invariants: what is replaced is put back as it was, in the reverse order; a call that another watched call makes is not
told of a second time; nothing is imported that was not imported or asked for.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, Protocol

Way = Literal["read", "write", "sql"]


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """A function of a module, or a method of one of its classes. `place` is where its path stands among the positional
    arguments, without the object of a method; `names` are what it may be called instead."""

    module: str
    owner: str
    name: str
    way: Way
    place: int
    names: tuple[str, ...]

    @property
    def may_fetch(self) -> bool:
        """Whether a name that is no path here is taken from elsewhere, and no error."""
        return self.name == "load_dataset"

    def argument(self, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """The argument that names paths; None if there is none."""
        for name in self.names:
            if name in named:
                return named[name]
        return arguments[self.place] if len(arguments) > self.place else None


class Watcher(Protocol):
    """Who is told of calls."""

    def before(self, call: WatchedCall, argument: Any) -> Sequence[Path]:
        """A call is about to be made; what is raised here keeps it from being made. Places of the call, for `after`."""

    def after(self, written: Sequence[Path]) -> None:
        """A call was made and returned; `written` is what `before` gave for this very call."""


def _calls(module: str, owner: str, way: Way, place: int, *named: str) -> list[WatchedCall]:
    """Of "name:argument,argument" each."""
    found = []
    for text in named:
        name, _, arguments = text.partition(":")
        found.append(WatchedCall(module, owner, name, way, place, tuple(arguments.split(","))))
    return found


def _duckdb(owner: str) -> list[WatchedCall]:
    return [
        *_calls("duckdb", owner, "read", 0, "read_csv:path_or_buffer", "from_csv_auto:path_or_buffer"),
        *_calls("duckdb", owner, "read", 0, "read_parquet:path_or_buffer,file_glob,file_globs"),
        *_calls("duckdb", owner, "read", 0, "from_parquet:path_or_buffer,file_glob,file_globs"),
        *_calls("duckdb", owner, "read", 0, "read_json:path_or_buffer"),
        *_calls("duckdb", owner, "sql", 0, "sql:query", "query:query", "execute:query"),
    ]


_DUCKDB_WRITES: Final = (
    *_calls("duckdb", "DuckDBPyRelation", "write", 0, "write_csv:file_name", "to_csv:file_name"),
    *_calls("duckdb", "DuckDBPyRelation", "write", 0, "write_parquet:file_name", "to_parquet:file_name"),
)

CALLS: Final[Mapping[str, tuple[WatchedCall, ...]]] = {
    "pandas": (
        *_calls("pandas", "", "read", 0, "read_csv:filepath_or_buffer", "read_table:filepath_or_buffer"),
        *_calls("pandas", "", "read", 0, "read_json:path_or_buf", "read_parquet:path", "read_feather:path"),
        *_calls("pandas", "", "read", 0, "read_orc:path", "read_excel:io", "read_pickle:filepath_or_buffer"),
        *_calls("pandas", "DataFrame", "write", 0, "to_csv:path_or_buf", "to_json:path_or_buf", "to_parquet:path"),
        *_calls("pandas", "DataFrame", "write", 0, "to_feather:path", "to_orc:path", "to_excel:excel_writer"),
        *_calls("pandas", "DataFrame", "write", 0, "to_pickle:path"),
        *_calls("pandas", "Series", "write", 0, "to_csv:path_or_buf", "to_json:path_or_buf", "to_pickle:path"),
    ),
    "polars": (
        *_calls("polars", "", "read", 0, "read_csv:source", "read_parquet:source", "read_ipc:source"),
        *_calls("polars", "", "read", 0, "read_json:source", "read_ndjson:source", "read_excel:source"),
        *_calls("polars", "", "read", 0, "scan_csv:source", "scan_parquet:source", "scan_ipc:source"),
        *_calls("polars", "", "read", 0, "scan_ndjson:source"),
        *_calls("polars", "DataFrame", "write", 0, "write_csv:file", "write_parquet:file", "write_ipc:file"),
        *_calls("polars", "DataFrame", "write", 0, "write_json:file", "write_ndjson:file", "write_excel:workbook"),
        *_calls("polars", "LazyFrame", "write", 0, "sink_csv:path", "sink_parquet:path", "sink_ipc:path"),
        *_calls("polars", "LazyFrame", "write", 0, "sink_ndjson:path"),
    ),
    "pyarrow": (
        *_calls("pyarrow.csv", "", "read", 0, "read_csv:input_file", "open_csv:input_file"),
        *_calls("pyarrow.json", "", "read", 0, "read_json:input_file"),
        *_calls("pyarrow.parquet", "", "read", 0, "read_table:source", "read_pandas:source"),
        *_calls("pyarrow.feather", "", "read", 0, "read_table:source", "read_feather:source"),
        *_calls("pyarrow.dataset", "", "read", 0, "dataset:source"),
        *_calls("pyarrow.csv", "", "write", 1, "write_csv:output_file"),
        *_calls("pyarrow.parquet", "", "write", 1, "write_table:where"),
        *_calls("pyarrow.feather", "", "write", 1, "write_feather:dest"),
        *_calls("pyarrow.dataset", "", "write", 1, "write_dataset:base_dir"),
    ),
    "duckdb": (*_duckdb(""), *_duckdb("DuckDBPyConnection"), *_DUCKDB_WRITES),
    "datasets": (
        *_calls("datasets", "", "read", 0, "load_dataset:data_files,data_dir,path", "load_from_disk:dataset_path"),
        *_calls("datasets", "Dataset", "read", 0, "from_csv:path_or_paths", "from_json:path_or_paths"),
        *_calls("datasets", "Dataset", "read", 0, "from_parquet:path_or_paths", "from_text:path_or_paths"),
        *_calls("datasets", "Dataset", "write", 0, "to_csv:path_or_buf", "to_json:path_or_buf"),
        *_calls("datasets", "Dataset", "write", 0, "to_parquet:path_or_buf", "save_to_disk:dataset_path"),
    ),
}  # fmt: skip


class Patches:
    """Replaced calls. One set at a time in a process; `undo` puts all of them back."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher, self._inside = watcher, threading.local()
        self._done: list[tuple[Any, str, Any]] = []

    def apply(self, library: str) -> None:
        """Replace the calls of a library that is installed. `ImportError` if it is not."""
        import_module(library)
        for call in CALLS[library]:
            owner = _owner(call)
            if owner is not None:
                self._replace(owner, call)

    def undo(self) -> None:
        """Put everything back."""
        while self._done:
            owner, name, before = self._done.pop()
            setattr(owner, name, before)

    def _replace(self, owner: Any, call: WatchedCall) -> None:
        before = inspect.getattr_static(owner, call.name, None)
        if before is None:  # this version of the library has none of that name
            return
        plain = before.__func__ if isinstance(before, staticmethod | classmethod) else before
        # What belongs to a class is given its object, or its class, before its arguments.
        skipped = int(inspect.isclass(owner) and not isinstance(before, staticmethod))
        wrapped: Any = self._wrapped(plain, call, skipped)
        if isinstance(before, staticmethod | classmethod):
            wrapped = type(before)(wrapped)
        self._done.append((owner, call.name, before))
        setattr(owner, call.name, wrapped)

    def _wrapped(self, plain: Callable[..., Any], call: WatchedCall, skipped: int) -> Callable[..., Any]:
        watcher, inside = self._watcher, self._inside

        @wraps(plain)
        def watched(*arguments: Any, **named: Any) -> Any:
            argument = call.argument(arguments[skipped:], named)
            if getattr(inside, "now", False) or argument is None:
                return plain(*arguments, **named)
            inside.now = True
            try:
                places = watcher.before(call, argument)
                result = plain(*arguments, **named)
                watcher.after(places)
            finally:
                inside.now = False
            return result

        return watched


def _owner(call: WatchedCall) -> Any:
    try:
        module = import_module(call.module)
    except ImportError:  # a part that this build of the library lacks
        return None
    return getattr(module, call.owner, None) if call.owner else module


def imported() -> list[str]:
    """The libraries that this process has imported."""
    return [name for name in CALLS if isinstance(sys.modules.get(name), ModuleType)]


def places_in(argument: Any) -> Iterator[str]:
    """The paths that an argument names; what is no path, as an open file, is passed over."""
    if isinstance(argument, str | os.PathLike):
        yield os.fsdecode(argument)
    elif isinstance(argument, Mapping):
        for one in argument.values():
            yield from places_in(one)
    elif isinstance(argument, list | tuple | set | frozenset):
        for one in argument:
            yield from places_in(one)
