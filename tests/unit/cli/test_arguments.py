"""Numbers and `REF=PATH`."""

from __future__ import annotations

import pytest

from provenance.cli.arguments import parse_number, parse_places
from provenance.errors import MalformedError
from provenance.limits import MAX_UINT64


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("7", 7), (str(MAX_UINT64), MAX_UINT64)])
def test_numbers(text: str, value: int) -> None:
    assert parse_number(text, "INDEX") == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "+1", "1.0", "1e3", "0x10", "1_000", " 1", "1\n", "01", "\u0661", "\u00b2", "inf", "nan", "1\x00",
     str(MAX_UINT64 + 1), "99999999999999999999", "9" * 5_000],
)  # fmt: skip
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(MalformedError, match="INDEX is not a number in range; expected 0 to 18446744073709551615"):
        parse_number(text, "INDEX")


@pytest.mark.parametrize("text", ["0", "1001"])
def test_bounds(text: str) -> None:
    with pytest.raises(MalformedError, match="expected 1 to 1000"):
        parse_number(text, "--limit", minimum=1, maximum=1_000)


def test_places() -> None:
    assert parse_places(["a/b=c", "a/b@1=/x/y=z"]) == {"a/b": "c", "a/b@1": "/x/y=z"}


@pytest.mark.parametrize("text", ["", "=", "a/b", "a/b=", "=c"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(MalformedError, match="expected REF=PATH"):
        parse_places([text])


def test_a_reference_has_one_place() -> None:
    with pytest.raises(MalformedError, match="twice"):
        parse_places(["a/b=c", "a/b=d"])
