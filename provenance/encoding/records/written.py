"""A row that somebody writes as a JSON object.

Invariants: what `shown` prints is taken back as the same row. JSON has one kind of number and no bytes, so: an integer
beyond 2**53 - 1 may be text of digits, NaN and infinities are `"NaN"`, `"Infinity"`, `"-Infinity"`, decimals text
(`"12.50"`), binary base64, dates and timestamps RFC 3339 (`"2026-01-31"`, `"2026-01-31T12:34:56.789Z"`, without `Z` in
a column without a zone), times `"12:34:56.789"`; all of these but decimals may be the integer in the column's unit.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from provenance.encoding import JsonValue, b64decode
from provenance.encoding.records.types import PER_SECOND
from provenance.encoding.records.values import wrong
from provenance.errors import MalformedError

MAX_VALUE_BYTES: Final = 256 * 2**20
MAX_DIGITS: Final = 200
FLOATS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
EPOCH: Final = date(1970, 1, 1).toordinal()
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_CLOCK = r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
_TIMESTAMP: Final = re.compile(rf"{_DATE}[Tt ]{_CLOCK}(?:([Zz])|([+-])([0-9]{{2}}):([0-9]{{2}}))?")


def value_of_json(value: JsonValue, kind: JsonValue, where: str) -> object:
    """The Python value of `values` that JSON stands for in a column. `MalformedError` names `where`."""
    if value is None:
        return None
    if isinstance(kind, str):
        return _plain(value, kind, where)
    assert isinstance(kind, dict)
    ((name, inner),) = kind.items()
    match name:
        case "list":
            return [value_of_json(item, inner, f"{where}[{i}]") for i, item in enumerate(_array(value, where))]
        case "struct":
            return _struct(value, inner, where)
        case "map":
            return _map(value, inner, where)
        case "decimal":
            return _decimal(value, where)
        case "timestamp":
            return _timestamp(value, inner, where)
        case "time":
            return _clock(value, inner, where)
    return _integer(value)


def fields_of_json(value: Mapping[str, JsonValue], fields: Sequence[tuple[str, JsonValue]], where: str) -> list[object]:
    """The fields' values in their order. One that is left out is null; one that is none of them is an error."""
    unknown = value.keys() - {name for name, _ in fields}
    if unknown:
        known = ", ".join(ascii(name) for name, _ in fields)
        at = where or "record"
        raise MalformedError("record has an unknown field", expected=known, got=ascii(min(unknown)), where=at)
    return [value_of_json(value.get(name), kind, f"{where}.{name}" if where else name) for name, kind in fields]


def _plain(value: JsonValue, kind: str, where: str) -> object:
    match kind:
        case "float16" | "float32" | "float64":
            return _float(value, kind, where)
        case "binary":
            return b64decode(value, what=where, max_bytes=MAX_VALUE_BYTES)
        case "interval":
            return tuple(_integer(part) for part in _array(value, where))
        case "date" if isinstance(value, str):
            match = re.fullmatch(_DATE, value)
            if match is None:
                raise wrong("a date like 2026-01-31", value, where)
            return _days(match.groups(), value, where)
    return value if kind in ("bool", "string") else _integer(value)


def _integer(value: JsonValue) -> object:
    """An integer in digits is one; anything else is left to the check of its type."""
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value


def _float(value: JsonValue, kind: str, where: str) -> object:
    if isinstance(value, str):
        return FLOATS.get(value, value)
    if isinstance(value, float):
        return _rounded_once(value) if kind == "float32" else value
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    try:
        return float(value)
    except OverflowError as error:
        raise MalformedError("number is out of its column's range", where=where) from error


def _rounded_once(value: float) -> float:
    """The float32 nearest to what was written, which `value` is the float64 of.

    They differ where the float64 stands between two of them: there what was written decides, and not the even one.
    """
    try:
        nearest: float = struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError:
        return value  # out of range: the check of its type says so
    if nearest == value or value != value or value in (float("inf"), float("-inf")):
        return nearest
    bits: int = struct.unpack(">I", struct.pack(">f", nearest))[0]
    away = (abs(value) > abs(nearest)) or not nearest
    try:
        other: float = struct.unpack(">f", struct.pack(">I", bits + (1 if away else -1)))[0]
    except struct.error:
        return nearest
    exact, written = Decimal(value), Decimal(repr(value))
    if exact == written or value - nearest != other - value:
        return nearest
    return max(nearest, other) if written > exact else min(nearest, other)


def _decimal(value: JsonValue, where: str) -> Decimal:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**100 else value
    if not isinstance(text, str) or len(text) > MAX_DIGITS or not _NUMBER.fullmatch(text):
        raise wrong('a decimal as text, like "12.50"', value, where)
    return Decimal(text)


def _array(value: JsonValue, where: str) -> list[JsonValue]:
    if not isinstance(value, list):
        raise wrong("an array", value, where)
    return value


def _struct(value: JsonValue, inner: Any, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise wrong("an object", value, where)
    names = [child["name"] for child in inner]
    return dict(zip(names, fields_of_json(value, [(c["name"], c["type"]) for c in inner], where), strict=True))


def _map(value: JsonValue, inner: Any, where: str) -> list[tuple[object, object]]:
    pairs: Any = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
        raise wrong("an object, or an array of [key, value]", value, where)
    key, item = inner["key"], inner["value"]
    return [(value_of_json(k, key, f"{where}.key"), value_of_json(v, item, f"{where}.value")) for k, v in pairs]


def _days(parts: Sequence[str], value: JsonValue, where: str) -> int:
    try:
        return date(*(int(part) for part in parts)).toordinal() - EPOCH
    except ValueError as error:
        raise wrong("a date like 2026-01-31", value, where) from error


def _timestamp(value: JsonValue, inner: Any, where: str) -> object:
    unit, zone = inner["unit"], inner["zone"]
    number = _integer(value)
    if not isinstance(number, str):
        return number
    match = _TIMESTAMP.fullmatch(number)
    if match is None or (match[8] is None and match[9] is None) != (zone is None):
        example = "2026-01-31T12:34:56Z" if zone else "2026-01-31T12:34:56, without a zone"
        raise wrong(f"a time like {example}", value, where)
    seconds = 86_400 * _days(match.groups()[:3], value, where)
    if match[9]:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 23 or minutes > 59:
            raise wrong("an offset of at most 23:59", value, where)
        seconds -= (60 * hours + minutes) * (60 if match[9] == "+" else -60)
    return seconds * PER_SECOND[unit] + _ticks(match.groups()[3:7], unit, value, where)


def _clock(value: JsonValue, inner: Any, where: str) -> object:
    number = _integer(value)
    if not isinstance(number, str):
        return number
    match = re.fullmatch(_CLOCK, number)
    if match is None:
        raise wrong("a time like 12:34:56", value, where)
    return _ticks(match.groups(), inner["unit"], value, where)


def _ticks(parts: Sequence[str | None], unit: str, value: JsonValue, where: str) -> int:
    hours, minutes, seconds = (int(part or 0) for part in parts[:3])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise wrong("a time from 00:00:00 to 23:59:59", value, where)
    ticks, rest = divmod(int((parts[3] or "").ljust(9, "0")) * PER_SECOND[unit], 10**9)
    if rest:
        raise wrong(f"a time in whole {unit}", value, where)
    return (3_600 * hours + 60 * minutes + seconds) * PER_SECOND[unit] + ticks
