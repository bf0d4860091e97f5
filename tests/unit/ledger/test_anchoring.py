"""Anchoring: once each, on top of what the chain holds, and never over a history that went back or forked."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from provenance.anchor import AnchorReceipt, Head
from provenance.chains import RejectedError, embedded
from provenance.errors import ChainError, VerificationError
from provenance.ledger import Ledger, anchoring, lock
from provenance.ledger.gathering import receipt_of
from provenance.statement import BlockReference
from provenance.stores import OutboxRow
from tests.e2e.aftermath import anchored_events
from tests.unit.ledger.conftest import Write
from tests.unit.verify import forge


def _register(ledger: Ledger, write: Write, *names: str) -> None:
    for name in names:
        ledger.register(write("data", **{name: name}) / name, f"t/{name}", "1", key="someone", anchor=False)


def _sizes(ledger: Ledger) -> list[int]:
    events = anchored_events(ledger)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    return [event.size for event in events]


# ---- the ordinary --------------------------------------------------------------------------------------------------


def test_one_transaction_for_all_that_is_new_and_none_for_nothing(ledger: Ledger, write: Write) -> None:
    empty = ledger.anchor()
    assert (empty.status, empty.size, empty.receipt) == ("nothing to anchor", 0, None)
    assert not (ledger.layout.directory / "chain" / "chain.db").exists() or not anchored_events(ledger)
    _register(ledger, write, "a", "b", "c")
    first = ledger.anchor()
    assert (first.status, first.size, first.covered) == ("anchored", 3, 3)
    assert first.gas_used > 0
    for _ in range(3):
        again = ledger.anchor()
        assert (again.status, again.size, again.covered, again.gas_used) == ("already anchored", 3, 0, 0)
        assert again.receipt == first.receipt
    _register(ledger, write, "d", "e")
    second = ledger.anchor()
    assert (second.status, second.size, second.covered) == ("anchored", 5, 2)
    assert _sizes(ledger) == [3, 5]
    assert first.receipt is not None
    assert first.receipt.development
    assert "development" in first.chain
    assert ledger.pending() == []


def test_deploying_twice_is_deploying_once(ledger: Ledger, write: Write) -> None:
    first, again = ledger.deploy(), ledger.deploy()
    assert first.gas_used > 0
    assert (again.contract, again.gas_used) == (first.contract, 0)
    _register(ledger, write, "a")
    receipt = ledger.anchor().receipt
    assert receipt is not None
    assert receipt.contract == first.contract.lower()
    contract = ledger.contract()
    assert contract is not None
    assert contract.contract == first.contract.lower()


def test_an_entry_keeps_the_anchor_that_first_covered_it(ledger: Ledger, write: Write) -> None:
    _register(ledger, write, "a")
    first = ledger.anchor().receipt
    _register(ledger, write, "b")
    second = ledger.anchor().receipt
    assert first is not None
    assert second is not None
    for name, receipt in (("t/a", first), ("t/b", second)):
        report = ledger.verify(name)
        assert report.not_after is not None
        assert f"block {receipt.block_number}" in report.not_after.clock


def test_a_statement_names_the_newest_anchored_block_as_not_before(ledger: Ledger, write: Write) -> None:
    _register(ledger, write, "a")
    first = ledger.anchor().receipt
    _register(ledger, write, "b", "c")
    ledger.anchor()
    _register(ledger, write, "d")
    assert ledger.verify("t/a").not_before is None
    assert first is not None
    for name in ("t/b", "t/c"):
        bound = ledger.verify(name).not_before
        assert bound is not None
        assert bound.clock == f"chain {first.chain_id}, block {first.block_number}"
    assert ledger.verify("t/d").not_before is not None  # its anchor is still to come
    assert ledger.verify("t/b", ask_chain=False).not_before is None
    assert ledger.verify_bundle(ledger.bundle("t/b")).not_before == ledger.verify("t/b").not_before


# ---- interrupted ---------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    """Stands for whatever stops a process that does not die."""


@contextmanager
def _stopping(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> Iterator[None]:
    genuine = getattr(owner, name)

    def stop(*arguments: Any, **named: Any) -> Any:
        if after:
            genuine(*arguments, **named)
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        yield


STOPS = [
    (embedded.EmbeddedChain, "send_raw", False),
    (embedded.EmbeddedChain, "send_raw", True),
    (embedded.EmbeddedChain, "receipt", False),
    (embedded.EmbeddedChain, "header", False),
    (embedded.EmbeddedChain, "block_receipts", True),
    (anchoring.Anchorer, "_mined", False),
    (anchoring.Anchorer, "_mined", True),
    (anchoring.Anchorer, "_finalise", False),
]


@pytest.mark.parametrize(("owner", "name", "after"), STOPS)
def test_what_was_interrupted_is_finished_and_counted_once(
    ledger: Ledger, write: Write, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: bool
) -> None:
    _register(ledger, write, "a", "b")
    ledger.anchor()
    _register(ledger, write, "c")
    with _stopping(monkeypatch, owner, name, after=after), pytest.raises(Interrupted):
        ledger.anchor()
    (pending,) = ledger.pending()
    assert pending.size == 3
    _register(ledger, write, "d")  # the log goes on meanwhile
    outcome = ledger.anchor()
    assert (outcome.status, outcome.size, outcome.covered) == ("anchored", 4, 1)
    assert _sizes(ledger) == [2, 3, 4]
    assert ledger.fsck().clean


def test_what_was_interrupted_and_has_nothing_to_add_is_told_with_its_gas(
    ledger: Ledger, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(ledger, write, "a", "b")
    ledger.anchor()
    _register(ledger, write, "c")
    with (
        _stopping(monkeypatch, embedded.EmbeddedChain, "receipt", after=False),
        pytest.raises(Interrupted),
    ):
        ledger.anchor()
    outcome = ledger.anchor()
    assert (outcome.status, outcome.size, outcome.covered) == ("anchored", 3, 1)
    assert outcome.gas_used > 0
    assert ledger.anchor().status == "already anchored"
    assert _sizes(ledger) == [2, 3]


def test_a_rejected_transaction_is_given_up_and_the_next_is_another(
    ledger: Ledger, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.deploy()
    _register(ledger, write, "a")

    def reject(*_: object) -> bytes:
        raise RejectedError("nonce too low")

    with monkeypatch.context() as patch:
        patch.setattr(embedded.EmbeddedChain, "send_raw", reject)
        for _ in range(2):
            with pytest.raises(RejectedError):
                ledger.anchor()
    assert ledger.pending() == []
    assert ledger.anchor().status == "anchored"
    assert _sizes(ledger) == [1]
    assert ledger.fsck().clean


def test_a_transaction_that_is_not_mined_yet_stays_pending(
    ledger: Ledger, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.deploy()
    _register(ledger, write, "a")
    with monkeypatch.context() as patch:
        patch.setattr(embedded.EmbeddedChain, "receipt", lambda *_, **__: None)
        for _ in range(2):
            with pytest.raises(ChainError, match="not mined yet"):
                ledger.anchor()
        receipt = ledger.register(write("data", b="b") / "b", "t/b", "1")
        assert receipt.anchor_problem is not None
        assert "not mined yet" in receipt.anchor_problem
    assert [row.state for row in ledger.pending()] == ["broadcast"]
    assert ledger.anchor().size == 2
    assert _sizes(ledger) == [1, 2]


def test_an_anchor_that_changed_nothing_is_given_up_and_blocks_nothing(
    ledger: Ledger, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract emits nothing for a checkpoint it holds: such a transaction will never have a receipt."""
    _register(ledger, write, "a")
    ledger.anchor()
    _edit(ledger, "UPDATE outbox SET state = 'failed' WHERE kind = 'anchor'")
    with Ledger.open(ledger.layout.directory) as opened:
        head, zero = anchoring.Anchorer._head, Head(0, 0, b"\0" * 32)
        monkeypatch.setattr(anchoring.Anchorer, "_head", lambda *_: zero)
        with pytest.raises(ChainError):
            opened.anchor()
        monkeypatch.setattr(anchoring.Anchorer, "_head", head)
        assert opened.pending() == []
        outcome = opened.anchor()
        assert (outcome.status, outcome.receipt, outcome.gas_used) == ("already anchored", None, 0)
        _register(opened, write, "b")
        assert (opened.anchor().size, _sizes(opened)) == (2, [1, 2])
        assert opened.verify("t/a").not_after is not None  # the next anchor covers it


