"""No byte of a bundle may change unnoticed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator

import pytest

from provenance.errors import MalformedError
from provenance.policy import Level, Status
from provenance.verify import Report, encode_bundle, parse_bundle, verify_bundle
from tests.unit.verify.conftest import RealBundle

CLAIMED = ("client", "finality", "transaction")
"""Text of an anchor receipt that only its writer vouches for: see `provenance.anchor.CLAIMED_FIELDS`."""


def _verify(real: RealBundle, data: bytes) -> Report:
    return verify_bundle(data, real.trust, contents=real.contents)


def _passes(report: Report) -> set[tuple[str, str, str]]:
    return {(check.id, check.subject, check.note) for check in report.checks if check.status is Status.PASSED}


def _is_as_strong(report: Report, original: Report) -> bool:
    """Whether a reader would rely on `report` as on the original."""
    return (
        report.sound
        and report.level == original.level
        and _passes(report) >= _passes(original)
        and (report.not_before, report.not_after) == (original.not_before, original.not_after)
    )


def _claimed_spans(data: bytes) -> list[range]:
    spans = [match.span(1) for name in CLAIMED for match in re.finditer(rb'"%b":"([^"]*)"' % name.encode(), data)]
    return [range(*span) for span in spans]


def _substitutes(byte: int, chance: random.Random) -> Iterator[int]:
    """A character that keeps hex hex, base64 base64 and text text; now and then, or if there is none, a flipped bit."""
    if chance.random() < 0.2:
        yield byte ^ (1 << chance.randrange(8))
    for alphabet in (b"0123456789abcdef", b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):
        if byte in alphabet:
            yield chance.choice(alphabet.replace(bytes([byte]), b""))
            return
    yield byte ^ (1 << chance.randrange(8))


def test_the_original_is_verified_at_d2_with_its_anchor_and_both_sides_of_its_time(real: RealBundle) -> None:
    report = _verify(real, real.data)
    assert report.sound
    assert report.level is Level.D2
    assert report.missing == ("quality",)
    assert {"anchor.receipt", "anchor.block", "lineage"} <= {check_id for check_id, _, _ in _passes(report)}
    assert report.not_before is not None
    assert report.not_after is not None
    assert encode_bundle(parse_bundle(real.data)) == real.data


def test_no_byte_changes_unnoticed(real: RealBundle) -> None:
    original, chance = _verify(real, real.data), random.Random(20)
    claimed = _claimed_spans(real.data)
    assert len(claimed) == len(CLAIMED)
    undetected = []
    for position, byte in enumerate(real.data):
        for other in _substitutes(byte, chance):
            mutated = real.data[:position] + bytes([other]) + real.data[position + 1 :]
            try:
                report = _verify(real, mutated)
            except MalformedError:
                continue
            if any(position in span for span in claimed):
                # Nobody vouches for these: then no word of the report may rest on them.
                assert report == original
            elif _is_as_strong(report, original):
                undetected.append(position)
    assert undetected == [], [real.data[max(0, at - 30) : at + 30] for at in undetected[:3]]


def test_no_truncation_and_no_addition_is_a_bundle(real: RealBundle) -> None:
    for end in [*range(0, len(real.data), 97), len(real.data) - 1, len(real.data) - 2]:
        with pytest.raises(MalformedError):
            parse_bundle(real.data[:end])
    for more in (b"\n", b" ", b"\0", b"{}", real.data):
        with pytest.raises(MalformedError):
            parse_bundle(real.data + more)
        with pytest.raises(MalformedError):
            parse_bundle(more + real.data)


def test_no_other_encoding_is_a_bundle(real: RealBundle) -> None:
    value = json.loads(real.data)
    for text in (
        json.dumps(value),
        json.dumps(value, indent=1),
        json.dumps(dict(reversed(value.items())), separators=(",", ":")) + "\n",
        real.data.decode().replace("PUBLIC", "\\u0050UBLIC", 1),
        real.data.decode().rstrip("\n"),
    ):
        with pytest.raises(MalformedError):
            parse_bundle(text.encode())


@pytest.mark.parametrize("field", ["target", "entries", "keys", "anchors", "headers", "blobs", "mediaType"])
@pytest.mark.parametrize("other", [None, 0, 1.5, "", "x", [], [None], [[]], {}, {"a": 1}, True])
def test_a_field_of_another_type_is_malformed_or_empty(real: RealBundle, field: str, other: object) -> None:
    value = json.loads(real.data)
    if type(other) is type(value[field]) and not other and field in ("keys", "anchors", "headers", "blobs"):
        return
    value[field] = other
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    with pytest.raises(MalformedError):
        parse_bundle(data)


@pytest.mark.parametrize("where", [("entries", 0), ("anchors", 0), ()])
def test_an_unknown_or_missing_field_is_malformed(real: RealBundle, where: tuple[str | int, ...]) -> None:
    def changed(change: str) -> bytes:
        value = json.loads(real.data)
        inner = value
        for step in where:
            inner = inner[step]
        if change:
            inner.pop(change)
        else:
            inner["more"] = 1
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

    value = json.loads(real.data)
    for step in where:
        value = value[step]
    for change in ("", *value):
        with pytest.raises(MalformedError):
            parse_bundle(changed(change))
