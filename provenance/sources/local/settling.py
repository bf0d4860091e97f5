"""Files that somebody may be writing to, though their times do not tell.

A store through a shared memory map to a page that is dirty already leaves no time on its file; the kernel writes dirty
pages back after half a minute and then watches each again, so that the next store leaves one. A write call leaves its
time when it begins, and its data until it ends. So of a file that was last changed longer ago (`RECENT_NS`) nothing is
asked, nor of one that nobody has open for writing, map or not, which a lease tells. Of any other, after it was looked
at and before it is read: a write call under way is waited for, and pages are written back. What is written after that
leaves a time that is later.

Invariants: content is never changed; nothing here is an error, but a writer whom a read-only mount keeps us from
waiting for. Where a lease does not tell (overlay, network), the whole file system is written back once a process. Where
nothing is ever written back (`keeps_times`), as on memory file systems, stores are never told of, and nothing may be
remembered.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from provenance.errors import SourceError
from provenance.sources.local.listing import CHANGED, TICK_NS, Identity

RECENT_NS: Final = 60_000_000_000
"""Twice what Linux leaves a page dirty (vm.dirty_expire_centisecs: 30 s, looked for every 5 s)."""
_LEASING: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "f2fs"})
"""File systems whose leases know of every writer. Under an overlay a map belongs to the file below."""
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "hugetlbfs", "devtmpfs"})
_PROCESS: Final = Path("/proc/self")
_MAX_MOUNTS_BYTES: Final = 4 * 2**20
_NO_ATTRIBUTE: Final = "user.provenance-ledger.never.set"
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK

_fcntl: Any = None
if sys.platform == "linux":
    import fcntl as _fcntl


class _State:
    """What this process knows: forgotten when it begins to read another dataset, as mounts come and go."""

    def __init__(self) -> None:
        self.kinds: dict[int, str] = {}
        self.written_back: dict[int, int] = {}
        self.held = 0


_state = _State()
_signals = True
"""Whether a lease that is broken would tell of it by a signal that ends a process."""


def begin() -> None:
    """Forget what was known of file systems: a dataset is about to be read."""
    _state.kinds, _state.written_back = {}, {}


def held_so_far() -> int:
    """How many files somebody may have been writing to when this process settled them."""
    return _state.held


def let_leases_be_broken_silently() -> None:
    """In a process of our own, so that a lease need not be told by which signal: a system call less a file."""
    global _signals
    if _fcntl is not None:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        _signals = False


def settle(descriptor: int, identity: Identity, path: str) -> None:
    """See to it that what is written to this file from now on leaves a time later than those of `identity`, which was
    taken at least a tick ago. `SourceError` if somebody has it open for writing and nothing can be waited for."""
    device, altered = identity[0], identity[CHANGED]
    kind = _state.kinds.get(device)
    if kind is None:
        kind = _state.kinds[device] = _kind_of(descriptor)[0]
    if kind in _LEASING and not _is_held(descriptor):
        return
    _state.held += 1
    if not _wait_for_calls(descriptor) and kind in _LEASING and _is_open_for_writing(descriptor):
        hint = "read it where it is mounted writable, or a minute after it was written"
        what = "somebody writes to the file, and through a read-only mount that cannot be waited for"
        raise SourceError(what, expected="no writer", where=path, hint=hint)
    if kind not in _LEASING:
        now_ns = time.time_ns()
        if altered < _state.written_back.get(device, 0) - TICK_NS:
            return
        if _write_back_all(descriptor):
            _state.written_back[device] = now_ns
            if altered < now_ns - TICK_NS:
                return
    _write_back(descriptor)


def _wait_for_calls(descriptor: int) -> bool:
    """Wait for the write calls that are under way: each holds the file's lock to its end. False where a read-only mount
    is in the way.

    Those that overwrite past the page cache (O_DIRECT) share it among themselves and with whoever looks for holes: only
    what would change the file waits for them, too. To take away an attribute that is not there is such a thing, and
    changes nothing.
    """
    with suppress(OSError, AttributeError):
        os.lseek(descriptor, 0, os.SEEK_HOLE)
        os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        os.removexattr(descriptor, _NO_ATTRIBUTE)
    except (OSError, AttributeError) as error:  # as it should be: ENODATA, or EPERM
        return getattr(error, "errno", None) != errno.EROFS
    return True


def keeps_times(path: str | os.PathLike[str]) -> bool:
    """Whether times tell of all changes of what is on this file's or folder's file system, sooner or later."""
    with _opened(path) as descriptor:
        kind, options = _kind_of(descriptor) if descriptor >= 0 else ("", "")
    if kind in _IN_MEMORY:
        return False
    if kind != "overlay":
        return True
    settings = dict(one.partition("=")[::2] for one in options.split(","))
    upper = settings.get("upperdir")
    if "volatile" in settings or settings.get("fsync") == "volatile":
        return False
    # In a container the folder above is not to be seen: then it is taken for one on a disk.
    return upper is None or not Path(upper).is_dir() or keeps_times(upper)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor of something, or -1."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        yield -1
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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


def _is_open_for_writing(descriptor: int) -> bool:
    """Whether a lease says so, and is not merely refused for whose file it is."""
    try:
        _fcntl.fcntl(descriptor, _fcntl.F_SETLEASE, _fcntl.F_RDLCK)
        _fcntl.fcntl(descriptor, _fcntl.F_SETLEASE, _fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    except AttributeError:
        pass
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


def _kind_of(descriptor: int) -> tuple[str, str]:
    """The kind of file system that an open file is on, and its options; empty where nothing tells."""
    try:
        told = (_PROCESS / "fdinfo" / str(descriptor)).read_bytes().split()
        mount = told[told.index(b"mnt_id:") + 1]
        with (_PROCESS / "mountinfo").open("rb") as file:
            lines = file.read(_MAX_MOUNTS_BYTES).splitlines()
    except (OSError, ValueError, IndexError):
        return "", ""
    for line in lines:
        fields = line.split(b" ")
        if fields[0] == mount and b"-" in fields:
            kind, _, *options = fields[fields.index(b"-") + 1 :]
            return kind.decode("ascii", "replace"), b" ".join(options).decode("utf-8", "surrogateescape")
    return "", ""
