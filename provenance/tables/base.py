"""Tables: where records come from.

Guarantees of every implementation: `fragments` are in table order and together are the table, each row once; each can
be pickled and read anywhere its file can; the batches of a fragment are bounded in rows and in bytes, whatever a row
holds; a file that changes between `open_table` and the end of the reading is a `SourceError` that names it; nothing is
written, and no row's content is in an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import pyarrow as pa

from provenance.encoding.records import split_batch
from provenance.errors import SourceError

MAX_BATCH_ROWS: Final = 32_768
MAX_BATCH_BYTES: Final = 32 * 2**20

Identity: TypeAlias = tuple[int, int, int, int, int]
"""Device, inode, size in bytes, times of modification and change in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a table: `read(self)` gives its batches. `part` says which of the file's, to that reader alone."""

    path: str
    identity: Identity | None
    read: Callable[[Fragment], Iterator[pa.RecordBatch]]
    part: Any = None

    @property
    def where(self) -> str:
        """For messages."""
        return self.path if self.part is None else f"{self.path}, part {self.part}"


class Table(Protocol):
    """Rows of one schema."""

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch, as far as record types go."""

    def fragments(self) -> Sequence[Fragment]:
        """The pieces, in table order."""


def bounded(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most `MAX_BATCH_ROWS` rows and about `MAX_BATCH_BYTES`; empty ones left out."""
    for batch in batches:
        if batch.num_rows:
            yield from split_batch(batch, max_bytes=MAX_BATCH_BYTES, max_rows=MAX_BATCH_ROWS)


def identify(path: Path) -> Identity:
    """What a file is now; `SourceError` if it is not there or no file."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check_unchanged(path: Path, identity: Identity) -> None:
    """Raise `SourceError` unless the file is what it was."""
    if identify(path) != identity:
        raise SourceError("file changed while it was read", where=path, hint="stop what writes to it, then try again")


def unreadable(path: Path | str, error: Exception) -> SourceError:
    """What a failure to read a table's file is to a caller. A library's own words may hold a row."""
    if isinstance(error, FileNotFoundError):
        return SourceError("no such file", where=path)
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
    hint = "is it complete, and of the format its name says?"
    return SourceError("table cannot be read", got=reason, where=path, hint=hint)
