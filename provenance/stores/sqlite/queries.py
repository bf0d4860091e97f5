"""The two verbs that the tables are written in: read rows, run a statement.

Invariants: a statement's rows are fetched before it returns, so that no cursor stays open over a page; an error is
translated where the statement ran.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any

from provenance.errors import StoreError
from provenance.stores.sqlite.failures import damaged, guarded

Value = str | bytes | int | None
Row = tuple[Any, ...]
Shape = tuple[type | UnionType, ...]
"""The type of each column."""

_ROW_BYTES = 128
"""What a row costs in the write-ahead log beside large text and blobs, about."""


class Queries:
    """Something that rows can be read from."""

    path: Path

    def _fetch(self, sql: str, parameters: tuple[Value, ...]) -> list[Row]:
        """The rows, unchecked. A store and a transaction each read in their own way."""
        raise NotImplementedError

    def _rows(self, shape: Shape, sql: str, parameters: tuple[Value, ...] = ()) -> list[Row]:
        """The rows; `StoreError` if one has other types, which only damage can give a STRICT table."""
        rows = self._fetch(sql, parameters)
        for row in rows:
            for value, kind in zip(row, shape, strict=True):
                if not isinstance(value, kind):
                    raise damaged(self.path, f"{type(value).__name__} where {kind} belongs")
        return rows

    def _row(self, shape: Shape, sql: str, parameters: tuple[Value, ...] = ()) -> Row | None:
        rows = self._rows(shape, sql, parameters)
        return rows[0] if rows else None


class BoundQueries(Queries):
    """Reads on one connection, until `end`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection

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


class Statements(BoundQueries):
    """Reads and writes on one connection."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(connection, path)
        self.written_bytes = 0

    def _run(self, sql: str, parameters: tuple[Value, ...] = (), *, action: str = "writing") -> sqlite3.Cursor:
        connection = self._live()
        self.written_bytes += _ROW_BYTES + sum(len(value) for value in parameters if isinstance(value, str | bytes))
        with guarded(self.path, action):
            return connection.execute(sql, parameters)

    def _run_many(self, sql: str, rows: Iterable[tuple[Value, ...]], *, action: str = "writing") -> int:
        """How many rows changed. Their text and blobs are for the caller to count as written."""
        connection = self._live()
        with guarded(self.path, action):
            changed = connection.executemany(sql, rows).rowcount
        self.written_bytes += max(changed, 0) * _ROW_BYTES
        return changed

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Undo what the block did if it raises, so that a caller may go on with the transaction."""
        self._run("SAVEPOINT method")
        try:
            yield
        except BaseException:
            if self._connection is not None and self._connection.in_transaction:
                self._run("ROLLBACK TO method")
                self._run("RELEASE method")
            raise
        self._run("RELEASE method")
