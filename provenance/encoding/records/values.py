"""A row from Python values.

Invariants: strict: a value is of its column's type or an error (no integer for a float, no text for a date); an integer
stands for a date, time, timestamp or duration in the column's unit; the bytes are those of an Arrow column.

| type | Python |
| --- | --- |
| bool, integers, floats, string, binary | bool, int, float, str, bytes |
| decimal | Decimal, of no more digits than the column's |
| date, time, timestamp, duration | date, time, datetime (aware exactly if there is a zone), timedelta; or int |
| interval | (months, days, nanoseconds) |
| list, struct | list or tuple, mapping by name of every child |
| map | mapping, or (key, value) pairs in order |
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

from provenance.encoding import JsonValue
from provenance.encoding.records.cbor import (
    FALSE,
    NULL,
    TRUE,
    encode_array,
    encode_bytes,
    encode_decimal,
    encode_float,
    encode_integer,
    encode_text,
)
from provenance.encoding.records.types import PER_SECOND
from provenance.errors import MalformedError

_EPOCH: Final = date(1970, 1, 1).toordinal()
RANGES: Final = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "date": (-(2**31), 2**31 - 1),
}
_FORMS: Final = {"float16": "<e", "float32": "<f", "float64": "<d"}
_MICROSECOND: Final = timedelta(microseconds=1)
_EXACT: Final = Context(prec=200, traps=[InvalidOperation])


def encode_value(value: object, kind: JsonValue, where: str) -> bytes:
    """A value as one of the record type `kind`. `MalformedError` names `where` if it is none."""
    if value is None:
        return NULL
    if isinstance(kind, str):
        return _plain(value, kind, where)
    assert isinstance(kind, dict)
    ((name, inner),) = kind.items()
    return _PARAMETERISED[name](value, inner, where)


def _plain(value: object, kind: str, where: str) -> bytes:
    match kind:
        case "bool" if isinstance(value, bool):
            return TRUE if value else FALSE
        case "float16" | "float32" | "float64" if isinstance(value, float):
            return encode_float(_rounded(value, kind, where))
        case "string" if isinstance(value, str):
            return encode_text(value, where)
        case "binary" if isinstance(value, bytes | bytearray | memoryview):
            return encode_bytes(bytes(value))
        case "date" if isinstance(value, date) and not isinstance(value, datetime):
            return encode_integer(value.toordinal() - _EPOCH)
        case "interval" if isinstance(value, tuple) and len(value) == 3:
            widths = ("int32", "int32", "int64")
            return encode_array(
                [encode_integer(_integer(part, width, where)) for part, width in zip(value, widths, strict=True)]
            )
    if kind in RANGES:
        return encode_integer(_integer(value, kind, where))
    raise wrong(f"a value of type {kind}", value, where)


def _integer(value: object, kind: str, where: str) -> int:
    lowest, highest = RANGES[kind]
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong("an integer", value, where)
    if not lowest <= value <= highest:
        raise MalformedError("integer is out of its column's range", expected=f"{lowest} to {highest}", where=where)
    return value


def _rounded(value: float, kind: str, where: str) -> float:
    try:
        rounded: float = struct.unpack(_FORMS[kind], struct.pack(_FORMS[kind], value))[0]
    except OverflowError as error:
        raise MalformedError("number is out of its column's range", expected=kind, where=where) from error
    return rounded


def _unscaled(value: Decimal, inner: Any, where: str) -> int:
    """The unscaled integer of a decimal in a column. `MalformedError` if it is not finite or has too many digits."""
    precision, scale = inner["precision"], inner["scale"]
    expected = f"a decimal of at most {precision} digits, {scale} of them after the point"
    if not value.is_finite() or (value and value.adjusted() >= precision - scale):
        raise wrong(expected, value, where)
    if not value:
        return 0
    if value.adjusted() < -scale or len(value.as_tuple().digits) > _EXACT.prec:
        raise wrong(expected, value, where)
    unscaled = value.scaleb(scale, context=_EXACT)
    if unscaled != unscaled.to_integral_value(context=_EXACT):
        raise wrong(expected, value, where)
    return int(unscaled)


def _decimal(value: object, inner: Any, where: str) -> bytes:
    if not isinstance(value, Decimal):
        raise wrong("a Decimal", value, where)
    return encode_decimal(_unscaled(value, inner, where), inner["scale"])


def _timestamp(value: object, inner: Any, where: str) -> bytes:
    if not isinstance(value, datetime):
        return encode_integer(_integer(value, "int64", where))
    if (value.tzinfo is None) != (inner["zone"] is None):
        raise wrong("a local time" if inner["zone"] is None else "a time with its offset from UTC", value, where)
    epoch = datetime(1970, 1, 1, tzinfo=None if value.tzinfo is None else UTC)
    return encode_integer(_integer(_in_units(value - epoch, inner["unit"], where), "int64", where))


def _duration(value: object, inner: Any, where: str) -> bytes:
    if isinstance(value, timedelta):
        value = _in_units(value, inner["unit"], where)
    return encode_integer(_integer(value, "int64", where))


def _time(value: object, inner: Any, where: str) -> bytes:
    unit = inner["unit"]
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise wrong("a time of day without a zone", value, where)
        since = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
        value = _in_units(since, unit, where)
    number = _integer(value, "int64", where)
    if not 0 <= number < 86_400 * PER_SECOND[unit]:
        raise MalformedError("not a time of day", expected="from 0:00 to before 24:00", where=where)
    return encode_integer(number)


def _in_units(value: timedelta, unit: str, where: str) -> int:
    number, rest = divmod(value // _MICROSECOND * PER_SECOND[unit], 10**6)
    if rest:
        raise wrong(f"a time in whole {unit}", value, where)
    return number


def _list(value: object, inner: Any, where: str) -> bytes:
    if not isinstance(value, list | tuple):
        raise wrong("a list", value, where)
    return encode_array([encode_value(item, inner, f"{where}[{index}]") for index, item in enumerate(value)])


def _struct(value: object, inner: Any, where: str) -> bytes:
    names = [child["name"] for child in inner]
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise wrong(f"a mapping with the names {', '.join(map(ascii, names))}", value, where)
    return encode_array([encode_value(value[c["name"]], c["type"], f"{where}.{c['name']}") for c in inner])


def _map(value: object, inner: Any, where: str) -> bytes:
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, list | tuple) or any(not isinstance(p, list | tuple) or len(p) != 2 for p in pairs):
        raise wrong("a mapping, or pairs", value, where)
    encoded = []
    for key, item in pairs:
        parts = [
            encode_value(key, inner["key"], f"{where}.key"),
            encode_value(item, inner["value"], f"{where}.value"),
        ]
        encoded.append(encode_array(parts))
    return encode_array(encoded)


def wrong(expected: str, value: object, where: str) -> MalformedError:
    """The error for a value of another type. The value is a row's content and is not shown."""
    got = "null" if value is None else type(value).__name__
    return MalformedError("value is not of its column's type", expected=expected, got=got, where=where)


_PARAMETERISED: Final[dict[str, Callable[[object, Any, str], bytes]]] = {
    "decimal": _decimal,
    "timestamp": _timestamp,
    "duration": _duration,
    "time": _time,
    "list": _list,
    "struct": _struct,
    "map": _map,
}
