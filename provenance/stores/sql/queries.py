"""The verbs that the tables are written in: read rows, run a statement, load many rows.

Invariants: a statement's rows are fetched before it returns, so that no cursor stays open over a page; an error is
translated where the statement ran; a statement that fails has changed nothing. Values are marked by `?`, text is
compared byte for byte, and what is written here runs in SQLite and in PostgreSQL.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from types import UnionType
from typing import Any

from provenance.errors import StoreError

Value = str | bytes | int | None
Row = tuple[Any, ...]
Shape = tuple[type | UnionType, ...]
"""The type of each column."""

DAMAGED = (
    "the ledger database is damaged",
    "keep it as it is, and restore the ledger from a backup or a mirror",
)
"""What is wrong, and the way out."""


class Queries(ABC):
    """Something that rows can be read from."""

    @property
    @abstractmethod
    def location(self) -> str:
        """What the store was opened with, for messages."""

    @abstractmethod
    def _fetch(self, sql: str, parameters: tuple[Value, ...]) -> list[Row]:
        """The rows, unchecked. A store and a transaction each read in their own way."""

    def _rows(self, shape: Shape, sql: str, parameters: tuple[Value, ...] = ()) -> list[Row]:
        """The rows; `StoreError` if one has other types, which only damage can give tables with types."""
        rows = self._fetch(sql, parameters)
        for row in rows:
            for value, kind in zip(row, shape, strict=True):
                if not isinstance(value, kind):
                    raise damaged(self.location, f"{type(value).__name__} where {kind} belongs")
        return rows

    def _row(self, shape: Shape, sql: str, parameters: tuple[Value, ...] = ()) -> Row | None:
        rows = self._rows(shape, sql, parameters)
        return rows[0] if rows else None


class Statements(Queries):
    """Reads and writes in one transaction."""

    written_bytes: int
    """What was written, about: large text and blobs are counted by whoever writes them with `_load`."""

    @abstractmethod
    def _run(self, sql: str, parameters: tuple[Value, ...] = (), *, action: str = "writing") -> int:
        """How many rows changed."""

    @abstractmethod
    def _insert(self, sql: str, parameters: tuple[Value, ...], *, action: str) -> int:
        """The number that one INSERT ... RETURNING returns."""

    @abstractmethod
    def _run_many(self, sql: str, rows: Sequence[tuple[Value, ...]], *, action: str) -> int:
        """How many rows changed, over all `rows` of values. Only within `_all_or_nothing`."""

    @abstractmethod
    def _load(self, table: str, rows: Iterable[tuple[Value, ...]], *, action: str) -> None:
        """Add rows that have every column of `table`, in its order. Several only within `_all_or_nothing`."""

    @abstractmethod
    def _all_or_nothing(self) -> AbstractContextManager[None]:
        """Undo what the block did if it raises, so that a caller may go on with the transaction."""


def damaged(where: object, what: str) -> StoreError:
    """The error for rows that no writer of ours can have left behind."""
    return StoreError(f"{DAMAGED[0]}: {what}", where=where, hint=DAMAGED[1])
