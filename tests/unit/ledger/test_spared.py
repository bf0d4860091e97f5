"""What a revocation from some time on reaches in a real ledger: the verdict, the impact and what a run takes agree."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import PolicyError, VerificationError
from provenance.ledger import Ledger
from provenance.ledger.gathering import receipt_of
from provenance.policy import Status
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.verify import verify_bundle
from tests.sessions.session import Session

OPTIONS: dict[str, Any] = {"key": "lab", "sensitivity": "public"}


def _block_time(ledger: Ledger) -> int:
    row = ledger._store.outbox_latest_anchor()
    receipt = receipt_of(row) if row is not None else None
    assert receipt is not None
    return receipt.block_time_s


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """raw <- clean, anchored; raw is revoked from the second after that block on; clean <- model and raw <- late, which
    are anchored after it, and both <- mixed."""
    folder = tmp_path_factory.mktemp("spared")
    for name in ("raw", "clean", "model", "late", "mixed"):
        (folder / name).write_text(name)
    with Ledger.init(folder, origin="t.example/log") as ledger:
        ledger.keyring.new("lab", algorithm="ed25519")
        ledger.register(folder / "raw", "h/raw", "1", origin="https://h.example/", anchor=False, **OPTIONS)
        ledger.register(folder / "clean", "h/clean", "1", parents=["h/raw"], **OPTIONS)
        since = _rfc3339(_block_time(ledger) + 1)
        ledger.state("h/raw", Revocation(RevocationReason.LICENSE_WITHDRAWN, since=since), key="lab")
        ledger.register(folder / "model", "h/model", "1", parents=["h/clean"], anchor=False, **OPTIONS)
        ledger.register(folder / "late", "h/late", "1", parents=["h/raw"], anchor=False, **OPTIONS)
        ledger.register(folder / "mixed", "h/mixed", "1", parents=["h/model", "h/late"], **OPTIONS)
    return folder


@pytest.fixture
def ledger(folder: Path) -> Any:
    with Ledger.open(folder) as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "sound", "affected"),
    [
        ("clean", True, ()),
        ("model", True, ()),
        ("raw", False, ("h/late@1", "h/mixed@1")),
        ("late", False, ("h/late@1", "h/mixed@1")),
        ("mixed", False, ("h/late@1", "h/mixed@1")),
    ],
)
def test_an_edge_is_judged_by_the_childs_own_anchor(
    ledger: Ledger, name: str, sound: bool, affected: tuple[str, ...]
) -> None:
    report = ledger.verify_reference(f"h/{name}")
    assert report.sound is sound, report.failures
    assert report.affected == affected
    data = ledger.bundle(f"h/{name}")
    assert verify_bundle(data, ledger.trust_roots(with_blocks=True)).sound is sound
    assert not verify_bundle(data, ledger.trust_roots()).sound  # no block is known


def test_a_mixed_lineage_shows_which_part_is_spared(ledger: Ledger) -> None:
    report = ledger.verify_reference("h/mixed")
    statuses = {artefact.name: artefact.status for artefact in report.artefacts}
    assert statuses == {
        "h/mixed@1": Status.AFFECTED,
        "h/model@1": Status.PASSED,
        "h/late@1": Status.AFFECTED,
        "h/clean@1": Status.PASSED,
        "h/raw@1": Status.FAILED,
    }
    (check,) = [check for check in report.failures if check.id == "revocation"]
    assert "used by h/late@1, at " in check.note


def test_the_impact_marks_what_is_spared(ledger: Ledger) -> None:
    impact = ledger.impact("h/raw")
    assert impact.names == ("h/late@1", "h/mixed@1")
    assert [one.name for one in impact.descendants if one.is_spared] == ["h/clean@1", "h/model@1"]
    answer = impact.to_json()
    assert (answer["count"], answer["spared"]) == (2, 2)
    assert isinstance(answer["affected"], list)
    assert {one["name"]: one["spared"] for one in answer["affected"]} == {  # type: ignore[index,call-overload]
        "h/clean@1": True,
        "h/late@1": False,
        "h/model@1": True,
        "h/mixed@1": False,
    }
    # What was made of something that is not revoked itself is all concerned.
    assert ledger.impact("h/clean").names == ("h/model@1", "h/mixed@1")


def test_the_impact_of_a_key_marks_what_it_signed_before(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run("init", "--origin", "t.example/key")
    session.run("keys", "new", "lab")
    for name, parents in (("a", ()), ("b", ("--parent", "s/a@1"))):
        (tmp_path / name).write_text(name)
        session.run("register", name, "--name", f"s/{name}", "--version", "1", "--key", "lab", *parents)
    with Ledger.open(tmp_path) as ledger:
        since = _rfc3339(_block_time(ledger))
        ledger.keyring.revoke("lab", since)
        impact = ledger.impact_of_key("lab")
        assert [(one.name, one.is_spared) for one in impact.descendants] == [("s/a@1", True), ("s/b@1", False)]
        assert ledger.verify_reference("s/a").sound
        assert not ledger.verify_reference("s/b").sound
    text = session.run("impact", "--key", "lab").out
    assert "s/a@1  (spared: older than the revocation)" in text
    assert "s/b@1\n" in text


def test_a_run_and_a_reader_take_what_verify_calls_sound(folder: Path) -> None:
    with Ledger.open(folder) as ledger, ledger.run("s", inputs=["clean"], folder=folder, key="lab") as run:
        (folder / "out").write_text("o")
        run.output("out", "h/out", "1", sensitivity="public")
    with Ledger.open(folder) as ledger:
        ledger.check_sound("h/model")
        with pytest.raises(VerificationError, match="revoked: license withdrawn"):
            ledger.check_sound("h/late")
        with pytest.raises(PolicyError, match="does not verify"), ledger.run("t", inputs=["late"], folder=folder):
            pass


def test_no_chain_is_asked_where_no_block_could_spare(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ledger.verify_reference("h/model", ask_chain=False).could_be_spared
    assert not ledger.verify_reference("h/raw", ask_chain=False).could_be_spared
    asked: list[str] = []
    monkeypatch.setattr(ledger._blocks, "of", lambda _: asked.extend(["asked"]))
    with pytest.raises(VerificationError):
        ledger.check_sound("h/raw")
    assert not asked
