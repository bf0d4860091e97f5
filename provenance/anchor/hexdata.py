"""Bytes and addresses as the text Ethereum writes them in.

Invariants: what is written in a record is `0x` and lower-case hex digits, two for each byte, so that one byte string
has one text; mixed case appears only in addresses shown to people, where it is the EIP-55 checksum and is checked.

Example: 20 bytes 5a ae ... ae d are `0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed` in a record and
`0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed` on a screen.
"""

from __future__ import annotations

import re
from typing import Final

from provenance.anchor.keccak import keccak256
from provenance.errors import MalformedError
from provenance.limits import check_size

ADDRESS_BYTES: Final = 20

_DATA = re.compile(r"0x(?:[0-9a-f]{2})*")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def encode_hex(data: bytes) -> str:
    """`0x` and the lower-case hex digits of `data`."""
    return "0x" + data.hex()


def parse_hex(text: object, *, what: str, max_bytes: int) -> bytes:
    """The bytes of `0x` and lower-case hex; `MalformedError` for other text, `LimitError` above `max_bytes`."""
    if not isinstance(text, str):
        raise MalformedError(f"{what} is not hex", expected="a string", got=type(text).__name__)
    check_size(what, max(len(text) - 2, 0) // 2, max_bytes)
    if not _DATA.fullmatch(text):
        raise MalformedError(f"{what} is not hex", expected="0x and pairs of lower-case hex digits", got=text)
    return bytes.fromhex(text[2:])


def parse_hex_exact(text: object, *, what: str, size: int) -> bytes:
    """The `size` bytes of `0x` and lower-case hex; `MalformedError` for anything else."""
    data = parse_hex(text, what=what, max_bytes=size)
    if len(data) != size:
        raise MalformedError(f"{what} has the wrong length", expected=f"{size} bytes", got=f"{len(data)} bytes")
    return data


def parse_address(text: object, *, what: str = "address") -> bytes:
    """The 20 bytes of an address in lower case, upper case or EIP-55 mixed case.

    `MalformedError` for anything else; mixed case that is not the checksum is a typing mistake and is refused.
    """
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise MalformedError(f"{what} is not an Ethereum address", expected="0x and 40 hex digits", got=text)
    address = bytes.fromhex(text[2:])
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and text != checksum_address(address):
        raise MalformedError(f"{what} has a wrong checksum", expected=checksum_address(address), got=text)
    return address


def checksum_address(address: bytes) -> str:
    """The EIP-55 mixed-case text of a 20-byte address; `MalformedError` for another length."""
    if len(address) != ADDRESS_BYTES:
        raise MalformedError("not an Ethereum address", expected="20 bytes", got=f"{len(address)} bytes")
    digits = address.hex()
    check = keccak256(digits.encode("ascii")).hex()
    return "0x" + "".join(d.upper() if int(c, 16) >= 8 else d for d, c in zip(digits, check, strict=False))
