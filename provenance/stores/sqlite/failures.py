"""SQLite's failures as this project's.

Invariants: no `sqlite3.Error` and no `OSError` leaves `guarded`; the message says what was being done to which file,
and the hint names a way out that fits the failure.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provenance.errors import ConflictError, MalformedError, ProvenanceError, StoreError
from provenance.stores.sql.queries import DAMAGED

# Primary result codes (https://www.sqlite.org/rescode.html): what went wrong, and the way out.
_FAILURES: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_BUSY: (
        "another process holds the ledger",
        "wait until it is done, or end it; then try again",
    ),
    sqlite3.SQLITE_LOCKED: (
        "another process holds the ledger",
        "wait until it is done, or end it; then try again",
    ),
    sqlite3.SQLITE_FULL: (
        "the disk is full",
        "free some space and try again; what was acknowledged is safe",
    ),
    sqlite3.SQLITE_IOERR: (
        "the disk refused to read or write",
        "check the disk, its quota and its file size limit; what was acknowledged is safe",
    ),
    sqlite3.SQLITE_READONLY: (
        "the ledger database cannot be written",
        "check the owner and mode of the file and of its folder",
    ),
    sqlite3.SQLITE_PERM: (
        "the ledger database cannot be accessed",
        "check the owner and mode of the file and of its folder",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the ledger database cannot be opened",
        "check that the path is a file, and the owner and mode of the file and of its folder",
    ),
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: (
        "the file is not a ledger database, or is damaged",
        "check the path; if it is right, keep the file and restore the ledger from a backup or a mirror",
    ),
}
_SHARED_MEMORY_BYTES = 32 * 2**10


@contextmanager
def guarded(path: Path, action: str) -> Iterator[None]:
    """Errors of the block as `ProvenanceError`; `action` completes "while ..."."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path, action) from error
    except OSError as error:
        what = f"the system refused, while {action}: {error.strerror}"
        raise StoreError(what, where=path, hint="check the owner, mode and free space of its folder") from error
    except (OverflowError, UnicodeEncodeError) as error:
        raise MalformedError("a value cannot be stored", expected="text in Unicode, integers below 2^63") from error


def translated(error: sqlite3.Error, path: Path, action: str) -> ProvenanceError:
    """The error to raise instead of `error`."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return ConflictError(f"contradicts what is stored, while {action}", got=error, where=path)
    if code is not None and code & 0xFF in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH):
        return MalformedError(f"a value cannot be stored, while {action}", got=error, where=path)
    if code is None and isinstance(error, sqlite3.ProgrammingError):
        return StoreError(f"the store is closed, while {action}", where=path, hint="open it again")
    if code is None and "decode to UTF-8" in str(error):
        what, hint = DAMAGED
    else:
        primary = -1 if code is None else code & 0xFF
        if primary == sqlite3.SQLITE_IOERR and _is_full(path):
            primary = sqlite3.SQLITE_FULL
        what, hint = _FAILURES.get(
            primary, ("the ledger database failed", "see the reason, and report it if it recurs")
        )
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return StoreError(f"{what}, while {action}", got=f"{error} ({name})", where=path, hint=hint)


def _is_full(path: Path) -> bool:
    """Whether the disk has no room for SQLite's shared memory, the least it asks for; it calls that an I/O error."""
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _SHARED_MEMORY_BYTES
