"""Ancestors and descendants by recursive queries.

Invariants: each node is visited once, so that diamonds cost nothing and a cycle ends; a walk that would pass its bound
is refused, never cut short.
"""

from __future__ import annotations

from typing import ClassVar

from provenance.errors import LimitError
from provenance.limits import MAX_LINEAGE_NODES
from provenance.stores.rows import ParentRow
from provenance.stores.sql.bounds import clamped
from provenance.stores.sql.index_tables import PARENT, IndexQueries


class LineageQueries(IndexQueries):
    """See `provenance.stores.base.IndexReader`."""

    walk_up: ClassVar[str]
    """The entries reachable from an entry over parents, itself first, at most so many: SQL with these two values."""
    walk_down: ClassVar[str]
    edges_up: ClassVar[str]
    """The parent rows of those in `walk_up` by child and position, each with how many entries the walk has."""

    def ancestors(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[int]:
        return self._walk(self.walk_up, entry_index, max_nodes)

    def descendants(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[int]:
        return self._walk(self.walk_down, entry_index, max_nodes)

    def ancestor_edges(self, entry_index: int, *, max_nodes: int = MAX_LINEAGE_NODES) -> list[ParentRow]:
        start, limit = self._start(entry_index, max_nodes)
        rows = self._rows((*PARENT, int), self.edges_up, (start, limit))
        if rows and rows[0][7] == limit:
            raise _too_far(max_nodes)
        return [self._parent_row(row[:7]) for row in rows]

    def _walk(self, walk: str, entry_index: int, max_nodes: int) -> list[int]:
        start, limit = self._start(entry_index, max_nodes)
        found = [row[0] for row in self._rows((int,), walk, (start, limit))]
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
