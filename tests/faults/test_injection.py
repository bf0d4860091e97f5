"""Every system call that touches a ledger fails in turn, and the process is killed at each.

A sample by default: every kind of call several times, spread over the run. All of them with PROVENANCE_LONG=1.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import runs
from tests.faults.aftermath import check_made, check_registered, check_told, leftovers
from tests.faults.durability import unsynced
from tests.faults.runs import Ended, FaultWorkers, copied, missed, other_number, points_of
from tests.faults.strace import KILL, OPENS, SYNCS, WRITES, Point, attach, calls, tool

LONG = os.environ.get("PROVENANCE_LONG") == "1"
JOBS = ("register", "copy", "init") if LONG else ("copy", "init")  # `copy` does all that `register` does
FULL = (*WRITES, *SYNCS, *OPENS)
"""What a full disk refuses: SQLite's files and ours are written late, so that it may be told at a sync."""
ATTEMPTS, NEAR = 40, 8
"""Runs in which a point is aimed at, and after how many of them the numbers around the counted one come again."""
FEW, MANY = 2, 4
"""Points of one kind of call in the sample: of a kind with fewer than 50 calls, and of others."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder for one run after another."""
    yield tmp_path / "place"


def prepared(job: str, template: Path, place: Path) -> Path:
    """`place`, with nothing or a copy of the template in it."""
    shutil.rmtree(place, ignore_errors=True)
    if job == "init":
        place.mkdir()
        return place
    return copied(template, place)


def strike(fault_workers: FaultWorkers, job: str, template: Path, place: Path, point: Point, fault: str) -> Ended:
    """A run in which the fault struck at the point; AssertionError if it strikes something else time and again."""
    wrong, aimed = None, point
    for attempt in range(ATTEMPTS):
        ended = fault_workers.run(job, prepared(job, template, place), template / "data", point=aimed, fault=fault)
        wrong = missed(ended, place, aimed, fault)
        if wrong is None:
            return ended
        aimed = other_number(ended, place, point, attempt % NEAR)
    raise AssertionError(wrong)


def check(job: str, ended: Ended, place: Path, data: Path) -> None:
    """All that must hold after a run."""
    check_told(ended)
    if ended.signal is None:
        assert not leftovers(place)
    if job == "init":
        check_made(ended, place)
    else:
        check_registered(ended, place, data)


def sample(points: list[Point]) -> list[Point]:
    """Some of the points, the same ones each time: of every kind of call the first, the last and some between."""
    chosen = []
    for name in dict.fromkeys(point.name for point in points):
        kind = [point for point in points if point.name == name]
        count = min(len(kind), MANY if len(kind) >= 50 else FEW)
        chosen += [kind[number * (len(kind) - 1) // max(1, count - 1)] for number in range(count)]
    return chosen


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", KILL])
@pytest.mark.parametrize("job", JOBS)
def test_a_fault_at_every_call(
    job: str, fault: str, template: Path, place: Path, fault_workers: FaultWorkers, record_property: Any
) -> None:
    data = template / "data"
    ended = fault_workers.run(job, prepared(job, template, place), data)
    check(job, ended, place, data)
    points = [point for point in points_of(ended, place) if fault != "ENOSPC" or point.name in FULL]
    assert len(points) > 100, "the run that was counted did next to nothing"
    started, wrong, struck = time.monotonic(), [], Counter[str]()
    for point in points if LONG else sample(points):
        struck[point.name] += 1
        try:
            check(job, strike(fault_workers, job, template, place, point, fault), place, data)
        except Exception as error:  # noqa: BLE001 - the others are tried, too
            wrong.append(f"{point}: {type(error).__name__}: {error}")
            print(wrong[-1], flush=True)
    figures = (
        f"{job}, {fault}: {struck.total()} of {len(points)} calls, {time.monotonic() - started:.1f} s, {dict(struck)}"
    )
    print(figures)
    record_property("calls", figures)
    assert not wrong, "\n\n".join(wrong)


FOUND = (
    # The connection that writes was opened while the disk refused: SQLite took it for a file that may only be read.
    ("register", "EIO", "openat", 'ledger.db", O_RDWR', -1),
    ("register", "EIO", "openat", "ledger.db-wal", -1),
    # What was read is good, whatever comes of closing it.
    ("register", "EIO", "close", "keys/someone.pem", 0),
    ("register", "EIO", "close", "keys/log.key", 0),
    ("register", "EIO", "close", "trees/.tree-*/lock", -1),
    # The key was there, and yet "cannot be written": its name was taken from then on.
    ("init", "EIO", "unlink", ".someone.pem", 0),
    ("init", "EIO", "fsync", "keys>", -1),
    # As was that of a key which could not be trusted.
    ("init", "ENOSPC", "write", ".trust.json", -1),
    ("init", "EIO", "rename", ".trust.json", -1),
    ("init", "EIO", "fsync", ".provenance>", -1),
    ("init", "EIO", "close", "trust.lock", 0),
    # The settings were there, and yet `init` had failed: run again, it said that there was a ledger already.
    ("init", "EIO", "mkdir", "blobs", 0),
    ("init", "EIO", "fsync", ".provenance>", -2),
)
"""Job, fault, call, what it is called on, and which of those: what was wrong once."""


@pytest.mark.parametrize(("job", "fault", "name", "on", "which"), FOUND)
def test_a_fault_that_did_harm_once(
    job: str, fault: str, name: str, on: str, which: int, template: Path, place: Path, fault_workers: FaultWorkers
) -> None:
    data = template / "data"
    ended = fault_workers.run(job, prepared(job, template, place), data)
    point = [point for point in points_of(ended, place) if point.name == name and on in point.on][which]
    check(job, strike(fault_workers, job, template, place, point, fault), place, data)


def test_a_machine_that_forbids_tracing_is_said_and_the_workers_live_on(
    template: Path, place: Path, fault_workers: FaultWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pid: int, *arguments: Any) -> Any:
        return attach(2**22 + pid, *arguments)  # above what a process id can be: refused as any other

    with monkeypatch.context() as patch:
        patch.setattr(runs, "attach", refused)
        with pytest.raises(AssertionError, match="These tests need ptrace"):
            fault_workers.run("nothing", prepared("init", template, place), template)
    assert fault_workers.run("nothing", prepared("init", template, place), template).code == 0


def test_a_tool_that_is_missing_fails_and_says_where_it_comes_from() -> None:
    with pytest.raises(AssertionError, match="apt-get install no-such-tool"):
        tool("no-such-tool")


@pytest.mark.parametrize("job", ["register", "copy", "init"])
def test_what_is_acknowledged_would_survive_a_power_cut(
    job: str, template: Path, place: Path, fault_workers: FaultWorkers
) -> None:
    ended = fault_workers.run(job, prepared(job, template, place), template / "data")
    found = list(unsynced(calls(ended.trace), place / ".provenance", place / "told"))
    assert len(found) == len(ended.told) > 3
    assert not [left for left in found if left], "acknowledged before it was synced"
