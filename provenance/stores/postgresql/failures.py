"""PostgreSQL's failures as this project's.

Invariants: no `psycopg.Error` leaves `guarded`; the message says what was being done to which database, and the hint
names a way out that fits the failure. The server's DETAIL is never shown: it quotes rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from provenance.errors import ConflictError, MalformedError, ProvenanceError, StoreError
from provenance.stores.sql.queries import DAMAGED

_UNREACHABLE: Final = (
    "the database server cannot be reached, or ended the connection",
    "check that it runs and that the network is up, then try again; what was acknowledged is safe",
)
_REFUSED: Final = (
    "the database server refuses this user",
    "check the user, and the password in PGPASSWORD, ~/.pgpass or a service file",
)
_BUSY: Final = ("another process holds the ledger", "wait until it is done, or end it; then try again")
_FULL: Final = (
    "the database server has run out of disk, memory or connections",
    "give it more, or close other clients, and try again; what was acknowledged is safe",
)
_SILENT: Final = (
    "the database server did not answer in time",
    "check its load and the network, then try again; what was acknowledged is safe",
)

# Condition codes (https://www.postgresql.org/docs/15/errcodes-appendix.html), whole or a class of two characters: what
# went wrong, and the way out.
_FAILURES: Final[dict[str, tuple[str, str]]] = {
    "08": _UNREACHABLE,
    "28": _REFUSED,
    "53": _FULL,
    "57": _UNREACHABLE,
    "3D000": (
        "the database server has no such database",
        "check the URL, or make the database: createdb NAME",
    ),
    "25006": (
        "the database server takes no writes",
        "is it a standby? name the primary; else check its disk and settings",
    ),
    "25P03": (
        "a transaction was idle for too long, and the database server ended it",
        "nothing of it was stored; try again",
    ),
    "42501": (
        "the database user lacks a right",
        "the ledger's user must own the schema `provenance`, or be allowed to create it",
    ),
    "55P03": _BUSY,
    "40P01": _BUSY,
    "57014": _SILENT,
    "58030": DAMAGED,
    "42P01": DAMAGED,
    "42703": DAMAGED,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
# Before there is a session the server's words come without their code.
_BEFORE_A_SESSION: Final = (
    ("timeout expired", _SILENT),
    ("authentication failed", _REFUSED),
    ("no password supplied", _REFUSED),
    ("pg_hba.conf", _REFUSED),
    ('FATAL:  role "', _REFUSED),
    ('FATAL:  database "', _FAILURES["3D000"]),
    ("FATAL:  sorry, too many clients", _FULL),
    ("FATAL:  remaining connection slots", _FULL),
)


@contextmanager
def guarded(location: str, action: str) -> Iterator[None]:
    """Errors of the block as `ProvenanceError`; `action` completes "while ..."."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, location, action) from error
    except (OverflowError, UnicodeEncodeError) as error:
        raise MalformedError("a value cannot be stored", expected="text in Unicode, integers below 2^63") from error
    except OSError as error:
        raise StoreError(f"{_UNREACHABLE[0]}, while {action}", got=error.strerror, where=location) from error


def translated(error: psycopg.Error, location: str, action: str) -> ProvenanceError:
    """The error to raise instead of `error`."""
    code = error.sqlstate
    if code is not None and code[:2] == "23":
        return ConflictError(f"contradicts what is stored, while {action}", got=reason(error), where=location)
    if (code is not None and code[:2] in ("22", "54")) or (code is None and isinstance(error, psycopg.DataError)):
        return MalformedError(f"a value cannot be stored, while {action}", got=reason(error), where=location)
    what, hint = _way_out(error, code)
    return StoreError(f"{what}, while {action}", got=reason(error), where=location, hint=hint)


def reason(error: psycopg.Error) -> str:
    """What the server or the driver says in one line, with its code; nothing that quotes a row."""
    said = error.diag.message_primary or next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"{said} ({error.sqlstate or type(error).__name__})"


def is_lost(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether nothing more can be said over a connection."""
    return connection.closed or connection.pgconn.status == psycopg.pq.ConnStatus.BAD


def _way_out(error: psycopg.Error, code: str | None) -> tuple[str, str]:
    if code is not None:
        known = _FAILURES.get(code) or _FAILURES.get(code[:2])
        return known or ("the ledger database failed", "see the reason, and report it if it recurs")
    said = str(error)
    return next((known for fragment, known in _BEFORE_A_SESSION if fragment in said), _UNREACHABLE)
