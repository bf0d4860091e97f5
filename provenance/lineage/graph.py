"""The lineage graph: statements joined by the pins in them.

Invariants: a node is one logged envelope, named by its SHA-256; an edge is a parent pin; because a pin names the
parent's envelope digest, a cycle cannot be made without a hash collision, and one is still refused; every walk is
iterative and bounded by `limits.MAX_LINEAGE_NODES`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from provenance.encoding import Digest
from provenance.errors import LimitError
from provenance.limits import MAX_LINEAGE_NODES
from provenance.lineage.place import Place
from provenance.statement import DatasetStatement, Pin


@dataclass(frozen=True, slots=True)
class Node:
    """One statement in a log: the SHA-256 of its envelope, its place there, and what it says."""

    envelope: Digest
    place: Place
    statement: DatasetStatement

    @property
    def index(self) -> int:
        """Its index in its log."""
        return self.place.index


@dataclass(frozen=True, slots=True)
class Edge:
    """`child` names `pin` as an input; `parent` is the node with that envelope digest, or None if it is not here."""

    child: Node
    pin: Pin
    parent: Node | None

    def problem(self) -> tuple[str, str, str] | None:
        """None if the edge holds; else what is wrong, expected, found."""
        if self.parent is None:
            return "parent is missing", f"{self.pin.name} with envelope {self.pin.envelope}", "nothing"
        stated = self.parent.statement
        if stated.name != self.pin.name:
            return "parent has another name", str(self.pin.name), str(stated.name)
        if stated.digest != self.pin.digest:
            return "parent has another digest", self.pin.digest.hex, stated.digest.hex
        parent, child = self.parent.place, self.child.place
        if parent.is_of_one_log(child) and parent.index >= child.index:
            return "parent was logged after its child", f"index below {self.child.index}", str(self.parent.index)
        return None

    @property
    def is_undecided(self) -> bool:
        """Whether nothing decides if the parent was logged first: no one log holds both, and no block says so."""
        if self.parent is None or self.parent.place.is_of_one_log(self.child.place):
            return False
        return not self.parent.place.precedes(self.child.place)


class LineageGraph:
    """The graph over a set of nodes."""

    __slots__ = ("_children", "_nodes")

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = {node.envelope: node for node in nodes}
        self._children: dict[Digest, list[Node]] = {}
        for node in self._nodes.values():
            for pin in node.statement.parents:
                self._children.setdefault(pin.envelope, []).append(node)

    def node(self, envelope: Digest) -> Node | None:
        """The node with this envelope digest, if it is here."""
        return self._nodes.get(envelope)

    def children(self, parent: Node) -> tuple[Node, ...]:
        """What names a node as an input, in log order."""
        return tuple(sorted(self._children.get(parent.envelope, ()), key=lambda node: node.place.order))

    def edges(self, child: Node) -> Iterator[Edge]:
        """The edges from a node to its inputs, in the order its statement names them."""
        for pin in child.statement.parents:
            yield Edge(child, pin, self._nodes.get(pin.envelope))

    def ancestry(self, target: Node) -> tuple[tuple[Node, int], ...]:
        """The target and its ancestors, nearest first, each once with its least depth (the target's is 0)."""
        seen = {target.envelope}
        queue, found = deque([(target, 0)]), list[tuple[Node, int]]()
        while queue:
            node, depth = queue.popleft()
            found.append((node, depth))
            if len(found) > MAX_LINEAGE_NODES:
                raise LimitError("lineage is too large", expected=f"at most {MAX_LINEAGE_NODES} statements")
            for edge in self.edges(node):
                if edge.parent is not None and edge.parent.envelope not in seen:
                    seen.add(edge.parent.envelope)
                    queue.append((edge.parent, depth + 1))
        return tuple(found)

    def descendants(self, *targets: Node) -> tuple[Node, ...]:
        """Everything made from any of the targets, directly or not, each once, in log order (log by log)."""
        found: dict[Digest, Node] = {}
        queue = deque(targets)
        while queue:
            for child in self._children.get(queue.popleft().envelope, []):
                if child.envelope not in found:
                    found[child.envelope] = child
                    queue.append(child)
        return tuple(sorted(found.values(), key=lambda node: node.place.order))
