"""Rows of random tables against `cbor2.dumps(row, canonical=True)`: 500 tables, 20,000 with PROVENANCE_LONG=1."""

from __future__ import annotations

import os
import random
from typing import Any

import cbor2
import pyarrow as pa
import pytest

from provenance.encoding import canonical_json, parse_json
from provenance.encoding.records import RecordSchema, Scratch, decode_row, encode_rows, parse_schema
from tests.property.random_tables import array_of, plain, random_type, random_value

TABLES = 20_000 if os.environ.get("PROVENANCE_LONG") == "1" else 500
_PARTS = 10


def _table(rng: random.Random) -> tuple[pa.RecordBatch, list[list[Any]]]:
    rows = rng.choice([0, 1, 2, 3, 10, 40])
    kinds = [random_type(rng) for _ in range(rng.randrange(1, 5))]
    nulls = rng.choice([0.0, 0.2, 0.9])
    columns = [[random_value(rng, kind, nulls) for _ in range(rows)] for kind in kinds]
    arrays = [array_of(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    expected = [[plain(values[row], kind) for values, kind in zip(columns, kinds, strict=True)] for row in range(rows)]
    return pa.RecordBatch.from_arrays(arrays, [f"c{index}" for index in range(len(kinds))]), expected


@pytest.mark.parametrize("part", range(_PARTS))
def test_rows_are_what_cbor2_writes(part: int) -> None:
    scratch = Scratch()
    for number in range(part, TABLES, _PARTS):
        rng = random.Random(f"rows {number}")
        batch, expected = _table(rng)
        schema = RecordSchema.of(batch.schema)
        rows = encode_rows(batch, schema, scratch)
        found = [rows.row(index) for index in range(len(rows))]
        assert found == [cbor2.dumps(row, canonical=True) for row in expected], f"table {number}: {batch.schema}"
        assert list(rows.null_columns) == [any(row[c] is None for row in expected) for c in range(batch.num_columns)]
        assert all(rows.data[start] == 0 for start in rows.offsets[:-1])
        _slices(rng, batch, schema, found)
        for row in found[:3]:
            decode_row(row, schema)
        assert parse_schema(parse_json(canonical_json(schema.to_json()), what="s", max_bytes=10**6)) == schema


def _slices(rng: random.Random, batch: pa.RecordBatch, schema: RecordSchema, expected: list[bytes]) -> None:
    """Any run of rows, cut out of the batch or copied, gives the same rows."""
    start = rng.randrange(len(expected) + 1)
    stop = rng.randrange(start, len(expected) + 1)
    rows = encode_rows(batch.slice(start, stop - start), schema)
    assert [rows.row(index) for index in range(len(rows))] == expected[start:stop]
