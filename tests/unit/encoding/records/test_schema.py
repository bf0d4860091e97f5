"""Record types and the schema document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from provenance.encoding import Digest, JsonValue, canonical_json
from provenance.encoding.records import RecordField, RecordSchema, parse_schema, parse_schema_document
from provenance.errors import LimitError, MalformedError
from tests.unit.encoding.records.tables import schema_of

KINDS: list[tuple[JsonValue, list[pa.DataType]]] = [
    ("bool", [pa.bool_()]),
    ("int8", [pa.int8(), pa.bool8()]),
    ("uint64", [pa.uint64(), pa.dictionary(pa.int8(), pa.uint64()), pa.run_end_encoded(pa.int16(), pa.uint64())]),
    ("float16", [pa.float16()]),
    ("float32", [pa.float32()]),
    ("float64", [pa.float64()]),
    ("string", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.json_()]),
    ("binary", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(7), pa.uuid()]),
    ("null", [pa.null()]),
    ("date", [pa.date32(), pa.date64()]),
    ("interval", [pa.month_day_nano_interval()]),
    (
        {"decimal": {"precision": 5, "scale": 2}},
        [pa.decimal128(5, 2), pa.decimal32(5, 2), pa.decimal64(5, 2), pa.decimal256(5, 2)],
    ),
    ({"decimal": {"precision": 76, "scale": -3}}, [pa.decimal256(76, -3)]),
    ({"time": {"unit": "s"}}, [pa.time32("s")]),
    ({"time": {"unit": "ns"}}, [pa.time64("ns")]),
    ({"timestamp": {"unit": "us", "zone": None}}, [pa.timestamp("us"), pa.timestamp("us", "")]),
    (
        {"timestamp": {"unit": "ms", "zone": "UTC"}},
        [pa.timestamp("ms", zone) for zone in ("UTC", "Etc/UTC", "Z", "+00:00", "Zulu", "Etc/Universal")],
    ),
    ({"timestamp": {"unit": "s", "zone": "Europe/Berlin"}}, [pa.timestamp("s", "Europe/Berlin")]),
    ({"duration": {"unit": "ns"}}, [pa.duration("ns")]),
    (
        {"list": "string"},
        [
            pa.list_(pa.string()),
            pa.large_list(pa.large_string()),
            pa.list_(pa.string_view(), 3),
            pa.list_view(pa.string()),
            pa.large_list_view(pa.dictionary(pa.int8(), pa.string())),
        ],
    ),
    ({"map": {"key": "string", "value": "int64"}},
     [pa.map_(pa.string(), pa.int64()), pa.map_(pa.large_string(), pa.int64())]),
    ({"struct": [{"name": "a", "type": "int8"}]},
     [pa.struct([("a", pa.int8())]), pa.struct([pa.field("a", pa.int8(), False)])]),
    ({"struct": []}, [pa.struct([])]),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "kinds"), KINDS)
def test_type(expected: JsonValue, kinds: list[pa.DataType]) -> None:
    for kind in kinds:
        schema = schema_of(c=kind)
        assert schema.fields == (RecordField("c", expected),)
        assert parse_schema(schema.to_json()) == schema
        # What a file without types is read as has the same schema.
        assert RecordSchema.of(schema.to_arrow()) == schema


def test_every_type_is_another() -> None:
    digests = {schema_of(c=kinds[0]).digest for _, kinds in KINDS}
    assert len(digests) == len(KINDS)


def test_document_bytes_and_digest() -> None:
    schema = RecordSchema.of(pa.schema([("id", pa.int64()), ("é", pa.timestamp("us", "UTC"))]), sort=["id"])
    schema = schema.with_nulls([False, True])
    expected = (
        '{"fields":[{"name":"id","nullable":false,"type":"int64"},'
        '{"name":"é","nullable":true,"type":{"timestamp":{"unit":"us","zone":"UTC"}}}],'
        '"format":"urn:provenance-ledger:schema:1","sort":["id"]}'
    ).encode()
    assert schema.encode() == expected == canonical_json(schema.to_json())
    assert schema.digest == Digest.of(expected)
    assert parse_schema_document(expected) == schema


def test_any_difference_is_another_digest() -> None:
    schema = schema_of(a=pa.int64(), b=pa.string())
    others = [
        schema_of(b=pa.string(), a=pa.int64()),
        schema_of(a=pa.int32(), b=pa.string()),
        schema_of(a=pa.int64(), c=pa.string()),
        schema_of(a=pa.int64()),
        schema_of(a=pa.int64(), b=pa.string(), c=pa.string()),
        schema_of(a=pa.int64(), b=pa.binary()),
        schema.with_nulls([True, False]),
        schema.with_nulls([False, True]),
        RecordSchema(schema.fields, sort=("a",)),
        RecordSchema(schema.fields, sort=("a", "b")),
        RecordSchema(schema.fields, sort=("b", "a")),
    ]
    assert len({schema.digest, *(other.digest for other in others)}) == len(others) + 1


def test_declared_nullability_and_metadata_do_not_count() -> None:
    declared = pa.schema([pa.field("a", pa.int64(), nullable=False, metadata={"k": "v"})], metadata={"pandas": "{}"})
    assert RecordSchema.of(declared) == schema_of(a=pa.int64())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pa.schema([("a", pa.int8()), ("a", pa.int8())]), "column name appears twice; got a"),
        (lambda: pa.schema([("u", pa.sparse_union([pa.field("x", pa.int8())]))]), r"no record form; .*sparse_un.*at u"),
        (lambda: pa.schema([("u", pa.list_(pa.dense_union([pa.field("x", pa.int8())])))]), r"dense_union.*; at u\[\]"),
        (lambda: pa.schema([("s", pa.struct([("x", pa.int8()), ("x", pa.int8())]))]), "appears twice; got x; at s"),
        (lambda: pa.schema([]), "table has no columns"),
        (lambda: pa.schema([("x" * 1_025, pa.int8())]), "not a column name"),
    ],
)  # fmt: skip
def test_refused(make: Callable[[], pa.Schema], message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        RecordSchema.of(make())


def test_depth_and_columns_are_limited() -> None:
    kind = pa.timestamp("us")
    for _ in range(32):
        kind = pa.struct([("x", kind)])
    deepest = schema_of(c=kind)
    assert parse_schema_document(deepest.encode()) == deepest
    with pytest.raises(MalformedError, match="nested too deep"):
        schema_of(c=pa.list_(kind))
    nested: Any = deepest.to_json()
    nested["fields"][0]["type"] = {"list": nested["fields"][0]["type"]}
    with pytest.raises(MalformedError, match="nested too deep"):
        parse_schema_document(canonical_json(nested))
    with pytest.raises(MalformedError, match="nested too deep"):
        parse_schema(nested)
    assert len(RecordSchema.of(pa.schema([(f"c{i}", pa.int8()) for i in range(10_000)])).fields) == 10_000
    with pytest.raises(LimitError):
        RecordSchema.of(pa.schema([(f"c{i}", pa.int8()) for i in range(10_001)]))


@pytest.mark.parametrize(
    "kind",
    [
        "int128", "", None, 7, True, [], {}, {"list": "int8", "map": "int8"}, {"list": None}, {"list": ["int8"]},
        {"decimal": {"precision": 9}}, {"decimal": {"precision": True, "scale": 0}},
        {"decimal": {"precision": 77, "scale": 0}},
        {"decimal": {"precision": 9.5, "scale": 0}}, {"decimal": {"precision": 9, "scale": 2, "more": 1}},
        {"decimal": {"precision": 2**40, "scale": 0}}, {"decimal": {"precision": "9", "scale": 0}}, {"decimal": []},
        {"time": {"unit": "m"}}, {"timestamp": {"unit": "us"}}, {"timestamp": {"unit": "us", "zone": ""}},
        {"timestamp": {"unit": "us", "zone": "Etc/UTC"}}, {"timestamp": {"unit": "us", "zone": 1}}, {"duration": {}},
        {"map": {"key": "int8"}}, {"struct": [{"name": "a"}]}, {"struct": {"name": "a", "type": "int8"}},
        {"struct": [{"name": "a", "type": "int8"}, {"name": "a", "type": "int8"}]},
        {"struct": [{"name": "a", "type": "int8", "nullable": True}]}, {"struct": [{"name": 1, "type": "int8"}]},
        {"struct": ["a"]}, {"union": []},
    ],
)  # fmt: skip
def test_no_other_type_is_taken(kind: Any) -> None:
    document = schema_of(c=pa.int8()).to_json()
    document["fields"] = [{"name": "c", "nullable": False, "type": kind}]
    with pytest.raises(MalformedError):
        parse_schema(document)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "urn:provenance-ledger:schema:2"},
        {"more": 1},
        {"sort": ["z"]},
        {"sort": ["c", "c"]},
        {"sort": [1]},
        {"sort": None},
        {"fields": []},
        {"fields": [{"name": "c", "type": "int8"}]},
        {"fields": [{"name": "c", "type": "int8", "nullable": 0}]},
        {"fields": [{"name": "c", "type": "int8", "nullable": False, "unit": "m"}]},
        {"fields": [{"name": "c", "type": "int8", "nullable": False}] * 2},
    ],
)
def test_no_other_document_is_taken(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        parse_schema(schema_of(c=pa.int8()).to_json() | change)
