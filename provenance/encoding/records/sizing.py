"""How many bytes rows will need, before they are encoded: what keeps memory bounded when values are wide.

Invariants: an estimate from types, offsets and lengths alone, no value is read; at least what the rows' leaf data need,
but for lists behind views and nested values behind dictionaries or runs, which count as an average. Encoding needs
about four times the leaf data while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from provenance.encoding.records.arrays import (
    checked,
    clean_views,
    is_list_view,
    numbers_of,
    offsets_of,
    ranges_of,
    runs_of,
)
from provenance.encoding.records.types import is_list

MAX_BATCH_BYTES: Final = 16 * 2**20
MAX_BATCH_ROWS: Final = 65_536
_HEAD: Final = 9
"""Bytes of the longest head of a string or an array, and of the longest number."""


def split_batch(
    batch: pa.RecordBatch, *, max_bytes: int = MAX_BATCH_BYTES, max_rows: int = MAX_BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """The batch in order, cut into slices of at most `max_rows` rows and about `max_bytes` of leaf data; a row stays
    whole. Nothing is copied. `MalformedError` names a column that is not valid Arrow data."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        checked(column, name)
    waiting = [batch.slice(start, max_rows) for start in reversed(range(0, batch.num_rows, max_rows))]
    while waiting:
        part = waiting.pop()
        if part.num_rows > 1 and row_bytes(part) > max_bytes:
            half = part.num_rows // 2
            waiting += [part.slice(half), part.slice(0, half)]
        else:
            yield part


def row_bytes(batch: pa.RecordBatch) -> int:
    """About how many bytes the leaf data of all rows of a checked batch are."""
    rows: int = batch.num_rows
    return (1 + _HEAD) * rows + sum(_size(column) for column in batch.columns)


def _size(array: pa.Array) -> int:
    kind, types = array.type, pa.types
    rows: int = len(array)
    if isinstance(kind, pa.BaseExtensionType):
        return _size(array.storage)
    if types.is_dictionary(kind):
        return _repeated(array.dictionary, array.indices.fill_null(0))
    if types.is_run_end_encoded(kind):
        return _repeated(array.values, pa.array(runs_of(array)))
    if types.is_null(kind) or types.is_boolean(kind):
        return rows
    if types.is_struct(kind):
        return _HEAD * rows + sum(_size(array.field(index)) for index in range(kind.num_fields))
    if is_list(kind) or types.is_map(kind):
        return _HEAD * rows + _list_size(array)
    if types.is_decimal(kind):
        return int((3 * _HEAD + kind.byte_width) * rows)
    if types.is_interval(kind):
        return 3 * _HEAD * rows
    if types.is_fixed_size_binary(kind):
        return int((_HEAD + kind.byte_width) * rows)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return _HEAD * rows + int(_lengths(array).sum())
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        offsets = offsets_of(array)
        return _HEAD * rows + int(offsets[-1]) - int(offsets[0])
    return int((1 + kind.bit_width // 8) * rows)


def _list_size(array: pa.Array) -> int:
    starts, counts = ranges_of(array)
    count = int(counts.sum())
    if is_list_view(array.type):
        return _average(array.values, count)
    if not len(starts):
        return 0
    first, last = int(starts[0]), int(starts[-1] + counts[-1])
    return _size(array.values.slice(first, last - first))


def _repeated(values: pa.Array, rows: pa.Array) -> int:
    if not len(values):
        return _HEAD * len(rows)
    types, kind = pa.types, values.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        return _HEAD * len(rows) + int(_lengths(values).take(rows.to_numpy(zero_copy_only=False)).sum())
    return _average(values, len(rows))


def _average(values: pa.Array, count: int) -> int:
    return -(-_size(values) * count // len(values)) if len(values) else 0


def _lengths(array: pa.Array) -> npt.NDArray[np.int64]:
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        # The length is the first of the four numbers of a view.
        lengths = numbers_of(clean_views(array), np.dtype(("<i4", (4,))))[:, 0]
    else:
        lengths = pc.binary_length(array).fill_null(0).to_numpy()
    return lengths.astype(np.int64)
