"""Connections to one file: many for reading, one for writing.

Invariants:

1. A connection is used by one thread at a time; a forked process gets none of its parent's.
2. The writer commits with synchronous=FULL in WAL mode, so that COMMIT returns after one sync of the log.
3. The write-ahead log is copied into the database only while SQLite's write lock is held, never by the automatic
   checkpoint: releases before 3.51.3 can damage a file when a checkpoint runs beside a commit that resets the log
   (https://www.sqlite.org/wal.html#walresetbug), and Python 3.11 ships with those.
4. Copying comes after the commit and is no part of it: its failure is not the transaction's.
5. A connection that failed is not used again: SQLite opens a file for reading only where it cannot be opened for
   writing at that moment, and keeps that until it is closed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from provenance.errors import StoreError
from provenance.stores.sqlite.failures import guarded
from provenance.stores.sqlite.queries import Statements

Connect = Callable[[], sqlite3.Connection]
Transaction = TypeVar("Transaction", bound=Statements)

_MAX_IDLE_READERS = 8
_CHECKPOINT_AFTER_BYTES = 8 * 2**20
_COMMIT_BYTES = 16 * 2**10
"""Pages that any commit rewrites, about."""


def connect(path: Path, mode: str, timeout_s: float) -> sqlite3.Connection:
    """A connection with this project's settings; `mode` is SQLite's: rw, ro or immutable. Raises `sqlite3.Error`."""
    query = "immutable=1" if mode == "immutable" else f"mode={mode}"
    connection = sqlite3.connect(
        f"{path.as_uri()}?{query}", uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in (
            "synchronous = FULL",
            "fullfsync = ON",
            "checkpoint_fullfsync = ON",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "wal_autocheckpoint = 0",
            "cache_size = -16384",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


class Readers:
    """Idle connections for reading, made on demand and used again."""

    def __init__(self, open_reader: Connect, path: Path) -> None:
        self._open_reader, self._path = open_reader, path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._pid = os.getpid()

    @contextmanager
    def lease(self) -> Iterator[sqlite3.Connection]:
        """A connection for this block. `StoreError` once closed, or in a forked process."""
        check_process(self._pid, self._path)
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed", where=self._path, hint="open it again")
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            with guarded(self._path, "opening it for reading"):
                connection = self._open_reader()
        failed = False
        try:
            yield connection
        except StoreError:
            failed = True
            raise
        finally:
            with self._lock:
                keep = not (self._closed or failed or connection.in_transaction or len(self._idle) >= _MAX_IDLE_READERS)
                if keep:
                    self._idle.append(connection)
            if not keep:
                close_quietly(connection)

    def close(self) -> None:
        """Close what is idle now, and what is in use when it comes back."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for connection in idle:
            close_quietly(connection)


class Writer:
    """The one writing connection of this process, behind a lock."""

    def __init__(self, open_writer: Connect, path: Path, timeout_s: float) -> None:
        self._open_writer, self._path, self._timeout_s = open_writer, path, timeout_s
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._copier: sqlite3.Connection | None = None
        self._uncopied_bytes = 0
        self._closed = False
        self._pid = os.getpid()

    @contextmanager
    def transaction(self, make: Callable[[sqlite3.Connection, Path], Transaction]) -> Iterator[Transaction]:
        """What `make` returns, over a transaction that this block's end commits and its exception rolls back."""
        self._acquire()
        try:
            connection = self._begin()
            transaction = make(connection, self._path)
            try:
                yield transaction
                if not connection.in_transaction:
                    raise StoreError("nothing was stored: a write had failed", where=self._path, hint="try again")
                with guarded(self._path, "committing"):
                    connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, StoreError):
                    self._drop()
                raise
            finally:
                transaction.end()
            self._uncopied_bytes += transaction.written_bytes + _COMMIT_BYTES
            if self._uncopied_bytes >= _CHECKPOINT_AFTER_BYTES:
                with suppress(sqlite3.Error):
                    self._copy_log()
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
        check_process(self._pid, self._path)
        if self._owner == threading.get_ident():
            raise StoreError(
                "a transaction is open in this thread", where=self._path, hint="use the transaction that is open"
            )
        if not self._lock.acquire(timeout=self._timeout_s):
            raise StoreError(
                f"another thread has been writing for {self._timeout_s:g} s", where=self._path, hint="try again"
            )
        self._owner = threading.get_ident()

    def _release(self) -> None:
        self._owner = None
        self._lock.release()

    def _begin(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError("the store is closed", where=self._path, hint="open it again")
        try:
            with guarded(self._path, "beginning a transaction"):
                if self._connection is None:
                    self._connection = self._open_writer()
                self._connection.execute("BEGIN IMMEDIATE")
                return self._connection
        except StoreError:
            self._drop()
            raise

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        # SQLite rolls back by itself on some failures (a full disk, an I/O error).
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop()

    def _copy_log(self) -> None:
        if self._connection is None:
            return
        if self._copier is None:
            self._copier = self._open_writer()
        # Whoever writes meanwhile copies at its own commit: better that than to wait here.
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._copier.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._uncopied_bytes = 0
            finally:
                self._connection.execute("ROLLBACK")
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {round(self._timeout_s * 1000)}")

    def _drop(self) -> None:
        for connection in (self._copier, self._connection):
            if connection is not None:
                close_quietly(connection)
        self._connection = self._copier = None


def check_process(pid: int, path: Path) -> None:
    """`StoreError` in a process forked from the one that opened the file: SQLite's locks do not survive a fork."""
    if os.getpid() != pid:
        raise StoreError("the store was opened by another process", where=path, hint="open it again in this process")


def close_quietly(connection: sqlite3.Connection) -> None:
    """Close. A failure is nobody's: what was committed is in the write-ahead log."""
    with suppress(sqlite3.Error):
        connection.close()
