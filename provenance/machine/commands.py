"""Commands of others, run here: what they inherit, how they ended, and who of theirs is still at work.

Invariants: the passphrase of this program's keys is not in what a command inherits; while it runs, processes that its
own left behind become children of this one (Linux, `PR_SET_CHILD_SUBREAPER`), so that they are found; they are waited
for a moment and never killed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provenance.errors import CommandError, SourceError

PASSPHRASE_VARIABLE: Final = "PROVENANCE_PASSPHRASE"  # noqa: S105 - its name
"""Where the command line finds a passphrase; whatever is run for a user must not."""
GRACE_S: Final = 1.0
"""For how long helpers that end by themselves after their command, as Python's do, are waited for."""
_POLL_S: Final = 0.01
_SET_SUBREAPER, _GET_SUBREAPER = 36, 37
_ZOMBIE: Final = "Z"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit status (128 and the signal's number, if one ended it), and whether all processes
    that it left behind ended too."""

    program: str
    status: int
    is_alone: bool

    def check(self, hint: str | None = None) -> None:
        """Raise `CommandError` unless it exited with 0."""
        if self.status:
            raise CommandError("the command failed", status=self.status, where=self.program, hint=hint)


def execute(
    command: Sequence[str], folder: Path, timeout_s: float | None, env: Mapping[str, str] | None = None
) -> Ended:
    """Run a command in a folder, with `env` or what this process has but its passphrase. `SourceError` unless it can be
    started and ends in time."""
    # What it prints may be piped on, and is not ours: with --json the document stands alone on standard output.
    sys.stdout.flush()
    given = {name: value for name, value in (os.environ if env is None else env).items() if name != PASSPHRASE_VARIABLE}
    try:
        with _adopting() as survivors:
            done = subprocess.run(  # noqa: S603 - running what its caller says is what it is for
                command, cwd=folder, timeout=timeout_s, stdin=subprocess.DEVNULL, stdout=2, env=given, check=False
            )
            is_alone = not survivors.wait()
    except subprocess.TimeoutExpired:
        raise SourceError("the command took too long", expected=f"at most {timeout_s} s", where=command[0]) from None
    except OSError as error:
        raise SourceError("cannot run the command", got=error.strerror, where=command[0]) from error
    return Ended(command[0], done.returncode if done.returncode >= 0 else 128 - done.returncode, is_alone)


class _Survivors:
    """The children that this process did not have before; with `adopts`, those that were left behind are among them."""

    def __init__(self, adopts: bool) -> None:
        self._adopts = adopts
        self._before = frozenset(_children()) if adopts else frozenset[int]()

    def wait(self) -> bool:
        """Whether some are still at work after a moment, or it cannot be told."""
        end = time.monotonic() + GRACE_S
        ended = set[int]()
        while self._adopts:
            found = {pid: state for pid, state in _children().items() if pid not in self._before}
            at_work = [pid for pid, state in found.items() if state != _ZOMBIE]
            # Who ended since the last look may have left somebody who came too late to be seen: look again.
            if not at_work and found.keys() <= ended:
                return False
            if time.monotonic() > end:
                return True
            ended.update(found.keys() - at_work)
            _reap(ended)
            if at_work:
                time.sleep(_POLL_S)
        return True


@contextmanager
def _adopting() -> Iterator[_Survivors]:
    """Have orphans of descendants become children of this process while the block runs."""
    before = ctypes.c_int(0)
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    except (OSError, AttributeError):
        prctl = None
    adopts = prctl is not None and not prctl(_GET_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    adopts = adopts and prctl is not None and not prctl(_SET_SUBREAPER, 1, 0, 0, 0)
    try:
        yield _Survivors(adopts and Path("/proc/self/stat").exists())
    finally:
        if adopts and prctl is not None and not before.value:
            prctl(_SET_SUBREAPER, 0, 0, 0, 0)


def _children() -> dict[int, str]:
    """The states of this process's children, by their ids, as Linux's /proc tells them."""
    own, found = str(os.getpid()), dict[int, str]()
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            stat = (process / "stat").read_text("utf-8", "replace")
        except OSError:  # it ended meanwhile
            continue
        state, parent = stat[stat.rindex(")") + 2 :].split()[:2]  # a name may hold spaces and brackets
        if parent == own:
            found[int(process.name)] = state
    return found


def _reap(ended: Iterable[int]) -> None:
    # Another thread's children are its own to wait for; the one more that there is watches what is opened.
    if threading.active_count() > 2:
        return
    for pid in ended:
        with suppress(ChildProcessError):  # it was before
            os.waitpid(pid, os.WNOHANG)
