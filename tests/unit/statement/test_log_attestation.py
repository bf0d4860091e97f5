"""Log attestations: what was skipped never counts as checked, whoever writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import Digest, canonical_json
from provenance.errors import MalformedError
from provenance.limits import MAX_ENTRY_BYTES
from provenance.signature import encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.checked_range import (
    MAX_ATTESTED_ENTRIES,
    SKIPPABLE,
    CheckedRange,
    Coverage,
    DataSample,
    EntryCheck,
    EntryOutcome,
    SkippedRange,
    SkipReason,
    outcome_of,
)
from provenance.statement.frame import open_frame
from provenance.statement.log_attestation import (
    AttestedBefore,
    CheckMethod,
    LogAttestation,
    encode_log_attestation,
    read_log_attestation,
)
from tests.paths import PROJECT
from tests.unit.verify import forge

METHOD = CheckMethod("own", Digest.of(b"policy"), 16)
SCHEMA = json.loads((PROJECT / "docs" / "schemas" / "log-attestation-1.json").read_bytes())
jsonschema.Draft202012Validator.check_schema(SCHEMA)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CHECKS = tuple(EntryCheck)


def plain(entry: int, **skipped: SkipReason) -> EntryOutcome:
    """An entry that says nothing of data, with other checks skipped, too."""
    given = {EntryCheck(name): reason for name, reason in skipped.items()}
    given.setdefault(EntryCheck.DATA, SkipReason.INAPPLICABLE)
    given.setdefault(EntryCheck.RECORDS, SkipReason.INAPPLICABLE)
    return EntryOutcome(entry, given)


def read(entry: int, files: int = 1, of: int = 1) -> EntryOutcome:
    """A dataset whose files were read."""
    return EntryOutcome(entry, {EntryCheck.RECORDS: SkipReason.INAPPLICABLE}, DataSample(entry, files, of, 3))


def attestation(entries: CheckedRange, **more: Any) -> LogAttestation:
    """An attestation of a range that ends its checkpoint."""
    root = Digest.of(b"root")
    stated = LogAttestation(
        attester="attester.example/a", origin="forge.example/log", size=entries.end, root=root, entries=entries,
        tree_root=root, seed=Digest.of(b"seed"), method=METHOD, created=forge.CREATED,
        reason=None if entries.failed is None else "it is wrong",
    )  # fmt: skip
    return replace(stated, **more)


def failed(entry: int, check: EntryCheck) -> EntryOutcome:
    """An entry that failed a check, and all before it passed."""
    at = CHECKS.index(check)
    return outcome_of(entry, [(one, None if number <= at else SkipReason.REFUSED) for number, one in enumerate(CHECKS)])


EXAMPLES = [
    attestation(CheckedRange.of([plain(0)])),
    attestation(CheckedRange.of([read(7), plain(8), read(9, 2, 5), read(10)])),
    attestation(CheckedRange.of([plain(256)]), previous=AttestedBefore(256, Digest.of(b"before"))),
    attestation(CheckedRange.of([plain(0)]), size=9, root=Digest.of(b"larger")),
    attestation(CheckedRange.of([outcome_of(0, [(check, SkipReason.WAIVED) for check in CHECKS]), plain(1)])),
    attestation(CheckedRange.of([plain(0)]), method=CheckMethod("own", Digest.of(b"p"), None, True)),
    *(attestation(CheckedRange.of([plain(0), failed(1, check)], check)) for check in CHECKS),
]


@pytest.mark.parametrize("one", EXAMPLES)
def test_what_is_written_is_read_back_and_is_what_the_schema_says(one: LogAttestation) -> None:
    data = encode_log_attestation(one)
    assert read_log_attestation(open_frame(data)) == one
    assert canonical_json(json.loads(data)) == data
    VALIDATOR.validate(json.loads(data))


def test_a_failure_is_told_by_outcome_and_finding() -> None:
    stated = json.loads(encode_log_attestation(EXAMPLES[-1]))["predicate"]
    assert (stated["outcome"], stated["finding"]) == (
        "refused", {"entry": 1, "check": "records", "reason": "it is wrong"},
    )  # fmt: skip
    assert json.loads(encode_log_attestation(EXAMPLES[0]))["predicate"]["outcome"] == "accepted"


def _outcomes(draw: st.DrawFn, begin: int) -> list[EntryOutcome]:
    outcomes = []
    for entry in range(begin, begin + draw(st.integers(1, 40))):
        skipped = {}
        for check in CHECKS:
            reasons = sorted(SKIPPABLE[check] - {SkipReason.REFUSED})
            reason = draw(st.sampled_from([None, None, *reasons]))
            if reason is not None:
                skipped[check] = reason
        of = draw(st.integers(1, 5))
        files = draw(st.integers(1, of)) if EntryCheck.RECORDS in skipped else of
        sample = None if EntryCheck.DATA in skipped else DataSample(entry, files, of, 1)
        if sample is None:
            skipped.setdefault(EntryCheck.RECORDS, skipped[EntryCheck.DATA])
        outcomes.append(EntryOutcome(entry, skipped, sample))
    return outcomes


@given(st.data())
def test_any_outcomes_are_counted_as_one_would_by_hand(data: st.DataObject) -> None:
    draw: st.DrawFn = data.draw  # type: ignore[assignment]  # the same, without its label
    outcomes = _outcomes(draw, data.draw(st.integers(0, 1_000)))
    stated = json.loads(encode_log_attestation(attestation(CheckedRange.of(outcomes))))["predicate"]
    assert stated["entries"]["end"] - stated["entries"]["begin"] == len(outcomes)
    for item in stated["checks"]:
        check = EntryCheck(item["check"])
        by_hand = {one.entry: one.skipped.get(check) for one in outcomes}
        assert item["checked"] == sum(reason is None for reason in by_hand.values())
        told = {n: each["reason"] for each in item["skipped"] for n in range(each["begin"], each["end"])}
        assert told == {entry: reason for entry, reason in by_hand.items() if reason is not None}
    assert {one["entry"] for one in stated["samples"]} == {
        one.entry for one in outcomes if EntryCheck.DATA not in one.skipped
    }


Edit = Callable[[dict[str, Any]], object]


def _check(value: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = value["checks"][CHECKS.index(EntryCheck(name))]
    return found


LIES: list[Edit] = [
    lambda v: _check(v, "data").update(checked=4),  # all, though one is skipped
    lambda v: _check(v, "data").update(checked=2),
    lambda v: _check(v, "data").update(checked=4, skipped=[]),  # no sample shows it
    lambda v: _check(v, "records").update(checked=4, skipped=[]),  # of one not all files were read
    lambda v: _check(v, "signature").update(
        checked=3, skipped=[{"begin": 7, "end": 8, "reason": "unreachable"}]
    ),  # no reason to leave out a signature
    lambda v: _check(v, "policy").update(checked=3, skipped=[{"begin": 10, "end": 11, "reason": "refused before"}]),
    lambda v: v["samples"].append({"entry": 8, "files": 1, "of": 1, "bytes": 3}),
    lambda v: v["samples"].pop(),
    lambda v: v["samples"].reverse(),
    lambda v: v["samples"].append(dict(v["samples"][-1])),
    lambda v: v["samples"][0].update(files=2),
    lambda v: v["samples"][0].update(entry=6),
    lambda v: v["checks"].pop(),
    lambda v: v["checks"].reverse(),
    lambda v: v["checks"].insert(0, v["checks"][0]),
    lambda v: v["entries"].update(end=12),  # one that nobody speaks of
    lambda v: v["entries"].update(begin=6),
    lambda v: v["entries"].update(root="0" * 64),  # the whole tree has the checkpoint's root
    lambda v: v["checkpoint"].update(size=10),
    lambda v: v["checkpoint"].update(root="0" * 64),
    lambda v: v["checkpoint"].update(origin="other.example/log"),
    lambda v: v.update(outcome="refused"),
    lambda v: v.update(finding={"entry": 10, "check": "policy", "reason": "x"}),
    lambda v: v.update(outcome="refused", finding={"entry": 9, "check": "policy", "reason": "x"}),
    lambda v: v.update(outcome="refused", finding={"entry": 10, "check": "policy", "reason": "x"}),
    lambda v: v.update(previous={"size": 6, "envelope": {"sha256": "0" * 64}}),
    lambda v: v.update(more=1),
    lambda v: v["method"].update(more=1),
    lambda v: v["checkpoint"].update(more=1),
    lambda v: v.update(created="yesterday"),
    lambda v: _check(v, "data")["skipped"].append({"begin": 8, "end": 9, "reason": "no place"}),
    lambda v: _check(v, "data")["skipped"][0].update(begin=8, end=8),
]


@pytest.mark.parametrize("number", range(len(LIES)))
def test_a_statement_that_contradicts_itself_is_none(number: int) -> None:
    value = json.loads(encode_log_attestation(EXAMPLES[1]))
    LIES[number](value["predicate"])
    with pytest.raises(MalformedError):
        read_log_attestation(open_frame(canonical_json(value)))


def test_outcomes_that_leave_something_out_make_no_range() -> None:
    for outcomes in ([], [plain(0), plain(2)], [plain(1), plain(0)], [plain(0), plain(0)]):
        with pytest.raises(MalformedError):
            CheckedRange.of(outcomes)
    with pytest.raises(MalformedError):
        outcome_of(0, [(check, None) for check in CHECKS[:-1]])
    with pytest.raises(MalformedError):
        CheckedRange.of([EntryOutcome(0, {})])  # data read, and no sample
    with pytest.raises(MalformedError):
        CheckedRange.of([plain(entry) for entry in range(MAX_ATTESTED_ENTRIES + 1)])
    with pytest.raises(MalformedError):  # a failure hides nothing before it
        CheckedRange.of([failed(0, EntryCheck.POLICY), plain(1)], EntryCheck.POLICY)
    skipped = (SkippedRange(0, 1, SkipReason.INAPPLICABLE), SkippedRange(1, 2, SkipReason.INAPPLICABLE))
    whole = CheckedRange.of([plain(0), plain(1)])
    with pytest.raises(MalformedError):  # one form for what is the same
        replace(whole, coverage=(*whole.coverage[:-1], Coverage(EntryCheck.RECORDS, skipped)))


def test_the_largest_fits_a_log_entry() -> None:
    outcomes = []
    for number in range(MAX_ATTESTED_ENTRIES):
        entry, is_odd = 2**53 - 1_000 + number, number % 2
        outcomes.append(
            plain(
                entry,
                data=SkipReason.UNREACHABLE if is_odd else SkipReason.INAPPLICABLE,
                records=SkipReason.UNREACHABLE if is_odd else SkipReason.INAPPLICABLE,
                references=SkipReason.UNSEEN if is_odd else SkipReason.UNREAD_LIST,
            )
        )
    one = attestation(CheckedRange.of(outcomes), attester="a" * 1_024, origin="b" * 1_024)
    one = replace(one, previous=AttestedBefore(one.entries.begin, Digest.of(b"")))
    envelope = encode_envelope(sign_envelope(encode_log_attestation(one), PAYLOAD_TYPE, forge.key(1)))
    assert len(envelope) < MAX_ENTRY_BYTES
