"""Names, versions and references: what they may be, and that nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import LimitError, MalformedError
from provenance.statement import DatasetName, DigestPrefix, PinnedName, parse_reference

GOOD_PARTS = ["a", "0", "a-b", "a.b_c-d", "a..b", "0" * 64, "x" * 64]
BAD_PARTS = ["", "A", "a b", "-a", "a-", ".a", "a.", "_a", "a_", "ä", "a\n", "\u0430", "a/b", "a@b", "٣", "a\0"]
GOOD_VERSIONS = ["1", "v1.0", "2026-01-02", "1.0+build", "A", "1_0", "9" * 64]
BAD_VERSIONS = ["", " 1", "1 ", "-1", "1-", ".1", "1.", "+", "1/2", "1@2", "1\n", "١", "é"]


@pytest.mark.parametrize("part", GOOD_PARTS)
def test_good_names_are_read_back(part: str) -> None:
    for text in (f"{part}/a", f"a/{part}", f"{part}/{part}"):
        assert str(DatasetName.parse(text)) == text
        assert parse_reference(text) == DatasetName(*text.split("/"))


@pytest.mark.parametrize("part", BAD_PARTS)
def test_bad_names_are_refused_wherever_they_stand(part: str) -> None:
    for text in (f"{part}/a", f"a/{part}"):
        with pytest.raises(MalformedError):
            DatasetName.parse(text)
        if part != "a@b":
            with pytest.raises(MalformedError):
                PinnedName.parse(f"{text}@1")
    with pytest.raises(MalformedError):
        DatasetName(part, "a")
    with pytest.raises(MalformedError):
        DatasetName("a", part)


@pytest.mark.parametrize("version", GOOD_VERSIONS)
def test_good_versions_are_read_back(version: str) -> None:
    assert str(PinnedName.parse(f"a/b@{version}")) == f"a/b@{version}"
    assert parse_reference(f"a/b@{version}") == PinnedName(DatasetName("a", "b"), version)


@pytest.mark.parametrize("version", BAD_VERSIONS)
def test_bad_versions_are_refused(version: str) -> None:
    with pytest.raises(MalformedError):
        PinnedName.parse(f"a/b@{version}")
    with pytest.raises(MalformedError):
        PinnedName(DatasetName("a", "b"), version)


def test_limits() -> None:
    PinnedName.parse(f"{'n' * 64}/{'d' * 128}@{'1' * 64}")
    for text in (f"{'n' * 65}/d@1", f"n/{'d' * 129}@1", f"n/d@{'1' * 65}", "n" * 10**6 + "/d@1"):
        with pytest.raises(LimitError):
            PinnedName.parse(text)


def test_digest_prefixes() -> None:
    for length in (8, 9, 63, 64):
        text = ("0a" * 32)[:length]
        assert parse_reference(text) == DigestPrefix(text)
    for text in ("", "0a", "0a0a0a0", "0" * 65, "0A" * 8, "0g" * 8, "abcdefgh", "0a0a0a0a\n", "٠" * 8):
        with pytest.raises(MalformedError):
            parse_reference(text)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="ab0/@.-\n AZ\u0430", max_size=12))
def test_a_reference_is_read_back_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except MalformedError:
        return
    assert str(reference) == text


def test_a_hostile_name_is_shown_shortened_and_printable() -> None:
    for text in ("\x1b[2J/\u202e" * 10, "a" * 10_000):
        with pytest.raises(MalformedError) as raised:
            parse_reference(text)
        assert raised.value.message.isprintable()
        assert len(raised.value.message) < 2_000
