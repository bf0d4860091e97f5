"""Registering what was made from very many things."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import ConflictError, NotFoundError
from provenance.ledger import Ledger
from provenance.ledger.running import RunRecorder
from provenance.limits import MAX_INPUTS
from provenance.policy import Status
from provenance.signature import parse_envelope
from provenance.statement import parse_statement
from provenance.statement.replay import ReplayResult
from provenance.statement.run import Input, Run, list_inputs

COUNT = MAX_INPUTS + 14
CREATED = "2026-01-02T03:04:05Z"
JOIN = "import glob\n"
JOIN += "text = ''.join(open(path).read() for path in sorted(glob.glob('in*')))\nopen('out', 'w').write(text)\n"


@pytest.fixture
def names(ledger: Ledger, tmp_path: Path) -> list[str]:
    found = []
    for number in range(COUNT):
        path = tmp_path / f"in{number}"
        path.write_text(f"{number}")
        ledger.register(path, f"wide/in{number}", "1", key="someone", origin="https://h.example/in", anchor=False)
        found.append(f"wide/in{number}")
    (tmp_path / "out").write_text("all")
    return found


def test_many_inputs_are_listed_and_verified(ledger: Ledger, tmp_path: Path, names: list[str]) -> None:
    out = tmp_path / "out"
    receipt = ledger.register(out, "wide/out", "1", key="someone", parents=names, anchor=False)
    entry = ledger.log.entries(receipt.index, 1)[0]
    assert len(entry.envelope) < 4_000
    stated = parse_statement(parse_envelope(entry.envelope).payload)
    assert stated.materials is not None
    assert stated.materials.count == COUNT
    assert ledger.register(out, "wide/out", "1", key="someone", parents=names, anchor=False).created is False
    with pytest.raises(ConflictError, match="another list of parents"):
        ledger.register(out, "wide/out", "1", key="someone", parents=names[1:], anchor=False)

    report = ledger.verify(out)
    assert report.sound
    assert len(report.artefacts) == COUNT + 1
    assert len(ledger.verify_bundle(ledger.bundle("wide/out", with_manifests=False)).artefacts) == COUNT + 1
    assert [(one.name, one.via) for one in ledger.impact(names[3]).affected] == [("wide/out@1", f"{names[3]}@1")]
    assert ledger.fsck().clean

    ledger.rebuild_index()
    assert len(ledger.verify_reference("wide/out").artefacts) == COUNT + 1

    ledger.blobs.remove(stated.materials.digest)
    assert any("list of its inputs" in problem for problem in ledger.fsck().findings)
    failed = ledger.verify_reference("wide/out")
    assert not failed.sound
    assert "inputs is not at hand" in str(failed.to_json())


def test_a_run_of_many_inputs_is_proven_and_made_again(ledger: Ledger, tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "join.py").write_text(JOIN)
    (tmp_path / "out").unlink()
    recorder = RunRecorder(ledger, "join", folder=tmp_path, code=["join.py"], key="someone")
    recorder.output("out", "wide/out", "1")
    for number in range(COUNT):
        recorder.input(f"in{number}")
    recorder.execute(["python", "join.py"])
    (made,) = recorder.finish()
    assert len(ledger.log.entries(made.index, 1)[0].envelope) < 4_000
    report = ledger.verify_bundle(ledger.bundle("wide/out", with_manifests=False))
    assert [check.status for check in report.checks if check.id == "run"] == [Status.PASSED]
    assert ledger.replay("wide/out", key="someone").result is ReplayResult.REPRODUCED

    # The list of another run is not what it was made from.
    (run,) = (one.event.body for one in ledger.said_about("wide/out") if isinstance(one.event.body, Run))
    other = list_inputs([Input(ledger.pin(name)) for name in names[1:]])[2]
    ledger.state("wide/out", replace(run, listed=other), key="someone")
    failed = next(check for check in ledger.verify_reference("wide/out").checks if check.id == "run")
    assert (failed.status, failed.expected, failed.found) == (
        Status.FAILED, f"{COUNT} inputs, those it pins", f"{COUNT - 1} inputs",
    )  # fmt: skip


def test_a_run_that_lists_what_its_artefact_names_is_the_same(ledger: Ledger, tmp_path: Path) -> None:
    for name in ("a", "b", "out"):
        (tmp_path / name).write_text(name)
        parents = ["h/a", "h/b"] if name == "out" else []
        ledger.register(tmp_path / name, f"h/{name}", "1", key="someone", parents=parents, anchor=False)
    pins = [Input(ledger.pin(name)) for name in ("h/b", "h/a")]
    for inputs, status in ((pins, Status.PASSED), (pins[:1], Status.FAILED)):
        run = Run("join", (), "out", CREATED, CREATED, "0123", listed=list_inputs(inputs)[2])
        ledger.state("h/out", run, key="someone")
        checks = ledger.verify_reference("h/out").checks
        assert [check.status for check in checks if check.id == "run"] == [status]


def test_a_few_hundred_inputs_that_do_not_fit_are_listed_too(ledger: Ledger, tmp_path: Path, names: list[str]) -> None:
    few = names[:MAX_INPUTS]
    receipt = ledger.register(tmp_path / "out", "wide/few", "1", key="someone", parents=few, anchor=False)
    stated = parse_statement(parse_envelope(ledger.log.entries(receipt.index, 1)[0].envelope).payload)
    assert stated.materials is not None
    assert len(ledger.verify(tmp_path / "out").artefacts) == MAX_INPUTS + 1


def test_an_envelope_whose_list_is_elsewhere_is_refused(ledger: Ledger, tmp_path: Path, names: list[str]) -> None:
    receipt = ledger.register(tmp_path / "out", "wide/out", "1", key="someone", parents=names, anchor=False)
    envelope = ledger.log.entries(receipt.index, 1)[0].envelope
    with Ledger.init(tmp_path / "other") as other:
        other.keyring.trust_key("someone", ledger.keyring.show("someone").public)
        with pytest.raises(NotFoundError, match="list of inputs is not here"):
            other.submit(envelope)
