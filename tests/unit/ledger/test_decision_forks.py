"""Forked workers: what each acknowledges is logged once, under salts of its own, whoever ends first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance.errors import StoreError
from provenance.ledger import Ledger
from provenance.ledger.decision_journal import adopt
from provenance.ledger.decision_process import log_apart
from provenance.ledger.decisions import check_decision
from tests.paths import PROJECT
from tests.unit.ledger.decision_rows import all_rows

# Threads record while the process forks; children record beside the parent, whose batches are logged meanwhile.
WORKER = """
import os, sys, threading
from provenance import Ledger

folder, model, out, end = sys.argv[1:]
ledger = Ledger.open(folder)
decisions = ledger.decisions("acme/model", model, key="someone", batch_decisions=1_500, batch_seconds=0.5)

def work(who, count):
    with open(f"{out}/{who}", "w", buffering=1) as file:
        for number in range(count):
            ticket = decisions.record(f"{who} {number}".encode(), b"out")
            print(ticket.dataset, ticket.row, ticket.salt.hex(), f"{who} {number}", file=file)

before = [threading.Thread(target=work, args=(f"parent{n}", 2_000)) for n in range(2)]
for thread in before:
    thread.start()
children = []
for n in range(3):
    child = os.fork()
    if child == 0:
        try:
            threads = [threading.Thread(target=work, args=(f"child{n}-{m}", 1_000)) for m in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if end == "close":
                decisions.close()
                assert decisions.problem is None and decisions.receipts, decisions.problem
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
for thread in before:
    thread.join()
if end == "flush first":  # the parent's log must not take along what the children are writing
    decisions.flush()
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
decisions.close()
assert decisions.problem is None, decisions.problem
ledger.close()
"""


@pytest.mark.parametrize("end", ["close", "exit", "flush first"])
def test_forked_workers_lose_nothing_and_share_no_salt(ledger: Ledger, model: Path, tmp_path: Path, end: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", WORKER, str(ledger.layout.directory), str(model), str(out), end]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    lines = [line for path in out.iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == 2 * 2_000 + 3 * 2 * 1_000
    # A child that just exits may leave the process behind that logs its batches, or end it before it has begun; then
    # its journals are left to the next recorder.
    deadline = time.monotonic() + 30
    while list(ledger.layout.directory.rglob("*.journal")) and time.monotonic() < deadline:
        time.sleep(0.1)
        ledger.decisions("acme/model", model, key="someone").close()
    rows = all_rows(ledger)
    assert sum(map(len, rows.values())) == len(lines)
    salts = set()
    for line in lines:
        dataset, row, salt, given = line.split(" ", 3)
        assert check_decision(rows[dataset][int(row)], bytes.fromhex(salt), given.encode(), b"out")
        salts.add(salt)
    assert len(salts) == len(lines)
    assert list(ledger.layout.directory.rglob("*.journal*")) == []
    assert ledger.fsck().clean


KILLED = """
import os, signal, sys, time
from provenance import Ledger
ledger = Ledger.open(sys.argv[1])
decisions = ledger.decisions("acme/model", sys.argv[2], key="someone", batch_seconds=0.3)
decisions.record(b"parent", b"out")
if os.fork() == 0:
    ticket = decisions.record(b"child", b"out")
    print(ticket.dataset, ticket.salt.hex(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
deadline = time.monotonic() + 60
while len(decisions.receipts) < 2 and time.monotonic() < deadline:
    time.sleep(0.05)
print(*(receipt.name for receipt in decisions.receipts), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_parent_logs_what_a_killed_child_left(ledger: Ledger, model: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(ledger.layout.directory), str(model)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    first, logged = done.stdout.decode().splitlines()
    dataset, salt = first.split()
    assert dataset in logged.split()
    assert check_decision(all_rows(ledger)[dataset][0], bytes.fromhex(salt), b"child", b"out")


def _in_child(work: Callable[[], object]) -> int:
    """The exit status of a fork that does some work; 1 if it raises."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child must not go on with the tests
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + 60
    while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return found[1]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_leaves_the_parents_journal_alone(ledger: Ledger, model: Path) -> None:
    folder = ledger.layout.directory / "decisions" / "acme" / "model@1"
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        ticket = decisions.record(b"i", b"o")
        assert _in_child(decisions.close) == 0  # a child that recorded nothing logs nothing, and closes nothing
        assert _in_child(lambda: decisions.record(b"j", b"o")) == 0
        assert decisions.record(b"k", b"o").row == 1
        assert len(list(folder.glob("*.journal"))) == 2
        (left,) = adopt([folder], 10)
        left.release()
        assert all_rows(ledger) == {}
    assert [len(rows) for rows in all_rows(ledger).values()] in ([2, 1], [1, 2])
    assert len(all_rows(ledger)[ticket.dataset]) == 2

    def record() -> None:
        with pytest.raises(StoreError, match="a decision was not written"):
            decisions.record(b"i", b"o")

    assert _in_child(record) == 0  # what was closed is closed in children, too


def test_a_process_of_its_own_says_what_stood_in_its_way(
    ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ledger.layout.directory / "decisions" / "acme" / "model@1"
    decisions = ledger.decisions("acme/model", model, key="someone")
    decisions.record(b"i", b"o")
    decisions._journal.abandon()
    (claim,) = adopt([folder], 1)
    where = ledger.layout.directory
    model_name = ("acme/model.decisions", "acme/model@1", [claim])
    with pytest.raises(StoreError, match=r"forked process could not be logged: .*nobody"):
        list(log_apart(where, *model_name, "nobody", b"secret"))
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(folder / "none"))
        with pytest.raises(StoreError, match="could not be started"):
            list(log_apart(where, *model_name, "someone", None))
    assert claim.path.exists()
    (receipt,) = log_apart(where, *model_name, "someone", None)
    assert receipt is not None
    assert receipt.proof == ledger.receipt(receipt.name).proof
    assert [len(rows) for rows in all_rows(ledger).values()] == [1]
    claim.release()
    decisions.close()
