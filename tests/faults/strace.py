"""One system call of a process made to fail, or the process killed at it, with strace.

A point is one system call: its name and how often that name was called by the process's first thread since tracing
began. strace's own filter by path takes whole paths only, and half of what matters (drafts before a rename, SQLite's
log) has names of its own each time: so a first run is traced whole and the calls on paths or descriptors below certain
folders are taken from its trace; the job does the same calls in every run. What was hit in the end is read from the
trace of the run itself.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WRITES: Final = ("write", "pwrite64", "writev", "ftruncate", "fallocate")
OPENS: Final = ("openat", "mkdir", "mkdirat")
SYNCS: Final = ("fsync", "fdatasync")
NAMES: Final = ("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat")
CALLS: Final = (*OPENS, *WRITES, *SYNCS, *NAMES, "close")
"""Every kind of system call that makes, changes, keeps or names something on disk."""
KILL: Final = "KILL"
_LINE = re.compile(r"(?:(?P<thread>[0-9]+) +)?(?P<name>[a-z0-9_]+)\((?P<rest>.*)")
_WAIT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`-th call of `name`, counted from 1; `on` is what it was called on when it was counted."""

    name: str
    number: int
    on: str

    def __str__(self) -> str:
        return f"{self.name} {self.number} ({self.on})"


@dataclass(frozen=True, slots=True)
class Call:
    """A line of a trace: a call, the text of its arguments and result, and its number among those of its thread."""

    thread: str
    name: str
    rest: str
    number: int

    @property
    def is_injected(self) -> bool:
        """Whether strace made it fail."""
        return "(INJECTED)" in self.rest


def tool(name: str) -> str:
    """The path of a program that these tests need; an AssertionError that says where it comes from if it is not there.

    `scripts/test` installs it.
    """
    found = shutil.which(name)
    assert found, f"{name} is needed by these tests: as root, apt-get install {name}; or run scripts/test"
    return found


def options(point: Point | None, fault: str | None, trace: Path) -> list[str]:
    """strace's command line for a run with `fault` (an error's name, or KILL) at `point`; None: only watch."""
    calls = ",".join(f"?{name}" for name in CALLS)
    command = [tool("strace"), "-y", "-s", "0", "-o", str(trace), "-e", f"trace={calls}", "-e", "signal=none"]
    if point is None:
        command.append("-f")
    else:  # threads count each for itself: with -f the same number of another thread would fail as well
        what = f"signal={fault}" if fault == KILL else f"error={fault}"
        command += ["-e", f"inject={point.name}:{what}:when={point.number}"]
    return command


def attach(pid: int, point: Point | None, fault: str | None, trace: Path) -> subprocess.Popen[str]:
    """strace at a process that waits; returned once it is there. AssertionError if the system does not allow it."""
    process = subprocess.Popen([*options(point, fault, trace), "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    if "attached" not in line:
        process.kill()
        process.communicate(timeout=_WAIT_S)
        raise AssertionError(
            f"strace cannot trace a process of this user here: {line.strip()}\n"
            "  These tests need ptrace: not forbidden by a container (--cap-add=SYS_PTRACE) or by "
            "kernel.yama.ptrace_scope above 2"
        )
    return process


def calls(trace: Path) -> list[Call]:
    """The calls in a trace, in order."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for line in trace.read_text("utf-8", "replace").splitlines():
        match = _LINE.match(line)
        if match is None:  # the end of a call that another thread interrupted, or of the process
            continue
        key = match["thread"] or "", match["name"]
        seen[key] += 1
        found.append(Call(*key, match["rest"], seen[key]))
    return found


def points(trace: Path, folder: Path, *, besides: Iterable[Path] = ()) -> list[Point]:
    """The calls of a trace that are about the folder or something in it, but for those about `besides`.

    AssertionError if one of them is not the first thread's: only that one can be made to fail.
    """
    place, others, found = str(folder), tuple(str(path) for path in besides), calls(trace)
    about = [call for call in found if place in call.rest and not any(other in call.rest for other in others)]
    assert {call.thread for call in about} <= {found[0].thread}, "another thread writes to the ledger"
    return [Point(call.name, call.number, _shortened(call.rest, place)) for call in about]


def _shortened(rest: str, place: str) -> str:
    text = re.sub(r"AT_FDCWD<[^>]*>, ", "", rest.partition(" = ")[0]).replace(place, "")
    return re.sub(r"[0-9a-f]{16,}", "*", text)[:100]
