"""Sessions with the server: what is asked of it, and after how long a dead one is given up.

Invariants:

1. A session that writes has synchronous_commit on, and none is opened on a server that says that fsync or
   synchronous_commit is off: COMMIT returns after the write-ahead log is on the disk.
2. No wait is without a bound: connecting, a statement, a lock, an answer of a server that went silent.
3. A client that is gone is noticed within 5 s: its process was killed (the kernel closes the connection; the server
   looks every second while it works), or its network is frozen (TCP keepalives on both sides: 2 s of silence, then 2
   probes a second apart). A client that is there and does nothing inside of a transaction is ended after 30 s.
4. Text is Unicode, and compared byte for byte.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg
from psycopg.abc import PQGen

from provenance.errors import StoreError
from provenance.stores.postgresql.failures import guarded
from provenance.stores.sql.queries import Row

# What it remarks on a lost connection, which is an error of ours by then, is not for whoever has set up no logging.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

Result = TypeVar("Result")

SCHEMA: Final = "provenance"
"""The schema of the ledger's tables: a database holds one ledger."""
DURABILITY: Final = "SELECT current_setting('fsync', true), current_setting('synchronous_commit', true)"
MIN_SERVER: Final = 14
"""The first release that looks whether a client is still there while it works."""
_CONNECT_S: Final = 10
_STATEMENT_S: Final = 60
_WRITE_STATEMENT_S: Final = 600
"""The index of a large ledger is cleared in one statement."""
_GRACE_S: Final = 10
"""How much longer than the server's own bounds a client waits for it to say so."""
IDLE_WRITER_S: Final = 30
_IDLE_READER_S: Final = 3_600
_OPTIONS: Final = (
    # Neither PGOPTIONS nor a service file changes what is set below.
    ("options", ""),
    ("client_encoding", "UTF8"),
    ("keepalives", "1"),
    ("keepalives_idle", "2"),
    ("keepalives_interval", "1"),
    ("keepalives_count", "2"),
    ("tcp_user_timeout", "3500"),
)
# Where there is no TCP, or a hosting company forbids it, these cannot be set; the server then notices later.
_WHERE_POSSIBLE: Final = {
    "client_connection_check_interval": "1000",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "3500",
    # All reads go by an index, whatever the server believes of tables that were filled a moment ago.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


@dataclass(frozen=True, slots=True)
class Server:
    """How to open sessions: the checked URL, and whole seconds or parts of them that a lock is waited for."""

    url: str
    timeout_s: float


class Session(psycopg.Connection[Row]):
    """A connection that waits for an answer for a bounded time."""

    answer_s: float = _STATEMENT_S + _GRACE_S
    shows_settings = True

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        return super().wait(gen, interval, self.answer_s if timeout is None else timeout)


def open_reader(server: Server) -> Session:
    """A session that cannot write."""
    session = _connect(server)
    try:
        with guarded(server.url, "setting up a session"):
            _settle(session, _STATEMENT_S, _IDLE_READER_S, {"default_transaction_read_only": "on"})
    except BaseException:
        session.close()
        raise
    return session


def open_writer(server: Server) -> Session:
    """A session that may write; `StoreError` on a server that would acknowledge what a power cut can take."""
    session = _connect(server)
    try:
        with guarded(server.url, "setting up a session"):
            check_durability(server.url, _durability(session))
            # The driver believes a statement prepared that was skipped behind one that failed.
            session.prepare_threshold = None
            statement_s = max(_WRITE_STATEMENT_S, server.timeout_s + _GRACE_S)
            session.answer_s = statement_s + _GRACE_S
            # 0 would be without a bound.
            lock_ms = max(1, round(server.timeout_s * 1_000))
            besides = {"synchronous_commit": "on", "lock_timeout": str(lock_ms)}
            _settle(session, statement_s, IDLE_WRITER_S, besides)
    except BaseException:
        session.close()
        raise
    return session


def _durability(session: Session) -> Row | None:
    """fsync and synchronous_commit as the server has them for this session; None where they cannot be read."""
    try:
        return session.execute(DURABILITY).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        session.shows_settings = False
        return None


def check_durability(location: str, settings: Row | None) -> None:
    """`StoreError` if one of the settings is off."""
    for name, value in zip(("fsync", "synchronous_commit"), settings or (), strict=False):
        if value == "off":
            raise StoreError(
                "the database server acknowledges what a power cut can take back",
                expected=f"{name} = on",
                got=f"{name} = off",
                where=location,
                hint=f"set {name} to on for this server, database and user",
            )


def _connect(server: Server) -> Session:
    with guarded(server.url, "connecting"):
        given = psycopg.conninfo.conninfo_to_dict(server.url)
        options: dict[str, str] = dict(_OPTIONS)
        options |= {
            "connect_timeout": str(given.get("connect_timeout", _CONNECT_S)),
            "application_name": str(given.get("application_name", "provenance")),
            # What libpq prefers by itself costs a round trip, and is for sites that ask for it.
            "gssencmode": str(given.get("gssencmode", "disable")),
        }
        session = Session.connect(psycopg.conninfo.make_conninfo(server.url, **options), autocommit=True)
    try:
        _check_server(session, server)
    except BaseException:
        session.close()
        raise
    return session


def _check_server(session: Session, server: Server) -> None:
    if session.info.server_version < MIN_SERVER * 10_000:
        raise StoreError(
            "the database server is too old",
            expected=f"PostgreSQL {MIN_SERVER} or newer",
            got=session.info.server_version // 10_000,
            where=server.url,
        )
    encoding = session.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(
            "the database has another encoding",
            expected="UTF8",
            got=encoding,
            where=server.url,
            hint="make it with: createdb --encoding=UTF8 --template=template0 NAME",
        )


def _settle(session: Session, statement_s: float, idle_s: int, besides: dict[str, str]) -> None:
    settings = {
        # Tables of the session's own come last: nobody's temporary table is taken for one of the ledger.
        "search_path": f"{SCHEMA}, pg_temp",
        "statement_timeout": str(round(statement_s * 1_000)),
        "idle_in_transaction_session_timeout": str(idle_s * 1_000),
        **besides,
    }
    _set(session, settings)
    try:
        _set(session, _WHERE_POSSIBLE)
    except psycopg.DatabaseError:
        for name, value in _WHERE_POSSIBLE.items():
            with suppress(psycopg.DatabaseError):
                _set(session, {name: value})


def _set(session: Session, settings: Mapping[str, str]) -> None:
    calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    session.execute(f"SELECT {calls}".encode(), [text for pair in settings.items() for text in pair])
