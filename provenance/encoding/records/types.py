"""Record types: what a value is, whichever way Arrow, a file or a library holds it.

Invariants: a type is JSON, one form for each; two columns have one record type exactly if every value of one could
stand in the other. Large, view, dictionary, run-end-encoded and fixed-size forms are their plain ones, extensions their
storage, decimals of any width one type, and all names of UTC are `UTC`.

Forms: `"bool"`, `"int8"` to `"uint64"`, `"float16"`, `"float32"`, `"float64"`, `"string"`, `"binary"`, `"null"`,
`"date"` (days since 1970-01-01), `"interval"` (months, days, nanoseconds), `{"decimal":{"precision":9,"scale":2}}`,
`{"time":{"unit":"us"}}`, `{"timestamp":{"unit":"us","zone":"UTC"}}` (`zone` is null for local times),
`{"duration":{"unit":"ns"}}`, `{"list":T}`, `{"map":{"key":T,"value":T}}`, `{"struct":[{"name":"a","type":T}]}`.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from provenance.encoding import JsonValue, canonical_json
from provenance.errors import MalformedError, printable

MAX_DEPTH: Final = 32
MAX_COLUMNS: Final = 10_000
MAX_NAME_CHARS: Final = 1_024
PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_UTC: Final = frozenset(
    ("UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu", "Z", "+00:00", "-00:00")
)
_PLAIN: Final[dict[str, pa.DataType]] = {
    "bool": pa.bool_(),
    **{f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "null": pa.null(),
    "date": pa.date32(),
    "interval": pa.month_day_nano_interval(),
}
_NAME_OF: Final = {kind: name for name, kind in _PLAIN.items()} | {pa.date64(): "date"}


def record_type(kind: pa.DataType, where: str, depth: int = 0) -> JsonValue:
    """The record type of an Arrow type. `MalformedError` names the column for a union or what is nested too deep."""
    if depth > MAX_DEPTH:
        raise MalformedError("column is nested too deep", expected=f"at most {MAX_DEPTH} levels", where=where)
    kind = _plain(kind)
    if (name := _NAME_OF.get(kind)) is not None:
        return name
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "string"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind) or _is_fixed_binary(kind):
        return "binary"
    if types.is_decimal(kind):
        return {"decimal": {"precision": kind.precision, "scale": kind.scale}}
    if types.is_timestamp(kind):
        return {"timestamp": {"unit": kind.unit, "zone": "UTC" if kind.tz in _UTC else kind.tz}}
    if types.is_time(kind):
        return {"time": {"unit": kind.unit}}
    if types.is_duration(kind):
        return {"duration": {"unit": kind.unit}}
    if types.is_map(kind):
        key = record_type(kind.key_type, f"{where}.key", depth + 1)
        return {"map": {"key": key, "value": record_type(kind.item_type, f"{where}.value", depth + 1)}}
    if is_list(kind):
        return {"list": record_type(kind.value_type, f"{where}[]", depth + 1)}
    if types.is_struct(kind):
        children = [kind.field(index) for index in range(kind.num_fields)]
        check_names([child.name for child in children], where)
        return {
            "struct": [
                {"name": child.name, "type": record_type(child.type, f"{where}.{child.name}", depth + 1)}
                for child in children
            ]
        }
    hint = "cast the column to one of the types of docs/formats/records.md"
    raise MalformedError("column type has no record form", expected="a record type", got=kind, where=where, hint=hint)


def arrow_type(value: JsonValue, where: str, depth: int = 0) -> pa.DataType:
    """The plain Arrow type of a record type; `MalformedError` for any other JSON."""
    if depth > MAX_DEPTH:
        raise MalformedError("column is nested too deep", expected=f"at most {MAX_DEPTH} levels", where=where)
    if isinstance(value, str) and value in _PLAIN:
        return _PLAIN[value]
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        try:
            found = _parameterised(name, inner, where, depth)
        except (ValueError, TypeError, KeyError, pa.ArrowException, OverflowError) as error:
            raise _unknown(value, where) from error
        # As bytes: to Python, true is 1.
        if found is not None and canonical_json(record_type(found, where, depth)) == canonical_json(value):
            return found
    raise _unknown(value, where)


def _parameterised(name: str, inner: Any, where: str, depth: int) -> pa.DataType | None:
    match name:
        case "decimal":
            make = pa.decimal128 if inner["precision"] <= 38 else pa.decimal256
            return make(inner["precision"], inner["scale"])
        case "timestamp":
            return pa.timestamp(inner["unit"], inner["zone"])
        case "time":
            return pa.time32(inner["unit"]) if inner["unit"] in ("s", "ms") else pa.time64(inner["unit"])
        case "duration":
            return pa.duration(inner["unit"])
        case "list":
            return pa.list_(arrow_type(inner, f"{where}[]", depth + 1))
        case "map":
            key = arrow_type(inner["key"], f"{where}.key", depth + 1)
            return pa.map_(key, arrow_type(inner["value"], f"{where}.value", depth + 1))
        case "struct":
            fields = [
                (child["name"], arrow_type(child["type"], f"{where}.{child['name']}", depth + 1)) for child in inner
            ]
            return pa.struct(fields)
    return None


def check_names(names: list[str], where: str) -> None:
    """Raise `MalformedError` unless the names are text, each once."""
    seen: set[str] = set()
    for name in names:
        if len(name) > MAX_NAME_CHARS or not _is_text(name):
            raise MalformedError(
                "not a column name", expected=f"UTF-8, at most {MAX_NAME_CHARS} characters", where=where
            )
        if name in seen:
            hint = "rename one of them"
            raise MalformedError("column name appears twice", got=printable(name), where=where, hint=hint)
        seen.add(name)


def is_list(kind: pa.DataType) -> bool:
    """Whether it is a list of any form, and no map."""
    types = pa.types
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def _is_fixed_binary(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unknown(value: JsonValue, where: str) -> MalformedError:
    return MalformedError("not a record type", expected="a type of docs/formats/records.md", got=value, where=where)
