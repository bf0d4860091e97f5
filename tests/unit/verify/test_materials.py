"""Verdicts on artefacts with more inputs than a statement names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provenance.encoding import Digest
from provenance.policy import Status
from provenance.statement.materials import encode_materials
from provenance.verify import Evidence, Report, encode_bundle, parse_bundle, verify_bundle, verify_evidence
from provenance.verify.audit import audit_evidence
from tests.unit.verify.forge import Lineage

INPUTS = 400


@pytest.fixture(scope="module")
def wide() -> tuple[Lineage, Evidence]:
    lineage = Lineage()
    for number in range(INPUTS):
        lineage.add(f"n{number}")
    lineage.add("child", [f"n{number}" for number in range(INPUTS)], origin=None)
    data, _ = encode_materials([lineage.pin(f"n{number}") for number in range(INPUTS)])
    return lineage, replace(lineage.evidence("child"), blobs={Digest.of(data): data})


def _status(report: Report, check_id: str) -> set[Status]:
    return {check.status for check in report.checks if check.id == check_id}


def test_every_input_of_a_list_is_judged(wide: tuple[Lineage, Evidence]) -> None:
    lineage, evidence = wide
    report = verify_bundle(encode_bundle(evidence), lineage.trust())
    assert report.sound
    assert len(report.artefacts) == INPUTS + 1
    assert _status(report, "materials") == _status(report, "lineage") == {Status.PASSED}
    assert sum(check.id == "lineage.edge" for check in report.checks) == INPUTS
    audit = audit_evidence(evidence, report, lineage.trust())
    assert len(audit.origins) == INPUTS
    assert len(audit.items[0].statement.parents) == INPUTS


def test_without_its_list_a_lineage_fails(wide: tuple[Lineage, Evidence]) -> None:
    lineage, evidence = wide
    without = replace(evidence, blobs={})
    report = verify_evidence(without, lineage.trust())
    assert not report.sound  # as where a parent that is named is missing
    assert _status(report, "materials") == {Status.FAILED}
    audit = audit_evidence(without, report, lineage.trust())
    assert audit.origins == ()
    assert "the list of its inputs is not at hand" in audit.items[0].gaps()


def test_a_list_under_a_wrong_name_fails(wide: tuple[Lineage, Evidence]) -> None:
    lineage, evidence = wide
    ((digest, data),) = evidence.blobs.items()
    report = verify_evidence(replace(evidence, blobs={digest: data[:-1]}), lineage.trust())
    assert _status(report, "materials") == {Status.FAILED}
    assert not report.sound
    # It is audited all the same: what is damaged must not fall out of sight.
    audit = audit_evidence(replace(evidence, blobs={digest: data[:-1]}), report, lineage.trust())
    assert audit.items[0].name == "forge/child@1"
    assert "the list of its inputs is not at hand" in audit.items[0].gaps()


@pytest.mark.parametrize("missing", [0, 7, INPUTS - 1])
def test_an_input_that_is_not_there_is_named(wide: tuple[Lineage, Evidence], missing: int) -> None:
    lineage, evidence = wide
    gone = lineage.pin(f"n{missing}")
    entries = tuple(entry for entry in evidence.entries if entry.digest != gone.envelope)
    report = verify_evidence(parse_bundle(encode_bundle(replace(evidence, entries=entries))), lineage.trust())
    assert [check.where for check in report.failures if check.id == "lineage.edge"] == [str(gone.name)]
