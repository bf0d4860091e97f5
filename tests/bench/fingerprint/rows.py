"""Rows to leaf data: `python -m tests.bench.fingerprint.rows [--rows N]` prints nanoseconds a row by type of column.

The mix is what a table of 12 columns holds: 4 integers, 3 doubles, a boolean, a timestamp, 2 strings and a category.
Product and `cbor2.dumps(row, canonical=True)` over `to_pylist` take turns.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pyarrow as pa

from provenance.encoding.records import RecordSchema, Scratch, encode_rows
from tests.bench.fingerprint.report import Row, interleaved

BATCH_ROWS = 32_768
_SAMPLE_ROWS = 20_000
"""Rows that the reference encodes: it takes microseconds for each."""


def mix(rows: int, seed: int = 1) -> pa.Table:
    """A table of 12 mixed columns."""
    rng = np.random.default_rng(seed)
    categories = pa.array([f"category {index}" for index in range(20)])
    return pa.table(
        {
            "id": pa.array(np.arange(rows)),
            "count": pa.array(rng.integers(0, 300, rows).astype(np.int32)),
            "delta": pa.array(rng.integers(-70_000, 70_000, rows), mask=rng.random(rows) < 0.02),
            "user": pa.array(rng.integers(0, 2**62, rows)),
            "score": pa.array(rng.standard_normal(rows)),
            "price": pa.array(rng.integers(0, 10_000, rows) / 100),
            "ratio": pa.array(np.round(rng.random(rows), 2), mask=rng.random(rows) < 0.05),
            "ok": pa.array(rng.random(rows) < 0.5),
            "at": pa.array(rng.integers(10**15, 2 * 10**15, rows), pa.timestamp("us", "UTC")),
            "name": _texts(rng, rows, 4, 20),
            "note": _texts(rng, rows, 0, 24),
            "kind": categories.take(pa.array(rng.integers(0, 20, rows))).dictionary_encode(),
        }
    )


def others(rows: int) -> dict[str, pa.Array]:
    """Columns of the types that the mix lacks."""
    rng = np.random.default_rng(2)
    small = pa.array(rng.integers(0, 10**6, rows))
    text = _texts(rng, rows, 4, 20)
    lengths = rng.integers(0, 8, rows)
    flat = pa.array(rng.integers(0, 1_000, int(lengths.sum())))
    huge = [Decimal(int(value)) * 10**20 for value in rng.integers(1, 10**9, 1_000)]
    return {
        "decimal(18, 2)": small.cast(pa.decimal128(38, 0)).cast(pa.decimal128(18, 2)),
        "decimal above 64 bits": pa.array(huge, pa.decimal128(38, 0)).take(pa.array(np.arange(rows) % 1_000)),
        "string_view": text.cast(pa.string_view()),
        "large_string": text.cast(pa.large_string()),
        "float32": pa.array(rng.standard_normal(rows).astype(np.float32)),
        "list of 0 to 7 integers": pa.ListArray.from_arrays(
            pa.array(np.append(0, np.cumsum(lengths)), pa.int32()), flat
        ),
        "struct of integer, text": pa.StructArray.from_arrays([small, text], names=["n", "s"]),
        "the same, 5 % null": pa.StructArray.from_arrays(
            [small, text], names=["n", "s"], mask=pa.array(rng.random(rows) < 0.05)
        ),
        "32 floats": pa.FixedSizeListArray.from_arrays(pa.array(rng.standard_normal(32 * rows).astype(np.float32)), 32),
    }


def _texts(rng: np.random.Generator, rows: int, shortest: int, longest: int) -> pa.Array:
    lengths = rng.integers(shortest, longest + 1, rows)
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    data = rng.integers(97, 123, int(offsets[-1]), dtype=np.uint8)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data))


def encode(table: pa.Table) -> int:
    """What is measured: every batch of the table to leaf data. Returns their bytes."""
    schema, scratch = RecordSchema.of(table.schema), Scratch()
    return sum(len(encode_rows(batch, schema, scratch).data) for batch in table.to_batches(max_chunksize=BATCH_ROWS))


def reference(table: pa.Table) -> int:
    """The same with cbor2, a row at a time."""
    sample = table.slice(0, _SAMPLE_ROWS)
    if "at" in sample.column_names:
        sample = sample.set_column(sample.column_names.index("at"), "at", sample["at"].cast(pa.int64()))
    return sum(len(cbor2.dumps(list(row.values()), canonical=True)) for row in sample.to_pylist())


def _in_two_threads(table: pa.Table) -> Callable[[], Any]:
    halves = [table.slice(0, table.num_rows // 2), table.slice(table.num_rows // 2)]

    def run_both() -> list[int]:
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(encode, halves))

    return run_both


def run(*, quick: bool, folder: Path) -> list[Row]:
    """The rows of the whole benchmark's table."""
    table = mix(BATCH_ROWS * (2 if quick else 32))
    ours, theirs = interleaved([lambda: encode(table), lambda: reference(table)], 3 if quick else 7)
    ours_ns, theirs_ns = ours / table.num_rows * 1e9, theirs / min(_SAMPLE_ROWS, table.num_rows) * 1e9
    return [
        Row(
            path="rows of 12 mixed columns to leaf data, one thread",
            reference="to_pylist + cbor2",
            goal="at most 350 ns a row",
            ratio=theirs_ns / ours_ns,
            ours=f"{ours_ns:.0f} ns a row",
            theirs=f"{theirs_ns:.0f} ns a row",
            reached=ours_ns <= 350,
        )
    ]


def main() -> int:
    """Prints a line for each column and for the mix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16 * BATCH_ROWS)
    options = parser.parse_args()
    table = mix(options.rows)
    columns = {
        f"{name} ({kind})": table.select([name])
        for name, kind in zip(table.column_names, table.schema.types, strict=True)
    }
    columns |= {name: pa.table({"c": array}) for name, array in others(options.rows).items()}
    print("ns a row, leaf prefix and array head included")
    for name, column in columns.items():
        (ours,) = interleaved([partial(encode, column)], 5)
        print(f"{ours / options.rows * 1e9:8.1f}  {name}")
    ours, both, theirs = interleaved([lambda: encode(table), _in_two_threads(table), lambda: reference(table)], 7)
    reference_ns = theirs / min(_SAMPLE_ROWS, options.rows) * 1e9
    print(f"{ours / options.rows * 1e9:8.1f}  12 mixed columns, {encode(table) / options.rows:.0f} bytes a row")
    print(f"{both / options.rows * 1e9:8.1f}  the same in two threads ({ours / both:.2f} times)")
    print(f"{reference_ns:8.1f}  the same with cbor2 ({reference_ns / ours * options.rows / 1e9:.1f} times)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
