"""A check that was not performed is never a pass, in no word of a report."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from provenance.encoding import canonical_json
from provenance.policy import REQUIREMENTS, Level, Status, standing
from provenance.statement import Sensitivity
from provenance.verify import Artefact, Check, Evidence, Report, TimeBound, verify_evidence
from provenance.verify.report import worst
from tests.unit.verify.forge import Lineage, key, sign, statement

PASSED, FAILED, NOT = Status.PASSED, Status.FAILED, Status.NOT_PERFORMED


def _report(*statuses: Status) -> Report:
    checks = tuple(Check(f"c{number}", "x", status) for number, status in enumerate(statuses))
    return Report("x", "", checks, None, (), None)


def test_verified_needs_a_pass_and_no_failure() -> None:
    for length in range(5):
        for statuses in itertools.product(Status, repeat=length):
            assert _report(*statuses).sound is (PASSED in statuses and FAILED not in statuses)


@pytest.mark.parametrize("level", [None, *Level])
@pytest.mark.parametrize("required", [None, *Level])
def test_verified_needs_the_required_level_too(level: Level | None, required: Level | None) -> None:
    report = replace(_report(PASSED, NOT), level=level, required=required)
    enough = level is not None and required is not None and level >= required
    assert report.sound
    assert (report.verdict, report.verified) == (("verified", True) if enough else ("incomplete", False))
    failed = replace(_report(PASSED, FAILED), level=level, required=required)
    assert (failed.verdict, failed.verified) == ("failed", False)
    if level is not None:
        assert report.requiring(level).verified


def test_the_worst_of_several() -> None:
    for length in range(5):
        for statuses in itertools.product(Status, repeat=length):
            order = (FAILED, Status.AFFECTED, NOT, PASSED)
            expected = next((one for one in order if one in statuses), NOT)
            assert worst(statuses) is expected


def test_no_level_is_reached_over_a_check_that_did_not_pass() -> None:
    every = [check for checks in REQUIREMENTS.values() for check in checks]
    assert standing(dict.fromkeys(every, PASSED)).level is Level.D4
    for check in every:
        needed_by = next(level for level, checks in REQUIREMENTS.items() if check in checks)
        for status in (FAILED, NOT, None):
            statuses = dict.fromkeys(every, PASSED) | ({check: status} if status else {})
            if status is None:
                del statuses[check]
            stood = standing(statuses)
            assert stood.missing == (check,)
            assert stood.level == (None if needed_by is Level.D0 else Level(needed_by - 1))


def test_a_report_of_what_nobody_checked_claims_nothing() -> None:
    """No trust roots at all: nothing in the report may read as if something had been believed."""
    lineage = Lineage()
    lineage.add("a")
    report = verify_evidence(lineage.evidence("a"), replace(lineage.trust(), sources=(), logs=()))
    assert not report.sound
    assert report.level is Level.D0
    passed = {check.id for check in report.checks if check.status is PASSED}
    assert passed == {"statement", "signature"}
    assert report.artefacts[0].status is FAILED


@pytest.mark.parametrize(
    ("sensitivity", "level"), [("public", "D1"), ("internal", "D2"), ("confidential", "D3"), ("restricted", "D4")]
)
def test_each_sensitivity_requires_its_level(sensitivity: str, level: str) -> None:
    lineage = Lineage()
    lineage.add_made("a", replace(statement("a"), sensitivity=Sensitivity(sensitivity)))
    report = verify_evidence(lineage.evidence("a"), lineage.trust())
    assert report.to_json()["requiredLevel"] == level


def test_a_target_that_cannot_be_read_still_lists_what_was_not_checked() -> None:
    lineage = Lineage()
    lineage.log.append(b"garbage")
    entry = lineage.log.entry(0)
    for unread in (entry, replace(entry, envelope=sign(statement("a"), key(1)), proof=b"")):
        evidence = Evidence(unread.digest, (unread,))
        report = verify_evidence(evidence, lineage.trust())
        assert not report.sound
        assert report.level in (None, Level.D0)
        assert {"content", "lineage", "quality"} <= {c.id for c in report.checks if c.status is NOT}


def test_json_of_a_report() -> None:
    report = Report(
        target="a/b@1",
        digest="00",
        checks=(Check("signature", "a/b@1", PASSED), Check("trust", "a/b@1", FAILED, "n", "e", "f", "w")),
        level=Level.D1,
        missing=("trust",),
        required=Level.D2,
        artefacts=(Artefact("a/b@1", "dataset", "00", 3, 0, "s", FAILED, ("a/c@1",)),),
        created=TimeBound("2026-01-01T00:00:00Z", "the signer"),
        not_before=None,
        not_after=TimeBound("2026-01-02T00:00:00Z", "chain 1, block 2"),
        affected=("a/d@1",),
    )
    assert json.loads(canonical_json(report.to_json())) == {
        "verified": False,
        "verdict": "failed",
        "sound": False,
        "target": "a/b@1",
        "digest": {"sha256": "00"},
        "level": "D1",
        "missing": ["trust"],
        "requiredLevel": "D2",
        "checks": [
            {"check": "signature", "subject": "a/b@1", "status": "passed"},
            {
                "check": "trust",
                "subject": "a/b@1",
                "status": "failed",
                "note": "n",
                "expected": "e",
                "found": "f",
                "where": "w",
            },
        ],
        "lineage": [
            {
                "name": "a/b@1",
                "kind": "dataset",
                "digest": {"sha256": "00"},
                "index": 3,
                "depth": 0,
                "signer": "s",
                "status": "failed",
                "parents": ["a/c@1"],
            }
        ],
        "time": {
            "claimed": {"time": "2026-01-01T00:00:00Z", "clock": "the signer"},
            "notBefore": None,
            "notAfter": {"time": "2026-01-02T00:00:00Z", "clock": "chain 1, block 2"},
        },
        "affected": ["a/d@1"],
    }
