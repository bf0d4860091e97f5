"""The verbs of `provenance.stores.sql` on one session, and the statements that only PostgreSQL takes.

Invariants: those of `provenance.stores.sql.queries`. The server gives a transaction up at the first statement that
fails, so each one that changes anything runs behind a savepoint, sent with it in one message. (Not by the driver's
pipeline: what it sends last stops the server's clock for clients that do nothing inside of a transaction.) Nothing runs
on a session whose transaction is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import Final

from psycopg import ClientCursor, Cursor
from psycopg.pq import TransactionStatus

from provenance.errors import StoreError
from provenance.stores.postgresql.failures import guarded
from provenance.stores.postgresql.sessions import Session
from provenance.stores.sql.index_tables import IndexStatements
from provenance.stores.sql.lineage_queries import LineageQueries
from provenance.stores.sql.log_tables import LogQueries, LogStatements
from provenance.stores.sql.outbox_table import OutboxQueries, OutboxStatements
from provenance.stores.sql.queries import Queries, Row, Statements, Value

# UNION drops nodes met before. The rows come as each step finds them, nearest first, and the LIMIT outside stops the
# walk: a recursive query runs only as far as its rows are read.
_UP: Final = """WITH RECURSIVE walk (entry) AS (
    SELECT CAST(? AS bigint)
    UNION SELECT p.parent_entry FROM walk JOIN parents p ON p.child = walk.entry WHERE p.parent_entry IS NOT NULL)"""
_DOWN: Final = """WITH RECURSIVE walk (entry) AS (
    SELECT CAST(? AS bigint)
    UNION SELECT p.child FROM walk JOIN parents p ON p.parent_entry = walk.entry)"""
_NODES: Final = " SELECT entry FROM walk LIMIT ?"
_EDGES: Final = """, near AS MATERIALIZED (SELECT entry FROM walk LIMIT ?)
    SELECT p.child, p.position, p.namespace, p.name, p.version, p.digest, p.parent_entry, (SELECT count(*) FROM near)
    FROM near JOIN parents p ON p.child = near.entry ORDER BY p.child, p.position"""
_COLUMNS: Final = {
    "segments": ("int8", "int2", "bytea"),
    "parents": ("int8", "int8", "text", "text", "text", "bytea", "int8"),
    "files": ("bytea", "int8", "text"),
}
"""The types of the tables that many rows are loaded into, in the order of their columns."""


class PostgresqlQueries(LogQueries, OutboxQueries, LineageQueries):
    """All that can be read, in PostgreSQL's words."""

    same_address = "lower({column}) = lower(?)"
    walk_up = _UP + _NODES
    walk_down = _DOWN + _NODES
    edges_up = _UP + _EDGES


class BoundQueries(Queries):
    """Reads on one session, until `end`."""

    def __init__(self, session: Session, location: str) -> None:
        self._session: Session | None = session
        self._location = location

    @property
    def location(self) -> str:
        return self._location

    def end(self) -> None:
        """Refuse any further use."""
        self._session = None

    def _live(self) -> Session:
        session = self._session
        if session is None or session.closed or session.info.transaction_status != TransactionStatus.INTRANS:
            raise StoreError("the transaction is over", where=self.location, hint="begin another one")
        return session

    def _fetch(self, sql: str, parameters: tuple[Value, ...]) -> list[Row]:
        session = self._live()
        with guarded(self.location, "reading"):
            return fetch(session, sql, parameters)


