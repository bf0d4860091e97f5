"""A lock between processes that a crash releases.

Invariants: at most one holder at a time on one machine; the kernel releases the lock when its holder ends, however it
ends; a wait is bounded, and its error names who holds the lock. The file is never removed: removing it would let two
processes lock two different files of one name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from provenance.errors import ChainError

_POLL_S: Final = 0.01


@contextmanager
def process_lock(path: Path, *, what: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock file `path` (created with mode 0600). `ChainError` if another process keeps it for `timeout_s`."""
    import fcntl  # POSIX only, and needed by this chain alone

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ChainError(f"cannot open the lock of {what}", got=error.strerror, where=path) from error
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise _busy(descriptor, path, what, timeout_s) from None
                time.sleep(_POLL_S)
            except OSError as error:
                hint = "keep the ledger on a local file system"
                raise ChainError(f"cannot lock {what}", got=error.strerror, where=path, hint=hint) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)  # closing releases the lock


def _busy(descriptor: int, path: Path, what: str, timeout_s: float) -> ChainError:
    digits = os.pread(descriptor, 20, 0).strip()
    holder = f"process {int(digits)}" if digits.isdigit() else "another process"
    return ChainError(
        f"{what} is in use",
        expected=f"the lock within {timeout_s:g} s",
        got=f"held by {holder}",
        where=path,
        hint="wait for that process to finish, or stop it",
    )
