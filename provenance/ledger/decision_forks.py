"""What forks do to objects with threads and locks: those that are listed here are held still meanwhile.

Invariants: nobody writes while the process forks (or the fork waited `_WAIT_S` for it in vain); the child's objects
begin again with locks, threads and files of their own; objects are not kept alive by being listed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Final, Protocol

_WAIT_S: Final = 5.0
"""How long a fork waits for a thread that is writing: it takes microseconds, or a sync of the disk."""


class Forkable(Protocol):
    """An object that goes on in a forked process."""

    def hold(self, timeout_s: float) -> bool:
        """Before a fork: let nobody write until `resume`; whether that came about in time."""

    def resume(self) -> None:
        """After a fork, in the parent."""

    def begin_again(self) -> None:
        """After a fork, in the child: leave everything to the parent, and begin anew."""


_listed: weakref.WeakSet[Forkable] = weakref.WeakSet()
_held: dict[int, list[Forkable]] = {}
"""By thread that forks: whom it holds meanwhile."""


def survive_forks(one: Forkable) -> None:
    """Hold an object at forks, and let it begin again in children."""
    _listed.add(one)


def _before() -> None:
    _held[threading.get_ident()] = [one for one in list(_listed) if one.hold(_WAIT_S)]


def _in_parent() -> None:
    for one in _held.pop(threading.get_ident(), ()):
        one.resume()


def _in_child() -> None:
    _held.clear()
    for one in list(_listed):
        with contextlib.suppress(OSError):
            one.begin_again()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
