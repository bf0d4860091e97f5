"""The lineage graph: walks that end, in time that grows with the graph, and edges that must hold exactly."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import LimitError
from provenance.lineage import LineageGraph, Node, Place
from provenance.statement import DatasetName, DatasetStatement, Pin, PinnedName
from tests.unit.verify.forge import statement

TEMPLATE = statement("template")


def _node(number: int, parents: list[Node] | None = None, index: int | None = None) -> Node:
    pins = tuple(Pin(p.statement.name, p.statement.digest, p.envelope) for p in parents or [])
    name = PinnedName(DatasetName("graph", f"n{number}"), "1")
    said = replace(TEMPLATE, name=name, parents=pins)
    return Node(
        Digest.of(b"envelope %d" % number), Place("graph.example/log", number if index is None else index), said
    )


def test_edges_hold_exactly() -> None:
    parent = _node(0)
    child = _node(1, [parent])
    (edge,) = LineageGraph([child, parent]).edges(child)
    assert edge.parent is parent
    assert edge.problem() is None


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"place": Place("graph.example/log", 1)}, "parent was logged after its child"),
        ({"place": Place("graph.example/log", 2)}, "parent was logged after its child"),
        ({"envelope": Digest.of(b"x")}, "parent is missing"),
    ],
)
def test_a_parent_out_of_place(changes: dict[str, Any], what: str) -> None:
    parent = _node(0)
    child = _node(1, [parent])
    (edge,) = LineageGraph([child, replace(parent, **changes)]).edges(child)
    problem = edge.problem()
    assert problem is not None
    assert problem[0] == what


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (replace(TEMPLATE, name=PinnedName(DatasetName("graph", "n0"), "2")), "parent has another name"),
        (replace(statement("y"), name=PinnedName(DatasetName("graph", "n0"), "1")), "parent has another digest"),
    ],
)
def test_a_parent_that_says_something_else(said: DatasetStatement, what: str) -> None:
    parent = _node(0)
    child = _node(1, [parent])
    (edge,) = LineageGraph([child, replace(parent, statement=said)]).edges(child)
    problem = edge.problem()
    assert problem is not None
    assert problem[0] == what


def _naive_depths(edges: dict[int, list[int]], target: int) -> dict[int, int]:
    depths = {target: 0}
    for _ in edges:
        for child, parents in edges.items():
            for parent in parents:
                if child in depths:
                    depths[parent] = min(depths.get(parent, 10**9), depths[child] + 1)
    return depths


def test_walks_against_a_naive_closure() -> None:
    for seed in range(150):
        chance = random.Random(seed)
        size = chance.randint(1, 12)
        edges = {n: sorted(chance.sample(range(n), chance.randint(0, min(n, 3)))) for n in range(size)}
        nodes: list[Node] = []
        for number in range(size):
            nodes.append(_node(number, [nodes[parent] for parent in edges[number]]))
        graph = LineageGraph(chance.sample(nodes, size))
        for target in range(size):
            walked = graph.ancestry(nodes[target])
            assert {node.index: depth for node, depth in walked} == _naive_depths(edges, target)
            assert [depth for _, depth in walked] == sorted(depth for _, depth in walked)
            below = {n for n in range(size) if n != target and target in _naive_depths(edges, n)}
            assert [node.index for node in graph.descendants(nodes[target])] == sorted(below)
        several = chance.sample(nodes, chance.randint(0, size))
        expected = {node.index for one in several for node in graph.descendants(one)}
        assert [node.index for node in graph.descendants(*several)] == sorted(expected)


def test_a_cycle_ends() -> None:
    """No one can make one without a collision of SHA-256; a walk over one ends all the same."""
    a = _node(0)
    b = _node(1, [a])
    a = replace(a, statement=replace(a.statement, parents=(Pin(b.statement.name, b.statement.digest, b.envelope),)))
    graph = LineageGraph([a, b])
    assert [depth for _, depth in graph.ancestry(b)] == [0, 1]
    assert set(graph.descendants(a)) == {a, b}
    assert any(edge.problem() for node in (a, b) for edge in graph.edges(node))


def _chain(length: int) -> list[Node]:
    nodes: list[Node] = []
    for number in range(length):
        nodes.append(_node(number, nodes[-1:]))
    return nodes


def test_ten_thousand_generations() -> None:
    nodes = _chain(10_000)
    graph = LineageGraph(nodes)
    started = time.process_time()
    walked = graph.ancestry(nodes[-1])
    assert [(node.index, depth) for node, depth in walked] == [(9_999 - n, n) for n in range(10_000)]
    assert len(graph.descendants(nodes[0])) == 9_999
    # From all of them at once: no more than from the first, where each by itself would take fifty million steps.
    assert len(graph.descendants(*nodes)) == 9_999
    assert time.process_time() - started < 2


def test_a_thousand_diamonds_have_2_to_the_1000_paths_and_are_walked_once() -> None:
    tops = [_node(0)]
    nodes = list(tops)
    for number in range(1_000):
        sides = [_node(3 * number + 1, [tops[-1]]), _node(3 * number + 2, [tops[-1]])]
        tops.append(_node(3 * number + 3, sides))
        nodes += [*sides, tops[-1]]
    graph = LineageGraph(nodes)
    started = time.process_time()
    walked = graph.ancestry(tops[-1])
    assert len(walked) == 3_001
    assert walked[-1] == (tops[0], 2_000)
    assert len(graph.descendants(tops[0])) == 3_000
    assert time.process_time() - started < 1


def test_a_lineage_past_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.lineage.graph.MAX_LINEAGE_NODES", 100)
    nodes = _chain(101)
    assert len(LineageGraph(nodes).ancestry(nodes[99])) == 100
    with pytest.raises(LimitError):
        LineageGraph(nodes).ancestry(nodes[100])
