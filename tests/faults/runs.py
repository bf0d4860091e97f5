"""Runs of the worker under strace, and what must hold of the ledger afterwards."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.faults.steps import Told
from tests.faults.strace import KILL, Point, attach, calls, points, shortened
from tests.paths import PROJECT

_WAIT_S: Final = 60
_HANGS_S: Final = 120


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker ended: by which signal, or with which code; what it told; and strace's record of it."""

    signal: int | None
    code: int | None
    told: tuple[Told, ...]
    trace: Path


class FaultWorkers:
    """Sends orders to `tests.faults.worker`, with strace at the worker before it begins."""

    def __init__(self, folder: Path) -> None:
        self._errors = (folder / "worker-errors").open("w+")
        command = [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.faults.worker"]
        self._process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self._read()

    def run(self, job: str, place: Path, data: Path, *, point: Point | None = None, fault: str | None = None) -> Ended:
        """A worker does `job` on the ledger in `place` with the fault at the point; nothing fails without one."""
        told, trace = place / "told", place / "trace"
        order = {"job": job, "place": str(place), "data": str(data), "told": str(told), "cache": str(place / "cache")}
        self._write(json.dumps(order))
        pid = self._read()["pid"]
        try:
            process = attach(pid, point, fault, trace)
        except AssertionError:
            self._write("stop")
            self._read()
            raise
        self._write("go")
        try:
            answer = self._read()
        except AssertionError:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            process.communicate(timeout=_WAIT_S)
        lines = told.read_bytes().split(b"\n")[:-1] if told.exists() else []  # a line that was cut is nobody's
        return Ended(answer["signal"], answer["code"], tuple(json.loads(line) for line in lines), trace)

    def close(self) -> None:
        """End the process that forks; AssertionError if it does not end well."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        code = self._process.wait(_WAIT_S)
        self._process.stdout.close()
        self._errors.close()
        assert code == 0

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        """The next answer; AssertionError if there is none within two minutes: nothing here waits that long."""
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], _HANGS_S)[0]
        assert ready, "the worker hangs"
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait(_WAIT_S)
            self._errors.seek(0)
            raise AssertionError(f"the worker process ended with {code}:\n{self._errors.read()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def copied(template: Path, place: Path) -> Path:
    """A copy of the template's ledger in `place`."""
    place.mkdir()
    shutil.copytree(template / ".provenance", place / ".provenance")
    return place


def points_of(ended: Ended, place: Path) -> list[Point]:
    """What of a run can be made to fail: its calls on the ledger, on the cache and on their folder."""
    return points(ended.trace, place, besides=[place / "told"])


def missed(ended: Ended, place: Path, point: Point, fault: str) -> str | None:
    """What was hit in place of the point, or that nothing was; None if the fault struck there."""
    there = [call for call in calls(ended.trace) if (call.name, call.number) == (point.name, point.number)]
    if not there:
        return "the call was never made"
    if fault == KILL and ended.signal != signal.SIGKILL:
        return "the process was not killed"
    if fault != KILL and not there[0].is_injected:
        return "the call did not fail"
    on = shortened(there[0], place)
    # A call that a kill cut short was not written down to its end.
    if not point.on.startswith(on.rstrip(")")) if fault == KILL else on != point.on:
        return f"another call was hit: on {on}"
    same = [call for call in calls(ended.trace) if call.name == point.name and shortened(call, place) == point.on]
    before = sum(call.number < point.number for call in same)
    return None if before == point.turn - 1 else f"it was hit at another turn: {before + 1}"


def other_number(ended: Ended, place: Path, point: Point, attempt: int) -> Point:
    """The point by the number that its call had in a run that missed it, or by one near that which was counted.

    `attempt` counts the misses from 0: one more, one less, two more, two less, and so on.
    """
    same = [call for call in calls(ended.trace) if call.name == point.name and shortened(call, place) == point.on]
    if len(same) >= point.turn:
        return replace(point, number=same[point.turn - 1].number)
    step = attempt // 2 + 1
    return replace(point, number=max(1, point.number + (-step if attempt % 2 else step)))
