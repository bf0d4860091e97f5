"""Arguments checked before they reach SQL.

Invariants: an index, size or count that is negative or no integer is a `MalformedError`; one that no row can have is
looked for as the largest that fits, and so is not found.
"""

from __future__ import annotations

from typing import Final

from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_PAGE_ITEMS

MAX_STORED: Final = 2**63 - 1
"""Integers of both databases are signed, 64-bit."""


def clamped(value: int, what: str) -> int:
    """`value`, or the largest integer that a database can compare with."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MalformedError(f"{what} is out of range", expected="an integer from 0", got=repr(value))
    return min(value, MAX_STORED)


def page(limit: int, max_items: int = MAX_PAGE_ITEMS) -> int:
    """`limit` if it is from 1 to `max_items`, else `LimitError`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= max_items:
        raise LimitError("a page has another size", expected=f"1 to {max_items} rows", got=repr(limit))
    return limit


def hash_bytes(value: bytes, what: str) -> bytes:
    """`value` if it is 32 bytes."""
    if not isinstance(value, bytes) or len(value) != 32:
        got = f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
        raise MalformedError(f"{what} is not a hash", expected="32 bytes", got=got)
    return value
