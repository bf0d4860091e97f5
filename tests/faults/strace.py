"""One system call of a process made to fail, or the process killed at it, with strace.

A point is one system call: its name and how often that name was called by the process's first thread since tracing
began. strace's own filter by path takes whole paths only, and half of what matters (drafts before a rename, SQLite's
log) has names of its own each time: so a first run is traced whole and the calls on paths or descriptors below certain
folders are taken from its trace. The job does the same calls on them in every run, and others between that may shift
the numbers: what was hit is read from the trace of the run itself, and another number is tried if that was another.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
_RESUMED = re.compile(r"([0-9]+) +<\.\.\. [a-z0-9_]+ resumed>(.*)")
_UNFINISHED: Final = " <unfinished ...>"
_NUMBERS = re.compile(r"AT_FDCWD<[^>]*>, |(?<![^ ])[0-9]+(?=<)|, [0-9]+")
_RANDOM = re.compile(r"[0-9a-f]{16,}|(?<=\.tree-)\w{8}|(?<=\.)[0-9]+(?=\.new)")
_WAIT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`-th call of `name`, counted from 1; it was the `turn`-th of that name on `on`."""

    name: str
    number: int
    on: str
    turn: int = 1

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
    found, pending = list[Call](), dict[str, int]()
    for line in trace.read_text("utf-8", "replace").splitlines():
        resumed = _RESUMED.match(line)
        if resumed is not None and (begun := pending.pop(resumed[1], None)) is not None:
            found[begun] = replace(found[begun], rest=found[begun].rest.removesuffix(_UNFINISHED) + resumed[2])
        match = _LINE.match(line)
        if match is None:  # the end of a call that another thread interrupted, or of the process
            continue
        key = match["thread"] or "", match["name"]
        seen[key] += 1
        if match["rest"].endswith(_UNFINISHED):
            pending[key[0]] = len(found)
        found.append(Call(*key, match["rest"], seen[key]))
    return found


def points(trace: Path, folder: Path, *, besides: Iterable[Path] = ()) -> list[Point]:
    """The calls of a trace that are about the folder or something in it, but for those about `besides`.

    AssertionError if one of them is not the first thread's: only that one can be made to fail.
    """
    others, found = tuple(str(path) for path in besides), calls(trace)
    about = [call for call in found if str(folder) in call.rest and not any(other in call.rest for other in others)]
    assert {call.thread for call in about} <= {found[0].thread}, "another thread writes to the ledger"
    turns: Counter[tuple[str, str]] = Counter()
    result = []
    for call in about:
        on = shortened(call, folder)
        turns[call.name, on] += 1
        result.append(Point(call.name, call.number, on, turns[call.name, on]))
    return result


def shortened(call: Call, folder: Path) -> str:
    """What a call is about, the same in every run in whatever folder: without descriptors, sizes and random names."""
    text = call.rest.partition(" = ")[0].removesuffix(_UNFINISHED).replace(str(folder), "")
    return _RANDOM.sub("*", _NUMBERS.sub("", text))[:100]
