"""One value at a time: for a record that somebody writes down, and to show one that a proof holds.

Invariants: deterministic CBOR (RFC 8949, 4.2.1) of exactly the bytes that a column of the same values gives; decoding
takes nothing else back. JSON writes what it has no form for as text: `NaN`, `Infinity` and `-Infinity`, decimals as
`"12.50"`, binary as base64, dates and timestamps by RFC 3339, times as `12:34:56.789`; durations and intervals as
integers in the column's unit.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from provenance.encoding import JsonValue, b64decode, b64encode
from provenance.errors import MalformedError

MAX_VALUE_BYTES: Final = 256 * 2**20
_MAX_DEPTH: Final = 64
_EPOCH: Final = date(1970, 1, 1).toordinal()
_PER_S: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_CLOCK = r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
_TIMESTAMP: Final = re.compile(rf"{_DATE}[T ]{_CLOCK}(Z|[+-][0-9]{{2}}:[0-9]{{2}})?")
_FLOATS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def encode_head(major: int, argument: int) -> bytes:
    """An initial byte with its argument, in the fewest bytes."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for information, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return bytes([major << 5 | information]) + argument.to_bytes(size, "big")
    raise MalformedError("number is too large for CBOR", expected="at most 64 bits", got=argument)


def encode_integer(value: int) -> bytes:
    """An integer of any size: major type 0 or 1, else a bignum (tags 2 and 3)."""
    major, argument = (0, value) if value >= 0 else (1, -1 - value)
    if argument < 1 << 64:
        return encode_head(major, argument)
    data = argument.to_bytes((argument.bit_length() + 7) // 8, "big")
    return bytes([0xC2 + major]) + encode_head(2, len(data)) + data


def encode_float(value: float) -> bytes:
    """The shortest of half, single and double that keeps the value; `f97e00` for every NaN."""
    if value != value:
        return b"\xf9\x7e\x00"
    for head, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            data = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, data)[0] == value:
            return head + data
    return b"\xfb" + struct.pack(">d", value)


