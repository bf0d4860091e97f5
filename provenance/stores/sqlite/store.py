"""`SqliteStore`: a ledger in one SQLite file.

Invariants: those of `provenance.stores.base`. The file is made with mode 0600, and its write-ahead log takes the
file's mode. An existing file is identified before a byte of it is written.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from provenance.errors import StoreError
from provenance.stores.sql.index_tables import IndexStatements
from provenance.stores.sql.log_tables import LogStatements
from provenance.stores.sql.outbox_table import OutboxStatements
from provenance.stores.sql.queries import Row, Value
from provenance.stores.sql.segments import WITH_ENTRIES, without_entry
from provenance.stores.sqlite.connections import Readers, Writer, close_quietly, connect
from provenance.stores.sqlite.failures import guarded
from provenance.stores.sqlite.queries import BoundQueries, SqliteQueries, Statements
from provenance.stores.sqlite.schema import MIN_SQLITE, SCHEMA_VERSION, identify, prepare

_MIN_PAGE_BYTES = 512


class SqliteSnapshot(BoundQueries, SqliteQueries):
    """Reads of one committed state."""


class SqliteTransaction(Statements, LogStatements, OutboxStatements, IndexStatements, SqliteQueries):
    """One open transaction."""


class SqliteStore(SqliteQueries):
    """See `provenance.stores.base.Store`."""

    def __init__(
        self, path: str | PathLike[str], *, create: bool = False, read_only: bool = False, timeout_s: float = 30.0
    ) -> None:
        if sqlite3.sqlite_version_info < MIN_SQLITE:
            expected = ".".join(map(str, MIN_SQLITE))
            raise StoreError("SQLite is too old", expected=f"{expected} or newer", got=sqlite3.sqlite_version)
        self.path = Path(path).absolute()
        self._timeout_s = timeout_s
        self._mode = "rw"
        with guarded(self.path, "opening it"):
            self._require_file(create and not read_only)
            if read_only:
                self._mode = self._readable_mode()
            else:
                self._prepare(create)
        self._readers = Readers(self._open_reader, self.path)
        self._writer = None if read_only else Writer(self._open_writer, self.path, timeout_s)

    @property
    def location(self) -> str:
        return str(self.path)

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        if self._writer is None:
            hint = "open it for writing, in a folder that may be written"
            raise StoreError("the store was opened for reading only", where=self.path, hint=hint)
        with self._writer.transaction(SqliteTransaction) as transaction:
            yield transaction

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        with self._readers.lease() as connection:
            snapshot = SqliteSnapshot(connection, self.path)
            with guarded(self.path, "beginning a snapshot"):
                connection.execute("BEGIN")
                # The first read fixes which state it is.
                connection.execute("SELECT size FROM index_state").fetchall()
            try:
                yield snapshot
            finally:
                snapshot.end()
                with guarded(self.path, "ending a snapshot"):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")

    def check(self) -> list[str]:
        found = [str(row[0]) for row in self._fetch("PRAGMA integrity_check", ())]
        broken = self._fetch("PRAGMA foreign_key_check", ())
        found = [line for line in found if line != "ok"] + [
            f"row {row} of {table} refers to a row of {other} that is not there" for table, row, other, _ in broken
        ]
        for table in WITH_ENTRIES:
            ((rows,),) = self._fetch(without_entry(table), ())
            found += [f"{rows} rows of {table} refer to entries that are not there"] if rows else []
        return found

    def close(self) -> None:
        self._readers.close()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetch(self, sql: str, parameters: tuple[Value, ...]) -> list[Row]:
        with self._readers.lease() as connection, guarded(self.path, "reading"):
            return connection.execute(sql, parameters).fetchall()

    def _open_reader(self) -> sqlite3.Connection:
        connection = connect(self.path, self._mode, self._timeout_s)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _open_writer(self) -> sqlite3.Connection:
        return connect(self.path, "rw", self._timeout_s)

    def _require_file(self, create: bool) -> None:
        if self.path.exists():
            if 0 < self.path.stat().st_size < _MIN_PAGE_BYTES:
                # SQLite takes some of these for blank, and would fill them.
                raise StoreError("the file is not a ledger database", where=self.path, hint="check the path")
            return
        if not create:
            raise StoreError("there is no ledger here", where=self.path, hint="make one with `provenance init`")
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _prepare(self, create: bool) -> None:
        connection = self._open_writer()
        try:
            identify(connection, self.path, create=create)
            self._use_write_ahead_log(connection)
            prepare(connection, self.path, create=create)
        finally:
            close_quietly(connection)

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        # The change of mode takes an exclusive lock that the busy timeout does not wait for.
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if mode != "wal":
            raise StoreError(
                "the file system cannot hold a ledger",
                expected="shared memory for SQLite's write-ahead log",
                got=f"journal mode {mode}",
                where=self.path,
                hint="keep the ledger on a local disk",
            )

    def _readable_mode(self) -> str:
        """SQLite's mode for a file that must not be written; "immutable" where no lock file can be made beside it."""
        try:
            self._identify("ro")
        except sqlite3.OperationalError as error:
            log = self.path.with_name(self.path.name + "-wal")
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            if log.exists() and log.stat().st_size > 0:
                raise StoreError(
                    "the ledger was not closed and cannot be read in a folder that cannot be written",
                    where=self.path,
                    hint="copy the folder to where you may write, and open the copy",
                ) from error
            self._identify("immutable")
            return "immutable"
        return "ro"

    def _identify(self, mode: str) -> None:
        connection = connect(self.path, mode, self._timeout_s)
        try:
            version = identify(connection, self.path, create=False)
        finally:
            close_quietly(connection)
        if version < SCHEMA_VERSION:
            raise StoreError(
                "the ledger was written by an older release and must be brought up to date first",
                expected=f"schema {SCHEMA_VERSION}",
                got=f"schema {version}",
                where=self.path,
                hint="open it once where it may be written: provenance log show",
            )
