"""The time of a lineage event, as a number that sorts.

Invariants: a time is RFC 3339 with its offset from UTC and nothing else that ISO 8601 allows, no week, basic form or
local time; two texts of one instant are one number; what is finer than a microsecond is cut off; second 60, a leap
second, is the second after it.

`2026-01-01T01:00:00.5+02:00` is 1767222000500000.

Source: RFC 3339 section 5.6, `date-time`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from provenance.errors import MalformedError

_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:)([0-9]{2})(?:\.([0-9]{1,32}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LEAP_SECOND: Final = "60"


def parse_time_us(text: str, where: str = "event.eventTime") -> int:
    """Microseconds since 1970 in UTC. `MalformedError` if the text is no RFC 3339 time."""
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        date, clock, second, fraction, sign, hours, minutes = match.groups()
        is_leap = second == _LEAP_SECOND
        moment = datetime.fromisoformat(f"{date}T{clock}{'59' if is_leap else second}+00:00")
        found_us = (moment - _EPOCH) // _MICROSECOND + int((fraction or "").ljust(6, "0")[:6])
    except ValueError:
        name = where.rpartition(".")[2]
        expected = "RFC 3339, such as 2026-01-31T12:00:00.5Z"
        raise MalformedError(f"{name} is no time", expected=expected, got=text, where=where) from None
    if is_leap:
        found_us += 1_000_000
    offset_us = (int(hours or 0) * 60 + int(minutes or 0)) * 60_000_000
    return found_us + offset_us if sign == "-" else found_us - offset_us


def format_time_us(time_us: int) -> str:
    """The time in UTC, with microseconds if there are any; its year is 0001 or 9999 where it is beyond them."""
    try:
        moment = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        moment = datetime.min.replace(tzinfo=UTC) if time_us < 0 else datetime.max.replace(tzinfo=UTC)
    return moment.isoformat().removesuffix("+00:00") + "Z"