class BoundStatements(BoundQueries, Statements):
    """Reads and writes on one session."""

    def __init__(self, session: Session, location: str) -> None:
        super().__init__(session, location)
        self.written_bytes = 0
        self._is_guarded = False

    def _run(self, sql: str, parameters: tuple[Value, ...] = (), *, action: str = "writing") -> int:
        session = self._live()
        with guarded(self.location, action), self._done(session, sql, parameters) as cursor:
            return cursor.rowcount

    def _insert(self, sql: str, parameters: tuple[Value, ...], *, action: str) -> int:
        session = self._live()
        with guarded(self.location, action), self._done(session, sql, parameters) as cursor:
            return int(cursor.fetchall()[0][0])

    def _run_many(self, sql: str, rows: Sequence[tuple[Value, ...]], *, action: str) -> int:
        session = self._live()
        if not rows:
            return 0
        with guarded(self.location, action), session.cursor() as cursor:
            cursor.executemany(marked(sql), [encoded(row) for row in rows])
            return cursor.rowcount

    def _load(self, table: str, rows: Iterable[tuple[Value, ...]], *, action: str) -> None:
        waiting = iter(rows)
        first, second = next(waiting, None), next(waiting, None)
        if first is None:
            return
        if second is None:
            self._run(f"INSERT INTO {table} VALUES ({', '.join('?' * len(first))})", first, action=action)  # noqa: S608
            return
        session = self._live()
        copying = marked(f"COPY {table} FROM STDIN (FORMAT BINARY)")
        with guarded(self.location, action), session.cursor() as cursor, cursor.copy(copying) as copy:
            copy.set_types(_COLUMNS[table])
            for row in chain((first, second), waiting):
                copy.write_row(encoded(row))

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        session = self._live()
        with guarded(self.location, "setting a savepoint"):
            session.execute("SAVEPOINT method")
        self._is_guarded = True
        try:
            yield
            with guarded(self.location, "releasing a savepoint"):
                session.execute("RELEASE method")
        except BaseException:
            self._undo(session)
            raise
        finally:
            self._is_guarded = False

    @contextmanager
    def _done(
        self, session: Session, sql: str, parameters: tuple[Value, ...]
    ) -> Iterator[Cursor[Row] | ClientCursor[Row]]:
        """The result of one statement, which ran behind a savepoint of its own unless there is one already."""
        if self._is_guarded:
            with session.cursor() as cursor:
                yield cursor.execute(marked(sql), encoded(parameters))
            return
        with ClientCursor(session) as cursor:
            try:
                cursor.execute(b"SAVEPOINT statement; " + marked(sql) + b"; RELEASE statement", encoded(parameters))
            except BaseException:
                # What the driver itself refused was not sent, and so there is no savepoint.
                if not session.closed and session.info.transaction_status == TransactionStatus.INERROR:
                    self._undo(session, "statement")
                raise
            cursor.nextset()
            yield cursor

    def _undo(self, session: Session, savepoint: str = "method") -> None:
        # Without its savepoint the transaction is lost, and whoever uses it next is told so.
        if session.closed or session.info.transaction_status not in (
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        ):
            return
        with guarded(self.location, "undoing a write"):
            session.execute(f"ROLLBACK TO {savepoint}")
            session.execute(f"RELEASE {savepoint}")


class PostgresqlSnapshot(BoundQueries, PostgresqlQueries):
    """Reads of one committed state."""


class PostgresqlTransaction(BoundStatements, LogStatements, OutboxStatements, IndexStatements, PostgresqlQueries):
    """One open transaction."""


def fetch(session: Session, sql: str, parameters: tuple[Value, ...]) -> list[Row]:
    """The rows of a query. Raises `psycopg.Error`."""
    with session.cursor(binary=True) as cursor:
        cursor.execute(marked(sql), encoded(parameters))
        return [decoded(row) for row in cursor.fetchall()]


@lru_cache(maxsize=256)
def marked(sql: str) -> bytes:
    """A statement of `provenance.stores.sql`, its values marked as the driver has them."""
    return sql.replace("?", "%s").encode()


def encoded(values: tuple[Value, ...]) -> tuple[Value, ...]:
    r"""Values as the database takes them: its text holds no U+0000, which becomes `\000`, and `\` becomes `\\`.

    That is how it writes bytes, too, so that a schema can turn such text into bytes.
    """
    return tuple(
        value.replace("\\", "\\\\").replace("\0", "\\000")
        if isinstance(value, str) and ("\\" in value or "\0" in value)
        else value
        for value in values
    )


def decoded(row: Row) -> Row:
    """The inverse of `encoded`."""
    if not any(isinstance(value, str) and "\\" in value for value in row):
        return row
    return tuple(
        "\\".join(part.replace("\\000", "\0") for part in value.split("\\\\")) if isinstance(value, str) else value
        for value in row
    )
