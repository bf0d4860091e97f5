"""The verbs of `provenance.stores.sql` on one SQLite connection, and the statements that only SQLite takes.

Invariants: those of `provenance.stores.sql.queries`; nothing runs on a connection whose transaction is over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

from provenance.errors import StoreError
from provenance.stores.sql.lineage_queries import LineageQueries
from provenance.stores.sql.log_tables import LogQueries
from provenance.stores.sql.outbox_table import OutboxQueries
from provenance.stores.sql.queries import Queries, Row, Value
from provenance.stores.sql.queries import Statements as SqlStatements
from provenance.stores.sqlite.failures import guarded

_ROW_BYTES = 128
"""What a row costs in the write-ahead log beside large text and blobs, about."""

# UNION drops nodes met before; without ORDER BY SQLite takes the queue first in, first out: breadth first.
_UP: Final = """WITH RECURSIVE walk (entry) AS (
    VALUES (?1)
    UNION SELECT p.parent_entry FROM walk JOIN parents p ON p.child = walk.entry WHERE p.parent_entry IS NOT NULL
    LIMIT ?2)"""
_DOWN: Final = """WITH RECURSIVE walk (entry) AS (
    VALUES (?1)
    UNION SELECT p.child FROM walk JOIN parents p ON p.parent_entry = walk.entry
    LIMIT ?2)"""
_NODES: Final = " SELECT entry FROM walk"
_EDGES: Final = """ SELECT p.child, p.position, p.namespace, p.name, p.version, p.digest, p.parent_entry,
    (SELECT count(*) FROM walk) FROM walk JOIN parents p ON p.child = walk.entry ORDER BY p.child, p.position"""


class SqliteQueries(LogQueries, OutboxQueries, LineageQueries):
    """All that can be read, in SQLite's words."""

    same_address = "{column} = ?"
    """The columns compare without case."""
    walk_up = _UP + _NODES
    walk_down = _DOWN + _NODES
    edges_up = _UP + _EDGES


class BoundQueries(Queries):
    """Reads on one connection, until `end`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection

    @property
    def location(self) -> str:
        return str(self.path)

    def end(self) -> None:
        """Refuse any further use."""
        self._connection = None

    def _live(self) -> sqlite3.Connection:
        # SQLite ends a transaction by itself on some failures: nothing may then run outside of one.
        if self._connection is None or not self._connection.in_transaction:
            raise StoreError("the transaction is over", where=self.path, hint="begin another one")
        return self._connection

    def _fetch(self, sql: str, parameters: tuple[Value, ...]) -> list[Row]:
        connection = self._live()
        with guarded(self.path, "reading"):
            return connection.execute(sql, parameters).fetchall()


class Statements(BoundQueries, SqlStatements):
    """Reads and writes on one connection."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(connection, path)
        self.written_bytes = 0

    def _run(self, sql: str, parameters: tuple[Value, ...] = (), *, action: str = "writing") -> int:
        connection = self._live()
        self._count(parameters)
        with guarded(self.path, action):
            return connection.execute(sql, parameters).rowcount

    def _insert(self, sql: str, parameters: tuple[Value, ...], *, action: str) -> int:
        connection = self._live()
        self._count(parameters)
        with guarded(self.path, action):
            return int(connection.execute(sql, parameters).fetchall()[0][0])

    def _run_many(self, sql: str, rows: Sequence[tuple[Value, ...]], *, action: str) -> int:
        connection = self._live()
        for row in rows:
            self._count(row)
        with guarded(self.path, action):
            return max(connection.executemany(sql, rows).rowcount, 0)

    def _load(self, table: str, rows: Iterable[tuple[Value, ...]], *, action: str) -> None:
        connection = self._live()
        with guarded(self.path, action):
            waiting = iter(rows)
            first = next(waiting, None)
            if first is None:
                return
            sql = f"INSERT INTO {table} VALUES ({', '.join('?' * len(first))})"  # noqa: S608 - a table of the schema
            changed = connection.executemany(sql, chain((first,), waiting)).rowcount
        self.written_bytes += max(changed, 0) * _ROW_BYTES

    def _count(self, values: tuple[Value, ...]) -> None:
        self.written_bytes += _ROW_BYTES + sum(len(value) for value in values if isinstance(value, str | bytes))

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        self._run("SAVEPOINT method")
        try:
            yield
        except BaseException:
            if self._connection is not None and self._connection.in_transaction:
                self._run("ROLLBACK TO method")
                self._run("RELEASE method")
            raise
        self._run("RELEASE method")
