"""One row from Python values, from JSON, and as JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from provenance.encoding.records import RecordSchema, decode_row, encode_row, encode_rows, row_from_json
from provenance.errors import MalformedError
from tests.unit.encoding.records.tables import schema_of

US = pa.timestamp("us")
UTC_NS = pa.timestamp("ns", "UTC")
DEC = pa.decimal128(9, 2)
DEEP = pa.struct([("l", pa.list_(pa.struct([("m", pa.map_(pa.string(), pa.date32()))])))])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.date32(), date(2026, 1, 31)),
        (pa.date32(), date(1, 1, 1)),
        (pa.time64("us"), time(12, 34, 56, 789)),
        (pa.time32("s"), time(23, 59, 59)),
        (US, datetime(1969, 12, 31, 23, 59, 59, 999_999)),
        (US, datetime(9999, 12, 31)),
        (UTC_NS, datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))),
        (pa.timestamp("s", "Europe/Berlin"), datetime(2026, 7, 1, tzinfo=UTC)),
        (pa.duration("ms"), timedelta(days=-3, milliseconds=7)),
        (pa.month_day_nano_interval(), pa.MonthDayNano([1, -2, 3])),
        (DEEP, {"l": [{"m": [("k", date(2026, 1, 1)), ("k", None)]}, None]}),
    ],
)
def test_python_values_are_arrows(kind: pa.DataType, value: Any) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([value], kind)], ["c"])
    row = encode_rows(batch, RecordSchema.of(batch.schema)).row(0)
    assert encode_row([value], schema_of(c=kind)) == row
    assert row_from_json(decode_row(row, schema_of(c=kind)), schema_of(c=kind)) == row


OF_ANOTHER_TYPE: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [1.0, True, "1", 2**63]),
    (pa.uint8(), [-1, 256]),
    (pa.float64(), [1, "1"]),
    (pa.float32(), [1e39]),
    (pa.float16(), [65_520.0]),
    (pa.bool_(), [1]),
    (pa.string(), [b"a", "\ud800"]),
    (pa.binary(), ["a"]),
    (pa.null(), [0]),
    (pa.date32(), [datetime(2026, 1, 1), "2026-01-01", 2**31]),
    (pa.time32("s"), [86_400, time(0, 0, 0, 1)]),
    (pa.time64("us"), [time(0, tzinfo=UTC), -1]),
    (US, [datetime(2026, 1, 1, tzinfo=UTC)]),
    (UTC_NS, [datetime(2026, 1, 1), datetime(2300, 1, 1, tzinfo=UTC)]),
    (pa.timestamp("s"), [datetime(2026, 1, 1, 0, 0, 0, 1)]),
    (pa.duration("s"), [timedelta(microseconds=1)]),
    (
        DEC,
        [
            1,
            1.5,
            Decimal("0.001"),
            Decimal(10**7),
            Decimal("NaN"),
            Decimal("Infinity"),
            Decimal("1E+999999"),
            Decimal("1E-999999"),
        ],
    ),
    (pa.month_day_nano_interval(), [(1, 2), (2**31, 0, 0)]),
    (pa.list_(pa.int8()), ["ab", {1}, [1, "x"]]),
    (DEEP, [{}, {"l": [], "x": 1}, [], {"l": [{"m": [("k",)]}]}]),
    (pa.map_(pa.string(), pa.int8()), [1]),
]


@pytest.mark.parametrize(("kind", "value"), [(kind, bad) for kind, values in OF_ANOTHER_TYPE for bad in values])
def test_a_value_of_another_type_is_refused(kind: pa.DataType, value: Any) -> None:
    with pytest.raises(MalformedError, match=r"at column\b") as caught:
        encode_row([value], schema_of(column=kind))
    assert repr(value) not in caught.value.message or isinstance(value, bool | int)


def test_another_number_of_values_is_refused() -> None:
    with pytest.raises(MalformedError, match="another number of columns; expected 2; got 1"):
        encode_row([1], schema_of(a=pa.int8(), b=pa.int8()))


def test_zero_decimals_of_any_exponent_are_zero_at_once() -> None:
    for text in ("0E-999999", "0E+999999", "-0.00", "0"):
        assert encode_row([Decimal(text)], schema_of(c=DEC)).hex() == "81c4822100"
    with pytest.raises(MalformedError):
        row_from_json({"c": "0E-999999999"}, schema_of(c=DEC))


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (pa.int64(), 7, 7),
        (pa.int64(), "-9223372036854775808", -(2**63)),
        (pa.uint64(), "18446744073709551615", 2**64 - 1),
        (pa.float64(), 3, 3.0),
        (pa.float64(), 0.1, 0.1),
        (pa.float64(), "NaN", math.nan),
        (pa.float64(), "-Infinity", -math.inf),
        (pa.binary(), "AP8=", b"\x00\xff"),
        (DEC, "12.5", Decimal("12.50")),
        (DEC, "1.25e1", Decimal("12.50")),
        (DEC, 12, Decimal(12)),
        (pa.date32(), "2026-01-31", date(2026, 1, 31)),
        (pa.date32(), 1, date(1970, 1, 2)),
        (pa.time64("ns"), "12:34:56.789", 45_296_789_000_000),
        (US, "2026-01-31T12:34:56", datetime(2026, 1, 31, 12, 34, 56)),
        (US, "2026-01-31 12:34:56.5", datetime(2026, 1, 31, 12, 34, 56, 500_000)),
        (UTC_NS, "2026-01-31T12:34:56.000000001Z", 1_769_862_896_000_000_001),
        (UTC_NS, "2026-01-31T14:34:56+02:00", datetime(2026, 1, 31, 12, 34, 56, tzinfo=UTC)),
        (UTC_NS, "2026-01-31T10:04:56-02:30", datetime(2026, 1, 31, 12, 34, 56, tzinfo=UTC)),
        (UTC_NS, 5, 5),
        (pa.duration("s"), -5, timedelta(seconds=-5)),
        (pa.month_day_nano_interval(), [1, 2, 3], (1, 2, 3)),
        (pa.map_(pa.string(), pa.int8()), {"a": 1}, {"a": 1}),
        (pa.map_(pa.string(), pa.int8()), [["a", 1], ["a", 2]], [("a", 1), ("a", 2)]),
        (DEEP, {"l": [{}]}, {"l": [{"m": None}]}),
        (pa.string(), None, None),
    ],
)
def test_json_stands_for_python_values(kind: pa.DataType, written: Any, value: Any) -> None:
    schema = schema_of(c=kind)
    row = encode_row([value], schema)
    assert row_from_json({"c": written}, schema) == row
    assert row_from_json(decode_row(row, schema), schema) == row


JSON_OF_ANOTHER_TYPE: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [1.5, "1.0", "01", " 1", "+1", "1" * 5_000, True]),
    (pa.float64(), ["1.0", "nan", True, 10**400]),
    (pa.bool_(), ["true", 1]),
    (pa.string(), [1]),
    (pa.binary(), ["AP8", "not base64!", 1]),
    (DEC, [1.5, "1,5", "1_000", "NaN", "١", "0.001", "1e99999", "1" * 5_000, True]),
    (pa.date32(), ["2026-02-30", "2026-1-1", "0000-01-01", "2026-01-01T00:00:00"]),
    (US, ["2026-01-31T12:34:56Z", "2026-01-31", "2026-01-31T24:00:00", "2026-01-31T12:34:56.1234567"]),
    (UTC_NS, ["2026-01-31T12:34:56", "2026-01-31T12:34:56+25:00", "9999-01-31T12:34:56Z", 1.5]),
    (pa.time32("s"), ["12:34", "12:34:60", "12:34:56.5", 86_400]),
    (pa.duration("s"), ["PT1S"]),
    (pa.list_(pa.int8()), [{}]),
    (pa.struct([("a", pa.int8())]), [[], {"b": 1}]),
    (pa.map_(pa.string(), pa.int8()), ["a", [["a"]]]),
    (pa.month_day_nano_interval(), [[1, 2]]),
    (pa.null(), [0]),
]


@pytest.mark.parametrize(("kind", "written"), [(kind, bad) for kind, values in JSON_OF_ANOTHER_TYPE for bad in values])
def test_json_of_another_type_is_refused(kind: pa.DataType, written: Any) -> None:
    with pytest.raises(MalformedError):
        row_from_json({"c": written}, schema_of(c=kind))


def test_what_is_left_out_is_null_and_what_is_unknown_is_refused() -> None:
    schema = schema_of(a=pa.int8(), b=pa.string())
    assert row_from_json({"a": 1}, schema) == row_from_json({"b": None, "a": 1}, schema) == bytes.fromhex("8201f6")
    with pytest.raises(MalformedError, match="unknown field; expected 'a', 'b'; got 'c'; at record"):
        row_from_json({"a": 1, "c": 2}, schema)


def test_a_row_is_shown_by_its_schema() -> None:
    kinds = {
        "n": pa.uint64(), "x": pa.float64(), "d": DEC, "w": pa.decimal256(76, 3), "b": pa.binary(), "day": pa.date32(),
        "at": UTC_NS, "local": US, "t": pa.time32("ms"), "far": pa.timestamp("s"), "deep": DEEP, "none": pa.null(),
    }  # fmt: skip
    schema = schema_of(**kinds)
    deep = {"l": [{"m": [("k", date(2026, 1, 1))]}, None]}
    row = encode_row(
        [
            *(2**60, math.inf, Decimal("-0.05"), Decimal(10**72), b"\xff", date(2026, 1, 31), 1),
            *(datetime(2026, 1, 2, 3), 500, 2**62, deep, None),
        ],
        schema,
    )
    shown = decode_row(row, schema)
    assert shown == {
        "n": "1152921504606846976", "x": "Infinity", "d": "-0.05", "w": f"{10**72}.000", "b": "/w==",
        "day": "2026-01-31", "at": "1970-01-01T00:00:00.000000001Z", "local": "2026-01-02T03:00:00",
        "t": "00:00:00.500", "far": "4611686018427387904",
        "deep": {"l": [{"m": [["k", "2026-01-01"]]}, None]}, "none": None,
    }  # fmt: skip
    assert row_from_json(json.loads(json.dumps(shown)), schema) == row


NO_ROWS: list[tuple[pa.DataType, list[Any]]] = [
    (
        pa.int64(),
        [
            "",
            "80",
            "820101",
            "8101ff",
            "81",
            "811800",
            "81190017",
            "811a0000ffff",
            "811b00000000ffffffff",
            "811f",
            "811c",
            "8119",
            "9f01ff",
            "a101f6",
            "81f4",
            "81c24101",
            "81c2490001ffffffffffffff",
            "818101",
        ],
    ),
    (pa.float64(), ["81fa3f800000", "81fb3ff0000000000000", "81f97e01", "81f9", "8101"]),
    (pa.string(), ["8161ff", "8162", "8141ff", "817bffffffffffffffff61"]),
    (pa.binary(), ["816161"]),
    (pa.bool_(), ["81f7"]),
    (pa.null(), ["8100"]),
    (pa.list_(pa.int8()), ["819bffffffffffffffff", "819a00ffffff01"]),
    (DEC, ["81c4820001", "81c482211a3b9aca00", "81822101", "81c4832101"]),
    (pa.time32("s"), ["811a00015180"]),
    (pa.map_(pa.string(), pa.int8()), ["818183616101"]),
    (pa.struct([("a", pa.int8())]), ["8180"]),
]


@pytest.mark.parametrize(("kind", "row"), [(kind, bad) for kind, values in NO_ROWS for bad in values])
def test_other_bytes_are_refused(kind: pa.DataType, row: str) -> None:
    with pytest.raises(MalformedError):
        decode_row(bytes.fromhex(row), schema_of(c=kind))


def test_integers_are_shown_within_their_type() -> None:
    with pytest.raises(MalformedError):
        decode_row(bytes.fromhex("81190100"), schema_of(c=pa.int8()))
    with pytest.raises(MalformedError):
        decode_row(bytes.fromhex("811bffffffffffffffff"), schema_of(c=pa.int64()))
    with pytest.raises(MalformedError):
        decode_row(bytes.fromhex("8120"), schema_of(c=pa.uint8()))


def test_every_prefix_of_a_row_is_refused() -> None:
    schema = schema_of(a=pa.int64(), s=pa.string(), f=pa.float64(), d=DEC, deep=DEEP)
    row = encode_row([10**9, "text", 0.1, Decimal("1.5"), {"l": [{"m": {"k": date(2026, 1, 1)}}]}], schema)
    for length in range(len(row)):
        with pytest.raises(MalformedError):
            decode_row(row[:length], schema)


def test_the_deepest_type() -> None:
    kind = pa.decimal128(30, 0)
    value: Any = Decimal(10**25)
    for _ in range(32):
        kind, value = pa.map_(pa.int8(), kind), [(1, value)]
    schema = schema_of(c=kind)
    row = encode_row([value], schema)
    assert row_from_json(decode_row(row, schema), schema) == row
    assert encode_rows(pa.RecordBatch.from_arrays([pa.array([value], kind)], ["c"]), schema).row(0) == row
