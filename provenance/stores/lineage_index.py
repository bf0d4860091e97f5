"""The graph that received OpenLineage events make: jobs, datasets, columns. Derived from the log and its blobs.

Invariants: the file can be thrown away and made again; readers have connections of their own and see one committed
state, so that nobody who writes waits for them; the order in which events come makes no difference: what is
shown of a dataset is what a signer said, if any did, and of that the latest by event time, which counts as at most
shortly after the event was received, and of those at one instant the greatest; times are microseconds in UTC;
a node is known by `NodeKey.text`, for two may share the id that Marquez writes; an event is known by the SHA-256 of its
bytes.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from provenance.encoding import Digest
from provenance.errors import LimitError, StoreError
from provenance.lineage.openlineage import LineageEvent
from provenance.stores.lineage_graph import EDGES, GraphReader
from provenance.stores.lineage_nodes import GraphNode
from provenance.stores.lineage_rows import EventWriter
from provenance.stores.lineage_schema import SCHEMA_VERSION, TABLES
from provenance.stores.sqlite.connections import Readers

PRIVATE_MODE: Final = 0o600
_PAUSE_S: Final = 0.001
_ENDED: Final = object()
MAX_READ_S: Final = 10
_STEPS_BETWEEN_LOOKS: Final = 100_000
"""Instructions of SQLite's between two looks at the clock: some milliseconds."""


class LineageIndex:
    """The index in one SQLite file. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path, self._guard = path, threading.RLock()
        with self._failing("opening"):
            self._keep_private()
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")  # the log is what must survive; this is made again from it
            self._make()
        self._writer = EventWriter(self._db)
        self._readers = Readers(self._open_reader, path)

    def _open_reader(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
        )
        db.execute("PRAGMA query_only = ON")
        return db

    def _keep_private(self) -> None:
        """Make the file, if need be, and keep others from reading it: what SQLite makes beside it is as it is."""
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, PRIVATE_MODE))
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + suffix).chmod(PRIVATE_MODE)
        except OSError as error:
            raise StoreError(
                "the index of lineage events cannot be opened", got=error.strerror, where=self._path
            ) from error

    def _make(self) -> None:
        """Make the tables; those of another version are thrown away: all of it is made again from the log."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            names = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in names:
                self._db.execute(f"DROP TABLE {name}")
        self._db.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")

    def close(self) -> None:
        """Release the file."""
        self._readers.close()
        with self._guard:
            self._db.close()

    @contextmanager
    def _failing(self, action: str) -> Iterator[None]:
        try:
            with self._guard:
                yield
        except sqlite3.Error as error:
            raise self._failure(action, error) from error

    def _failure(self, action: str, error: sqlite3.Error) -> StoreError:
        return StoreError(f"the index of lineage events failed: {action}", got=error, where=self._path)

    def position(self) -> int:
        """Entries below this one are indexed."""
        with self._failing("reading"):
            return int(self._db.execute("SELECT entry FROM position").fetchone()[0])

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        """Those of these events that are here."""
        found = set()
        with self._failing("reading"):
            for digest in digests:
                if self._db.execute("SELECT 1 FROM events WHERE digest = ?", (digest.raw,)).fetchone():
                    found.add(digest)
        return found

    def known_runs(self, runs: Sequence[str], producer: str) -> set[str]:
        """Those of these runs that an event of this producer here is of."""
        with self._failing("reading"):
            query = "SELECT 1 FROM events WHERE run = ? AND producer = ?"
            return {run for run in runs if self._db.execute(query, (run, producer)).fetchone()}

    def add(
        self,
        entry: int,
        events: Sequence[tuple[Digest, LineageEvent]],
        settled: Callable[[], int] | None = None,
        received_us: int | None = None,
    ) -> None:
        """Index the events of one log entry, and say that all below `settled()` are indexed: up to it, by default.

        `received_us` is when they were received, in microseconds since 1970: now, by default. What an event says of a
        later time than shortly after that is taken to be said then.

        Large events are written in pieces, so that others who write or read have their turn; those that read meanwhile
        see a part of them.
        """
        received_us = time.time_ns() // 1_000 if received_us is None else received_us
        work, ended = self._writer.write(entry, events, received_us), False
        while not ended:
            with self._writing():
                ended = next(work, _ENDED) is _ENDED
                if ended:
                    self._skip(entry + 1 if settled is None else settled())
            if not ended:
                time.sleep(_PAUSE_S)  # who lets go of a lock and takes it again is always the first to have it

    def skip(self, size: int) -> None:
        """Say that entries below `size` are indexed, or hold no events."""
        with self._writing():
            self._skip(size)

    def _skip(self, size: int) -> None:
        self._db.execute("UPDATE position SET entry = max(entry, ?)", (size,))

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection that reads one committed state, while others write; `LimitError` if it takes too long."""
        with self._readers.lease() as db:
            deadline = time.monotonic() + MAX_READ_S
            db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
            try:
                db.execute("BEGIN")
                yield db
            except sqlite3.Error as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                    hint = "ask for a smaller depth"
                    what = "reading the graph takes too long"
                    raise LimitError(what, expected=f"at most {MAX_READ_S} s", hint=hint) from error
                raise self._failure("reading", error) from error
            finally:
                db.set_progress_handler(None, 0)
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._failing("writing"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._writer.forget()
                self._db.execute("ROLLBACK")
                raise

    def graph(self, node: str, depth: int, namespace: str | None = None) -> list[GraphNode]:
        """Nodes within so many steps of a node, by its id, both ways, sorted; none if it is not known.

        `MalformedError` if the id is that of two nodes, unless `namespace` says which is meant; `LimitError` if there
        are too many, or if it takes too long.
        """
        with self._snapshot() as db:
            return GraphReader(db).graph(node, depth, namespace)

    def columns(self, node: str, namespace: str | None = None) -> list[tuple[str, str, str]]:
        """(field, source dataset's id, source field) of the columns of a dataset, or of one: `dataset:NS:NAME` or
        `datasetField:NS:NAME:FIELD`. Errors as for `graph`."""
        with self._snapshot() as db:
            return GraphReader(db).columns(node, namespace)

    def counts(self) -> dict[str, int]:
        """How many events, nodes and edges there are."""
        with self._failing("reading"):
            return {
                name: int(self._db.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])  # noqa: S608 - fixed words
                for name, rows in (("events", "events"), ("nodes", "nodes"), ("edges", EDGES))
            }
