"""A witness's state: one SQLite file, which threads and processes share.

Invariants: what a transaction wrote is durable when it ends (synchronous=FULL), whole or not at all; every failure of
the file is a `StoreError` that names it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provenance.errors import StoreError


class StateFile:
    """The file at `path` with the tables of `schema`, which are made if they are not there."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path, self._guard = path, threading.RLock()
        with self._failing("opening"):
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(schema)

    def close(self) -> None:
        """Release the file."""
        with self._guard:
            self._db.close()

    @contextmanager
    def _transaction(self, action: str) -> Iterator[None]:
        with self._failing(action):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _failing(self, action: str) -> Iterator[None]:
        try:
            with self._guard:
                yield
        except sqlite3.Error as error:
            raise StoreError(f"the witness's state failed: {action}", got=error, where=self._path) from error
