"""Decisions on a full or failing disk: what was acknowledged is in the log, or on disk and named."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError, StoreError
from provenance.ledger import Ledger
from provenance.ledger import decisions as module
from provenance.ledger.decision_journal import RECORD, RECORD_BYTES, Journal, adopt, read_journal
from provenance.ledger.decisions import check_decision, salt_of
from tests.unit.ledger.decision_rows import all_rows, logged_rows, rows_of

_MODEL = Digest.of(b"the model's entry")
_PACKED = RECORD.pack(7, bytes(16), bytes(32), bytes(32), bytes(32), False)


def _folder(ledger: Ledger) -> Path:
    return ledger.layout.directory / "decisions" / "acme" / "model@1"


def _short(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    """Let the next write of a decision write that much of it."""
    write = os.write

    def once(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        return write(descriptor, data[:size_bytes])

    monkeypatch.setattr(os, "write", once)


@pytest.mark.parametrize("room_bytes", [4 * RECORD_BYTES + 40, 4 * RECORD_BYTES])
def test_a_full_disk_costs_the_decision_that_found_it(ledger: Ledger, model: Path, room_bytes: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        tickets = [decisions.record(b"%d" % n, b"x") for n in range(3)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, limits[1]))
        try:
            with pytest.raises(StoreError, match="a decision was not written"):
                decisions.record(b"lost", b"x")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        tickets += [decisions.record(b"%d" % n, b"x") for n in range(3, 1_003)]
    rows = logged_rows(ledger, decisions)
    assert sum(map(len, rows.values())) == 1_003
    for number, ticket in enumerate(tickets):
        assert check_decision(rows[ticket.dataset][ticket.row], ticket.salt, b"%d" % number, b"x")
    assert decisions.problem is None
    assert list(_folder(ledger).glob("*.journal*")) == []


def test_a_journal_that_cannot_be_cut_is_ended(ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, os.strerror(5))

    with ledger.decisions("acme/model", model, key="someone") as decisions:
        tickets = [decisions.record(b"%d" % n, b"x") for n in range(3)]
        with monkeypatch.context() as failing:
            failing.setattr(os, "ftruncate", refuse)
            _short(failing, 40)
            with pytest.raises(StoreError, match="a decision was not written"):
                decisions.record(b"lost", b"x")
        tickets += [decisions.record(b"%d" % n, b"x") for n in range(3, 10)]
    rows = logged_rows(ledger, decisions)
    assert [len(one) for one in rows.values()] == [3, 7]
    for number, ticket in enumerate(tickets):
        assert check_decision(rows[ticket.dataset][ticket.row], ticket.salt, b"%d" % number, b"x")


def test_a_signal_between_writing_and_counting_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        write(descriptor, data)
        raise KeyboardInterrupt

    journal = Journal(tmp_path / "x.v2.journal", _MODEL)
    journal.add(_PACKED)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.add(_PACKED)
    assert journal.add(_PACKED) == 1
    assert len(read_journal(journal.path).rows) == 2
    journal.abandon()


def _left_behind(ledger: Ledger, model: Path, count: int) -> tuple[list[Any], Path]:
    """Tickets of a recorder, and the journal it would have left if it had been killed."""
    decisions = ledger.decisions("acme/model", model, key="someone")
    tickets = [decisions.record(b"%d" % n, b"x") for n in range(count)]
    (path,) = _folder(ledger).glob("*.journal")
    data = path.read_bytes()
    path.unlink()
    decisions._journal.abandon()
    decisions.close()
    path.write_bytes(data)
    return tickets, path


def test_one_flipped_bit_costs_one_decision_and_the_journal_is_kept(ledger: Ledger, model: Path) -> None:
    tickets, path = _left_behind(ledger, model, 100)
    data = bytearray(path.read_bytes())
    data[11 * RECORD_BYTES + 60] ^= 1
    path.write_bytes(data)
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        decisions.flush()
        kept = path.with_name(f"{path.name}.kept")
        assert decisions.problem is not None
        assert (decisions.problem.what, decisions.problem.where) == (
            "not all decisions of a journal are in the log",
            str(kept),
        )
    rows = rows_of(ledger, tickets[0].dataset)
    assert len(rows) == 100
    for number, ticket in enumerate(tickets):
        assert check_decision(rows[ticket.row], ticket.salt, b"%d" % number, b"x") == (number != 10)
        if number != 10:
            assert salt_of(ledger, "acme/model", ticket.dataset, ticket.row) == ticket.salt
    assert set(rows[10].values()) == {None}
    with pytest.raises(StoreError, match="could not be read from its journal"):
        salt_of(ledger, "acme/model", tickets[0].dataset, 10)
    with pytest.raises(MalformedError):
        salt_of(ledger, "acme/model", tickets[0].dataset, 100)
    assert (path.exists(), kept.read_bytes()) == (False, bytes(data))
    report = ledger.fsck()
    assert [one for one in report.findings if f"acme/model@1/{kept.name}" in one] == report.findings != []
    with ledger.decisions("acme/model", model, key="someone") as again:  # it is named until somebody moved it away
        again.flush()
        assert again.problem is not None and again.receipts == []
    kept.unlink()
    assert ledger.fsck().clean
    assert ledger.verify(tickets[0].dataset, records=True).verified


@pytest.mark.parametrize(
    ("where", "fragment", "rows", "is_whole"),
    [
        (2, b"\x00" * 40, [7, 7, 7, 7], False),  # a write in part that was not cut off
        (2, b"\x00" * (RECORD_BYTES + 40), [7, 7, None, 7, 7], False),
        (0, b"\x01" * 127, [7, 7, 7, 7], False),
        (4, b"\x00" * 127, [7, 7, 7, 7], True),  # a torn end was never acknowledged
        (4, b"\x00" * RECORD_BYTES, [7, 7, 7, 7, None], False),  # of a power cut
    ],
)
def test_what_follows_damage_is_read(
    tmp_path: Path, where: int, fragment: bytes, rows: list[int | None], is_whole: bool
) -> None:
    journal = Journal(tmp_path / "x.v2.journal", _MODEL)
    for _ in range(4):
        journal.add(_PACKED)
    journal.abandon()
    data = journal.path.read_bytes()
    cut = (1 + where) * RECORD_BYTES
    journal.path.write_bytes(data[:cut] + fragment + data[cut:])
    noted = read_journal(journal.path)
    assert [one and one.time_us for one in noted.rows] == rows
    assert (noted.is_whole, noted.model) == (is_whole, _MODEL)


def test_a_journal_of_nothing_that_can_be_read_is_kept(ledger: Ledger, model: Path) -> None:
    _, path = _left_behind(ledger, model, 3)
    path.write_bytes(bytes(len(path.read_bytes())))
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        decisions.record(b"i", b"o")
        decisions.flush()
        assert len(decisions.receipts) == 1 and decisions.problem is not None
    assert path.with_name(f"{path.name}.kept").exists()


def test_what_was_logged_under_another_key_is_in_the_log_and_what_was_not_is_kept(ledger: Ledger, model: Path) -> None:
    ledger.keyring.new("other", algorithm="ed25519")
    tickets, path = _left_behind(ledger, model, 3)
    data = path.read_bytes()
    with ledger.decisions("acme/model", model, key="someone") as first:
        first.flush()
    path.write_bytes(data)  # as if it had been killed before the journal was removed
    with ledger.decisions("acme/model", model, key="other") as second:
        second.flush()
        assert (second.problem, path.exists()) == (None, False)
        assert [receipt.name for receipt in second.receipts] == [tickets[0].dataset]
    path.write_bytes(data[: 3 * RECORD_BYTES])
    with ledger.decisions("acme/model", model, key="other") as third:
        third.flush()
        assert third.problem is not None and not path.exists()
    assert path.with_name(f"{path.name}.kept").read_bytes() == data[: 3 * RECORD_BYTES]
    assert [len(rows) for rows in all_rows(ledger).values()] == [len(tickets)]


def test_a_journal_belongs_to_one_process_until_it_is_logged(
    ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("disk is full")

    with monkeypatch.context() as failing:
        failing.setattr(module, "log_journal", full)
        decisions = ledger.decisions("acme/model", model, key="someone")
        ticket = decisions.record(b"i", b"o")
        with pytest.raises(StoreError, match="disk is full"):
            decisions.flush()
        assert adopt([_folder(ledger)], 10) == []
        assert "journals of decisions that are not in the log yet: 2" in ledger.fsck().notes
        with pytest.raises(StoreError, match="disk is full"):
            decisions.close()
    with ledger.decisions("acme/model", model, key="someone") as after:
        after.flush()
        assert [receipt.name for receipt in after.receipts] == [ticket.dataset]
    decisions.close()
    assert len(all_rows(ledger)) == 1


def test_the_thread_survives_whatever_stops_a_batch(ledger: Ledger, model: Path) -> None:
    with ledger.decisions("acme/model", model, key="someone", batch_decisions=2, batch_seconds=0.1) as decisions:
        ticket = decisions.record(b"i", b"o")
        blocker = _folder(ledger) / ticket.dataset.rpartition("@")[2]
        blocker.write_bytes(b"a file where the batch's folder should be")
        decisions.record(b"i", b"o")
        _wait(lambda: decisions.problem is not None)
        assert isinstance(decisions.problem, StoreError)
        with pytest.raises(StoreError, match="cannot log the decisions"):
            decisions.flush()
        blocker.unlink()
        _wait(lambda: decisions.receipts != [])
        _wait(lambda: decisions.problem is None)
        decisions.record(b"i", b"o")  # and what is recorded later is logged by time
        _wait(lambda: len(decisions.receipts) == 2)


def test_the_thread_survives_errors_of_any_kind(ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def broken(*_: object) -> None:
        tried.append(time.monotonic())
        raise ZeroDivisionError("secret")

    with ledger.decisions("acme/model", model, key="someone", batch_seconds=0.1) as decisions:
        with monkeypatch.context() as failing:
            failing.setattr(module, "log_journal", broken)
            decisions.record(b"i", b"o")
            _wait(lambda: len(tried) >= 4)
            assert tried[-1] - tried[0] >= 0.1 + 0.2 + 0.4  # it is not tried without pause
        assert "ZeroDivisionError" in str(decisions.problem) and "secret" not in str(decisions.problem)
        _wait(lambda: len(decisions.receipts) == 1)


def test_what_a_batch_in_the_log_lost_is_not_taken_for_logged(ledger: Ledger, model: Path) -> None:
    tickets, path = _left_behind(ledger, model, 3)
    data = path.read_bytes()
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        decisions.flush()
    for damage in ("changed", "gone"):
        table = _folder(ledger) / tickets[0].dataset.rpartition("@")[2] / "decisions.arrow"
        if damage == "gone":
            table.unlink()
            table.parent.rmdir()
        else:
            table.write_bytes(b"no table")
        path.write_bytes(data)
        with ledger.decisions("acme/model", model, key="someone") as decisions:
            decisions.flush()
            assert decisions.problem is not None
        kept = path.with_name(f"{path.name}.kept")
        assert kept.read_bytes() == data
        kept.unlink()


def test_a_full_journal_that_cannot_be_followed_refuses_and_recovers(
    ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Journal:
        raise StoreError("cannot begin a journal of decisions")

    with ledger.decisions("acme/model", model, key="someone", batch_decisions=2) as decisions:
        with monkeypatch.context() as failing:
            failing.setattr(decisions, "_begin", refuse)
            decisions.record(b"0", b"o")
            decisions.record(b"1", b"o")
            with pytest.raises(StoreError, match="cannot begin"):
                decisions.record(b"lost", b"o")
        decisions.record(b"2", b"o")
    assert [len(rows) for rows in all_rows(ledger).values()] == [2, 1]


def _wait(is_so: Any) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "nothing happened for 20 s"
        time.sleep(0.02)