def test_two_at_once_wait_for_each_other_and_not_for_ever(
    ledger: Ledger, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(ledger, write, "a")
    monkeypatch.setattr(lock, "_ANCHOR_WAIT_S", 0.1)
    with (
        lock.anchoring_lock(ledger.layout.directory / "anchor.lock"),
        pytest.raises(ChainError, match="another process is anchoring"),
    ):
        ledger.anchor()
    assert ledger.anchor().status == "anchored"


# ---- a log that went back ------------------------------------------------------------------------------------------


def _edit(ledger: Ledger, *statements: str) -> None:
    ledger.close()
    with closing(sqlite3.connect(ledger.layout.database)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def _save(ledger: Ledger, to: Path) -> None:
    """A copy of the closed database, as a backup would have it."""
    ledger.close()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        assert not (ledger.layout.directory / name).exists()
    shutil.copy(ledger.layout.database, to)


@pytest.fixture
def rolled_back(ledger: Ledger, write: Write, tmp_path: Path) -> Iterator[Ledger]:
    """Anchored at 1, saved, anchored at 3; then the saved database is put back."""
    _register(ledger, write, "a")
    ledger.anchor()
    _save(ledger, tmp_path / "saved.db")
    with Ledger.open(ledger.layout.directory) as opened:
        _register(opened, write, "b", "c")
        opened.anchor()
        _save(opened, tmp_path / "newer.db")
    shutil.copy(tmp_path / "saved.db", ledger.layout.database)
    for name in ("shown.checkpoint", "map.db"):  # as if the whole folder had been put back
        (ledger.layout.directory / name).unlink()
    with Ledger.open(ledger.layout.directory) as opened:
        yield opened


def _is_refused(ledger: Ledger) -> None:
    with pytest.raises(VerificationError) as raised:
        ledger.anchor()
    assert "the log went back or forked" in raised.value.message
    assert raised.value.hint is not None
    assert "backup" in raised.value.hint
    assert ledger.pending() == []


def test_a_rolled_back_log_is_refused_at_its_old_size(rolled_back: Ledger) -> None:
    assert rolled_back.fsck().clean  # by itself it is sound: only the chain knows
    _is_refused(rolled_back)


@pytest.mark.parametrize("more", [1, 2, 3])
def test_a_rolled_back_log_is_refused_below_at_and_above_the_anchored_size(
    rolled_back: Ledger, write: Write, more: int
) -> None:
    _register(rolled_back, write, *(f"other{number}" for number in range(more)))
    _is_refused(rolled_back)
    assert _sizes(rolled_back) == [1, 3]
    receipt = rolled_back.register(write("data", z="z") / "z", "t/z", "1")
    assert receipt.anchor_problem is not None
    assert "the log went back or forked" in receipt.anchor_problem


def test_the_newer_database_put_back_is_accepted(rolled_back: Ledger, write: Write, tmp_path: Path) -> None:
    _is_refused(rolled_back)
    rolled_back.close()
    shutil.copy(tmp_path / "newer.db", rolled_back.layout.database)
    with Ledger.open(rolled_back.layout.directory) as opened:
        assert opened.anchor().status == "already anchored"
        _register(opened, write, "d")
        assert (opened.anchor().size, _sizes(opened)) == (4, [1, 3, 4])


def test_a_database_from_before_the_first_anchor_deploys_no_second_contract(
    ledger: Ledger, write: Write, tmp_path: Path
) -> None:
    _register(ledger, write, "a")
    _save(ledger, tmp_path / "saved.db")
    with Ledger.open(ledger.layout.directory) as opened:
        _register(opened, write, "b")
        opened.anchor()
        old_contract = opened.contract()
    shutil.copy(tmp_path / "saved.db", ledger.layout.database)
    for name in ("shown.checkpoint", "map.db"):  # as if the whole folder had been put back
        (ledger.layout.directory / name).unlink()
    with Ledger.open(ledger.layout.directory) as opened:
        with pytest.raises(ChainError, match="the log went back") as raised:
            opened.anchor()
        assert raised.value.hint is not None
        assert "chain deploy" in raised.value.hint
        opened.deploy()  # said out loud, a new beginning is possible
        assert opened.anchor().status == "anchored"
        assert opened.contract() != old_contract


def test_a_backup_that_only_lacks_the_anchor_goes_on(ledger: Ledger, write: Write, tmp_path: Path) -> None:
    ledger.deploy()
    _register(ledger, write, "a")
    _save(ledger, tmp_path / "saved.db")
    with Ledger.open(ledger.layout.directory) as opened:
        opened.anchor()
    shutil.copy(tmp_path / "saved.db", ledger.layout.database)
    for name in ("shown.checkpoint", "map.db"):  # as if the whole folder had been put back
        (ledger.layout.directory / name).unlink()
    with Ledger.open(ledger.layout.directory) as opened:
        outcome = opened.anchor()
        assert (outcome.status, outcome.size, outcome.gas_used, outcome.receipt) == ("already anchored", 1, 0, None)
        report = opened.verify("t/a")
        assert (report.sound, report.not_after) == (True, None)
        _register(opened, write, "b")
        assert (opened.anchor().covered, _sizes(opened)) == (1, [1, 2])
        assert opened.verify("t/a").not_after is not None
        assert opened.fsck().clean


# ---- a chain that went back ----------------------------------------------------------------------------------------


def test_a_chain_that_was_reset_is_noticed(ledger: Ledger, write: Write) -> None:
    _register(ledger, write, "a")
    ledger.anchor()
    shutil.rmtree(ledger.layout.directory / "chain")
    with Ledger.open(ledger.layout.directory) as opened:
        with pytest.raises(ChainError, match="contract is gone"):
            opened.anchor()
        report = opened.verify("t/a")
        assert not report.sound
        assert report.failures[0].id == "anchor.block"


def test_a_chain_restored_from_an_older_copy_is_noticed(ledger: Ledger, write: Write, tmp_path: Path) -> None:
    _register(ledger, write, "a")
    ledger.anchor()
    shutil.copytree(ledger.layout.directory / "chain", tmp_path / "chain")
    _register(ledger, write, "b")
    ledger.anchor()
    shutil.rmtree(ledger.layout.directory / "chain")
    shutil.copytree(tmp_path / "chain", ledger.layout.directory / "chain")
    with Ledger.open(ledger.layout.directory) as opened:
        with pytest.raises(ChainError, match="does not hold an anchor that it did hold"):
            opened.anchor()
        assert not opened.verify("t/b").sound
        assert opened.verify("t/a").sound


# ---- many anchors --------------------------------------------------------------------------------------------------


def test_looking_up_evidence_does_not_read_every_anchor(
    ledger: Ledger, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a bundle needs of a long history: the anchor that covers it, and the block its statement names."""
    _register(ledger, write, "a")
    ledger.anchor()
    (row,) = ledger.anchors()
    _copy_anchor(ledger, row, 2_000)
    with Ledger.open(ledger.layout.directory) as opened:
        parsed: list[int] = []

        def counted(row: OutboxRow) -> AnchorReceipt | None:
            parsed.append(row.id)
            return receipt_of(row)

        for module in ("gathering", "ledger"):
            monkeypatch.setattr(f"provenance.ledger.{module}.receipt_of", counted)
        _register(opened, write, "b")
        opened.bundle("t/b")
        opened.verify("t/b", ask_chain=False)
        assert len(parsed) < 40
        # A stranger may name any block: looking for it ends.
        opened.keyring.trust_key("stranger", forge.key(1).public)
        nowhere = BlockReference(1, 7, b"\7" * 32)
        opened.submit(forge.sign(forge.statement("x", not_before=nowhere), forge.key(1)))
        parsed.clear()
        assert opened.verify("forge/x").not_before is None
        assert len(parsed) < 600


def _copy_anchor(ledger: Ledger, row: OutboxRow, count: int) -> None:
    """Rows that stand for as many other anchors, all with one receipt; the last of them is the smallest."""
    columns = "chain_id, kind, publisher, contract, origin, root, nonce, raw, tx, state, receipt, created_s"
    statement = f"INSERT INTO outbox ({columns}, size) SELECT {columns}, {{size}} FROM outbox WHERE id = {row.id}"
    _edit(ledger, *(statement.format(size=2 + number) for number in reversed(range(count))))
