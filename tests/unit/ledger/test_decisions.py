"""Decisions: nothing acknowledged is lost, each can be proven, none says anything without its salt."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import provenance
from provenance.encoding import Digest
from provenance.errors import NotFoundError, StoreError, VerificationError
from provenance.ledger import Ledger
from provenance.ledger import decisions as module
from provenance.ledger.decision_journal import RECORD_BYTES, Journal, read_journal
from provenance.ledger.decision_middleware import DecisionMiddleware
from provenance.ledger.decisions import Decisions, check_decision, salt_of
from provenance.policy import Level
from provenance.statement.revocation import Revocation, RevocationReason
from tests.paths import PROJECT
from tests.unit.ledger.decision_rows import rows_of


def test_a_decision_is_a_record_that_can_be_proven(ledger: Ledger, model: Path) -> None:
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        tickets = [decisions.record(b"in %d" % n, b"out %d" % n, b"why" if n == 1 else None) for n in range(3)]
    (receipt,) = decisions.receipts
    assert receipt.name == tickets[0].dataset
    rows = rows_of(ledger, receipt.name)
    assert [ticket.row for ticket in tickets] == [0, 1, 2]
    assert [row["explanation"] is not None for row in rows] == [False, True, False]
    for number, (ticket, row) in enumerate(zip(tickets, rows, strict=True)):
        given, answer = b"in %d" % number, b"out %d" % number
        assert row["model"] == ledger.pin("acme/model").digest.raw
        assert check_decision(row, ticket.salt, given, answer)
        assert not check_decision(row, ticket.salt, given, b"other")
        assert not check_decision(row, bytes(16), given, answer)
        assert salt_of(ledger, "acme/model", ticket.dataset, ticket.row) == ticket.salt
    proof = ledger.proofs(receipt.name).rows(1, 2, ledger.table(receipt.name))
    assert proof.claim is not None
    report = ledger.verify(receipt.name, records=True)
    assert report.sound
    assert [artefact.name for artefact in report.artefacts] == [receipt.name, "acme/model@1"]


def test_equal_inputs_are_not_seen_to_be_equal(ledger: Ledger, model: Path) -> None:
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        tickets = [decisions.record(b"same", b"same") for _ in range(2)]
    rows = rows_of(ledger, decisions.receipts[0].name)
    digests = {row[name] for row in rows for name in ("input", "output")}
    assert len(digests) == 2 and tickets[0].salt != tickets[1].salt
    kept = [ledger.layout.directory / "decisions", *ledger.layout.directory.joinpath("decisions").rglob("*")]
    assert len(kept) > 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_file()} == {0o600}


def test_folders_of_earlier_releases_are_closed(ledger: Ledger, model: Path) -> None:
    folder = ledger.layout.directory / "decisions"
    folders = [folder, folder / "acme", folder / "acme/model@1", folder / "acme_model@1"]
    for one in folders:
        one.mkdir(parents=True, exist_ok=True)
        one.chmod(0o755)
    ledger.decisions("acme/model", model, key="someone").close()
    assert {stat.S_IMODE(one.stat().st_mode) for one in folders} == {0o700}


def test_a_model_that_does_not_verify_is_refused(ledger: Ledger, model: Path) -> None:
    model.write_bytes(b"other")
    with pytest.raises(VerificationError, match="model does not verify: content of acme/model@1"):
        ledger.decisions("acme/model", model, key="someone")
    model.write_bytes(b"weights")
    ledger.state("acme/model", Revocation(RevocationReason.COMPROMISED), key="someone")
    with pytest.raises(VerificationError, match="revocation"):
        ledger.decisions("acme/model", model, key="someone")


def test_a_model_below_the_level_that_it_needs_is_refused_unless_less_is_asked_for(
    ledger: Ledger, model: Path, tmp_path: Path
) -> None:
    place = tmp_path / "secret.bin"
    place.write_bytes(b"secret weights")
    ledger.register(place, "acme/secret", "1", key="someone", kind="model", sensitivity="restricted", anchor=False)
    assert ledger.verify(place).verdict == "incomplete"
    with pytest.raises(VerificationError, match="expected D4; got D2") as caught:
        ledger.decisions("acme/secret", place, key="someone")
    assert caught.value.hint is not None and "quality" in caught.value.hint
    with pytest.raises(VerificationError, match="expected D3; got D2"):
        ledger.decisions("acme/model", model, required=Level.D3, key="someone")
    with ledger.decisions("acme/secret", place, required=Level.D2, key="someone") as decisions:
        decisions.record(b"i", b"o")
    assert len(decisions.receipts) == 1
    place.write_bytes(b"other")
    with pytest.raises(VerificationError, match="content of acme/secret@1"):
        ledger.decisions("acme/secret", place, required=Level.D0, key="someone")


def test_batches_are_logged_by_number_and_by_time(ledger: Ledger, model: Path) -> None:
    with ledger.decisions("acme/model", model, key="someone", batch_decisions=10, batch_seconds=0.2) as decisions:
        for number in range(25):
            decisions.record(b"%d" % number, b"x")
        deadline = time.monotonic() + 20
        while sum(len(rows_of(ledger, r.name)) for r in list(decisions.receipts)) < 25 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sum(len(rows_of(ledger, r.name)) for r in decisions.receipts) == 25
    assert [len(rows_of(ledger, r.name)) for r in decisions.receipts][:2] == [10, 10]


def test_threads_share_it(ledger: Ledger, model: Path) -> None:
    with ledger.decisions("acme/model", model, key="someone", batch_decisions=100) as decisions:
        tickets: list[Any] = []
        threads = [
            threading.Thread(target=lambda: tickets.extend(decisions.record(b"i", b"o") for _ in range(200)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({(ticket.dataset, ticket.row) for ticket in tickets}) == 800
    rows = {receipt.name: rows_of(ledger, receipt.name) for receipt in decisions.receipts}
    assert sum(map(len, rows.values())) == 800
    assert all(check_decision(rows[t.dataset][t.row], t.salt, b"i", b"o") for t in tickets)


WORKER = """
import sys
from provenance import Ledger
with Ledger.open(sys.argv[1]) as ledger:
    decisions = ledger.decisions("acme/model", sys.argv[2], key="someone")
    number = 0
    while True:
        ticket = decisions.record(b"%d" % number, b"out")
        print(ticket.dataset, ticket.row, ticket.salt.hex(), flush=True)
        number += 1
