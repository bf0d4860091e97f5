"""Walking the graph of lineage events, over one committed state of its index.

Invariants: nothing is written; a step of the walk is a few queries; a job that is reached from a dataset leads on only
through the runs that read or wrote it, so that what two runs of one job did is not mixed; runs that failed lead
nowhere; from one name of a dataset to another is no step, and from its name before a rename to the next is one; how
many nodes and edges an answer has is bounded.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from provenance.errors import LimitError, MalformedError
from provenance.lineage.openlineage import NodeKey
from provenance.stores.lineage_names import NameReader
from provenance.stores.lineage_nodes import Edges, GraphNode, NodeReader
from provenance.stores.lineage_schema import FAILED, LINEAGE, NO_JOB, READ

MAX_NODES: Final = 10_000
MAX_EDGES: Final = 200_000
"""Edges of a graph, and as many sources of its datasets."""
_FIELD: Final = "datasetField:"
_MAX_NAMED: Final = 8
_LIVE: Final = f"shapes.runs > 0 AND shapes.job <> {NO_JOB}"
EDGES: Final = f"""(SELECT DISTINCT shapes.job, shape_io.role, shape_io.dataset
    FROM shape_io JOIN shapes ON shapes.id = shape_io.shape WHERE {_LIVE})"""  # noqa: S608 - numbers of this project
_AMONG: Final = "(SELECT value FROM json_each(?))"
_TOUCHING: Final = f"""SELECT DISTINCT shape_io.shape, shapes.job
    FROM shape_io JOIN shapes ON shapes.id = shape_io.shape WHERE shape_io.dataset IN {_AMONG} AND {_LIVE}"""  # noqa: S608 - likewise
_OF_JOB: Final = f"SELECT id, job FROM shapes WHERE job IN {_AMONG} AND {_LIVE}"  # noqa: S608 - likewise
_WITHIN: Final = f"""SELECT shapes.job, shape_io.role, shape_io.dataset FROM shape_io
    JOIN shapes ON shapes.id = shape_io.shape WHERE shape_io.shape IN {_AMONG}"""  # noqa: S608 - likewise
_OF_DATASETS: Final = f"""SELECT DISTINCT shapes.job, shape_io.role, shape_io.dataset FROM shape_io
    JOIN shapes ON shapes.id = shape_io.shape WHERE shape_io.dataset IN {_AMONG} AND {_LIVE}"""  # noqa: S608 - likewise
# Of each job the latest live run that says what columns were made from; of two at one instant the greater text. What
# nobody signed counts where nothing was.
_COLUMNS: Final = f"""WITH live AS (
        SELECT runs.job, said.trust, said.time, said.text FROM said JOIN runs ON runs.id = said.run
        WHERE said.dataset = ? AND said.kind = '{LINEAGE}' AND runs.state NOT IN {FAILED}
    ), latest AS (SELECT job, max(time) AS time FROM live WHERE trust = (SELECT max(trust) FROM live) GROUP BY job)
    SELECT DISTINCT job, trust, time, texts.value FROM live JOIN latest USING (job, time)
    JOIN texts ON texts.id = live.text WHERE trust = (SELECT max(trust) FROM live)
    ORDER BY job, texts.value"""  # noqa: S608 - likewise
Column = tuple[str, NodeKey, str]


class GraphReader:
    """Reads over one connection, in its transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def graph(self, node: str, depth: int, namespace: str | None) -> list[GraphNode]:
        """See `LineageIndex.graph`."""
        start = _only(node, [(found, None) for found in self._named(node, namespace)])
        if start is None:
            return []
        (number, key), _ = start
        walk = _Walk(self)
        if key.kind == "job":
            walk.jobs.add(number)
            reached = walk.follow(self.rows(_OF_JOB, [number]))
            walk.step({1: reached} if depth else {}, depth)
        else:
            walk.step({0: {number}}, depth)
        names, shown = NameReader(self.rows), sorted(walk.datasets)
        edges = Edges(renames=names.renames(shown))
        for one, other in names.same(shown):
            edges.same[one].add(other)
        for previous, dataset, _ in edges.renames:
            edges.add(previous, dataset)
        for origin, destination in walk.edges:
            edges.add(origin, destination)
        for job, role, dataset in self.rows(_OF_DATASETS, shown):
            edges.add(*((dataset, job) if role == READ else (job, dataset)))
        found = NodeReader(self._db, self.rows).shown(walk.jobs | walk.datasets, edges)
        return sorted(found, key=lambda one: (one.id, one.namespace))

    def columns(self, node: str, namespace: str | None) -> list[tuple[str, str, str]]:
        """See `LineageIndex.columns`."""
        found = _only(node, self._meant(node, namespace))
        if found is None:
            return []
        (number, _), field = found
        columns = {one for one in self._columns(number) if field is None or one[0] == field}
        return sorted((name, source.id, column) for name, source, column in columns)

    def rows(self, query: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """The rows of a query about some ids, of which there may be `MAX_EDGES`."""
        found: list[tuple[Any, ...]] = self._db.execute(f"{query} LIMIT ?", (json.dumps(ids), MAX_EDGES + 1)).fetchall()
        if len(found) > MAX_EDGES:
            raise _too_large(f"{MAX_EDGES} edges")
        return found

    def _columns(self, dataset: int) -> list[Column]:
        """What columns of a dataset were made from, by the latest run of each job, as far as it has them still."""
        latest = {job: ((trust, time), value) for job, trust, time, value in self._db.execute(_COLUMNS, (dataset,))}
        told = NodeReader(self._db, self.rows).fields([dataset]).get(dataset)
        found: list[Column] = []
        for said, value in latest.values():
            for name, source, column in json.loads(value)["columns"]:
                if told is None or (told.trust, told.time) <= said or told.has(name):
                    found.append((name, NodeKey.parse(source), column))
        return found

    def _named(self, node: str, namespace: str | None) -> list[tuple[int, NodeKey]]:
        """The nodes that have this id, and this namespace if it is given."""
        rows = self._db.execute("SELECT id, key FROM nodes WHERE shown = ? ORDER BY key", (node,)).fetchall()
        nodes = [(int(number), NodeKey.parse(key)) for number, key in rows]
        return [(number, key) for number, key in nodes if namespace is None or key.namespace == namespace]

    def _meant(self, node: str, namespace: str | None) -> list[_Meant]:
        """The datasets, and fields of them, that an id can mean."""
        if not node.startswith(_FIELD):
            return [(found, None) for found in self._named(node, namespace)]
        parts = node.removeprefix(_FIELD).split(":")
        found: list[_Meant] = []
        for end in range(2, len(parts)):
            field = ":".join(parts[end:])
            datasets = self._named("dataset:" + ":".join(parts[:end]), namespace)
            found += [(one, field) for one in datasets if any(name == field for name, _, _ in self._columns(one[0]))]
        return found


_Meant = tuple[tuple[int, NodeKey], str | None]


class _Walk:
    """What a walk has reached: jobs and datasets, and the edges of the runs that it came through."""

    def __init__(self, reader: GraphReader) -> None:
        self._rows, self._names = reader.rows, NameReader(reader.rows)
        self.jobs, self.datasets, self.edges = set[int](), set[int](), set[tuple[int, int]]()
        self._shapes = set[int]()

    def step(self, waiting: dict[int, set[int]], depth: int) -> None:
        """Walk from datasets that wait at a level to all that are `depth` steps from the start at most."""
        pending = defaultdict[int, set[int]](set, waiting)
        for level in range(depth + 1):
            fresh = self._named_otherwise(pending.pop(level, set()) - self.datasets)
            if fresh and level < depth:
                pending[level + 1] |= {end for one in self._names.renames(sorted(fresh)) for end in one[:2]}
                pending[level + 2] |= self.follow(self._rows(_TOUCHING, sorted(fresh)))

    def _named_otherwise(self, fresh: set[int]) -> set[int]:
        """Reach these datasets, and by their other names those that are the same: all of them."""
        found = set[int]()
        while fresh:
            found |= fresh
            self.datasets |= fresh
            self._check()
            fresh = {other for _, other in self._names.same(sorted(fresh))} - self.datasets
        return found

    def follow(self, shapes: Iterable[tuple[int, int]]) -> set[int]:
        """The datasets of the runs of these shapes, (shape, job), which were not followed yet."""
        fresh = {shape: job for shape, job in shapes if shape not in self._shapes}
        self._shapes |= fresh.keys()
        self.jobs |= set(fresh.values())
        self._check()
        found = set()
        for job, role, dataset in self._rows(_WITHIN, sorted(fresh)):
            found.add(dataset)
            self.edges.add((dataset, job) if role == READ else (job, dataset))
        return found

    def _check(self) -> None:
        if len(self.jobs) + len(self.datasets) > MAX_NODES:
            raise _too_large(f"{MAX_NODES} nodes")


def _too_large(expected: str) -> LimitError:
    return LimitError("graph is too large", expected=f"at most {expected}", hint="ask for a smaller depth")


def _only(node: str, found: Sequence[_Meant]) -> _Meant | None:
    """The one thing that an id means, or None."""
    if len(found) > 1:
        meant = [
            f"namespace {one.namespace}, name {one.name}" + (f", field {field}" if field is not None else "")
            for (_, one), field in found[:_MAX_NAMED]
        ]
        hint = "say which with namespace=..."
        raise MalformedError(f"{node} is the id of {len(found)} things", got="; ".join(meant), hint=hint)
    return found[0] if found else None
