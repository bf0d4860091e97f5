"""JSON Lines: one object a line, one fragment a file.

Rules: a key that is missing is null, one that the schema lacks is an error, and so is a key twice; dates, times and
timestamps are text by RFC 3339, decimals text or numbers, binary base64; NaN and infinities have no form in JSON; the
order of keys says nothing. Lines end in LF or CR LF; empty lines are no rows.

Without a schema, a column is what JSON says of it in all rows: `bool`, `int64`, `decimal128(38, 0)` (whole numbers of
more than 64 bits), `float64` (numbers with a fraction, and whole ones up to 2**53 beside them), text, lists and structs
of these; keys in the order in which they first appear. Text stays text, whatever it looks like. Whole numbers that no
one type holds exactly are an error. What is written with a point or an exponent is rounded to a float64.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from provenance.encoding.records import RecordSchema
from provenance.errors import MalformedError, ProvenanceError, SourceError
from provenance.tables.base import MAX_BATCH_BYTES, Fragment, bounded, check_unchanged, identify, unreadable
from provenance.tables.files import FileTable, fragments_of
from provenance.tables.objects import WrittenFloat, array_of_json

_MAX_LINE_BYTES: Final = 64 * 2**20
_BATCH_ROWS: Final = 8_192
_MAX_EXACT: Final = 2**53
_WIDE: Final = "whole numbers beyond 2**53"
_WIDEST: Final = "whole numbers beyond 64 bits"
_WHOLE: Final = ("int64", _WIDE, _WIDEST)
_TYPES: Final = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    _WIDE: pa.int64(),
    _WIDEST: pa.decimal128(38, 0),
    "float64": pa.float64(),
    "string": pa.string(),
}


def open_files(paths: Sequence[Path], schema: RecordSchema | None) -> FileTable:
    """The table of these files, by `schema` or by what all of them hold."""
    identities = [identify(path) for path in paths]
    found = schema.to_arrow() if schema is not None else _inferred(paths)
    return FileTable(found, fragments_of(paths, identities, _read, found))


def _read(fragment: Fragment) -> Iterator[pa.RecordBatch]:
    path, schema = Path(fragment.path), fragment.part
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)
    known = set(schema.names)
    rows: list[dict[str, Any]] = []
    held_bytes = 0
    for number, size, row in _rows(path):
        if not row.keys() <= known:
            unknown = min(row.keys() - known)
            where = f"{path}, line {number}"
            raise SourceError("record has a field that the schema lacks", got=ascii(unknown), where=where)
        rows.append(row)
        held_bytes += size
        if len(rows) >= _BATCH_ROWS or held_bytes >= MAX_BATCH_BYTES:
            yield from bounded(iter([_batch(rows, schema, f"{path}, up to line {number}")]))
            rows, held_bytes = [], 0
    if rows:
        yield from bounded(iter([_batch(rows, schema, f"{path}, its last lines")]))
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)


def _batch(rows: list[dict[str, Any]], schema: pa.Schema, where: str) -> pa.RecordBatch:
    columns = [
        array_of_json([row.get(field.name) for row in rows], field.type, f"{where}, {field.name}") for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _rows(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE_BYTES + 1):
                number += 1
                where = f"{path}, line {number}"
                if len(line) > _MAX_LINE_BYTES:
                    raise SourceError("line is too long", expected=f"at most {_MAX_LINE_BYTES} bytes", where=where)
                if line.strip():
                    yield number, len(line), _parse(line, where)
    except OSError as error:
        raise unreadable(path, error) from error


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_float=WrittenFloat,
            parse_int=_integer,
        )
    except (ValueError, RecursionError, ProvenanceError):
        raise SourceError("line is not JSON", expected="one object with each key once", where=where) from None
    if not isinstance(value, dict):
        raise SourceError("line is no object", expected="a JSON object", got=type(value).__name__, where=where)
    return value


def _integer(text: str) -> int | WrittenFloat:
    """An integer; minus zero keeps its sign for a column of floats."""
    return WrittenFloat(text) if text == "-0" else int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("key appears twice")
    return found


def _no_constant(_text: str) -> None:
    raise MalformedError("not a number of JSON")


def _inferred(paths: Sequence[Path]) -> pa.Schema:
    shape: dict[str, Any] = {}
    for path in paths:
        for number, _, row in _rows(path):
            for name, value in row.items():
                shape[name] = _merge(shape.get(name), _shape(value), f"{path}, line {number}, {name}")
    if not shape:
        raise SourceError("file has no records", expected="a schema, or at least one object", where=paths[0])
    return pa.schema([(name, _type(kind)) for name, kind in shape.items()])


def _shape(value: Any) -> Any:
    """A value's shape: None, a word, ["list", shape], or {"name": shape}."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, float):
        return "int64" if isinstance(value, WrittenFloat) and value.text == "-0" else "float64"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        inner = None
        for item in value:
            inner = _merge(inner, _shape(item), "a list")
        return ["list", inner]
    return {name: _shape(item) for name, item in value.items()}


def _whole(value: int) -> str:
    """What holds a whole number exactly: beside numbers with a fraction those that a float64 does."""
    if abs(value) <= _MAX_EXACT:
        return "int64"
    if -(2**63) <= value < 2**63:
        return _WIDE
    return _WIDEST if abs(value) < 10**38 else "a number of more than 38 digits"


def _merge(one: Any, other: Any, where: str) -> Any:
    if one is None or other is None or one == other:
        return other if one is None else one
    kinds = {str(one), str(other)}
    if kinds == {"int64", "float64"}:
        return "float64"
    if kinds <= set(_WHOLE):
        return max(kinds, key=_WHOLE.index)
    if isinstance(one, list) and isinstance(other, list):
        return ["list", _merge(one[1], other[1], where)]
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _merge(one.get(name), other.get(name), where) for name in {**one, **other}}
    hint = "give the schema, with --schema"
    raise SourceError(
        "column holds values of several kinds", got=f"{_word(one)} and {_word(other)}", where=where, hint=hint
    )


def _word(shape: Any) -> str:
    return shape if isinstance(shape, str) else "list" if isinstance(shape, list) else "object"


def _type(shape: Any) -> pa.DataType:
    if shape is None:
        return pa.null()
    if isinstance(shape, list):
        return pa.list_(_type(shape[1]))
    if isinstance(shape, dict):
        return pa.struct([(name, _type(kind)) for name, kind in shape.items()])
    if shape not in _TYPES:
        hint = "give the schema, with --schema"
        raise SourceError("column holds what no type is guessed for", got=shape, hint=hint)
    return _TYPES[shape]
