"""A row's bytes as JSON, by its schema.

Invariants: takes nothing but deterministic CBOR of the schema's types, so that `written` gives the same bytes back; no
input makes it recurse deeper than the schema or allocate more than the input's own size. `MalformedError` otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Context, Decimal
from typing import Any, Final

from provenance.encoding import JsonValue, b64encode
from provenance.encoding.records.cbor import encode_float
from provenance.encoding.records.types import PER_SECOND
from provenance.encoding.records.values import RANGES
from provenance.encoding.records.written import EPOCH, FLOATS
from provenance.errors import MalformedError
from provenance.limits import MAX_SAFE_INTEGER

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY = range(5)
_EXACT: Final = Context(prec=200)
_FORMS: Final = {"float16": ">e", "float32": ">f", "float64": ">d"}
_FIRST_DAY, _LAST_DAY = date.min.toordinal() - EPOCH, date.max.toordinal() - EPOCH


class Reader:
    """Reads one value after another, each of a type that the caller names."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def end(self) -> None:
        """Refuse what was not read."""
        if self._position != len(self._data):
            raise _malformed("no bytes behind its last value")

    def null(self) -> bool:
        """Whether the next value is null, which is then read."""
        return self._constant(0xF6)

    def boolean(self) -> bool:
        """True or false."""
        if self._constant(0xF5):
            return True
        if self._constant(0xF4):
            return False
        raise _malformed("true or false")

    def integer(self) -> int:
        """An integer of any size, in the fewest bytes."""
        for tag, sign in ((0xC2, 0), (0xC3, -1)):
            if self._constant(tag):
                data = self.binary()
                if len(data) < 9 or data[0] == 0:
                    raise _malformed("the fewest bytes")
                return int.from_bytes(data, "big") ^ sign
        major, argument = self._head()
        if major not in (_UINT, _NEGATIVE):
            raise _malformed("an integer")
        return argument if major == _UINT else -1 - argument

    def number(self) -> float:
        """A number in the shortest form that keeps it."""
        start = self._position
        size = {0xF9: 2, 0xFA: 4, 0xFB: 8}.get(self._take(1)[0])
        if size is None:
            raise _malformed("a number")
        value: float = struct.unpack({2: ">e", 4: ">f", 8: ">d"}[size], self._take(size))[0]
        if encode_float(value) != self._data[start : self._position]:
            raise _malformed("the shortest form of a number")
        return value

    def binary(self) -> bytes:
        """A byte string."""
        return self._string(_BYTES)

    def text(self) -> str:
        """A text string."""
        try:
            return self._string(_TEXT).decode("utf-8")
        except UnicodeDecodeError as error:
            raise _malformed("UTF-8") from error

    def array(self, count: int | None = None) -> int:
        """The head of an array: how many values follow."""
        major, argument = self._head()
        if major != _ARRAY or (count is not None and argument != count):
            raise _malformed("an array" if count is None else f"an array of {count}")
        if argument > len(self._data) - self._position:
            raise _malformed("all of its bytes")
        return argument

    def constant(self, byte: int) -> None:
        """That byte."""
        if not self._constant(byte):
            raise _malformed(f"the byte {byte:02x}")

    def _constant(self, byte: int) -> bool:
        if self._data[self._position : self._position + 1] != bytes([byte]):
            return False
        self._position += 1
        return True

    def _string(self, expected: int) -> bytes:
        major, argument = self._head()
        if major != expected:
            raise _malformed("text" if expected == _TEXT else "a byte string")
        return self._take(argument)

    def _head(self) -> tuple[int, int]:
        first = self._take(1)[0]
        information = first & 31
        if information < 24:
            return first >> 5, information
        size = {24: 1, 25: 2, 26: 4, 27: 8}.get(information)
        if size is None:
            raise _malformed("definite lengths")
        argument = int.from_bytes(self._take(size), "big")
        if argument < (24 if size == 1 else 1 << 4 * size):
            raise _malformed("the fewest bytes")
        return first >> 5, argument

    def _take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise _malformed("all of its bytes")
        data, self._position = self._data[self._position : end], end
        return data


