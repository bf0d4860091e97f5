"""Locks between the processes that use one ledger.

Invariants: one holder at a time on one machine; the kernel releases a lock when its holder ends, however it ends; a
wait is bounded; a lock file is never removed, for removing it would let two processes lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from provenance.errors import ChainError, ProvenanceError, StoreError

_POLL_S: Final = 0.02
_ANCHOR_WAIT_S: Final = 60.0
_FILE_WAIT_S: Final = 30.0


@contextmanager
def anchoring_lock(path: Path) -> Iterator[None]:
    """Hold the right to anchor; `ChainError` if another process holds it for a minute."""
    busy = ChainError("another process is anchoring", where=path, hint="wait for it, or stop it")
    with _lock(path, _ANCHOR_WAIT_S, busy):
        yield


@contextmanager
def editing_lock(path: Path) -> Iterator[None]:
    """Hold the right to read, change and write a file of the ledger; `StoreError` if another keeps it half a minute."""
    busy = StoreError("another process is changing the file", where=path, hint="wait for it, or stop it")
    with _lock(path, _FILE_WAIT_S, busy):
        yield


@contextmanager
def _lock(path: Path, wait_s: float, busy: ProvenanceError) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError("cannot open a lock", got=error.strerror, where=path) from error
    try:
        deadline = time.monotonic() + wait_s
        while not _take(descriptor, path):
            if time.monotonic() > deadline:
                raise busy
            time.sleep(_POLL_S)
        yield
    finally:
        # Said twice, and a failure is nobody's: what the lock was held for is done.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        with suppress(OSError):
            os.close(descriptor)


def _take(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        hint = "keep the ledger on a local file system"
        raise StoreError("cannot lock", got=error.strerror, where=path, hint=hint) from error
    return True
