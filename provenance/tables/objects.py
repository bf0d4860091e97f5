"""Columns of parsed JSON as Arrow arrays, by the rules that one record is written down by.

Invariants: a value is of its column's type or an error that names the column; no value's content is in an error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from provenance.encoding.records.types import record_type
from provenance.encoding.records.written import value_of_json
from provenance.errors import MalformedError, SourceError

_INFINITIES: Final = (float("inf"), float("-inf"))
"""What a number becomes that is too large: JSON has no infinities."""


class WrittenFloat(float):
    """A float, and the text it was written as: decimals and narrower floats are made of that, not of the float64."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        """The float that a number of JSON is."""
        made = super().__new__(cls, text)
        made.text = text
        return made


def array_of_json(values: Sequence[Any], kind: pa.DataType, where: str) -> pa.Array:
    """The values, None where null, as an array of the type."""
    types = pa.types
    if types.is_struct(kind):
        return _structs(values, kind, where)
    if types.is_map(kind):
        return _maps(values, kind, where)
    if types.is_list(kind):
        _require(values, list, "an array", where)
        flat = [item for value in values if value is not None for item in value]
        return pa.ListArray.from_arrays(_offsets(values), array_of_json(flat, kind.value_type, where))
    if types.is_float32(kind) or types.is_float16(kind):
        return _narrow_floats(values, kind, where)
    try:
        return pa.array([None if value is None else _scalar(value, kind, where) for value in values], kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SourceError("value does not fit its column", expected=kind, where=where) from error


def _scalar(value: Any, kind: pa.DataType, where: str) -> Any:
    types = pa.types
    if types.is_boolean(kind):
        return _of(value, bool, "true or false", where)
    if types.is_integer(kind):
        if isinstance(value, WrittenFloat) and value.text == "-0":
            return 0
        if isinstance(value, bool):
            raise SourceError("value does not fit its column", expected="an integer", where=where)
        return _of(value, int, "an integer", where)
    if types.is_floating(kind):
        if isinstance(value, bool) or not isinstance(value, int | float) or value in _INFINITIES:
            raise SourceError("value does not fit its column", expected="a number", where=where)
        return float(value)
    if types.is_string(kind):
        return _of(value, str, "text", where)
    if types.is_binary(kind):
        return _binary(_of(value, str, "base64", where), where)
    if types.is_null(kind):
        raise SourceError("value does not fit its column", expected="null", where=where)
    if isinstance(value, float) and types.is_decimal(kind):
        value = value.text if isinstance(value, WrittenFloat) else repr(value)
    try:
        found = value_of_json(value, record_type(kind, where), where)
    except MalformedError as error:
        raise SourceError("value does not fit its column", expected=error.expected, where=where) from error
    return found if types.is_decimal(kind) else _of(found, int, "a time", where)


def _narrow_floats(values: Sequence[Any], kind: pa.DataType, where: str) -> pa.Array:
    """Floats of 32 bits, rounded once: from the text, as in CSV. Those of 16 bits come by way of them, as there."""
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise SourceError("value does not fit its column", expected="a number", where=where)
    texts = [None if v is None else v.text if isinstance(v, WrittenFloat) else repr(v) for v in values]
    try:
        found = pa.array(texts, pa.string()).cast(pa.float32())
    except pa.ArrowException as error:
        raise SourceError("value does not fit its column", expected=kind, where=where) from error
    if pc.any(pc.is_inf(found)).as_py():
        raise SourceError("value does not fit its column", expected=kind, where=where)
    return found if found.type == kind else pc.cast(found, kind, safe=False)


def _binary(value: str, where: str) -> bytes:
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise SourceError("value is not base64", expected="RFC 4648 section 4", where=where) from error


def _structs(values: Sequence[Any], kind: pa.DataType, where: str) -> pa.Array:
    _require(values, dict, "an object", where)
    fields = [kind.field(index) for index in range(kind.num_fields)]
    known = {field.name for field in fields}
    for value in values:
        if value is not None and not value.keys() <= known:
            got = ascii(min(value.keys() - known))
            raise SourceError("record has a field that the schema lacks", got=got, where=where)
    columns = [
        array_of_json([None if v is None else v.get(f.name) for v in values], f.type, f"{where}.{f.name}")
        for f in fields
    ]
    return pa.StructArray.from_arrays(columns, fields=fields, mask=pa.array([v is None for v in values], pa.bool_()))


def _maps(values: Sequence[Any], kind: pa.DataType, where: str) -> pa.Array:
    pairs = [list(value.items()) if isinstance(value, dict) else value for value in values]
    _require(pairs, list, "an object or an array of [key, value]", where)
    flat = [pair for value in pairs if value is not None for pair in value]
    if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in flat):
        raise SourceError("value does not fit its column", expected="arrays of [key, value]", where=where)
    keys = array_of_json([key for key, _ in flat], kind.key_type, f"{where}.key")
    items = array_of_json([item for _, item in flat], kind.item_type, f"{where}.value")
    return pa.MapArray.from_arrays(_offsets(pairs), keys, items)


def _offsets(values: Sequence[Any]) -> pa.Array:
    offsets: list[int | None] = []
    position = 0
    for value in values:
        offsets.append(None if value is None else position)
        position += 0 if value is None else len(value)
    return pa.array([*offsets, position], pa.int32())


def _require(values: Sequence[Any], kind: type, expected: str, where: str) -> None:
    for value in values:
        if value is not None and not isinstance(value, kind):
            raise SourceError("value does not fit its column", expected=expected, where=where)


def _of(value: Any, kind: type, expected: str, where: str) -> Any:
    if not isinstance(value, kind):
        raise SourceError("value does not fit its column", expected=expected, where=where)
    return value
