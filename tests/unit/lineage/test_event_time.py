"""Times of events: RFC 3339 and nothing else, one number an instant."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from provenance.errors import MalformedError
from provenance.lineage.event_time import format_time_us, parse_time_us


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-01-01T01:00:00+02:00", "2025-12-31T23:00:00Z"),
        ("2026-01-01T00:00:00-00:30", "2026-01-01t00:30:00.000z"),
        ("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.500000999Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T15:59:60.25-08:00", "2017-01-01T00:00:00.25Z"),
    ],
)
def test_one_instant_is_one_number(one: str, other: str) -> None:
    assert parse_time_us(one) == parse_time_us(other)


def test_texts_that_sort_wrongly_are_numbers_that_do_not() -> None:
    texts = ["2026-01-01T01:00:00+02:00", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.25Z", "2026-01-01T00:00:00.5Z"]
    assert sorted(texts) != texts
    assert sorted(texts, key=parse_time_us) == texts


def test_numbers_are_those_of_the_standard_library() -> None:
    chance = random.Random(7)
    for _ in range(300):
        zone = timezone(timedelta(minutes=chance.randrange(-1_439, 1_440)))
        moment = datetime(1970, 1, 1, tzinfo=zone) + timedelta(microseconds=chance.randrange(-(10**15), 10**16))
        time_us = parse_time_us(moment.isoformat())
        assert time_us == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        assert parse_time_us(format_time_us(time_us)) == time_us


@pytest.mark.parametrize(
    "text",
    [
        "2026-W01-1", "20260101", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01 00:00:00Z", "20260101T000000Z",
        "2026-01-01T00:00Z", "2026-01-01T00:00:00,5Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+0200",
        "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+00:60", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:61Z", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n", "٢٠٢٦-01-01T00:00:00Z", "",
    ],
)  # fmt: skip
def test_what_is_no_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="eventTime is no time"):
        parse_time_us(text)


def test_the_ends_of_time() -> None:
    for text, shown in (("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z"), ("9999-12-31T23:59:59-23:59", "9999")):
        assert format_time_us(parse_time_us(text)).startswith(shown)