def read_fields(reader: Reader, fields: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """The array of these fields as an object by their names."""
    reader.array(len(fields))
    return {name: read_value(reader, kind) for name, kind in fields}


def read_value(reader: Reader, kind: JsonValue) -> JsonValue:
    """The next value, of the record type `kind`, as JSON."""
    if reader.null():
        return None
    if isinstance(kind, str):
        return _plain(reader, kind)
    assert isinstance(kind, dict)
    ((name, inner),) = kind.items()
    return _PARAMETERISED[name](reader, inner)


def _plain(reader: Reader, kind: str) -> JsonValue:
    match kind:
        case "null":
            raise _malformed("null")
        case "bool":
            return reader.boolean()
        case "float16" | "float32" | "float64":
            value = reader.number()
            if value != value:
                return "NaN"
            if not _is_of(value, kind):
                raise _malformed(f"a {kind}")
            return next((name for name, special in FLOATS.items() if special == value), value)
        case "string":
            return reader.text()
        case "binary":
            return b64encode(reader.binary())
        case "interval":
            reader.array(3)
            return [_safe(_integer(reader, part)) for part in ("int32", "int32", "int64")]
        case "date":
            days = _integer(reader, kind)
            return _date(days) or _safe(days)
    return _safe(_integer(reader, kind))


def _is_of(value: float, kind: str) -> bool:
    """Whether a column of this kind can hold the value: what none of its rows can be, is no row of it."""
    try:
        return bool(struct.unpack(_FORMS[kind], struct.pack(_FORMS[kind], value))[0] == value)
    except OverflowError:
        return False


def _integer(reader: Reader, kind: str = "int64") -> int:
    lowest, highest = RANGES[kind]
    number = reader.integer()
    if not lowest <= number <= highest:
        raise _malformed(f"an integer of type {kind}")
    return number


def _safe(value: int) -> JsonValue:
    return value if abs(value) <= MAX_SAFE_INTEGER else str(value)


def _date(days: int) -> str | None:
    return date.fromordinal(days + EPOCH).isoformat() if _FIRST_DAY <= days <= _LAST_DAY else None


def _decimal(reader: Reader, inner: Any) -> JsonValue:
    reader.constant(0xC4)
    reader.array(2)
    scale = inner["scale"]
    if reader.integer() != -scale:
        raise _malformed("the scale of its column")
    unscaled = reader.integer()
    if abs(unscaled) >= 10 ** inner["precision"]:
        raise _malformed(f"at most {inner['precision']} digits")
    return format(Decimal(unscaled).scaleb(-scale, context=_EXACT), "f")


def _timestamp(reader: Reader, inner: Any) -> JsonValue:
    number = _integer(reader)
    days, ticks = divmod(number, 86_400 * PER_SECOND[inner["unit"]])
    day = _date(days)
    if day is None:
        return _safe(number)
    return f"{day}T{_clock(ticks, inner['unit'])}" + ("" if inner["zone"] is None else "Z")


def _time(reader: Reader, inner: Any) -> JsonValue:
    number = reader.integer()
    if not 0 <= number < 86_400 * PER_SECOND[inner["unit"]]:
        raise _malformed("a time of day")
    return _clock(number, inner["unit"])


def _clock(ticks: int, unit: str) -> str:
    seconds, rest = divmod(ticks, PER_SECOND[unit])
    clock = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    return f"{clock}.{rest:0{digits}}" if rest else clock


def _list(reader: Reader, inner: JsonValue) -> JsonValue:
    return [read_value(reader, inner) for _ in range(reader.array())]


def _struct(reader: Reader, inner: Any) -> JsonValue:
    return read_fields(reader, [(child["name"], child["type"]) for child in inner])


def _map(reader: Reader, inner: Any) -> JsonValue:
    pairs: list[JsonValue] = []
    for _ in range(reader.array()):
        reader.array(2)
        pairs.append([read_value(reader, inner["key"]), read_value(reader, inner["value"])])
    return pairs


def _malformed(expected: str) -> MalformedError:
    return MalformedError("record is no row of its schema", expected=expected)


_PARAMETERISED: Final[dict[str, Callable[[Reader, Any], JsonValue]]] = {
    "decimal": _decimal,
    "timestamp": _timestamp,
    "duration": lambda reader, _: _safe(_integer(reader)),
    "time": _time,
    "list": _list,
    "struct": _struct,
    "map": _map,
}
