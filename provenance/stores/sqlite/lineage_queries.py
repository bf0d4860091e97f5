"""Ancestors and descendants by recursive queries.

Invariants: each node is visited once, so that diamonds cost nothing and a cycle ends; a walk that would pass its bound
is refused, never cut short.
"""

from __future__ import annotations

from provenance.errors import LimitError
from provenance.limits import MAX_LINEAGE_NODES
from provenance.stores.rows import ParentRow
from provenance.stores.sqlite.bounds import clamped
from provenance.stores.sqlite.index_tables import PARENT, IndexQueries

# UNION drops nodes met before; without ORDER BY SQLite takes the queue first in, first out: breadth first.
_UP = """WITH RECURSIVE walk (entry) AS (
    VALUES (?1)
    UNION SELECT p.parent_entry FROM walk JOIN parents p ON p.child = walk.entry WHERE p.parent_entry IS NOT NULL
    LIMIT ?2)"""
_DOWN = """WITH RECURSIVE walk (entry) AS (
    VALUES (?1)
    UNION SELECT p.child FROM walk JOIN parents p ON p.parent_entry = walk.entry
    LIMIT ?2)"""

_NODES = " SELECT entry FROM walk"
_EDGES = """ SELECT p.child, p.position, p.namespace, p.name, p.version, p.digest, p.parent_entry,
    (SELECT count(*) FROM walk) FROM walk JOIN parents p ON p.child = walk.entry ORDER BY p.child, p.position"""


class LineageQueries(IndexQueries):
    """See `provenance.stores.base.IndexReader`."""

    def ancestors(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[int]:
        return self._walk(_UP, entry_index, max_nodes)

    def descendants(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[int]:
        return self._walk(_DOWN, entry_index, max_nodes)

    def ancestor_edges(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[ParentRow]:
        start, limit = self._start(entry_index, max_nodes)
        rows = self._rows(
            (*PARENT, int),
            _UP + _EDGES,
            (start, limit),
        )
        if rows and rows[0][7] == limit:
            raise _too_far(max_nodes)
        return [self._parent_row(row[:7]) for row in rows]

    def _walk(self, walk: str, entry_index: int, max_nodes: int) -> list[int]:
        start, limit = self._start(entry_index, max_nodes)
        found = [row[0] for row in self._rows((int,), walk + _NODES, (start, limit))]
        if len(found) == limit:
            raise _too_far(max_nodes)
        return found[1:]

    def _start(self, entry_index: int, max_nodes: int) -> tuple[int, int]:
        # The node itself, and one more than allowed, by which a walk that is too far is known.
        return clamped(entry_index, "entry index"), min(clamped(max_nodes, "lineage bound"), MAX_LINEAGE_NODES) + 2


def _too_far(max_nodes: int) -> LimitError:
    return LimitError(
        "a lineage is too large", expected=f"at most {min(max_nodes, MAX_LINEAGE_NODES)} datasets", got="more"
    )
