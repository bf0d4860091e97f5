"""Recursive Length Prefix, Ethereum's serialization, read strictly.

Invariants: `encode(parse(x)) == x` for every x that `parse` accepts, so that one item has one encoding; nesting is
bounded, so that no input exhausts the stack; every byte of the input belongs to the item.

Example: ("cat", ("dog", "")) is c9 83 63 61 74 c5 83 64 6f 67 80.

Source: Ethereum yellow paper, appendix B.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_UINT64, check_size

RlpItem: TypeAlias = "bytes | tuple[RlpItem, ...]"

MAX_RLP_DEPTH: Final = 16
"""Levels of lists. A receipt has three; a trie node that holds nodes shorter than a hash has a few more."""

_STRING, _LIST = 0x80, 0xC0
_SHORT = 55
"""Longest payload, in bytes, whose length fits the prefix byte itself."""


def encode(item: RlpItem) -> bytes:
    """The encoding of a byte string or of a tuple of items. `LimitError` above `MAX_RLP_DEPTH` levels."""
    return _encode(item, MAX_RLP_DEPTH)


def encode_uint(value: int) -> bytes:
    """The byte string that stands for an unsigned integer: big-endian without leading zeros, empty for 0."""
    if value < 0:
        raise MalformedError("RLP has no negative integers", expected="0 or more", got=value)
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def parse(data: bytes, *, what: str, max_bytes: int) -> RlpItem:
    """The one item that `data` encodes.

    `LimitError` above `max_bytes` or `MAX_RLP_DEPTH`; `MalformedError` for a truncated item, for bytes after it and
    for any length that has a shorter form.
    """
    check_size(what, len(data), max_bytes)
    item, end = _parse_item(_Text(data, what), 0, len(data), MAX_RLP_DEPTH)
    if end != len(data):
        raise MalformedError(f"{what} has bytes after its end", expected=f"{end} bytes", got=f"{len(data)} bytes")
    return item


def parse_list(data: bytes, *, what: str, max_bytes: int) -> tuple[RlpItem, ...]:
    """The items of the one list that `data` encodes; errors as for `parse`."""
    return as_list(parse(data, what=what, max_bytes=max_bytes), what=what)


def as_list(item: RlpItem, *, what: str) -> tuple[RlpItem, ...]:
    """`item` if it is a list, else `MalformedError`."""
    if isinstance(item, bytes):
        raise MalformedError(f"{what} is not a list", expected="an RLP list", got="a byte string")
    return item


def as_bytes(item: RlpItem, *, what: str, size: int | None = None) -> bytes:
    """`item` if it is a byte string, of exactly `size` bytes where that is given, else `MalformedError`."""
    if not isinstance(item, bytes):
        raise MalformedError(f"{what} is not a byte string", expected="an RLP byte string", got="a list")
    if size is not None and len(item) != size:
        raise MalformedError(f"{what} has the wrong length", expected=f"{size} bytes", got=f"{len(item)} bytes")
    return item


def as_uint(item: RlpItem, *, what: str, maximum: int = MAX_UINT64) -> int:
    """The unsigned integer that `item` stands for; `MalformedError` for leading zeros or a value above `maximum`."""
    data = as_bytes(item, what=what)
    if data[:1] == b"\0":
        raise MalformedError(f"{what} has leading zeros", expected="a canonical RLP integer", got=data.hex())
    # Compared by length first: an integer of a megabyte must not be printed digit by digit.
    if len(data) > (maximum.bit_length() + 7) // 8 or int.from_bytes(data, "big") > maximum:
        raise MalformedError(f"{what} is out of range", expected=f"at most {maximum}", got=f"0x{data[:40].hex()}")
    return int.from_bytes(data, "big")


class _Text:
    """The bytes being read, and what to call them in an error."""

    __slots__ = ("data", "what")

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.what = data, what

    def wrong(self, problem: str, position: int, *, expected: str | None = None, got: str | None = None) -> Exception:
        return MalformedError(f"{self.what} {problem}", expected=expected, got=got, where=f"byte {position}")


def _encode(item: RlpItem, levels: int) -> bytes:
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < _STRING else _prefix(len(item), _STRING) + item
    if not isinstance(item, tuple):
        raise MalformedError("not an RLP item", expected="bytes or a tuple", got=type(item).__name__)
    if levels == 0:
        raise LimitError("RLP item is nested too deeply", expected=f"at most {MAX_RLP_DEPTH} levels")
    payload = b"".join(_encode(child, levels - 1) for child in item)
    return _prefix(len(payload), _LIST) + payload


def _prefix(length: int, kind: int) -> bytes:
    if length <= _SHORT:
        return bytes((kind + length,))
    size = encode_uint(length)
    return bytes((kind + _SHORT + len(size),)) + size


def _parse_item(text: _Text, start: int, end: int, levels: int) -> tuple[RlpItem, int]:
    """The item at `start`, and where it ends; nothing at or after `end` belongs to it."""
    if start >= end:
        raise text.wrong("is truncated", start, expected="an RLP item", got="nothing")
    first = text.data[start]
    if first < _STRING:
        return text.data[start : start + 1], start + 1
    if first < _LIST:
        payload, stop = _payload(text, start, end, _STRING)
        if stop - payload == 1 and text.data[payload] < _STRING:
            raise text.wrong("has a length that is not canonical", start, expected="the byte itself", got="a string")
        return text.data[payload:stop], stop
    if levels == 0:
        raise LimitError(f"{text.what} is nested too deeply", expected=f"at most {MAX_RLP_DEPTH} levels")
    payload, stop = _payload(text, start, end, _LIST)
    children: list[RlpItem] = []
    while payload < stop:
        child, payload = _parse_item(text, payload, stop, levels - 1)
        children.append(child)
    return tuple(children), stop


def _payload(text: _Text, start: int, end: int, kind: int) -> tuple[int, int]:
    """Where the payload of the item at `start` begins and ends."""
    short = text.data[start] - kind
    if short <= _SHORT:
        payload, length = start + 1, short
    else:
        payload = start + 1 + short - _SHORT
        digits = text.data[start + 1 : min(payload, end)]
        length = int.from_bytes(digits, "big")
        if payload > end:
            raise text.wrong("is truncated", start, expected=f"a length of {short - _SHORT} bytes", got=digits.hex())
        if digits[0] == 0 or length <= _SHORT:
            raise text.wrong("has a length that is not canonical", start, got=digits.hex())
    if length > end - payload:
        raise text.wrong("is truncated", start, expected=f"{length} bytes", got=f"{end - payload} bytes")
    return payload, payload + length
