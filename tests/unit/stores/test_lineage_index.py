"""The index of lineage events: names that share an id stay apart, and the order of arrival makes no difference."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import LimitError, MalformedError, StoreError
from provenance.lineage.openlineage import NodeKey, parse_event
from provenance.stores import lineage_graph, lineage_index
from provenance.stores.lineage_graph import GraphReader
from provenance.stores.lineage_index import LineageIndex

RUN = "0176a8c2-fe01-7439-87e6-56a1a1b4029f"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LineageIndex]:
    made = LineageIndex(tmp_path / "i.db")
    yield made
    made.close()


def _event(time: str = "2026-01-01T00:00:00Z", job: str = "j", **parts: Any) -> dict[str, Any]:
    common = {"eventTime": time, "producer": "https://p.example/", "eventType": "COMPLETE", "run": {"runId": RUN}}
    return {**common, "job": {"namespace": "n", "name": job}, **parts}


def _add(index: LineageIndex, *events: dict[str, Any]) -> None:
    for event in events:
        index.add(0, [(Digest.of(json.dumps(event).encode()), parse_event(event))])


def _dataset(namespace: str, name: str, **facets: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "facets": facets}


@pytest.mark.parametrize(
    ("namespace", "name"), [("a:b", "c"), ("a", "b:c"), ("", ":"), (":", ""), ("5:x", "1:y"), ("é:", "\x00:")]
)
def test_a_nodes_own_text_is_read_back(namespace: str, name: str) -> None:
    for kind in ("dataset", "job"):
        key = NodeKey(kind, namespace, name)
        assert NodeKey.parse(key.text) == key


def test_datasets_that_share_an_id_are_two(index: LineageIndex) -> None:
    _add(
        index,
        _event(job="one", inputs=[_dataset("x", "raw")], outputs=[_dataset("a:b", "c")]),
        _event(job="two", inputs=[_dataset("a", "b:c")], outputs=[_dataset("x", "report")]),
    )
    # No way leads from raw to report: they would be one node by the id that both have.
    reached = {(one.namespace, one.name) for one in index.graph("dataset:x:raw", 20)}
    assert reached == {("x", "raw"), ("n", "one"), ("a:b", "c")}
    with pytest.raises(MalformedError, match="dataset:a:b:c is the id of 2 things") as caught:
        index.graph("dataset:a:b:c", 20)
    assert caught.value.got == "namespace a, name b:c; namespace a:b, name c"
    assert {one.name for one in index.graph("dataset:a:b:c", 20, "a:b")} == {"raw", "one", "c"}
    assert {one.name for one in index.graph("dataset:a:b:c", 20, "a")} == {"b:c", "two", "report"}
    assert index.graph("dataset:a:b:c", 20, "x") == []
    assert [one.id for one in index.graph("dataset:a:b:c", 0, "a")] == ["dataset:a:b:c"]
    assert index.counts()["nodes"] == 6


def test_jobs_that_share_an_id_are_two(index: LineageIndex) -> None:
    for namespace, name in (("s:t", "u"), ("s", "t:u")):
        _add(index, _event(outputs=[_dataset("x", name)]) | {"job": {"namespace": namespace, "name": name}})
    with pytest.raises(MalformedError, match="job:s:t:u is the id of 2 things"):
        index.graph("job:s:t:u", 1)
    assert {one.name for one in index.graph("job:s:t:u", 1, "s:t")} == {"u"}
    assert [one.type for one in index.graph("job:s:t:u", 0, "s")] == ["JOB"]


def test_columns_with_colons_are_told_apart(index: LineageIndex) -> None:
    def columns(field: str, source: str) -> dict[str, Any]:
        return {"fields": {field: {"inputFields": [{"namespace": "x", "name": source, "field": "f"}]}}}

    _add(
        index,
        _event(outputs=[_dataset("a", "b", columnLineage=columns("c:d", "one"))]),
        _event(outputs=[_dataset("a:b", "c", columnLineage=columns("d", "two"))]),
    )
    with pytest.raises(MalformedError, match="is the id of 2 things") as caught:
        index.columns("datasetField:a:b:c:d")
    assert caught.value.got == "namespace a, name b, field c:d; namespace a:b, name c, field d"
    assert index.columns("datasetField:a:b:c:d", "a") == [("c:d", "dataset:x:one", "f")]
    assert index.columns("datasetField:a:b:c:d", "a:b") == [("d", "dataset:x:two", "f")]
    assert index.columns("dataset:a:b") == [("c:d", "dataset:x:one", "f")]
    assert index.columns("datasetField:a:b:none") == []


def test_the_latest_is_by_instant_and_not_by_text(index: LineageIndex) -> None:
    """Two hours east, one o'clock is an hour before midnight; half a second is after the whole one."""
    for time, version in (
        ("2026-01-01T00:00:00.5Z", "latest"),
        ("2026-01-01T00:00:00Z", "before"),
        ("2026-01-01T01:00:00+02:00", "first"),
    ):
        fields = {"fields": [{"name": version}]}
        _add(index, _event(time, outputs=[_dataset("d", "x", version={"datasetVersion": version}, schema=fields)]))
    (shown,) = index.graph("dataset:d:x", 0)
    assert (shown.version, shown.fields) == ("latest", [{"name": "latest", "type": None}])
    assert (shown.created, shown.updated) == ("2025-12-31T23:00:00Z", "2026-01-01T00:00:00.500000Z")


