"""What a lineage event writes into the index of such events: statements of SQL, in an order that may be cut anywhere.

Invariants: each of them may run twice and in any order among those of other events, and the result is the same: of
what is said of a node, the latest by event time stays, and of two at one instant the greater text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from provenance.lineage.openlineage import DatasetSaid, LineageEvent, NodeKey

Value = str | int | bytes | None
Statement = tuple[str, tuple[Value, ...]]
VERSION_SAID: Final = "version"
FIELDS_SAID: Final = "schema"
"""A dataset's version and fields stand beside the facets that are shown, under the names of theirs."""
EVENT: Final = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
_NODE: Final = """INSERT INTO nodes VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    created = min(created, excluded.created), updated = max(updated, excluded.updated)"""
_EDGE: Final = "INSERT OR IGNORE INTO edges VALUES (?, ?)"
_SOURCE: Final = """INSERT INTO sources VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET declared = max(declared, excluded.declared)"""
_COLUMN: Final = "INSERT OR IGNORE INTO columns VALUES (?, ?, ?, ?)"
_SAID: Final = """INSERT INTO facets VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    time = excluded.time, value = excluded.value WHERE (excluded.time, excluded.value) > (time, value)"""


def statements_of(event: LineageEvent) -> Iterator[Statement]:
    """The nodes and edges of an event, and what it says of them."""
    time_us = event.time_us
    for said in (*event.inputs, *event.outputs, *((event.dataset,) if event.dataset else ())):
        yield from _dataset(said, time_us)
    if event.job_node is not None:
        job = event.job_node.text
        yield _node(event.job_node, time_us)
        for name, value in event.job_facets:
            yield _SAID, (job, name, time_us, value.decode())
        for one in event.inputs:
            yield _EDGE, (one.id.node.text, job)
        for one in event.outputs:
            yield _EDGE, (job, one.id.node.text)


def _dataset(said: DatasetSaid, time_us: int) -> Iterator[Statement]:
    node = said.id.node.text
    yield _node(said.id.node, time_us)
    for name, value in said.facets:
        yield _SAID, (node, name, time_us, value.decode())
    if said.version is not None:
        yield _SAID, (node, VERSION_SAID, time_us, json.dumps(said.version))
    if said.fields:
        shown = json.dumps([{"name": field, "type": kind} for field, kind in said.fields])
        yield _SAID, (node, FIELDS_SAID, time_us, shown)
    for source in said.sources:
        if source != said.id:
            yield _node(source.node, time_us)
            yield _SOURCE, (node, source.node.text, said.is_declared)
    for field, source, column in said.columns:
        yield _COLUMN, (node, field, source.node.text, column)


def _node(node: NodeKey, time_us: int) -> Statement:
    return _NODE, (node.text, node.id, time_us, time_us)
