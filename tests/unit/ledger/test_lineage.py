"""Lineages as of a time, and so many steps of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provenance.errors import MalformedError, NotFoundError
from provenance.ledger import Ledger
from provenance.ledger.gathering import receipt_of
from provenance.statement.revocation import Revocation, RevocationReason
from tests.unit.ledger.conftest import Write


def _anchored(ledger: Ledger) -> str:
    """The time of the new anchor's block; the next one's is later."""
    ledger.anchor()
    receipt = receipt_of(ledger.anchors()[-1])
    assert receipt is not None
    while time.time() < receipt.block_time_s + 1.1:
        time.sleep(0.1)
    return datetime.fromtimestamp(receipt.block_time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _made(ledger: Ledger, write: Write, name: str, *parents: str) -> None:
    origin = None if parents else "https://h.example/x"
    ledger.register(write(name, a=name), f"t/{name}", "1", key="someone", parents=parents, origin=origin, anchor=False)


def test_a_lineage_as_of_a_time_is_what_was_known_then(ledger: Ledger, write: Write) -> None:
    _made(ledger, write, "raw")
    first = _anchored(ledger)
    _made(ledger, write, "clean", "t/raw")
    _made(ledger, write, "model", "t/clean")
    second = _anchored(ledger)
    ledger.state("t/raw", Revocation(RevocationReason.CONSENT_WITHDRAWN), key="someone")
    _made(ledger, write, "late", "t/clean")
    third = _anchored(ledger)

    then = ledger.lineage("t/clean", as_of=second)
    assert then.report.sound
    assert (then.descendants, then.as_of, then.size) == (("t/model@1",), second, 3)
    now = ledger.lineage("t/clean", as_of=third)
    assert not now.report.sound
    assert now.descendants == ("t/model@1", "t/late@1")
    assert now.report.failures == ledger.lineage("t/clean").report.failures
    assert ledger.lineage("t/raw", as_of=first).descendants == ()
    assert ledger.lineage("t/raw", as_of="2999-01-01T00:00:00Z").size == 5
    assert then.to_json()["asOf"] == {"time": second, "logSize": 3}

    with pytest.raises(NotFoundError, match="not in the log by then"):
        ledger.lineage("t/model", as_of=first)
    with pytest.raises(NotFoundError, match="nothing was anchored"):
        ledger.lineage("t/raw", as_of="2001-01-01T00:00:00Z")
    with pytest.raises(MalformedError):
        ledger.lineage("t/raw", as_of="yesterday")


def test_a_lineage_shows_so_many_steps_and_judges_all(ledger: Ledger, write: Write) -> None:
    for name, *parents in (("a",), ("b", "t/a"), ("c", "t/b"), ("d", "t/c"), ("e", "t/d"), ("f", "t/c")):
        _made(ledger, write, name, *parents)

    def seen(**view: object) -> tuple[list[str], list[tuple[str, int]]]:
        found = ledger.lineage("t/c", **view)  # type: ignore[arg-type]
        value = found.to_json()
        names = {one.name for one in found.shown}
        expected = [one.name for one in found.shown for parent in one.parents if parent in names]
        assert [edge["child"] for edge in value["edges"]] == expected  # type: ignore[union-attr, index, call-overload]
        assert len(found.report.artefacts) == 3
        below = list(zip(found.descendants, found.distances, strict=True))
        return [node.name[2] for node in found.shown], [(name[2], distance) for name, distance in below]

    assert seen() == (["c", "b", "a"], [("d", 1), ("f", 1), ("e", 2)])
    assert seen(depth=1) == (["c", "b"], [("d", 1), ("f", 1)])
    assert seen(depth=0) == (["c"], [])
    assert seen(direction="up") == (["c", "b", "a"], [])
    assert seen(direction="down", depth=2) == (["c"], [("d", 1), ("f", 1), ("e", 2)])
    (write("a", a="a") / "a").write_text("changed")
    for wrong in ({"depth": -1}, {"depth": 10**9}, {"direction": "sideways"}):
        with pytest.raises(MalformedError):
            seen(**wrong)


def test_a_fault_beyond_what_is_shown_is_found(ledger: Ledger, write: Write, tmp_path: Path) -> None:
    ledger.keyring.new("bad")
    ledger.register(write("a", a="1"), "t/a", "1", key="bad", origin="https://h.example/x", anchor=False)
    _made(ledger, write, "b", "t/a")
    _made(ledger, write, "c", "t/b")
    ledger.keyring.revoke("bad")
    found = ledger.lineage("t/c", depth=1)
    assert [node.name for node in found.shown] == ["t/c@1", "t/b@1"]
    assert not found.report.sound
