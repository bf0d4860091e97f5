"""Ancestors and descendants, against a naive walk."""

from __future__ import annotations

import random
import time

import pytest

from provenance.errors import LimitError, MalformedError
from provenance.stores import ParentRow, Store
from tests.conformance.stores.samples import append, dataset, envelope, parent

Graph = dict[int, list[int]]


def build(store: Store, graph: Graph, unresolved: int = 0) -> list[ParentRow]:
    """Index one dataset a node whose parents are `graph[node]`, and so many that nobody has; all parent rows."""
    rows = []
    with store.transaction() as tx:
        append(tx, [envelope(0)] * (max(graph) + 1))
        for child, parents in graph.items():
            own = [parent(child, position, dataset(of)) for position, of in enumerate(parents)]
            own += [parent(child, len(own) + n, dataset(10_000 + n), resolved=False) for n in range(unresolved)]
            tx.add_dataset(dataset(child), own, [])
            rows += own
    return rows


def reach(graph: Graph, start: int) -> list[list[int]]:
    """Nodes by distance from `start`, itself left out."""
    seen, layers, layer = {start}, [], [start]
    while layer:
        layer = list(dict.fromkeys(to for node in layer for to in graph.get(node, []) if to not in seen))
        seen.update(layer)
        layers.append(layer)
    return layers[:-1]


def by_distance(found: list[int], layers: list[list[int]]) -> bool:
    """Whether `found` lists each layer's nodes, in any order within one, nearest layer first."""
    cut, start = [], 0
    for layer in layers:
        cut.append(sorted(found[start : start + len(layer)]))
        start += len(layer)
    return cut == [sorted(layer) for layer in layers] and start == len(found)


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_against_a_naive_walk(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    graph: Graph = {n: rng.sample(range(n), min(n, rng.choice([0, 1, 1, 2, 5]))) for n in range(60)}
    backwards: Graph = {n: [child for child, parents in graph.items() if n in parents] for n in graph}
    rows = build(store, graph, unresolved=seed % 2)
    for node in graph:
        up = reach(graph, node)
        assert by_distance(store.ancestors(node), up)
        assert by_distance(store.descendants(node), reach(backwards, node))
        nodes = {node}.union(*up)
        assert store.ancestor_edges(node) == [row for row in rows if row.child in nodes]
    with store.snapshot() as snapshot:
        assert snapshot.ancestors(59) == store.ancestors(59)


def test_cycles_end(store: Store) -> None:
    build(store, {0: [2], 1: [0], 2: [1], 3: [3, 2]})
    assert sorted(store.ancestors(0)) == [1, 2]
    assert sorted(store.descendants(0)) == [1, 2, 3]
    assert sorted(store.ancestors(3)) == [0, 1, 2]


def test_a_ladder_of_diamonds_costs_what_it_has(store: Store) -> None:
    """Two to the power of 150 paths, 300 nodes."""
    graph: Graph = {0: [], 1: []}
    for rung in range(2, 300, 2):
        graph[rung] = graph[rung + 1] = [rung - 2, rung - 1]
    build(store, graph)
    started = time.monotonic()
    assert len(store.ancestors(299)) == 298
    assert len(store.descendants(0)) == 298
    assert len(store.ancestor_edges(299)) == 2 * 297
    assert time.monotonic() - started < 5


def test_a_walk_beyond_its_bound_is_refused_not_cut(store: Store) -> None:
    build(store, {0: [], **{n: [n - 1] for n in range(1, 30)}}, unresolved=0)
    for bound in (29, 30, 10**9, 2**80):
        assert len(store.ancestors(29, max_nodes=bound)) == 29
        assert len(store.descendants(0, max_nodes=bound)) == 29
        assert len(store.ancestor_edges(29, max_nodes=bound)) == 29
    for bound in (0, 1, 28):
        for walk in (store.ancestors, store.ancestor_edges):
            with pytest.raises(LimitError, match=f"at most {bound} datasets"):
                walk(29, max_nodes=bound)
        with pytest.raises(LimitError):
            store.descendants(0, max_nodes=bound)
    assert store.ancestors(0, max_nodes=0) == []
    with pytest.raises(MalformedError):
        store.ancestors(-1)
    with pytest.raises(MalformedError):
        store.ancestors(0, max_nodes=-1)


def test_a_long_chain(store: Store) -> None:
    build(store, {0: [], **{n: [n - 1] for n in range(1, 3_000)}})
    assert store.ancestors(2_999) == list(range(2_998, -1, -1))
    assert store.descendants(0) == list(range(1, 3_000))