def encode_decimal(value: Decimal, scale: int) -> bytes:
    """Tag 4 of the exponent, which is the column's, and the unscaled integer."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or (exponent < -scale and any(digits[exponent + scale :])):
        raise MalformedError("decimal does not fit its column", expected=f"{scale} digits after the point", got=value)
    unscaled = int("".join(map(str, digits)) or "0")
    shift = exponent + scale
    unscaled = unscaled * 10**shift if shift >= 0 else unscaled // 10**-shift
    return b"\xc4\x82" + encode_integer(-scale) + encode_integer(-unscaled if sign else unscaled)


def encode_json(value: JsonValue, kind: JsonValue, where: str) -> bytes:
    """A value written as JSON, as a value of the record type `kind`; `MalformedError` names `where` if it is none."""
    if value is None:
        return b"\xf6"
    if isinstance(kind, str):
        plain: bytes = _PLAIN[kind](value, where)
        return plain
    assert isinstance(kind, dict)
    ((name, inner),) = kind.items()
    match name:
        case "list":
            items = _list(value, where)
            return encode_head(4, len(items)) + b"".join(
                encode_json(item, inner, f"{where}[{index}]") for index, item in enumerate(items)
            )
        case "struct":
            return _struct(value, inner, where)
        case "map":
            return _map(value, inner, where)
        case "decimal":
            return _decimal(value, inner, where)
        case "timestamp":
            return encode_integer(_instant(value, inner, where))
        case "time":
            return encode_integer(_clock(value, inner["unit"], where))  # type: ignore[index, call-overload, arg-type]
    return _integer(value, where, -(2**63), 2**63 - 1)


def _struct(value: JsonValue, children: Any, where: str) -> bytes:
    if not isinstance(value, dict):
        raise _wrong("an object", value, where)
    return encode_fields(value, [(child["name"], child["type"]) for child in children], where)


def encode_fields(value: Mapping[str, JsonValue], fields: Sequence[tuple[str, JsonValue]], where: str) -> bytes:
    """An array of the fields in their order. A field that is left out is null; one too many is refused."""
    unknown = value.keys() - {name for name, _ in fields}
    if unknown:
        known = ", ".join(name for name, _ in fields)
        raise MalformedError("record has a field that the schema lacks", expected=known, got=min(unknown), where=where)
    return encode_head(4, len(fields)) + b"".join(
        encode_json(value.get(name), kind, f"{where}.{name}" if where else name) for name, kind in fields
    )


def _map(value: JsonValue, inner: Any, where: str) -> bytes:
    pairs: Any = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
        raise _wrong("an object, or an array of [key, value]", value, where)
    parts = [encode_head(4, len(pairs))]
    for key, item in pairs:
        parts += [
            b"\x82",
            encode_json(key, inner["key"], f"{where}.key"),
            encode_json(item, inner["value"], f"{where}.value"),
        ]
    return b"".join(parts)


def _list(value: JsonValue, where: str) -> list[JsonValue]:
    if not isinstance(value, list):
        raise _wrong("an array", value, where)
    return value


def _decimal(value: JsonValue, inner: Any, where: str) -> bytes:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong('a decimal as text, like "12.50"', value, where)
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise _wrong('a decimal as text, like "12.50"', value, where) from error
    if not number.is_finite():
        raise _wrong("a finite decimal", value, where)
    if abs(number) >= Decimal(10) ** (inner["precision"] - inner["scale"]):
        raise _wrong(f"at most {inner['precision']} digits", value, where)
    return encode_decimal(number, inner["scale"])


def _integer(value: JsonValue, where: str, lowest: int, highest: int) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise _wrong(f"an integer from {lowest} to {highest}", value, where)
    return encode_integer(value)


def _float(value: JsonValue, where: str, form: str) -> bytes:
    if isinstance(value, str) and value in _FLOATS:
        return encode_float(_FLOATS[value])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong("a number", value, where)
    try:
        return encode_float(struct.unpack(form, struct.pack(form, value))[0])
    except OverflowError as error:
        raise _wrong("a number in the column's range", value, where) from error


def _boolean(value: JsonValue, where: str) -> bytes:
    if not isinstance(value, bool):
        raise _wrong("true or false", value, where)
    return b"\xf5" if value else b"\xf4"


def _text(value: JsonValue, where: str) -> bytes:
    if not isinstance(value, str):
        raise _wrong("text", value, where)
    data = value.encode("utf-8", "surrogatepass")
    if max(value, default="") >= "\ud800" and any("\ud800" <= c <= "\udfff" for c in value):
        raise MalformedError("text is not UTF-8", expected="UTF-8", where=where)
    return encode_head(3, len(data)) + data


def _binary(value: JsonValue, where: str) -> bytes:
    data = b64decode(value, what=where, max_bytes=MAX_VALUE_BYTES)
    return encode_head(2, len(data)) + data


def _null(value: JsonValue, where: str) -> bytes:
    raise _wrong("null", value, where)


def _date(value: JsonValue, where: str) -> bytes:
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(value, where, -(2**31), 2**31 - 1)
    match = re.fullmatch(_DATE, value) if isinstance(value, str) else None
    if match is None:
        raise _wrong("a date like 2026-01-31", value, where)
    return encode_integer(_ordinal(match.groups(), value, where))


def _ordinal(parts: Sequence[str], value: JsonValue, where: str) -> int:
    try:
        return date(*(int(part) for part in parts)).toordinal() - _EPOCH
    except ValueError as error:
        raise _wrong("a date like 2026-01-31", value, where) from error


def _interval(value: JsonValue, where: str) -> bytes:
    if not isinstance(value, list) or len(value) != 3:
        raise _wrong("[months, days, nanoseconds]", value, where)
    return b"\x83" + b"".join(_integer(part, where, -(2**63), 2**63 - 1) for part in value)


def _instant(value: JsonValue, inner: Any, where: str) -> int:
    unit, zone = inner["unit"], inner["zone"]
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    expected = "a time like 2026-01-31T12:34:56Z" if zone else "a local time like 2026-01-31T12:34:56"
    match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match[8] is None) != (zone is None):
        raise _wrong(expected, value, where)
    seconds = 86_400 * _ordinal(match.groups()[:3], value, where)
    ticks = _ticks(match.groups()[3:7], unit, value, where)
    if match[8] not in (None, "Z"):
        hours, minutes = int(match[8][1:3]), int(match[8][4:6])
        seconds -= (60 * hours + minutes) * (60 if match[8][0] == "+" else -60)
    return seconds * _PER_S[unit] + ticks


def _clock(value: JsonValue, unit: str, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < 86_400 * _PER_S[unit]:
            return value
        raise _wrong("a time of day in the column's unit", value, where)
    match = re.fullmatch(_CLOCK, value) if isinstance(value, str) else None
    if match is None:
        raise _wrong("a time like 12:34:56", value, where)
    return _ticks(match.groups(), unit, value, where)


def _ticks(parts: Sequence[str | None], unit: str, value: JsonValue, where: str) -> int:
    hours, minutes, seconds = (int(part or 0) for part in parts[:3])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise _wrong("a time from 00:00:00 to 23:59:59", value, where)
    nanoseconds = int((parts[3] or "").ljust(9, "0"))
    per_tick = 10**9 // _PER_S[unit]
    if nanoseconds % per_tick:
        raise _wrong(f"a time in whole {unit}", value, where)
    return (3_600 * hours + 60 * minutes + seconds) * _PER_S[unit] + nanoseconds // per_tick


def _wrong(expected: str, value: JsonValue, where: str) -> MalformedError:
    # The value itself is a row's content and is not shown.
    return MalformedError("value is not of its column's type", expected=expected, got=_kind(value), where=where)


def _kind(value: JsonValue) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "text", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)


_PLAIN: Final[dict[str, Any]] = {
    "bool": _boolean,
    **{
        f"int{bits}": (lambda v, w, b=bits: _integer(v, w, -(2 ** (b - 1)), 2 ** (b - 1) - 1))
        for bits in (8, 16, 32, 64)
    },
    **{f"uint{bits}": (lambda v, w, b=bits: _integer(v, w, 0, 2**b - 1)) for bits in (8, 16, 32, 64)},
    "float16": lambda v, w: _float(v, w, "<e"),
    "float32": lambda v, w: _float(v, w, "<f"),
    "float64": lambda v, w: _float(v, w, "<d"),
    "string": _text,
    "binary": _binary,
    "null": _null,
    "date": _date,
    "interval": _interval,
}


def decode(data: bytes) -> JsonValue:
    """What a row's CBOR holds, as JSON (binary as base64, decimals as text, other values as they are encoded).

    `MalformedError` for anything that this project does not write.
    """
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise MalformedError("record has bytes to spare", expected=f"{end} bytes", got=f"{len(data)} bytes")
    return value


def _decode(data: bytes, start: int, depth: int) -> tuple[JsonValue, int]:
    if depth > _MAX_DEPTH or start >= len(data):
        raise MalformedError("record is cut short or nested too deep", got=f"{len(data)} bytes")
    first = data[start]
    major, information = first >> 5, first & 31
    if major == 7:
        return _decode_simple(data, start, first)
    argument, end = _argument(data, start + 1, information)
    if major in (0, 1):
        return (argument if major == 0 else -1 - argument), end
    if major in (2, 3):
        chunk = data[end : end + argument]
        if len(chunk) != argument:
            raise MalformedError("record is cut short", got=f"{len(data)} bytes")
        try:
            return (b64encode(chunk) if major == 2 else chunk.decode("utf-8")), end + argument
        except UnicodeDecodeError as error:
            raise MalformedError("text is not UTF-8", expected="UTF-8") from error
    if major == 4:
        if argument > len(data):
            raise MalformedError("record is cut short", got=f"{len(data)} bytes")
        items: list[JsonValue] = []
        for _ in range(argument):
            item, end = _decode(data, end, depth + 1)
            items.append(item)
        return items, end
    if major == 6:
        return _decode_tag(data, end, argument, depth)
    raise MalformedError("record holds a CBOR map", expected="arrays")


def _argument(data: bytes, start: int, information: int) -> tuple[int, int]:
    if information < 24:
        return information, start
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(information)
    if size is None or start + size > len(data):
        raise MalformedError("record is no deterministic CBOR", expected="definite lengths")
    argument = int.from_bytes(data[start : start + size], "big")
    if argument < (24 if size == 1 else 1 << 4 * size):
        raise MalformedError("record is no deterministic CBOR", expected="the fewest bytes")
    return argument, start + size


def _decode_simple(data: bytes, start: int, first: int) -> tuple[JsonValue, int]:
    simple: dict[int, JsonValue] = {0xF4: False, 0xF5: True, 0xF6: None}
    if first in simple:
        return simple[first], start + 1
    form = {0xF9: ">e", 0xFA: ">f", 0xFB: ">d"}.get(first)
    if form is None or start + 1 + struct.calcsize(form) > len(data):
        raise MalformedError("record is no deterministic CBOR", expected="true, false, null or a number")
    end = start + 1 + struct.calcsize(form)
    value = struct.unpack(form, data[start + 1 : end])[0]
    if encode_float(value) != data[start:end]:
        raise MalformedError("record is no deterministic CBOR", expected="the shortest float")
    if value != value or value in (float("inf"), float("-inf")):
        return {v: k for k, v in _FLOATS.items() if v == v}.get(value, "NaN"), end
    return value, end


def _decode_tag(data: bytes, start: int, tag: int, depth: int) -> tuple[JsonValue, int]:
    value, end = _decode(data, start, depth + 1)
    if tag in (2, 3) and isinstance(value, str) and data[start] >> 5 == 2:
        number = int.from_bytes(b64decode(value, what="bignum", max_bytes=MAX_VALUE_BYTES), "big")
        number = number if tag == 2 else -1 - number
        if encode_integer(number) == data[start - 1 : end]:
            return number, end
    if tag == 4 and isinstance(value, list) and len(value) == 2:
        exponent, unscaled = value
        if isinstance(exponent, int) and isinstance(unscaled, int) and abs(exponent) <= 1_000:
            return str(Decimal(unscaled).scaleb(exponent)), end
    raise MalformedError("record holds an unknown tag", expected="2, 3 or 4", got=tag)
