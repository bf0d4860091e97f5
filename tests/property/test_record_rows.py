"""Rows of random tables against `cbor2.dumps(row, canonical=True)`: 500 tables, 20,000 with PROVENANCE_LONG=1."""

from __future__ import annotations

import math
import os
import random
from typing import Any

import cbor2
import numpy as np
import pyarrow as pa
import pytest

from provenance.encoding import canonical_json, parse_json
from provenance.encoding.records import (
    RecordSchema,
    Scratch,
    decode_row,
    encode_row,
    encode_rows,
    parse_schema,
    row_bytes,
    row_from_json,
    split_batch,
)
from provenance.errors import MalformedError
from tests.property.random_tables import array_of, plain, random_type, random_value

LONG = os.environ.get("PROVENANCE_LONG") == "1"
TABLES = 20_000 if LONG else 500
DAMAGED = 10_000 if LONG else 300
_PARTS = 10


class Table:
    """A random table: its types, its values by column, and its rows as the oracle has them."""

    def __init__(self, rng: random.Random, rows: int | None = None) -> None:
        rows = rng.choice([0, 1, 2, 3, 10, 40]) if rows is None else rows
        self.kinds = [random_type(rng) for _ in range(rng.randrange(1, 5))]
        nulls = rng.choice([0.0, 0.2, 0.9])
        self.columns = [[random_value(rng, kind, nulls) for _ in range(rows)] for kind in self.kinds]

    @property
    def batch(self) -> pa.RecordBatch:
        arrays = [array_of(values, kind) for values, kind in zip(self.columns, self.kinds, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, [f"c{index}" for index in range(len(arrays))])

    @property
    def rows(self) -> list[list[Any]]:
        plainly = [
            [plain(value, kind) for value in values] for values, kind in zip(self.columns, self.kinds, strict=True)
        ]
        return [list(row) for row in zip(*plainly, strict=True)]


def rows_of(batch: pa.RecordBatch, schema: RecordSchema, scratch: Scratch | None = None) -> list[bytes]:
    rows = encode_rows(batch, schema, scratch)
    return [rows.row(index) for index in range(len(rows))]


@pytest.mark.parametrize("part", range(_PARTS))
def test_rows_are_what_cbor2_writes(part: int) -> None:
    scratch = Scratch()
    for number in range(part, TABLES, _PARTS):
        rng = random.Random(f"rows {number}")
        table = Table(rng)
        batch, expected = table.batch, table.rows
        schema = RecordSchema.of(batch.schema)
        rows = encode_rows(batch, schema, scratch)
        found = [rows.row(index) for index in range(len(rows))]
        assert found == [cbor2.dumps(row, canonical=True) for row in expected], f"table {number}: {batch.schema}"
        assert list(rows.null_columns) == [any(row[c] is None for row in expected) for c in range(batch.num_columns)]
        assert all(rows.data[start] == 0 for start in rows.offsets[:-1])
        assert parse_schema(parse_json(canonical_json(schema.to_json()), what="s", max_bytes=10**6)) == schema
        _any_part_gives_the_same_rows(rng, batch, schema, found)
        _one_row_gives_the_same_bytes(table, schema, found)


def _any_part_gives_the_same_rows(
    rng: random.Random, batch: pa.RecordBatch, schema: RecordSchema, expected: list[bytes]
) -> None:
    start = rng.randrange(len(expected) + 1)
    stop = rng.randrange(start, len(expected) + 1)
    assert rows_of(batch.slice(start, stop - start), schema) == expected[start:stop]
    parts = list(split_batch(batch, max_bytes=rng.choice([1, 100, 1_000]), max_rows=7))
    assert [row for part in parts for row in rows_of(part, schema)] == expected
    assert all(part.num_rows <= 7 for part in parts)


def _one_row_gives_the_same_bytes(table: Table, schema: RecordSchema, expected: list[bytes]) -> None:
    for index, row in enumerate(expected[:3]):
        assert row_from_json(decode_row(row, schema), schema) == row
        if "date64" not in str(table.kinds):  # which `random_value` gives in milliseconds
            assert encode_row([values[index] for values in table.columns], schema) == row


def test_one_changed_value_changes_its_row_and_no_other() -> None:
    changed = 0
    for number in range(TABLES // 5):
        rng = random.Random(f"change {number}")
        table = Table(rng, rows=rng.choice([1, 5, 20]))
        schema = RecordSchema.of(table.batch.schema)
        before, plainly = rows_of(table.batch, schema), table.rows
        column, row = rng.randrange(len(table.kinds)), rng.randrange(len(before))
        table.columns[column][row] = random_value(rng, table.kinds[column], 0.3)
        after = rows_of(table.batch, schema)
        differs = cbor2.dumps(table.rows[row], canonical=True) != cbor2.dumps(plainly[row], canonical=True)
        assert (before[row] != after[row]) == differs
        assert before[:row] + before[row + 1 :] == after[:row] + after[row + 1 :]
        changed += differs
    assert changed > TABLES // 10


def test_estimates_are_enough() -> None:
    for number in range(TABLES):
        rng = random.Random(f"sizes {number}")
        batch = Table(rng).batch
        kinds = str(batch.schema)
        if "view<" in kinds or "run_end" in kinds or "dictionary" in kinds:
            continue  # some of these count as an average
        assert row_bytes(batch) >= len(encode_rows(batch, RecordSchema.of(batch.schema)).data), kinds


def test_damaged_buffers_give_rows_or_an_error() -> None:
    """Random bytes in random buffers of random arrays: whatever offset they make, nothing else happens."""
    refused = 0
    for number in range(DAMAGED):
        rng = random.Random(f"damage {number}")
        batch = Table(rng, rows=rng.choice([3, 10, 40])).batch
        try:
            for part in split_batch(_damaged(rng, batch), max_bytes=2**16):
                if row_bytes(part) < 2**24:
                    encode_rows(part, RecordSchema.of(part.schema))
        except MalformedError:
            refused += 1
    assert refused > DAMAGED // 20


def _damaged(rng: random.Random, batch: pa.RecordBatch) -> pa.RecordBatch:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data = bytearray(sink.getvalue())
    body = _body(bytes(data))
    for _ in range(rng.choice([1, 2, 5]) if body < len(data) - 8 else 0):
        position = rng.randrange(body, len(data) - 8)
        data[position] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return pa.ipc.open_stream(bytes(data)).read_next_batch()


def _body(data: bytes) -> int:
    """Where the body of the last message begins: what goes before it is not ours to read."""
    position, body = 0, len(data)
    while position < len(data) - 8:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        message = pa.ipc.read_message(pa.BufferReader(data[position:]))
        body = position + 8 + size
        position = body + (message.body.size if message.body is not None else 0)
    return body


def test_floats_of_every_form() -> None:
    """Every half, and random singles and doubles, beside each other: the class of each is its own."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    rng = np.random.default_rng(3)
    singles = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    doubles = rng.integers(0, 2**64, 20_000, dtype=np.uint64).view(np.float64)
    with np.errstate(all="ignore"):
        for kind in (np.float16, np.float32, np.float64):
            values = np.concatenate([halves.astype(kind), singles.astype(kind), doubles.astype(kind)])
            batch = pa.RecordBatch.from_arrays([pa.array(values)], ["c"])
            expected = [cbor2.dumps([float(value)], canonical=True) for value in values]
            assert rows_of(batch, RecordSchema.of(batch.schema)) == expected
    assert math.isnan(float(halves[-1]))