def test_the_order_of_arrival_makes_no_difference(tmp_path: Path) -> None:
    def said(time: str, **facets: Any) -> dict[str, Any]:
        return _event(time, outputs=[_dataset("d", "x", **facets)])

    events = [
        said("2026-01-05T00:00:00Z"),
        said("2026-01-02T00:00:00Z", version={"datasetVersion": "2"}),
        said("2026-01-03T00:00:00Z", version={"datasetVersion": "3a"}),
        said("2026-01-03T01:00:00+01:00", version={"datasetVersion": "3b"}),
        said("2026-01-01T00:00:00Z", schema={"fields": [{"name": "f"}]}),
    ]
    found = set()
    for number, order in enumerate(itertools.permutations(events)):
        if number % 5 == 0:
            index = LineageIndex(tmp_path / f"{number}.db")
            _add(index, *order)
            (shown,) = index.graph("dataset:d:x", 0)
            found.add(repr(shown))
            index.close()
    assert len(found) == 1
    assert "'3b'" in found.pop()


def test_nobody_who_writes_waits_for_who_reads(index: LineageIndex) -> None:
    """Readers see the state that they began with, for as long as they read."""
    _add(index, _event(inputs=[_dataset("d", "a")], outputs=[_dataset("d", "x")]))
    with index._snapshot() as db:
        reader = GraphReader(db)
        assert {one.name for one in reader.graph("dataset:d:x", 9, None)} == {"a", "j", "x"}
        writer = threading.Thread(target=_add, args=(index, _event(job="k", inputs=[_dataset("d", "x")])), daemon=True)
        writer.start()
        writer.join(10)
        assert not writer.is_alive()
        assert {one.name for one in index.graph("dataset:d:x", 9)} == {"a", "j", "x", "k"}
        assert {one.name for one in reader.graph("dataset:d:x", 9, None)} == {"a", "j", "x"}
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM nodes")


def test_how_much_is_read_is_bounded(index: LineageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [_dataset("d", f"in-{number}") for number in range(lineage_graph.MAX_NODES - 1)]
    _add(index, _event(inputs=inputs))
    assert len(index.graph("job:n:j", 9)) == lineage_graph.MAX_NODES
    monkeypatch.setattr(lineage_graph, "MAX_EDGES", lineage_graph.MAX_NODES - 2)
    with pytest.raises(LimitError, match="at most 9998 edges"):
        index.graph("job:n:j", 9)
    monkeypatch.undo()
    _add(index, _event(outputs=[_dataset("d", "x")]))
    with pytest.raises(LimitError, match="at most 10000 nodes"):
        index.graph("job:n:j", 9)
    monkeypatch.setattr(lineage_index, "MAX_READ_S", 0)
    monkeypatch.setattr(lineage_index, "_STEPS_BETWEEN_LOOKS", 1)
    with pytest.raises(LimitError, match="takes too long"):
        index.graph("job:n:j", 0)
    monkeypatch.undo()
    assert len(index.graph("job:n:j", 0)) == 1


def test_an_index_of_an_earlier_version_is_made_anew(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "i.db")) as db:
        db.executescript(
            """CREATE TABLE nodes (id TEXT PRIMARY KEY, shown TEXT) WITHOUT ROWID;
            CREATE INDEX nodes_shown ON nodes (shown);
            CREATE TABLE edges (origin TEXT, destination TEXT); CREATE TABLE position (id INTEGER, entry INTEGER);
            INSERT INTO position VALUES (1, 7); PRAGMA user_version = 4"""
        )
    index = LineageIndex(tmp_path / "i.db")
    assert index.position() == 0
    _add(index, _event(inputs=[_dataset("d", "a")]))
    assert index.counts() == {"events": 1, "nodes": 2, "edges": 1}
    index.close()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    for _ in range(2):
        index = LineageIndex(path)
        _add(index, _event())
        assert {one.name: one.stat().st_mode & 0o777 for one in tmp_path.glob("o.db*")} == {
            "o.db": 0o600, "o.db-wal": 0o600, "o.db-shm": 0o600,
        }  # fmt: skip
        index.close()
        path.chmod(0o644)  # as earlier releases made it
    with pytest.raises(StoreError, match="cannot be opened"):
        LineageIndex(tmp_path / "no folder" / "o.db")
