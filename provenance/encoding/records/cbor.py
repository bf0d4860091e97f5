"""One value as deterministic CBOR (RFC 8949, 4.2.1).

Invariants: the same bytes that a column of the same values gives; nothing here depends on a column.

Bytes: 24 is `18 18`, -1 is `20`, 2**64 is `c2 49 01 00 00 00 00 00 00 00 00`, 1.5 is `f9 3e 00`, any NaN is `f9 7e 00`.
"""

from __future__ import annotations

import struct
from typing import Final

from provenance.errors import MalformedError

NULL: Final = b"\xf6"
FALSE: Final = b"\xf4"
TRUE: Final = b"\xf5"
PAIR: Final = b"\x82"


def encode_head(major: int, argument: int) -> bytes:
    """An initial byte with its argument, in the fewest bytes."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for information, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return bytes([major << 5 | information]) + argument.to_bytes(size, "big")
    raise MalformedError("number is too large for CBOR", expected="at most 64 bits")


def encode_integer(value: int) -> bytes:
    """An integer of any size: major type 0 or 1, else a bignum (tags 2 and 3)."""
    major, argument = (0, value) if value >= 0 else (1, -1 - value)
    if argument < 1 << 64:
        return encode_head(major, argument)
    data = argument.to_bytes((argument.bit_length() + 7) // 8, "big")
    return bytes([0xC2 + major]) + encode_bytes(data)


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


def encode_decimal(unscaled: int, scale: int) -> bytes:
    """Tag 4 of the exponent, which is the column's, and the unscaled integer."""
    return b"\xc4" + PAIR + encode_integer(-scale) + encode_integer(unscaled)


def encode_bytes(value: bytes) -> bytes:
    """A byte string."""
    return encode_head(2, len(value)) + value


def encode_text(value: str, where: str) -> bytes:
    """A text string. `MalformedError` for a lone surrogate."""
    try:
        data = value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedError("text is not UTF-8", expected="UTF-8", where=where) from error
    return encode_head(3, len(data)) + data


def encode_array(items: list[bytes]) -> bytes:
    """An array of encoded values."""
    return encode_head(4, len(items)) + b"".join(items)
