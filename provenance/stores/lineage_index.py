"""The graph that received OpenLineage events make: jobs, datasets, columns. Derived from the log and its blobs.

Invariants: the file can be thrown away and made again; the order in which events come makes no difference, but for what
is shown of a dataset: the latest by event time; an event is known by the SHA-256 of its bytes.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provenance.encoding import Digest
from provenance.errors import LimitError, StoreError
from provenance.lineage.facets import Facets
from provenance.lineage.openlineage import DatasetSaid, LineageEvent

MAX_NODES: Final = 10_000
_VERSION: Final = 3
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    digest BLOB PRIMARY KEY, entry INTEGER NOT NULL, kind TEXT NOT NULL, time TEXT NOT NULL, run TEXT,
    producer TEXT NOT NULL, flags TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_run ON events (run);
CREATE TABLE IF NOT EXISTS nodes (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    created TEXT NOT NULL, updated TEXT NOT NULL, version TEXT, fields TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS edges (origin TEXT, destination TEXT, PRIMARY KEY (origin, destination)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS edges_back ON edges (destination, origin);
CREATE TABLE IF NOT EXISTS sources (
    dataset TEXT, source TEXT, declared INTEGER NOT NULL, PRIMARY KEY (dataset, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS columns (
    dataset TEXT, field TEXT, source TEXT, source_field TEXT, PRIMARY KEY (dataset, field, source, source_field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facets (
    node TEXT, facet TEXT, time TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (node, facet)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY CHECK (id = 1), entry INTEGER NOT NULL);
INSERT OR IGNORE INTO position VALUES (1, 0);
"""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A job or dataset with its edges, as node ids; `facets` are what was said last of its owners and quality."""

    id: str
    type: str
    namespace: str
    name: str
    created: str
    updated: str
    version: str | None
    fields: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    before: list[str]
    after: list[str]
    facets: dict[str, Any]


class LineageIndex:
    """The index in one SQLite file. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path, self._guard = path, threading.RLock()
        with self._failing("opening"):
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")  # the log is what must survive; this is made again from it
            self._make()

    def _make(self) -> None:
        """Make the tables; those of another version are thrown away: all of it is made again from the log."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            names = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in names:
                self._db.execute(f"DROP TABLE {name}")
        self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT")

    def close(self) -> None:
        """Release the file."""
        with self._guard:
            self._db.close()

    @contextmanager
    def _failing(self, action: str) -> Iterator[None]:
        try:
            with self._guard:
                yield
        except sqlite3.Error as error:
            raise StoreError(f"the index of lineage events failed: {action}", got=error, where=self._path) from error

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

    def add(self, entry: int, events: Iterable[tuple[Digest, LineageEvent]]) -> None:
        """Index the events of one log entry, and say that all up to it are indexed."""
        with self._failing("writing"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for digest, event in events:
                    self._add(entry, digest, event)
                self._db.execute("UPDATE position SET entry = max(entry, ?)", (entry + 1,))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def skip(self, size: int) -> None:
        """Say that entries below `size` are indexed, or hold no events."""
        with self._failing("writing"):
            self._db.execute("UPDATE position SET entry = max(entry, ?)", (size,))

    def _add(self, entry: int, digest: Digest, event: LineageEvent) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
            (digest.raw, entry, event.kind, event.time, event.run, event.producer, ", ".join(event.flags)),
        )
        job = event.job_node
        if job is not None and event.job is not None:
            self._node(job, "JOB", *event.job, event.time, None, ())
            self._facets(job, event.job_facets, event.time)
        for said in (*event.inputs, *event.outputs, *((event.dataset,) if event.dataset else ())):
            self._dataset(said, event.time)
        edges = [(one.id.node, job) for one in event.inputs] + [(job, one.id.node) for one in event.outputs]
        if job is not None:
            self._db.executemany("INSERT OR IGNORE INTO edges VALUES (?, ?)", edges)

    def _dataset(self, said: DatasetSaid, time: str) -> None:
        node = said.id.node
        self._node(node, "DATASET", said.id.namespace, said.id.name, time, said.version, said.fields)
        self._facets(node, said.facets, time)
        for source in said.sources:
            if source != said.id:
                self._node(source.node, "DATASET", source.namespace, source.name, time, None, ())
                self._db.execute(
                    """INSERT INTO sources VALUES (?, ?, ?)
                       ON CONFLICT DO UPDATE SET declared = max(declared, excluded.declared)""",
                    (node, source.node, said.is_declared),
                )
        self._db.executemany(
            "INSERT OR IGNORE INTO columns VALUES (?, ?, ?, ?)",
            [(node, target, source.node, column) for target, source, column in said.columns],
        )

    def _facets(self, node: str, facets: Facets, time: str) -> None:
        self._db.executemany(
            """INSERT INTO facets VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
               time = excluded.time, value = excluded.value WHERE excluded.time >= time""",
            [(node, name, time, value.decode()) for name, value in facets],
        )

    def _node(
        self,
        node: str,
        kind: str,
        namespace: str,
        name: str,
        time: str,
        version: str | None,
        fields: Sequence[tuple[str, str | None]],
    ) -> None:
        shown = json.dumps([{"name": field, "type": kind_of} for field, kind_of in fields])
        self._db.execute(
            """INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
               created = min(created, excluded.created),
               version = CASE WHEN excluded.version IS NOT NULL AND excluded.updated >= updated
                              THEN excluded.version ELSE coalesce(version, excluded.version) END,
               fields = CASE WHEN excluded.fields <> '[]' AND (excluded.updated >= updated OR fields = '[]')
                             THEN excluded.fields ELSE fields END,
               updated = max(updated, excluded.updated)""",
            (node, kind, namespace, name, time, time, version, shown),
        )

    def graph(self, node: str, depth: int) -> list[GraphNode]:
        """Nodes within so many steps of a node, both ways, sorted by id; none if it is not known."""
        with self._failing("reading"):
            seen, queue = {node: 0}, deque([node])
            while queue:
                here = queue.popleft()
                if seen[here] >= depth:
                    continue
                for other in (*self._before(here), *self._after(here)):
                    if other not in seen:
                        seen[other] = seen[here] + 1
                        queue.append(other)
                if len(seen) > MAX_NODES:
                    hint = "ask for a smaller depth"
                    raise LimitError("graph is too large", expected=f"at most {MAX_NODES} nodes", hint=hint)
            found = (self._shown(one) for one in sorted(seen))
            return [one for one in found if one is not None]

    def columns(self, dataset: str, field: str | None = None) -> list[tuple[str, str, str]]:
        """(field, source dataset, source field) of a dataset's columns, or of one."""
        with self._failing("reading"):
            rows = self._db.execute(
                """SELECT field, source, source_field FROM columns WHERE dataset = ?1 AND (?2 IS NULL OR field = ?2)
                   ORDER BY field, source, source_field""",
                (dataset, field),
            )
            return [(str(a), str(b), str(c)) for a, b, c in rows]

    def counts(self) -> dict[str, int]:
        """How many events, nodes and edges there are."""
        with self._failing("reading"):
            return {
                name: int(self._db.execute(f"SELECT count(*) FROM {name}").fetchone()[0])  # noqa: S608 - fixed words
                for name in ("events", "nodes", "edges")
            }

    def _before(self, node: str) -> list[str]:
        rows = self._db.execute("SELECT origin FROM edges WHERE destination = ? ORDER BY origin", (node,))
        return [str(row[0]) for row in rows]

    def _after(self, node: str) -> list[str]:
        rows = self._db.execute("SELECT destination FROM edges WHERE origin = ? ORDER BY destination", (node,))
        return [str(row[0]) for row in rows]

    def _shown(self, node: str) -> GraphNode | None:
        row = self._db.execute("SELECT * FROM nodes WHERE id = ?", (node,)).fetchone()
        if row is None:
            return None
        known, kind, namespace, name, created, updated, version, fields = row
        sources = self._db.execute("SELECT source, declared FROM sources WHERE dataset = ? ORDER BY source", (node,))
        said = self._db.execute("SELECT facet, value FROM facets WHERE node = ? ORDER BY facet", (node,)).fetchall()
        stated = [{"origin": source, "declared": bool(declared)} for source, declared in sources]
        return GraphNode(
            known,
            kind,
            namespace,
            name,
            created,
            updated,
            version,
            json.loads(fields),
            stated,
            self._before(node),
            self._after(node),
            {name: json.loads(value) for name, value in said},
        )
