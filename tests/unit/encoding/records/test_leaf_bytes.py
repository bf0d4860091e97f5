"""The bytes of values, written down by hand from RFC 8949, and every edge between two forms."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import cbor2
import pyarrow as pa
import pytest

from provenance.encoding.records import Scratch, encode_row, encode_rows
from provenance.errors import MalformedError
from tests.unit.encoding.records.tables import encoded, schema_of, values

HUGE = 2**64


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (pa.int64(), 0, "00"),
        (pa.int64(), 23, "17"),
        (pa.int64(), 24, "1818"),
        (pa.int64(), 255, "18ff"),
        (pa.int64(), 256, "190100"),
        (pa.int64(), 65_535, "19ffff"),
        (pa.int64(), 65_536, "1a00010000"),
        (pa.int64(), 2**32 - 1, "1affffffff"),
        (pa.int64(), 2**32, "1b0000000100000000"),
        (pa.int64(), 2**63 - 1, "1b7fffffffffffffff"),
        (pa.int64(), -1, "20"),
        (pa.int64(), -24, "37"),
        (pa.int64(), -25, "3818"),
        (pa.int64(), -256, "38ff"),
        (pa.int64(), -257, "390100"),
        (pa.int64(), -(2**63), "3b7fffffffffffffff"),
        (pa.int8(), -128, "387f"),
        (pa.uint8(), 255, "18ff"),
        (pa.uint64(), 2**64 - 1, "1bffffffffffffffff"),
        (pa.bool_(), False, "f4"),
        (pa.bool_(), True, "f5"),
        (pa.float64(), 0.0, "f90000"),
        (pa.float64(), -0.0, "f98000"),
        (pa.float64(), 1.5, "f93e00"),
        (pa.float64(), 65_504.0, "f97bff"),
        (pa.float64(), 65_505.0, "fa477fe100"),
        (pa.float64(), 5.960464477539063e-8, "f90001"),
        (pa.float64(), 2.9802322387695312e-8, "fa33000000"),
        (pa.float64(), 3.4028234663852886e38, "fa7f7fffff"),
        (pa.float64(), 3.4028234663852890e38, "fb47efffffe0000001"),
        (pa.float64(), 0.1, "fb3fb999999999999a"),
        (pa.float64(), math.inf, "f97c00"),
        (pa.float64(), -math.inf, "f9fc00"),
        (pa.float64(), math.nan, "f97e00"),
        (pa.float32(), 0.5, "f93800"),
        (pa.float32(), 1.100000023841858, "fa3f8ccccd"),
        (pa.float32(), math.nan, "f97e00"),
        (pa.float16(), 2.0, "f94000"),
        (pa.float16(), math.nan, "f97e00"),
        (pa.string(), "", "60"),
        (pa.string(), "é", "62c3a9"),
        (pa.string(), "x" * 23, "77" + "78" * 23),
        (pa.string(), "x" * 24, "7818" + "78" * 24),
        (pa.string(), "x" * 256, "790100" + "78" * 256),
        (pa.binary(), b"\x00\xff", "4200ff"),
        (pa.binary(2), b"\x00\xff", "4200ff"),
        (pa.decimal128(9, 2), Decimal("1.50"), "c482211896"),
        (pa.decimal128(9, 2), Decimal("-0.01"), "c4822120"),
        (pa.decimal128(9, 0), Decimal(7), "c4820007"),
        (pa.decimal128(20, 0), Decimal(2**64 - 1), "c482001bffffffffffffffff"),
        (pa.decimal128(20, 0), Decimal(2**64), "c48200c249010000000000000000"),
        (pa.decimal128(20, 0), Decimal(-(2**64)), "c482003bffffffffffffffff"),
        (pa.decimal128(20, 0), Decimal(-(2**64) - 1), "c48200c349010000000000000000"),
        (pa.decimal256(76, 0), Decimal(2**183), "c48200c257" + "80" + "00" * 22),
        (pa.decimal256(76, 0), Decimal(2**184), "c48200c25818" + "01" + "00" * 23),
        (pa.list_(pa.int64()), [], "80"),
        (pa.list_(pa.int64()), [1, None], "8201f6"),
        (pa.list_(pa.int64(), 2), [1, 2], "820102"),
        (pa.struct([("a", pa.int64()), ("b", pa.string())]), {"a": 1, "b": "x"}, "82016178"),
        (pa.struct([]), {}, "80"),
        (pa.map_(pa.string(), pa.int64()), [("b", 1), ("a", 2)], "82826162018261610 2".replace(" ", "")),
    ],
)
def test_value(kind: pa.DataType, value: Any, expected: str) -> None:
    assert values(pa.array([value], kind)) == [expected]
    assert values(pa.array([value, None, value], kind)) == [expected, "f6", expected]
    # Beside others, which give its column another width, and as one row from Python values.
    assert values(pa.array([value], kind).take(pa.array([0] * 40))) == [expected] * 40
    assert encode_row([value], schema_of(c=kind)).hex() == "81" + expected
    plainly = [list(v) if isinstance(v, tuple) else v for v in value] if isinstance(value, list) else value
    if not isinstance(value, dict):
        assert cbor2.dumps(plainly, canonical=True).hex() == expected


@pytest.mark.parametrize(
    ("kind", "ticks", "expected"),
    [
        (pa.date32(), 1, "01"),
        (pa.date32(), -1, "20"),
        (pa.date64(), 86_400_000, "01"),
        (pa.date64(), -86_400_000, "20"),
        (pa.time32("s"), 86_399, "1a0001517f"),
        (pa.time32("ms"), 1_000, "1903e8"),
        (pa.time64("us"), 0, "00"),
        (pa.time64("ns"), 1, "01"),
        (pa.timestamp("s"), -1, "20"),
        (pa.timestamp("us", "UTC"), 1_700_000_000_000_000, "1b00060a24181e4000"),
        (pa.timestamp("ns", "Europe/Berlin"), 10**18, "1b0de0b6b3a7640000"),
        (pa.duration("ms"), -500, "3901f3"),
    ],
)
def test_times_are_integers_in_the_columns_unit(kind: pa.DataType, ticks: int, expected: str) -> None:
    array = pa.array([ticks, None], pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    assert values(array) == [expected, "f6"]


def test_interval() -> None:
    array = pa.array([pa.MonthDayNano([1, -2, 3]), None], pa.month_day_nano_interval())
    assert values(array) == ["83012103", "f6"]


def test_row_is_the_leaf_prefix_and_an_array_in_column_order() -> None:
    rows = encoded({"n": pa.array([7]), "s": pa.array(["ab"]), "z": pa.array([None], pa.null())})
    assert rows.data.tobytes().hex() == "008307626162f6"
    assert rows.offsets.tolist() == [0, 7]
    assert rows.null_columns.tolist() == [False, False, True]
    assert rows.row(0).hex() == "8307626162f6"


def test_no_rows() -> None:
    rows = encoded(
        {"n": pa.array([], pa.int64()), "s": pa.array([], pa.string()), "l": pa.array([], pa.list_(pa.int8()))}
    )
    assert (len(rows), rows.data.tolist(), rows.offsets.tolist()) == (0, [], [0])
    assert rows.null_columns.tolist() == [False, False, False]


def test_many_columns_have_a_longer_head() -> None:
    rows = encoded({f"c{index}": pa.array([index % 2 == 0]) for index in range(300)})
    assert rows.row(0) == bytes.fromhex("99012c") + b"\xf5\xf4" * 150


def test_every_width_of_integers_beside_each_other() -> None:
    edges = [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1]
    numbers = [*edges, *[-1 - edge for edge in edges], None]
    assert values(pa.array(numbers, pa.int64())) == [cbor2.dumps(n, canonical=True).hex() for n in numbers]


@pytest.mark.parametrize("top", [23, 255, 65_535, 2**32 - 1, 2**63 - 1])
@pytest.mark.parametrize("bottom", [0, 24, 256, 65_536, 2**32])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("null", [True, False])
def test_a_batchs_widths_do_not_show(top: int, bottom: int, sign: int, null: bool) -> None:
    numbers = [sign * top, sign * min(bottom, top), sign * top, *([None] if null else [])]
    assert values(pa.array(numbers, pa.int64())) == [cbor2.dumps(n, canonical=True).hex() for n in numbers]


def test_memory_that_is_used_again_leaves_nothing_behind() -> None:
    scratch, schema = Scratch(), schema_of(a=pa.int64(), s=pa.string(), f=pa.float64())
    for count in (50, 3, 50, 1, 0, 200):
        columns = [
            list(range(10**9, 10**9 + count)),
            ["x" * (n % 30) for n in range(count)],
            [n / 3 for n in range(count)],
        ]
        arrays = [pa.array(v, k) for v, k in zip(columns, (pa.int64(), pa.string(), pa.float64()), strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, ["a", "s", "f"])
        rows = encode_rows(batch, schema, scratch)
        expected = [cbor2.dumps(list(row), canonical=True) for row in zip(*columns, strict=True)]
        assert [rows.row(index) for index in range(count)] == expected


def test_columns_must_be_the_schemas() -> None:
    schema = schema_of(a=pa.int64(), b=pa.string())
    other = pa.RecordBatch.from_arrays([pa.array([1], pa.int32()), pa.array(["x"])], ["a", "b"])
    with pytest.raises(MalformedError, match=r"another type; expected int64; got int32; at a"):
        encode_rows(other, schema)
    swapped = pa.RecordBatch.from_arrays([pa.array(["x"]), pa.array([1])], ["b", "a"])
    with pytest.raises(MalformedError, match=r"expected 'a', 'b'; got 'b', 'a'"):
        encode_rows(swapped, schema)
