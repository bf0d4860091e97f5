"""Sessions with one database: a few for reading, one for writing.

Invariants:

1. A session is used by one thread at a time; a forked process gets none of its parent's.
2. One transaction runs at a time, over all processes: it holds an advisory lock that the server releases when the
   transaction ends, however it ends. It reads what was committed before it got the lock (READ COMMITTED: a snapshot
   taken at its beginning would be older than the lock).
3. No more sessions are open than the bounds below; a read on its own and a snapshot wait for different ones, so that a
   thread that holds a snapshot can always read.
4. A session that was idle and is found dead is replaced, once, before anything was said over it.
5. What is told as stored was committed; of a connection lost while committing the caller is told that it is not known.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from provenance.errors import StoreError
from provenance.stores.postgresql.failures import guarded, is_lost, reason
from provenance.stores.postgresql.queries import BoundStatements
from provenance.stores.postgresql.sessions import (
    DURABILITY,
    Server,
    Session,
    check_durability,
    open_reader,
    open_writer,
)

MAX_SNAPSHOTS: Final = 8
MAX_READS: Final = 4
"""Sessions of a process; together with the writer's, 13 of the server's `max_connections`."""
LOCK: Final = 0x50524C47
"""ASCII "PRLG", with 1 the key of the lock: advisory locks are a database's own, and a database holds one ledger."""
_BEGIN: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({LOCK}, 1)"
Transaction = TypeVar("Transaction", bound=BoundStatements)
Result = TypeVar("Result")


class Readers:
    """Sessions for reading, made on demand and used again."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._closed = False
        self._pid = os.getpid()
        self._snapshots = threading.BoundedSemaphore(MAX_SNAPSHOTS)
        self._reads = threading.BoundedSemaphore(MAX_READS)

    def read(self, first: Callable[[Session], Result]) -> Result:
        """What `first` returns, over a session for that long; `first` is called again if an idle session was dead."""
        with self._turn(self._reads):
            session, result = self._begin(first)
            self._give_back(session)
            return result

    @contextmanager
    def lease(self, first: Callable[[Session], None]) -> Iterator[Session]:
        """A session for this block, on which `first` was called. `StoreError` once closed, or in a forked process."""
        with self._turn(self._snapshots):
            session, _ = self._begin(first)
            try:
                yield session
            finally:
                self._give_back(session)

    def close(self) -> None:
        """Close what is idle now, and what is in use when it comes back."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for session in idle:
            close_quietly(session)

    @contextmanager
    def _turn(self, bound: threading.BoundedSemaphore) -> Iterator[None]:
        check_process(self._pid, self._server.url)
        if self._closed:
            raise StoreError("the store is closed", where=self._server.url, hint="open it again")
        if not bound.acquire(timeout=self._server.timeout_s):
            what = f"all sessions for reading have been in use for {self._server.timeout_s:g} s"
            raise StoreError(what, where=self._server.url, hint="try again")
        try:
            yield
        finally:
            bound.release()

    def _begin(self, first: Callable[[Session], Result]) -> tuple[Session, Result]:
        with self._lock:
            session = self._idle.pop() if self._idle else None
        if session is not None:
            try:
                return session, first(session)
            except StoreError:
                if not is_lost(session):
                    self._give_back(session)
                    raise
            except BaseException:
                self._give_back(session)
                raise
            close_quietly(session)
        session = open_reader(self._server)
        try:
            return session, first(session)
        except BaseException:
            self._give_back(session)
            raise

    def _give_back(self, session: Session) -> None:
        with self._lock:
            quiet = not session.closed and session.info.transaction_status == TransactionStatus.IDLE
            keep = not self._closed and quiet
            if keep:
                self._idle.append(session)
        if not keep:
            close_quietly(session)


class Writer:
    """The one writing session of this process, behind a lock."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._session: Session | None = None
        self._closed = False
        self._pid = os.getpid()

    @contextmanager
    def transaction(self, make: Callable[[Session, str], Transaction]) -> Iterator[Transaction]:
        """What `make` returns, over a transaction that this block's end commits and its exception rolls back."""
        self._acquire()
        try:
            session = self._begin()
            transaction = make(session, self._server.url)
            try:
                yield transaction
                if session.closed or session.info.transaction_status != TransactionStatus.INTRANS:
                    what = "nothing was stored: a write had failed"
                    raise StoreError(what, where=self._server.url, hint="try again")
                self._commit(session)
            except BaseException:
                self._roll_back(session)
                raise
            finally:
                transaction.end()
        finally:
            self._release()

    def close(self) -> None:
        """Wait for the transaction in progress, then close."""
        if self._closed:
            return
        self._acquire()
        try:
            self._closed = True
            self._drop()
        finally:
            self._release()

    def _acquire(self) -> None:
        check_process(self._pid, self._server.url)
        if self._owner == threading.get_ident():
            what, hint = "a transaction is open in this thread", "use the transaction that is open"
            raise StoreError(what, where=self._server.url, hint=hint)
        if not self._lock.acquire(timeout=self._server.timeout_s):
            what = f"another thread has been writing for {self._server.timeout_s:g} s"
            raise StoreError(what, where=self._server.url, hint="try again")
        self._owner = threading.get_ident()

    def _release(self) -> None:
        self._owner = None
        self._lock.release()

    def _begin(self) -> Session:
        if self._closed:
            raise StoreError("the store is closed", where=self._server.url, hint="open it again")
        if self._session is not None:
            try:
                return begin_writing(self._session, self._server.url)
            except BaseException as error:
                replace = isinstance(error, StoreError) and is_lost(self._session)
                self._drop()
                if not replace:
                    raise
        self._session = open_writer(self._server)
        try:
            return begin_writing(self._session, self._server.url)
        except BaseException:
            self._drop()
            raise

    def _commit(self, session: Session) -> None:
        try:
            said = session.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            if not is_lost(session) and session.info.transaction_status == TransactionStatus.IDLE:
                what = "nothing was stored: the database server refused to commit"
            else:
                what = "the connection was lost while committing: it is not known whether it was stored"
            hint = "look whether it is there before you try again; registering the same again is safe"
            raise StoreError(what, got=reason(error), where=self._server.url, hint=hint) from error
        if said != "COMMIT":
            raise StoreError(
                "nothing was stored: a write had failed", got=said, where=self._server.url, hint="try again"
            )

    def _roll_back(self, session: Session) -> None:
        try:
            status = session.info.transaction_status
            if session.closed or status not in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                self._drop()
            else:
                session.execute("ROLLBACK")
        except psycopg.Error:
            self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            close_quietly(self._session)
        self._session = None


def begin_writing(session: Session, location: str) -> Session:
    """The session, in a transaction that holds the ledger's lock; `StoreError` if another keeps it for too long."""
    with guarded(location, "beginning a transaction"):
        cursor = session.execute(f"{_BEGIN}; {DURABILITY}" if session.shows_settings else _BEGIN)
        while cursor.nextset():
            pass
        settings = cursor.fetchone()
    # The server may have been told otherwise since the session began.
    check_durability(location, settings if session.shows_settings else None)
    return session


def check_process(pid: int, location: str) -> None:
    """`StoreError` in a process forked from the one that opened the store: two cannot speak over one connection."""
    if os.getpid() != pid:
        raise StoreError(
            "the store was opened by another process", where=location, hint="open it again in this process"
        )


def close_quietly(session: Session) -> None:
    """Close. A failure is nobody's: what was committed is with the server."""
    with suppress(psycopg.Error):
        session.close()
