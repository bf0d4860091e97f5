"""One table in every format and library; what changes it; and files that are no such table."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import tarfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from provenance.encoding.records import RecordSchema, decode_row, row_from_json
from provenance.errors import SourceError
from provenance.fingerprint import RecordFingerprint
from provenance.ledger.records import fingerprint_records
from provenance.tables import is_table, open_table

TABLE = pa.table(
    {
        "i": pa.array([1, None, -70_000, 2**40]),
        "f": pa.array([1.5, 0.1, None, -0.0]),
        "s": pa.array(["a", "", 'é"x,\n', None]),
        "b": pa.array([True, None, False, True]),
        "d": pa.array([dt.date(2026, 1, 1), None, dt.date(1960, 2, 3), dt.date(1970, 1, 1)]),
        "ts": pa.array([1, 2, None, 1_700_000_000_000_001], pa.timestamp("us", "UTC")),
        "dec": pa.array([Decimal("1.50"), None, Decimal("-3.25"), Decimal(0)], pa.decimal128(9, 2)),
        "bin": pa.array([b"\0\1", b"", None, b"\xff"]),
    }
)
SCHEMA = RecordSchema.of(TABLE.schema)


def _root(what: Any, schema: RecordSchema | None = None) -> RecordFingerprint:
    return fingerprint_records(open_table(what, schema=schema)).fingerprint


EXPECTED = _root(TABLE)


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _csv(value: Any) -> str:
    value = _json(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return '"' + value.replace('"', '""') + '"' if isinstance(value, str) else repr(value)


def _write(path: Path) -> None:
    match path.suffix:
        case ".parquet":
            options: dict[str, Any] = {"one": {}, "two": {"compression": "gzip", "row_group_size": 1}}[path.stem]
            pq.write_table(TABLE, path, use_dictionary=path.stem == "one", **options)
        case ".arrow":
            with pa.ipc.new_file(path, TABLE.schema) as writer:
                writer.write_table(TABLE, max_chunksize=2)
        case ".arrows":
            with pa.ipc.new_stream(path, TABLE.schema) as writer:
                writer.write_table(TABLE)
        case ".feather":
            feather.write_feather(TABLE, path, compression="zstd")
        case ".jsonl":
            rows = [{k: _json(v) for k, v in row.items() if v is not None} for row in TABLE.to_pylist()]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case _:
            mark = "\t" if path.suffix == ".tsv" else ","
            lines = [mark.join(_csv(value) for value in row.values()) for row in TABLE.to_pylist()]
            path.write_text("\n".join([mark.join(TABLE.column_names), *lines]) + "\n")


@pytest.mark.parametrize(
    "name", ["one.parquet", "two.parquet", "a.arrow", "a.arrows", "a.feather", "a.jsonl", "a.csv", "a.tsv"]
)
def test_every_format_gives_one_root_and_schema(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    _write(path)
    assert is_table(name)
    assert _root(path, SCHEMA) == EXPECTED


def test_every_library_gives_one_root_and_schema() -> None:
    plain = TABLE.drop_columns(["f"])  # pandas has no difference between null and NaN
    expected = _root(plain)
    frame = plain.to_pandas(types_mapper=pd.ArrowDtype)
    for what in (pl.from_arrow(plain), duckdb.from_arrow(plain), frame, plain.to_reader(), plain.to_batches()[0]):
        assert _root(what) == expected, type(what)


def test_how_it_is_held_says_nothing() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1, 3)])
    sliced = pa.concat_tables([TABLE, TABLE, TABLE]).slice(4, 4)
    text = TABLE["s"].combine_chunks()
    for what in (chunked, sliced):
        assert _root(what) == EXPECTED
    for column in (text.dictionary_encode(), text.cast(pa.large_string()), text.cast(pa.string_view())):
        assert _root(TABLE.set_column(2, "s", column)) == EXPECTED


@pytest.mark.parametrize("change", ["value", "name", "type", "order", "null", "rows", "row order"])
def test_any_change_of_the_table_changes_it(change: str) -> None:
    columns = {name: TABLE[name] for name in TABLE.column_names}
    match change:
        case "value":
            columns["i"] = pa.chunked_array([[1, None, -70_000, 2**40 + 1]])
        case "name":
            columns = {("j" if name == "i" else name): column for name, column in columns.items()}
        case "type":
            columns["d"] = columns["d"].cast(pa.timestamp("ms"))
        case "order":
            columns = dict(reversed(columns.items()))
        case "null":
            columns["b"] = pa.chunked_array([[True, False, False, True]])
    changed = pa.table(columns)
    if change == "rows":
        changed = TABLE.slice(0, 3)
    if change == "row order":
        changed = TABLE.take([1, 0, 2, 3])
    found = _root(changed)
    assert (found.root, found.schema) != (EXPECTED.root, EXPECTED.schema)


def test_shards_are_one_table_in_the_order_given(tmp_path: Path) -> None:
    for number in range(2):
        pq.write_table(TABLE.slice(2 * number, 2), tmp_path / f"{number}.parquet")
    assert _root([tmp_path / "0.parquet", tmp_path / "1.parquet"]) == EXPECTED
    assert _root([tmp_path / "1.parquet", tmp_path / "0.parquet"]).root != EXPECTED.root
    pq.write_table(TABLE.rename_columns(["x", *TABLE.column_names[1:]]), tmp_path / "1.parquet")
    with pytest.raises(SourceError, match="other columns") as raised:
        _root([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    assert raised.value.where == str(tmp_path / "1.parquet")


def test_what_csv_and_json_lines_hold_is_inferred_by_rule(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,f,b,d,z,s\n1,1.5,true,2026-01-31,,007\n-2,2,false,2026-02-01,,x\n")
    found = {field.name: field.type for field in RecordSchema.of(open_table(tmp_path / "a.csv").schema).fields}
    assert found == {"n": "int64", "f": "float64", "b": "bool", "d": "date", "z": "null", "s": "string"}
    (tmp_path / "a.jsonl").write_text('{"n":1,"l":[1.5],"o":{"k":null}}\n\n{"n":2.5,"o":{"k":"2026-01-31"}}\n')
    found = {field.name: field.type for field in RecordSchema.of(open_table(tmp_path / "a.jsonl").schema).fields}
    assert found == {"n": "float64", "l": {"list": "float64"}, "o": {"struct": [{"name": "k", "type": "string"}]}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("z\n02134\n", "z\n2134\n"),
        ("z\n+1\n", "z\n1\n"),
        ("i\n12345678901234567890\n", "i\n12345678901234567891\n"),
        ("f\n0.5\n9007199254740993\n", "f\n0.5\n9007199254740992\n"),
    ],
)
def test_nothing_is_rounded_unasked_in_csv(tmp_path: Path, one: str, other: str) -> None:
    (tmp_path / "a.csv").write_text(one)
    (tmp_path / "b.csv").write_text(other)
    assert _root(tmp_path / "a.csv").root != _root(tmp_path / "b.csv").root


def test_nothing_is_rounded_unasked_in_json_lines(tmp_path: Path) -> None:
    def typed(text: str) -> str:
        (tmp_path / "a.jsonl").write_text(text)
        return str(open_table(tmp_path / "a.jsonl").schema.field(0).type)

    assert typed('{"i":9007199254740993}\n{"i":1}\n') == "int64"
    assert typed('{"i":12345678901234567890}\n{"i":1}\n') == "decimal128(38, 0)"
    assert typed('{"i":9007199254740992}\n{"i":0.5}\n{"i":-0}\n') == "double"
    assert typed('{"i":-0}\n') == "int64"
    for text in (
        '{"i":9007199254740993}\n{"i":0.5}\n',
        f'{{"i":{10**38}}}\n',
        '{"i":12345678901234567890}\n{"i":0.5}\n',
    ):
        with pytest.raises(SourceError, match=r"several kinds|no type"):
            typed(text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (pa.decimal128(38, 10), "1234567890123456789.0123456789", Decimal("1234567890123456789.0123456789")),
        (pa.decimal128(18, 2), "9999999999999999.99", Decimal("9999999999999999.99")),
        (pa.decimal128(18, 2), "1.25e3", Decimal("1250.00")),
        (pa.float32(), "7.038531e-26", np.array([0x15AE43FD], np.uint32).view(np.float32)[0].item()),
        (pa.float64(), "-0", -0.0),
        (pa.decimal128(38, 0), "1" * 38, Decimal("1" * 38)),
        (pa.int64(), "-0", 0),
    ],
)
def test_numbers_of_json_lines_are_what_is_written(tmp_path: Path, kind: pa.DataType, text: str, value: Any) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"x":{text}}}\n')
    pq.write_table(pa.table({"x": pa.array([value], kind)}), tmp_path / "a.parquet")
    schema = RecordSchema.of(pa.schema([("x", kind)]))
    tables = [open_table(tmp_path / "a.jsonl", schema=schema), open_table(tmp_path / "a.parquet")]
    roots = {fingerprint_records(table).fingerprint.root for table in tables}
    assert len(roots) == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "i\n1\nsecret\n", "does not fit"),
        ("a.csv", "x\n1\n", "other columns"),
        ("a.csv", "i,j\n1\n", "well-formed"),
        ("a.csv", "", "no header"),
        ("a.jsonl", '{"i":"secret"}\n', "does not fit"),
        ("a.jsonl", '{"i":1,"i":2}\n', "not JSON"),
        ("a.jsonl", '{"i":NaN}\n', "not JSON"),
        ("a.jsonl", '{"j":1}\n', "lacks"),
        ("a.jsonl", "[1]\n", "no object"),
        ("a.jsonl", '{"i":1e400}\n', "does not fit"),
        ("a.parquet", "PAR1", "cannot be read"),
        ("a.arrow", "ARROW1\0\0", "cannot be read"),
        ("a.txt", "x", "no table"),
    ],
)
def test_what_is_no_such_table_is_named_and_not_shown(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SourceError, match=said) as raised:
        _root(path, RecordSchema.of(pa.schema([("i", pa.int64())])))
    assert str(path) in str(raised.value.where)
    assert "secret" not in str(raised.value)


def test_a_file_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    for name in ("one.parquet", "a.arrow"):
        path = tmp_path / name
        _write(path)
        data = path.read_bytes()
        for length in range(0, len(data) - 1, max(len(data) // 40, 1)):
            path.write_bytes(data[:length])
            with pytest.raises(SourceError):
                _root(path)


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    _write(path)
    table = open_table(path)
    path.write_bytes(path.read_bytes())
    with pytest.raises(SourceError, match="changed while it was read"):
        fingerprint_records(table)


def test_rows_are_in_the_order_they_are_said_to_be() -> None:
    table = pa.table({"k": [1, 1, 2, None], "v": [3, 4, 0, 1]})
    found = fingerprint_records(open_table(table), sort=("k", "v"))
    assert found.schema.sort == ("k", "v")
    assert found.fingerprint.schema != fingerprint_records(open_table(table)).fingerprint.schema
    with pytest.raises(SourceError, match="not in the declared order") as raised:
        fingerprint_records(open_table(table.take([0, 2, 1, 3])), sort=("k",))
    assert "row" in str(raised.value.where)


def _tar(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_webdataset_shards_are_records_of_members(tmp_path: Path) -> None:
    _tar(tmp_path / "0.tar", [("a/1.jpg", b"J"), ("a/1.cls", b"0"), ("a/2.jpg", b"K")])
    _tar(tmp_path / "1.tar", [("b.seg.png", b"P"), ("b.cls", b"1")])
    expected = pa.table(
        {
            "__key__": ["a/1", "a/2", "b"],
            "cls": pa.array([b"0", None, b"1"], pa.binary()),
            "jpg": pa.array([b"J", b"K", None], pa.binary()),
            "seg.png": pa.array([None, None, b"P"], pa.binary()),
        }
    )
    assert _root([tmp_path / "0.tar", tmp_path / "1.tar"]) == _root(expected)
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:700])
    with pytest.raises(SourceError):
        _root(tmp_path / "0.tar")


def test_decimals_that_arrow_reads_from_no_csv(tmp_path: Path) -> None:
    kinds = (pa.decimal128(3, -2), pa.decimal256(76, 3))
    table = pa.table({str(n): pa.array([Decimal(-700), None, Decimal(0)], kind) for n, kind in enumerate(kinds)})
    path = tmp_path / "a.csv"
    path.write_text("0,1\n-700,-700.000\n,\n0,0\n")
    assert _root(path, RecordSchema.of(table.schema)) == _root(table)
    path.write_text("0,1\nsecret,1\n")
    with pytest.raises(SourceError, match="does not fit its column") as raised:
        _root(path, RecordSchema.of(table.schema))
    assert "column 0" in str(raised.value.where)
    assert "secret" not in str(raised.value)


def test_a_number_that_is_too_large_is_no_infinity(tmp_path: Path) -> None:
    for kind, text in (
        (pa.float64(), "1e400"),
        (pa.float32(), "1e39"),
        (pa.float32(), "-1e400"),
        (pa.float16(), "1e400"),
    ):
        (tmp_path / "a.jsonl").write_text(f'{{"x":{text}}}\n')
        with pytest.raises(SourceError, match="does not fit"):
            _root(tmp_path / "a.jsonl", RecordSchema.of(pa.schema([("x", kind)])))


def test_a_record_given_as_json_is_rounded_as_a_line_is(tmp_path: Path) -> None:
    """Against Arrow, which rounds the text once: what stands between two floats of 32 bits, and what does not."""
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 0x7F000000, 3_000, dtype=np.uint32)
    texts = [str(np.float32(one)) for one in bits.view(np.float32)]
    texts += ["7.038531e-26", "16777217", "16777217.0000001", "16777216.9999999", "1e-46", "-7.038531e-26", "0.1"]
    schema = RecordSchema.of(pa.schema([("x", pa.float32())]))
    expected = pa.array(texts).cast(pa.float32()).to_pylist()
    for text, value in zip(texts, expected, strict=True):
        found = decode_row(row_from_json({"x": json.loads(text)}, schema), schema)
        assert found["x"] == value, text
