"""Random tables through every format and library: one root and one schema, whatever holds them.

60 tables, 1,500 with PROVENANCE_LONG=1. A format that cannot hold a column's type, or gives it back as another type, is
left out for that table; every one must have held many of them.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from provenance.encoding.records import RecordSchema
from provenance.errors import MalformedError
from provenance.fingerprint import RecordFingerprint
from provenance.ledger.records import fingerprint_records
from provenance.tables import open_table
from tests.property.random_tables import array_of, random_type, random_value

LONG = os.environ.get("PROVENANCE_LONG") == "1"
TABLES = 1_500 if LONG else 60
_REFUSED = (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Drawn:
    """A random table, and its values as `random_tables` has them."""

    def __init__(self, rng: random.Random) -> None:
        rows = rng.choice([0, 1, 2, 7, 30])
        self.is_plain = rng.random() < 0.5
        kinds = [rng.choice(_PLAIN) if self.is_plain else _kind(rng) for _ in range(rng.randrange(1, 6))]
        nulls = rng.choice([0.0, 0.2, 0.9])
        self.columns = {
            f"c{number}": (kind, [random_value(rng, kind, nulls) for _ in range(rows)])
            for number, kind in enumerate(kinds)
        }
        self.table = pa.table({name: array_of(values, kind) for name, (kind, values) in self.columns.items()})
        self.schema = RecordSchema.of(self.table.schema)
        self.rows = rows


_PLAIN = [
    pa.int64(), pa.int8(), pa.uint32(), pa.float64(), pa.float32(), pa.string(), pa.large_string(), pa.bool_(),
    pa.date32(), pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.timestamp("ms"), pa.binary(), pa.time64("ns"),
    pa.duration("us"), pa.list_(pa.int64()), pa.list_(pa.string()), pa.struct([("a", pa.int32()), ("b", pa.string())]),
]  # fmt: skip
"""What every library knows."""


def _kind(rng: random.Random) -> pa.DataType:
    """Half of them such as every format holds: the others are left out by many."""
    return random_type(rng) if rng.random() < 0.5 else rng.choice(_PLAIN)


def _root(what: Any, schema: RecordSchema | None = None) -> RecordFingerprint:
    return fingerprint_records(open_table(what, schema=schema)).fingerprint


Writer = Callable[[random.Random, Drawn, Path], Path | None]
"""Writes the table and returns the file; None if the format has no form for it."""


def _parquet(rng: random.Random, drawn: Drawn, folder: Path) -> Path | None:
    path = folder / "t.parquet"
    codec = rng.choice(["NONE", "SNAPPY", "ZSTD", "GZIP"])
    size = rng.choice([1, 5, 1_000])
    pq.write_table(drawn.table, path, compression=codec, row_group_size=size, use_dictionary=rng.random() < 0.5)
    return path if _same(pq.read_schema(path), drawn) else None


def _ipc(rng: random.Random, drawn: Drawn, folder: Path) -> Path | None:
    path = folder / rng.choice(["t.arrow", "t.arrows", "t.feather"])
    if path.suffix == ".feather":
        feather.write_feather(drawn.table, path, compression=rng.choice(["lz4", "zstd", "uncompressed"]))
        return path
    make = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
    with make(path, drawn.table.schema) as writer:
        writer.write_table(drawn.table, max_chunksize=rng.choice([1, 4, 1_000]))
    return path


def _json_lines(rng: random.Random, drawn: Drawn, folder: Path) -> Path | None:
    path = folder / "t.jsonl"
    lines = []
    for number in range(drawn.rows):
        row = {name: _as_json(rng, values[number], kind) for name, (kind, values) in drawn.columns.items()}
        names = rng.sample(sorted(row), len(row))
        lines.append({name: row[name] for name in names if row[name] is not None or rng.random() < 0.5})
    path.write_bytes(b"".join(json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines))
    return path


def _csv(rng: random.Random, drawn: Drawn, folder: Path) -> Path | None:
    inner = [_inner(None, kind)[1] for kind, _ in drawn.columns.values()]
    if any(pa.types.is_nested(kind) or pa.types.is_interval(kind) for kind in inner):
        return None
    path = folder / rng.choice(["t.csv", "t.tsv"])
    mark = "," if path.suffix == ".csv" else "\t"
    lines = [list(drawn.columns)]
    for number in range(drawn.rows):
        lines.append([_as_text(values[number], kind) for kind, values in drawn.columns.values()])
    path.write_bytes("".join(mark.join(line) + rng.choice(["\n", "\r\n"]) for line in lines).encode())
    return path


class _NoForm(Exception):
    """A value that a format cannot hold."""


def _inner(value: Any, kind: pa.DataType) -> tuple[Any, pa.DataType]:
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return value, kind


def _as_json(rng: random.Random, value: Any, kind: pa.DataType) -> Any:
    value, kind = _inner(value, kind)
    types = pa.types
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        raise _NoForm
    if types.is_interval(kind):
        raise _NoForm
    if types.is_date64(kind):
        value //= 86_400_000
    if types.is_date(kind):
        return _date(value) if rng.random() < 0.5 and abs(value) < 700_000 else value
    if types.is_timestamp(kind):
        return _instant(value, kind) if rng.random() < 0.5 and abs(value) < 2**61 // 10**9 else value
    if types.is_time(kind):
        return _clock(value, kind.unit) if rng.random() < 0.5 else value
    if types.is_decimal(kind):
        return format(value, "f")
    if types.is_struct(kind):
        children = [kind.field(index) for index in range(kind.num_fields)]
        return {child.name: _as_json(rng, value[child.name], child.type) for child in children}
    if types.is_map(kind):
        return [[_as_json(rng, k, kind.key_type), _as_json(rng, v, kind.item_type)] for k, v in value]
    if isinstance(value, list):
        return [_as_json(rng, item, kind.value_type) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _as_text(value: Any, kind: pa.DataType) -> str:
    value, kind = _inner(value, kind)
    types = pa.types
    if value is None:
        return ""
    if types.is_nested(kind) or types.is_interval(kind) or types.is_null(kind):
        raise _NoForm
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    if isinstance(value, bytes):
        return base64.b64encode(value).decode() or '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise _NoForm
    if types.is_date64(kind):
        value //= 86_400_000
    if types.is_date(kind):
        if abs(value) > 700_000:
            raise _NoForm
        return _date(value)
    if types.is_timestamp(kind):
        if not -(2**60) // 10**9 < value // _PER_SECOND[kind.unit] < 2**60 // 10**9:
            raise _NoForm
        return _instant(value, kind)
    if types.is_time(kind):
        return _clock(value, kind.unit)
    return format(value, "f") if types.is_decimal(kind) else repr(value)


def _date(days: int) -> str:
    return (dt.date(1970, 1, 1) + dt.timedelta(days)).isoformat()


def _clock(value: int, unit: str) -> str:
    second, fraction = divmod(value, _PER_SECOND[unit])
    text = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return text if unit == "s" else f"{text}.{fraction:0{len(str(_PER_SECOND[unit])) - 1}}"


def _instant(value: int, kind: pa.DataType) -> str:
    seconds, fraction = divmod(value, _PER_SECOND[kind.unit])
    days, second = divmod(seconds, 86_400)
    clock = _clock(second * _PER_SECOND[kind.unit] + fraction, kind.unit)
    return f"{_date(days)}T{clock}{'Z' if kind.tz is not None else ''}"


def _same(schema: pa.Schema, drawn: Drawn) -> bool:
    """Whether what came back has the record types that went in, whatever Arrow calls them."""
    try:
        return RecordSchema.of(schema) == drawn.schema
    except MalformedError:
        return False


FORMATS: dict[str, Writer] = {"parquet": _parquet, "ipc": _ipc, "json lines": _json_lines, "csv": _csv}
LIBRARIES: dict[str, Callable[[pa.Table], Any]] = {
    "polars": pl.from_arrow,
    "duckdb": duckdb.from_arrow,
    "pandas": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "reader": lambda table: table.to_reader(max_chunksize=3),
}


def test_every_format_gives_one_root_and_schema(tmp_path: Path) -> None:
    held = Counter[str]()
    for number in range(TABLES):
        rng = random.Random(f"formats {number}")
        drawn = Drawn(rng)
        expected = _root(drawn.table)
        for name, write in FORMATS.items():
            try:
                path = write(rng, drawn, tmp_path)
            except (_NoForm, OSError, *_REFUSED):  # OSError: Parquet's word for a negative scale
                continue
            if path is not None:
                assert _root(path, drawn.schema) == expected, f"table {number} as {name}: {drawn.table.schema}"
                held[name] += 1
    assert min(held[name] for name in FORMATS) > TABLES // 8, held


def test_every_library_gives_one_root_and_schema() -> None:
    held = Counter[str]()
    for number in range(TABLES):
        drawn = Drawn(random.Random(f"libraries {number}"))
        expected = _root(drawn.table)
        for name, take in LIBRARIES.items():
            # polars aborts at some types that it has not; DuckDB keeps microseconds of an interval.
            if not drawn.is_plain and (name == "polars" or "interval" in str(drawn.table.schema)):
                continue
            try:
                if not _same(pa.RecordBatchReader.from_stream(take(drawn.table)).schema, drawn):
                    continue
                what = take(drawn.table)
            except (*_REFUSED, duckdb.Error, NotImplementedError, TypeError, ValueError):
                continue
            assert _root(what) == expected, f"table {number} by {name}: {drawn.table.schema}"
            held[name] += 1
    assert min(held[name] for name in LIBRARIES) > TABLES // 8, held


def test_hugging_face_datasets_give_the_same_root() -> None:
    """Also where rows are chosen through an index, as after `select` or `shuffle`."""
    held = 0
    for number in range(TABLES):
        rng = random.Random(f"hugging face {number}")
        drawn = Drawn(rng)
        try:
            # Its own types may take another Arrow type for a column: then it is another table.
            found = datasets.Dataset(datasets.table.InMemoryTable(drawn.table))
            if not _same(found.data.table.schema, drawn):
                continue
        except (*_REFUSED, NotImplementedError, TypeError, ValueError):
            continue
        chosen = [rng.randrange(drawn.table.num_rows) for _ in range(drawn.table.num_rows)]
        assert _root(found) == _root(drawn.table), f"table {number}: {drawn.table.schema}"
        if chosen:
            picked = found.select(chosen, keep_in_memory=True)
            assert _root(picked) == _root(drawn.table.take(chosen)), f"table {number}: {drawn.table.schema}"
        held += 1
    assert held > TABLES // 8, held


def test_how_a_table_is_held_says_nothing() -> None:
    for number in range(TABLES):
        rng = random.Random(f"held {number}")
        table = Drawn(rng).table
        expected = _root(table)
        cuts = sorted(rng.randrange(table.num_rows + 1) for _ in range(3))
        pieces = [
            table.slice(start, stop - start) for start, stop in zip([0, *cuts], [*cuts, table.num_rows], strict=True)
        ]
        assert _root(pa.concat_tables(pieces)) == expected
        around = pa.concat_tables([table, table, table])
        assert _root(around.slice(table.num_rows, table.num_rows)) == expected
        for name in table.column_names:
            for kind in _others(table[name].type):
                try:
                    column = table[name].cast(kind) if kind is not None else table[name].dictionary_encode()
                except _REFUSED:
                    continue
                assert _root(table.set_column(table.column_names.index(name), name, column)) == expected, kind


def _others(kind: pa.DataType) -> list[pa.DataType | None]:
    """What else holds the same values; None is a dictionary of them."""
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return [pa.string(), pa.large_string(), pa.string_view(), None]
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return [pa.binary(), pa.large_binary(), pa.binary_view(), None]
    return [None] if types.is_integer(kind) or types.is_floating(kind) or types.is_temporal(kind) else []


def test_a_change_of_one_thing_changes_root_or_schema() -> None:
    done = Counter[str]()
    for number in range(TABLES):
        rng = random.Random(f"change {number}")
        drawn = Drawn(rng)
        table, before = drawn.table, _root(drawn.table)
        for what, changed in _changes(rng, drawn):
            after = _root(changed)
            assert (after.root, after.schema, after.count) != (before.root, before.schema, before.count), (number, what)
            done[what] += 1
        assert _root(table) == before
    assert min(done.values()) > TABLES // 8, done
    assert len(done) == 6


def _changes(rng: random.Random, drawn: Drawn) -> list[tuple[str, pa.Table]]:
    table, names = drawn.table, drawn.table.column_names
    place = rng.randrange(len(names))
    kind, values = drawn.columns[names[place]]
    found = [("name", table.rename_columns([*names[:place], "other", *names[place + 1 :]]))]
    other = pa.int16() if kind != pa.int16() else pa.int32()
    found.append(("type", table.set_column(place, names[place], pa.nulls(drawn.rows, other))))
    if len(names) > 1:
        found.append(("order", table.select([*names[1:], names[0]]).rename_columns(names[1:] + names[:1])))
    if not drawn.rows:
        return found
    row = rng.randrange(drawn.rows)
    if values[row] is not None:
        found.append(("null", _put(table, place, kind, [*values[:row], None, *values[row + 1 :]])))
    value = random_value(rng, kind, 0)
    if value is not None and repr(value) != repr(values[row]):
        found.append(("value", _put(table, place, kind, [*values[:row], value, *values[row + 1 :]])))
    turned = [repr([*column[1:], column[0]]) != repr(column) for _, column in drawn.columns.values()]
    if any(turned):
        found.append(("row order", pa.concat_tables([table.slice(1), table.slice(0, 1)])))
    return found


def _put(table: pa.Table, place: int, kind: pa.DataType, values: list[Any]) -> pa.Table:
    return table.set_column(place, table.column_names[place], array_of(values, kind))
