"""Arrow IPC: files, streams and Feather version 2. One fragment a file's record batch, or a whole stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from provenance.encoding.records import RecordSchema
from provenance.tables.base import Fragment, bounded, check_unchanged, unreadable
from provenance.tables.files import FileTable, Opened, table_of

_FILE_MAGIC = b"ARROW1\x00\x00"
_STREAM = "stream"


def open_files(paths: Sequence[Path], schema: RecordSchema | None) -> FileTable:
    """The table of these files."""
    return table_of(paths, _open, _read, schema)


def _open(path: Path) -> Opened:
    try:
        if not _is_file_format(path):
            with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as stream:
                return Opened(stream.schema, (_STREAM,))
        with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
            return Opened(file.schema, tuple(range(file.num_record_batches)))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _read(fragment: Fragment) -> Iterator[pa.RecordBatch]:
    path = Path(fragment.path)
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)
    try:
        with pa.OSFile(str(path)) as source:
            if fragment.part == _STREAM:
                with pa.ipc.open_stream(source) as stream:
                    yield from bounded(_checked(iter(stream)))
            else:
                with pa.ipc.open_file(source) as file:
                    yield from bounded(_checked(iter([file.get_batch(fragment.part)])))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(fragment.where, error) from error
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)


def _checked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches whose offsets stay in their buffers: Arrow trusts what a file says of itself, and would read beyond."""
    for batch in batches:
        batch.validate(full=True)
        yield batch


def _is_file_format(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
