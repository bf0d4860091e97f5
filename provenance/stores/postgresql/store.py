"""`PostgresqlStore`: a ledger in one PostgreSQL database, shared by any number of processes and machines.

Invariants: those of `provenance.stores.base`. A database is identified before anything in it is changed; the tables lie
in the schema `provenance`, which is nobody else's. The URL holds no password, so that it can be the `location`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.pq import TransactionStatus

from provenance.errors import StoreError
from provenance.stores.postgresql.checking import find_damage
from provenance.stores.postgresql.connections import Readers, Writer
from provenance.stores.postgresql.failures import guarded
from provenance.stores.postgresql.queries import (
    PostgresqlQueries,
    PostgresqlSnapshot,
    PostgresqlTransaction,
    fetch,
)
from provenance.stores.postgresql.schema import SCHEMA_VERSION, identify, prepare
from provenance.stores.postgresql.sessions import Server, Session, open_reader, open_writer
from provenance.stores.server_url import check_server_url
from provenance.stores.sql.queries import Row, Value


class PostgresqlStore(PostgresqlQueries):
    """See `provenance.stores.base.Store`."""

    def __init__(self, url: str, *, create: bool = False, read_only: bool = False, timeout_s: float = 30.0) -> None:
        self._server = Server(check_server_url(url), timeout_s)
        if read_only:
            self._identify()
        else:
            self._prepare(create)
        self._readers = Readers(self._server)
        self._writer = None if read_only else Writer(self._server)

    @property
    def location(self) -> str:
        return self._server.url

    @contextmanager
    def transaction(self) -> Iterator[PostgresqlTransaction]:
        if self._writer is None:
            raise StoreError("the store was opened for reading only", where=self.location, hint="open it for writing")
        with self._writer.transaction(PostgresqlTransaction) as transaction:
            yield transaction

    @contextmanager
    def snapshot(self) -> Iterator[PostgresqlSnapshot]:
        with self._readers.lease(self._begin_snapshot) as session:
            snapshot = PostgresqlSnapshot(session, self.location)
            try:
                yield snapshot
            finally:
                snapshot.end()
                # A session that is in no state to end it is closed by its lease.
                if not session.closed and session.info.transaction_status == TransactionStatus.INTRANS:
                    with guarded(self.location, "ending a snapshot"):
                        # Nothing was written, and after a rollback the driver would forget what it prepared.
                        session.execute("COMMIT")

    def check(self) -> list[str]:
        session = open_writer(self._server) if self._writer is not None else open_reader(self._server)
        try:
            return find_damage(session, self.location)
        finally:
            session.close()

    def close(self) -> None:
        self._readers.close()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> PostgresqlStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetch(self, sql: str, parameters: tuple[Value, ...]) -> list[Row]:
        def read(session: Session) -> list[Row]:
            with guarded(self.location, "reading"):
                return fetch(session, sql, parameters)

        return self._readers.read(read)

    def _begin_snapshot(self, session: Session) -> None:
        with guarded(self.location, "beginning a snapshot"):
            session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # The first read fixes which state it is.
            session.execute("SELECT size FROM index_state")

    def _prepare(self, create: bool) -> None:
        session = open_writer(self._server)
        try:
            prepare(session, self.location, create=create)
        finally:
            session.close()

    def _identify(self) -> None:
        session = open_reader(self._server)
        try:
            version = identify(session, self.location, create=False)
        finally:
            session.close()
        if version < SCHEMA_VERSION:
            raise StoreError(
                "the ledger was written by an older release and must be brought up to date first",
                expected=f"schema {SCHEMA_VERSION}",
                got=f"schema {version}",
                where=self.location,
                hint="open it once where it may be written: provenance log show",
            )
