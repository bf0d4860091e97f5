"""Files that somebody may be writing to through a shared memory map.

A store to a page that is dirty already leaves no time on its file. The kernel writes dirty pages back after half a
minute and then watches each again: the next store leaves a time. So a file that was last changed longer ago
(`RECENT_NS`) needs nothing, and one that was changed of late needs nothing if nobody has it open for writing, map or
not, which a lease tells; else its pages are written back here, after it was looked at and before it is read.

Invariants: content is never changed; nothing here is an error. Where neither a lease nor a file's own writing back can
be trusted (overlay, network and anonymous devices), the whole file system is written back once a process.
Memory file systems write nothing back (`keeps_times`): there such stores are never told of, so nothing is remembered.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from provenance.sources.local.listing import CHANGED, TICK_NS, Identity

RECENT_NS: Final = 60_000_000_000
"""Twice what Linux leaves a page dirty (vm.dirty_expire_centisecs: 30 s, looked for every 5 s)."""
_LEASING: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "f2fs"})
"""File systems whose leases know of every writer. Under an overlay a map belongs to the file below."""
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "hugetlbfs", "devtmpfs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MAX_MOUNTS_BYTES: Final = 4 * 2**20

_fcntl: Any = None
if sys.platform == "linux":
    import fcntl as _fcntl
_signals = True
"""Whether a lease that is broken would tell of it by a signal that ends a process."""
_written_back: dict[int, int] = {}
"""When the file system of a device was written back by this process, in nanoseconds."""


def let_leases_be_broken_silently() -> None:
    """In a process of our own, so that a lease need not be told by which signal: a system call less a file."""
    global _signals
    if _fcntl is not None:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        _signals = False


def settle(descriptor: int, identity: Identity) -> None:
    """See to it that a store to this file from now on leaves a time later than those of `identity`, which was taken at
    least a tick ago."""
    device, altered = identity[0], identity[CHANGED]
    if altered < _written_back.get(device, 0) - TICK_NS:
        return
    if _kind(device) in _LEASING:
        if _is_held(descriptor):
            _write_back(descriptor)
        return
    now_ns = time.time_ns()
    if _write_back_all(descriptor):
        _written_back[device] = now_ns
        if altered < now_ns - TICK_NS:
            return
    _write_back(descriptor)


def keeps_times(device: int) -> bool:
    """Whether times tell of all changes of files on this device, sooner or later."""
    return _kind(device) not in _IN_MEMORY


def _is_held(descriptor: int) -> bool:
    """Whether somebody may have the file open for writing, or mapped so. No lease is kept: taken, it is given back."""
    if _fcntl is None:
        return True
    call = _fcntl.fcntl
    try:
        # Whoever opens the file for writing in between waits for microseconds and has us told: by nothing that ends us.
        if _signals:
            call(descriptor, _fcntl.F_SETSIG, signal.SIGURG)
        call(descriptor, _fcntl.F_SETLEASE, _fcntl.F_RDLCK)
        call(descriptor, _fcntl.F_SETLEASE, _fcntl.F_UNLCK)
    except OSError:  # held; or another user's, of which nobody tells us
        return True
    return False


def _write_back(descriptor: int) -> None:
    with suppress(OSError):  # what cannot be written to has no writers
        getattr(os, "fdatasync", os.fsync)(descriptor)


def _write_back_all(descriptor: int) -> bool:
    """Write the whole file system back; whether that could be done."""
    try:
        import ctypes

        return bool(ctypes.CDLL(None).syncfs(descriptor) == 0)
    except (ImportError, OSError, AttributeError, TypeError):
        return False


@lru_cache(maxsize=256)
def _kind(device: int) -> str:
    """The kind of file system that has this device number; empty where nothing tells."""
    wanted = f"{os.major(device)}:{os.minor(device)}".encode()
    try:
        with _MOUNTS.open("rb") as file:
            lines = file.read(_MAX_MOUNTS_BYTES).splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split(b" ")
        if len(fields) > 2 and fields[2] == wanted and b"-" in fields:
            place = fields.index(b"-", 3) + 1
            return fields[place].decode("ascii", "replace") if place < len(fields) else ""
    return ""
