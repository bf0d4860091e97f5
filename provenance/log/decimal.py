"""Unsigned decimal numbers as the C2SP text formats write them.

Invariants: one number has one text: ASCII digits, no sign, no leading zero except "0" itself; what `parse_decimal`
accepts, `str` writes back unchanged.
"""

from __future__ import annotations

import re

from provenance.errors import MalformedError
from provenance.limits import MAX_UINT64

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}")


def parse_decimal(text: str, *, what: str, max_value: int = MAX_UINT64) -> int:
    """The number written in `text`, 0 to `max_value`; `MalformedError` for any other text."""
    value = int(text) if _DECIMAL.fullmatch(text) else None
    if value is None or value > max_value:
        raise MalformedError(f"{what} is out of form", expected=f"a decimal number from 0 to {max_value}", got=text)
    return value


def check_range(value: int, *, what: str, max_value: int = MAX_UINT64) -> None:
    """Return if `value` is 0 to `max_value`; otherwise `MalformedError`."""
    if not 0 <= value <= max_value:
        raise MalformedError(f"{what} is out of range", expected=f"0 to {max_value}", got=value)
