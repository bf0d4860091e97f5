"""Batches cut so that memory stays bounded."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa

from provenance.encoding.records import RecordSchema, Scratch, encode_rows, row_bytes, split_batch
from provenance.encoding.records.sizing import MAX_BATCH_BYTES

MEGABYTE = 2**20


def _of(array: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([array], ["c"])


def test_narrow_batches_are_cut_by_rows() -> None:
    batch = _of(pa.array(range(100_000)))
    parts = list(split_batch(batch))
    assert [part.num_rows for part in parts] == [65_536, 34_464]
    assert [part.column(0)[0].as_py() for part in parts] == [0, 65_536]


def test_no_rows_are_no_batches() -> None:
    assert list(split_batch(_of(pa.array([], pa.int64())))) == []


def test_a_row_stays_whole() -> None:
    batch = _of(pa.array([b"x" * 5_000, b"", b"y" * 5_000]))
    assert [part.num_rows for part in split_batch(batch, max_bytes=100)] == [1, 1, 1]


def test_images_behind_one_dictionary_entry_do_not_fill_memory() -> None:
    """4 GiB of leaf data from a column of 33 KiB and one image."""
    image = pa.array([b"x" * MEGABYTE])
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(4_096, np.int64)), image)
    batch = _of(column)
    assert row_bytes(batch) > 4_096 * MEGABYTE
    parts = list(split_batch(batch))
    assert sum(part.num_rows for part in parts) == 4_096
    assert all(row_bytes(part) <= MAX_BATCH_BYTES for part in parts)
    schema, scratch = RecordSchema.of(batch.schema), Scratch()
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    for part in parts[:3]:
        rows = encode_rows(part, schema, scratch)
        assert len(rows.data) <= MAX_BATCH_BYTES
        assert pa.total_allocated_bytes() - before <= 4 * MAX_BATCH_BYTES
    assert tracemalloc.get_traced_memory()[1] <= 2 * MAX_BATCH_BYTES
    tracemalloc.stop()


def test_wide_tables_are_cut_too() -> None:
    row = pa.array(np.arange(2_000, dtype=np.int64))
    batch = pa.RecordBatch.from_arrays([row] * 2_000, [f"c{index}" for index in range(2_000)])
    parts = list(split_batch(batch))
    assert len(parts) == 4
    assert sum(part.num_rows for part in parts) == 2_000