"""


@pytest.mark.parametrize("wait_s", [0.05, 0.3, 0.6])
def test_a_killed_process_loses_nothing_it_acknowledged(ledger: Ledger, model: Path, wait_s: float) -> None:
    command = [sys.executable, "-c", WORKER, str(ledger.layout.directory), str(model)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()[:-1]  # the last may be cut
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        decisions.flush()
    rows = {receipt.name: rows_of(ledger, receipt.name) for receipt in decisions.receipts}
    for number, line in enumerate(lines):
        dataset, row, salt = line.decode().split()
        assert check_decision(rows[dataset][int(row)], bytes.fromhex(salt), b"%d" % number, b"out")
    assert list(ledger.layout.directory.rglob("*.journal")) == []


def test_what_cannot_be_logged_waits_and_is_bounded(
    ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("disk is full")

    decisions = ledger.decisions("acme/model", model, key="someone", batch_decisions=1)
    monkeypatch.setattr(module, "log_journal", full)
    with pytest.raises(StoreError, match="too many decisions wait"):
        for _ in range(module.MAX_WAITING + 10):
            decisions.record(b"i", b"o")
    with pytest.raises(StoreError, match="disk is full"):
        decisions.flush()
    assert decisions.problem is not None
    monkeypatch.undo()
    decisions.close()
    assert len(decisions.receipts) == module.MAX_WAITING + 1


def test_a_torn_record_is_dropped_and_no_byte_can_be_changed(tmp_path: Path) -> None:
    from provenance.ledger.decision_journal import RECORD

    whose, cut_off = Digest.of(b"the model's entry"), tmp_path / "y.v2.journal"
    journal = Journal(tmp_path / "x.v2.journal", whose)
    for number in range(3):
        journal.add(RECORD.pack(number, bytes(16), bytes(32), bytes(32), bytes(32), False))
    journal.end()
    data = (tmp_path / "x.v2.journal").read_bytes()
    assert len(data) == 4 * RECORD_BYTES == 4 * 128
    for cut in range(len(data)):
        cut_off.write_bytes(data[:cut])
        noted = read_journal(cut_off)
        assert (len(noted.rows), noted.damaged, noted.is_whole) == (max(cut // RECORD_BYTES - 1, 0), 0, True)
        assert noted.model == (whose if cut >= RECORD_BYTES else None)
    for place in range(3 * RECORD_BYTES):
        changed = bytearray(data)
        changed[place] ^= 1
        cut_off.write_bytes(changed)
        noted = read_journal(cut_off)
        damaged = place // RECORD_BYTES - 1
        assert [one and one.time_us for one in noted.rows] == [None if n == damaged else n for n in range(3)]
        assert (noted.damaged, noted.is_whole) == (int(damaged >= 0), False)
        assert noted.model == (None if damaged < 0 else whose)
    with pytest.raises(StoreError):
        Journal(tmp_path / "x.v2.journal", whose)


def test_a_function_and_a_service_are_recorded(ledger: Ledger, model: Path) -> None:
    with ledger.decisions("acme/model", model, key="someone") as decisions:

        @decisions
        def predict(value: dict[str, int]) -> dict[str, int]:
            return {"y": value["x"] * 2}

        assert predict({"x": 3}) == {"y": 6}

        async def answer(request: Request) -> JSONResponse:
            body = await request.json()
            return JSONResponse({"y": body["x"]}, 400 if body["x"] < 0 else 200)

        routes = [Route("/predict", answer, methods=["POST"]), Route("/other", answer, methods=["POST"])]
        client = TestClient(DecisionMiddleware(Starlette(routes=routes), decisions, paths=["/predict"]))
        assert client.post("/predict", content=b'{"x":5}').json() == {"y": 5}
        assert client.post("/predict", content=b'{"x":-5}').status_code == 400
        assert client.post("/other", content=b'{"x":5}').status_code == 200
    (receipt,) = decisions.receipts
    rows = rows_of(ledger, receipt.name)
    assert len(rows) == 2
    salts = [salt_of(ledger, "acme/model", receipt.name, row) for row in range(2)]
    assert check_decision(rows[0], salts[0], b'{"x":3}', b'{"y":6}')
    assert check_decision(rows[1], salts[1], b'{"x":5}', b'{"y":5}')


def test_an_answer_that_cannot_be_recorded_is_not_given(
    ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = Decisions(ledger, "acme/model", model, key="someone")

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="a decision was not written"):
        decisions.record(b"i", b"o")
    monkeypatch.undo()
    decisions.close()


def test_closing_twice_is_closing_once(ledger: Ledger, model: Path) -> None:
    decisions = ledger.decisions("acme/model", model, key="someone")
    decisions.record(b"i", b"o")
    decisions.close()
    decisions.close()
    assert len(decisions.receipts) == 1
    with pytest.raises(StoreError, match="a decision was not written"):
        decisions.record(b"i", b"o")


def test_a_journal_that_is_being_written_is_left_alone(ledger: Ledger, model: Path) -> None:
    first = ledger.decisions("acme/model", model, key="someone")
    ticket = first.record(b"i", b"o")
    with ledger.decisions("acme/model", model, key="someone") as second:
        second.flush()
        assert second.receipts == []
    first.close()
    assert [receipt.name for receipt in first.receipts] == [ticket.dataset]


def test_the_nearest_ledger_records_without_being_named(
    ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVENANCE_LEDGER", str(ledger.layout.directory))
    with provenance.decisions("acme/model", model, key="someone") as log:
        log.record(b"given", b"answer")
    assert len(rows_of(ledger, log.receipts[0].name)) == 1
    with pytest.raises(NotFoundError):
        provenance.decisions("acme/none")
