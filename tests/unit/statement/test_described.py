"""Descriptions that there are already: what of them a statement takes over, and what it leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError
from provenance.statement.described import HUB_LICENCES, Described, read_described
from provenance.statement.license import check_license
from provenance.statement.standards import Method, Standards
from provenance.statement.text import MAX_NOTE_CHARS, MAX_TITLE_CHARS

CARD = """---
license: CC-BY-4.0
pretty_name: Taxi rides
language_creators: [machine-generated]
tags: [x]
---

# Taxi rides

[![badge](https://x.example)](https://y.example)

| a | b |
| - | - |

All rides of one year,
with their ends.

More text.
"""


def test_a_card_is_taken_over() -> None:
    standards = Standards(
        title="Taxi rides", description="All rides of one year, with their ends.", method=Method.MACHINE_GENERATED
    )
    assert read_described(CARD.encode()) == Described("CC-BY-4.0", None, standards)
    assert read_described(b"\xef\xbb\xbf" + CARD.replace("\n", "\r\n").encode()).standards == standards
    assert read_described(b"---\n---\n") == Described()


@pytest.mark.parametrize(
    ("license", "found"),
    [
        ("mit", "MIT"),
        ("MIT", "MIT"),
        ("openrail", None),
        ("other", None),
        (["mit"], "MIT"),
        (["mit", "isc"], None),
        (3, None),
    ],
)
def test_a_licence_counts_if_it_is_one_of_spdx(license: Any, found: str | None) -> None:
    assert read_described(f"---\nlicense: {json.dumps(license)}\n---\n".encode()).license == found


def test_every_licence_is_an_expression() -> None:
    for expression in HUB_LICENCES.values():
        check_license(expression)


def _croissant(**fields: Any) -> Described:
    return read_described(json.dumps({"conformsTo": "http://mlcommons.org/croissant/1.1", **fields}).encode())


@pytest.mark.parametrize(
    ("license", "found"),
    [
        ("https://spdx.org/licenses/CC0-1.0.html", "CC0-1.0"),
        ("https://spdx.org/licenses/MIT", "MIT"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/", None),
        ("our own terms", None),
        (["MIT", "ISC"], None),
        ({"@id": "x"}, None),
    ],
)
def test_a_croissant_licence(license: Any, found: str | None) -> None:
    assert _croissant(license=license).license == found


def test_no_person_is_named() -> None:
    person, body = {"@type": "sc:Person", "name": "Ada"}, {"@type": "sc:Organization", "name": "City Museum"}
    assert _croissant(creator=person).standards.issuer is None
    for kind in (["Person"], ["Organization", "Person"], "https://schema.org/#Person", None, []):
        for role in ("creator", "publisher"):
            assert _croissant(**{role: {"@type": kind, "name": "Ada"}}).standards.issuer is None
    assert _croissant(creator={"name": "Ada"}).standards.issuer is None
    assert _croissant(creator=[body, person]).standards.issuer == "City Museum"
    assert _croissant(creator=person, publisher=body).standards.issuer == "City Museum"


def test_what_has_no_place_is_left_out() -> None:
    for fields in (
        {"name": "x" * (MAX_TITLE_CHARS + 1)}, {"name": 3}, {"name": "a\nb"}, {"name": ""},
        {"description": "x " * MAX_NOTE_CHARS}, {"url": "https://ada:pw@x.example/"}, {"url": "not a url"},
        {"url": "https://x.example/?token=abc"}, {"url": "urn:provenance-ledger:artefact:sha256:00"},
        {"rai:dataCollectionTimeframe": ["2026", "2025"]}, {"rai:dataCollectionType": "magic"},
        {"rai:dataCollectionTimeframe": ["2026-02-01", "2026-01-01"]},
    ):  # fmt: skip
        assert _croissant(**fields) == Described(), fields


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"# text", b"---\n", b'{"name":"x"}', b"\xff"])
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read_described(data)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["@type", "name", "@id"]), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from([
            "license", "pretty_name", "model_name", "language_creators", "name", "description", "creator", "publisher",
            "url", "rai:dataCollection", "rai:dataCollectionType", "rai:dataCollectionTimeframe", "rai:dataUseCases",
        ]),
        _VALUES,
    )
)  # fmt: skip
def test_no_value_in_any_place_is_a_surprise(fields: dict[str, Any]) -> None:
    _croissant(**fields)
    read_described(b"---\n" + json.dumps(fields).encode() + b"\n---\n")


def test_what_is_said_goes_before_what_is_described() -> None:
    said = Standards(title="mine", origin_geography=("DE",))
    assert said.filled(Standards(title="theirs", issuer="they", origin_geography=("FR",))) == Standards(
        title="mine", issuer="they", origin_geography=("DE",)
    )
