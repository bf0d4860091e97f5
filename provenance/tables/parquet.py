"""Parquet files: one fragment a row group.

Rules: columns are taken in the order of the file's Arrow schema; the schema that pandas or Arrow stored beside the data
decides types (time zones, extension storage); an index that pandas stored as a column is a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from provenance.encoding.records import RecordSchema
from provenance.errors import SourceError
from provenance.tables.base import MAX_BATCH_ROWS, Fragment, bounded, check_unchanged, unreadable
from provenance.tables.files import FileTable, Opened, table_of

_WIDE_GROUP_BYTES = 256 * 2**20


def open_files(paths: Sequence[Path], schema: RecordSchema | None) -> FileTable:
    """The table of these files."""
    return table_of(paths, _open, _read, schema)


def _open(path: Path) -> Opened:
    try:
        with pq.ParquetFile(path) as file:
            return Opened(file.schema_arrow, tuple(range(file.num_row_groups)))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _read(fragment: Fragment) -> Iterator[pa.RecordBatch]:
    path = Path(fragment.path)
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            group = file.metadata.row_group(fragment.part)
            if group.total_byte_size > _WIDE_GROUP_BYTES:
                batches = file.iter_batches(MAX_BATCH_ROWS, [fragment.part], use_threads=False)
                yield from bounded(_wide(batches))
            else:
                table = file.read_row_group(fragment.part, use_threads=False)
                if table.num_rows != group.num_rows:
                    raise SourceError(
                        "row group has other rows than it says",
                        expected=group.num_rows,
                        got=table.num_rows,
                        where=fragment.where,
                    )
                yield from bounded(iter(table.to_batches(MAX_BATCH_ROWS)))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(fragment.where, error) from error
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)


def _wide(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of a large row group; of rows that are large themselves, few are decoded at a time."""
    yield from batches
