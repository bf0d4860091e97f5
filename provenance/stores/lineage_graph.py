"""Reading the graph of lineage events, from one committed state of its index.

Invariants: nothing is written; a level of the walk is one query, and what is shown of all nodes is one query a table;
how many nodes and edges an answer has is bounded.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from provenance.errors import LimitError, MalformedError
from provenance.lineage.event_time import format_time_us
from provenance.lineage.openlineage import NodeKey
from provenance.stores.lineage_rows import FIELDS_SAID, VERSION_SAID

MAX_NODES: Final = 10_000
MAX_EDGES: Final = 200_000
"""Edges of a graph, and as many sources of its datasets."""
_FIELD: Final = "datasetField:"
_MAX_NAMED: Final = 8
_AMONG: Final = "(SELECT value FROM json_each(?))"


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


class GraphReader:
    """Reads over one connection, in its transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def graph(self, node: str, depth: int, namespace: str | None) -> list[GraphNode]:
        """See `LineageIndex.graph`."""
        start = _only(node, [(key, None) for key in self._keys(node, namespace)])
        if start is None:
            return []
        seen, frontier = {start[0]}, [start[0]]
        for _ in range(depth):
            edges = (*self._edges("destination", frontier), *self._edges("origin", frontier))
            frontier = sorted({end for edge in edges for end in edge} - seen)
            seen.update(frontier)
            if len(seen) > MAX_NODES:
                raise _too_large(f"{MAX_NODES} nodes")
            if not frontier:
                break
        return sorted(self._shown(seen), key=lambda one: (one.id, one.namespace))

    def columns(self, node: str, namespace: str | None) -> list[tuple[str, str, str]]:
        """See `LineageIndex.columns`."""
        found = _only(node, self._meant(node, namespace))
        if found is None:
            return []
        rows = self._db.execute(
            """SELECT field, source, source_field FROM columns WHERE dataset = ?1 AND (?2 IS NULL OR field = ?2)
               ORDER BY field, source, source_field""",
            found,
        )
        return [(str(a), NodeKey.parse(b).id, str(c)) for a, b, c in rows]

    def _keys(self, node: str, namespace: str | None) -> list[str]:
        """The nodes that have this id, and this namespace if it is given."""
        rows = self._db.execute("SELECT id FROM nodes WHERE shown = ? ORDER BY id", (node,)).fetchall()
        return [key for (key,) in rows if namespace is None or NodeKey.parse(key).namespace == namespace]

    def _meant(self, node: str, namespace: str | None) -> list[tuple[str, str | None]]:
        """The datasets, and fields of them, that an id can mean."""
        if not node.startswith(_FIELD):
            return [(key, None) for key in self._keys(node, namespace)]
        parts = node.removeprefix(_FIELD).split(":")
        found: list[tuple[str, str | None]] = []
        for end in range(2, len(parts)):
            field, has = ":".join(parts[end:]), "SELECT 1 FROM columns WHERE dataset = ? AND field = ?"
            keys = self._keys("dataset:" + ":".join(parts[:end]), namespace)
            found += [(key, field) for key in keys if self._db.execute(has, (key, field)).fetchone()]
        return found

    def _edges(self, end: str, nodes: Iterable[str]) -> list[tuple[str, str]]:
        """(origin, destination) of the edges one end of which is among these."""
        return self._rows(f"SELECT origin, destination FROM edges WHERE {end} IN {_AMONG}", nodes)  # noqa: S608

    def _rows(self, query: str, nodes: Iterable[str]) -> list[tuple[Any, ...]]:
        given = (json.dumps(list(nodes)), MAX_EDGES + 1)
        rows: list[tuple[Any, ...]] = self._db.execute(f"{query} LIMIT ?", given).fetchall()
        if len(rows) > MAX_EDGES:
            raise _too_large(f"{MAX_EDGES} edges")
        return rows

    def _shown(self, keys: set[str]) -> Iterator[GraphNode]:
        before, after = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for origin, destination in self._edges("destination", keys):
            before[destination].append(NodeKey.parse(origin).id)
        for origin, destination in self._edges("origin", keys):
            after[origin].append(NodeKey.parse(destination).id)
        sources = defaultdict[str, list[dict[str, Any]]](list)
        query = f"SELECT dataset, source, declared FROM sources WHERE dataset IN {_AMONG}"  # noqa: S608
        for dataset, source, declared in self._rows(query, keys):
            sources[dataset].append({"origin": NodeKey.parse(source).id, "declared": bool(declared)})
        said = defaultdict[str, dict[str, Any]](dict)
        query = f"SELECT node, facet, value FROM facets WHERE node IN {_AMONG} ORDER BY node, facet"  # noqa: S608
        for key, name, value in self._rows(query, keys):
            said[key][name] = json.loads(value)
        query = f"SELECT id, created, updated FROM nodes WHERE id IN {_AMONG}"  # noqa: S608
        for key, created, updated in self._rows(query, keys):
            node = NodeKey.parse(key)
            yield GraphNode(
                id=node.id,
                type=node.kind.upper(),
                namespace=node.namespace,
                name=node.name,
                created=format_time_us(created),
                updated=format_time_us(updated),
                version=said[key].pop(VERSION_SAID, None),
                fields=said[key].pop(FIELDS_SAID, []),
                sources=sorted(sources[key], key=lambda one: str(one["origin"])),
                before=sorted(before[key]),
                after=sorted(after[key]),
                facets=said[key],
            )


def _too_large(expected: str) -> LimitError:
    return LimitError("graph is too large", expected=f"at most {expected}", hint="ask for a smaller depth")


def _only(node: str, found: Sequence[tuple[str, str | None]]) -> tuple[str, str | None] | None:
    """The one thing that an id means, or None."""
    if len(found) > 1:
        said = [(NodeKey.parse(key), field) for key, field in found[:_MAX_NAMED]]
        meant = [
            f"namespace {one.namespace}, name {one.name}" + (f", field {field}" if field is not None else "")
            for one, field in said
        ]
        hint = "say which with namespace=..."
        raise MalformedError(f"{node} is the id of {len(found)} things", got="; ".join(meant), hint=hint)
    return found[0] if found else None
