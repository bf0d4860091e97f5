"""The same values out of other libraries are the same rows under the same schema."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from provenance.encoding.records import RecordSchema, encode_rows

TABLE = pa.table(
    {
        "int64": pa.array([1, None, -(2**63)], pa.int64()),
        "uint8": pa.array([0, 24, 255], pa.uint8()),
        "float64": pa.array([0.1, -0.0, None], pa.float64()),
        "float32": pa.array([1.5, math.inf, 0.1], pa.float32()),
        "bool": pa.array([True, None, False]),
        "string": pa.array(["a", "é" * 40, None]),
        "binary": pa.array([b"", None, b"\xff" * 300]),
        "date": pa.array([date(2026, 1, 31), None, date(1969, 12, 31)]),
        "local": pa.array([datetime(2026, 1, 31, 12), None, datetime(1969, 1, 1)], pa.timestamp("us")),
        "utc": pa.array([datetime(2026, 1, 31, 12, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
        "decimal": pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal128(9, 2)),
        "list": pa.array([[1, None], None, []], pa.list_(pa.int32())),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": ""}]),
        "deep": pa.array([[{"l": ["x"]}], [], None], pa.list_(pa.struct([("l", pa.list_(pa.string()))]))),
        "category": pa.array(["u", None, "u"]).dictionary_encode(),
    }
)


def _read(source: Any) -> pa.Table:
    return pa.RecordBatchReader.from_stream(source).read_all()


def _fingerprint(table: pa.Table) -> tuple[bytes, list[bytes]]:
    schema = RecordSchema.of(table.schema)
    nulls = [False] * table.num_columns
    rows: list[bytes] = []
    for batch in table.to_batches():
        part = encode_rows(batch, schema)
        rows += [part.row(index) for index in range(len(part))]
        nulls = [known or bool(found) for known, found in zip(nulls, part.null_columns, strict=True)]
    return schema.with_nulls(nulls).encode(), rows


def _duckdb(table: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Etc/UTC'")
        connection.register("given", table)
        return _read(connection.sql("SELECT * FROM given"))


def _polars(table: pa.Table) -> pa.Table:
    return _read(pl.DataFrame(pl.from_arrow(table)))


def _polars_chunks(table: pa.Table) -> pa.Table:
    parts = [pl.DataFrame(pl.from_arrow(part)) for part in (table[:1], table[1:])]
    return _read(pl.concat(parts, rechunk=False))


def _pandas(table: pa.Table) -> pa.Table:
    return _read(table.to_pandas(types_mapper=pd.ArrowDtype))


@pytest.mark.parametrize("through", [_read, _polars, _polars_chunks, _duckdb, _pandas])
def test_same_rows_and_schema(through: Callable[[pa.Table], pa.Table]) -> None:
    assert _fingerprint(through(TABLE)) == _fingerprint(TABLE)


def test_plain_pandas_keeps_what_numpy_can_hold() -> None:
    table = pa.table({"n": [1, 2], "x": [0.5, 0.1], "b": [True, False], "s": ["a", "é"]})
    assert _fingerprint(_read(table.to_pandas())) == _fingerprint(table)


def test_lazy_and_sliced_frames() -> None:
    frame = pl.DataFrame({"s": ["a" * n for n in range(40)], "l": [[n, None] for n in range(40)]})
    whole = _fingerprint(_read(frame))
    assert _fingerprint(_read(frame.slice(7, 11)))[1] == whole[1][7:18]
    assert _fingerprint(_read(frame.lazy().filter(pl.col("s") != "").collect()))[1] == whole[1][1:]


def test_durations_and_intervals_of_duckdb() -> None:
    with duckdb.connect() as connection:
        table = _read(
            connection.sql("SELECT INTERVAL 1 MONTH + INTERVAL 2 DAY AS i, MAP {'a': 1} AS m, 2::HUGEINT AS h")
        )
    assert _fingerprint(table)[1] == [bytes.fromhex("83830102008182616101c4820002")]
    frame = pl.DataFrame({"d": [timedelta(seconds=-1)]}, schema={"d": pl.Duration("ms")})
    assert _fingerprint(_read(frame))[1] == [bytes.fromhex("813903e7")]
