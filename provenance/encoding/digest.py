"""SHA-256 digests as a type, and strict base64.

Invariants: a `Digest` holds exactly 32 bytes; hex appears only where text is read or written; base64 that does not
re-encode to the same characters is refused, so that one byte string has one text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from provenance.errors import LimitError, MalformedError

_HEX_64 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A SHA-256 digest, 32 bytes in `raw`. `MalformedError` for any other length."""

    raw: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.raw, bytes) or len(self.raw) != 32:
            raise MalformedError("not a SHA-256 digest", expected="32 bytes", got=f"{len(self.raw)} bytes")

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The SHA-256 digest of `data`."""
        return cls(hashlib.sha256(data).digest())

    @classmethod
    def from_hex(cls, text: object, *, what: str = "digest") -> Digest:
        """The digest written as 64 lower-case hex digits; `MalformedError` for anything else."""
        if not isinstance(text, str) or not _HEX_64.fullmatch(text):
            raise MalformedError(f"{what} is not a SHA-256 digest", expected="64 lower-case hex digits", got=text)
        return cls(bytes.fromhex(text))

    @property
    def hex(self) -> str:
        """64 lower-case hex digits."""
        return self.raw.hex()

    @property
    def uuid(self) -> str:
        """A UUID of version 8 (RFC 9562) out of its first 16 bytes."""
        raw = bytearray(self.raw[:16])
        raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80
        text = raw.hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def __str__(self) -> str:
        return self.raw.hex()


def b64encode(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def b64decode(text: object, *, what: str, max_bytes: int) -> bytes:
    """The bytes of canonical standard base64; `MalformedError` for other alphabets, padding or spare bits."""
    if not isinstance(text, str):
        raise MalformedError(f"{what} is not base64", expected="a string", got=type(text).__name__)
    if len(text) > (max_bytes + 2) // 3 * 4:
        raise LimitError(f"{what} is too large", expected=f"at most {max_bytes} bytes", got=f"{len(text)} characters")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MalformedError(f"{what} is not base64", expected="RFC 4648 section 4", got=text) from error
    if len(data) > max_bytes:
        raise LimitError(f"{what} is too large", expected=f"at most {max_bytes} bytes", got=f"{len(data)} bytes")
    if b64encode(data) != text:
        raise MalformedError(f"{what} is not canonical base64", expected=b64encode(data), got=text)
    return data
