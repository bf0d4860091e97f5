"""Facets of ownership and quality: what of them is taken over, and that none of them stops an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provenance.encoding import Digest, canonical_json
from provenance.lineage.facets import MAX_SHOWN, read_dataset_facets, read_facets
from provenance.lineage.openlineage import parse_event
from provenance.stores.lineage_index import LineageIndex
from tests.paths import vectors


def _read(**facets: Any) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in read_facets(facets)}


def test_what_is_taken_over() -> None:
    found = _read(
        ownership={
            "owners": [{"name": "team:data", "type": "MAINTAINER", "more": 1}, {"name": "app:x"}, {"type": "x"}]
        },
        dataQualityAssertions={
            "assertions": [
                {"assertion": "unique", "success": True, "column": "id", "actual": "secret row"},
                {"assertion": "not_null", "success": False, "severity": "warn", "name": "n"},
                {"assertion": "odd"},
            ]
        },
        dataQualityMetrics={
            "rowCount": 7, "bytes": -1, "fileCount": True,
            "columnMetrics": {"id": {"nullCount": 0, "min": 3, "sum": 9.5}, "name": {"min": 1}},
        },
        test={"tests": [{"name": "a", "status": "pass"}, {"name": "b", "status": "fail", "type": "custom_sql"}]},
        other={"x": 1},
    )  # fmt: skip
    assert found == {
        "ownership": {"owners": [{"name": "team:data", "type": "MAINTAINER"}, {"name": "app:x"}]},
        "dataQualityAssertions": {
            "passed": 1, "failed": 1,
            "assertions": [
                {"assertion": "not_null", "name": "n", "severity": "warn", "success": False},
                {"assertion": "unique", "column": "id", "success": True},
            ],
        },
        "dataQualityMetrics": {"rowCount": 7, "columnMetrics": {"id": {"nullCount": 0}}},
        "test": {
            "passed": 1, "failed": 1, "skipped": 0,
            "tests": [{"name": "b", "status": "fail", "type": "custom_sql"}, {"name": "a", "status": "pass"}],
        },
    }  # fmt: skip


def test_lists_are_cut_and_counted() -> None:
    many = [{"assertion": "x", "success": number % 2 == 0} for number in range(1_000)]
    facet = _read(dataQualityAssertions={"assertions": many})["dataQualityAssertions"]
    assert (facet["passed"], facet["failed"], len(facet["assertions"])) == (500, 500, MAX_SHOWN)
    assert not any(one["success"] for one in facet["assertions"])


FACETS = [
    "ownership", "dataQualityAssertions", "dataQualityMetrics", "test", "symlinks", "lifecycleStateChange",
]  # fmt: skip
_WORDS = [
    "owners", "name", "assertions", "success", "tests", "status", "columnMetrics", "identifiers", "namespace",
    "lifecycleStateChange", "previousIdentifier",
]  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(FACETS), _VALUES))
def test_no_facet_stops_an_event(facets: dict[str, Any]) -> None:
    read_dataset_facets(facets)


def test_names_are_whole_or_left_out() -> None:
    long: Any = {"namespace": "n", "name": "x" * 4_097, "type": "TABLE"}
    good: Any = {"namespace": "n", "name": "x" * 4_096, "type": "TABLE"}
    stated: list[Any] = [good, long, {"name": "x"}, {"namespace": "", "name": "x"}, {"namespace": "n", "name": "y"}, 3]
    (found,) = read_dataset_facets({"symlinks": {"identifiers": stated}})
    assert found == ("symlinks", canonical_json({"identifiers": [good, {"namespace": "n", "name": "y"}]}))
    assert read_dataset_facets({"symlinks": {"identifiers": [long]}}) == ()
    assert read_facets({"symlinks": {"identifiers": [good]}}) == ()
    for state, previous, shown in (
        ("RENAME", {"namespace": "n", "name": "y"}, {"previousIdentifier": {"namespace": "n", "name": "y"}}),
        ("RENAME", long, {}),
        ("DROP", {"namespace": "n", "name": "y"}, {}),
    ):
        facet: Any = {"lifecycleStateChange": state, "previousIdentifier": previous}
        (found,) = read_dataset_facets({"lifecycleStateChange": facet})
        assert found[1] == canonical_json({"lifecycleStateChange": state, **shown})
    wrongs: list[Any] = [{"lifecycleStateChange": "MOVE"}, {}, {"lifecycleStateChange": []}]
    for wrong in wrongs:
        assert read_dataset_facets({"lifecycleStateChange": wrong}) == ()


@pytest.mark.parametrize(
    "facet",
    ["Ownership", "DataQualityAssertions", "DataQualityMetrics", "Test", "Symlinks", "LifecycleStateChange"],
)
def test_the_names_are_those_of_the_specification(facet: str) -> None:
    folder = vectors("openlineage") / "spec" / "facets"
    names = {
        name for path in folder.glob(f"{facet}*.json") for name in json.loads(path.read_bytes()).get("properties", {})
    }
    assert names == {facet[0].lower() + facet[1:]}


def _event(time: str, **facets: Any) -> dict[str, Any]:
    return {
        "eventTime": time, "producer": "https://p.example/", "schemaURL": "https://s.example/",
        "run": {
            "runId": "0176a8c2-fe01-7439-87e6-56a1a1b4029f",
            "facets": {"test": {"tests": [{"name": "t", "status": "skip"}]}},
        },
        "job": {"namespace": "n", "name": "j", "facets": {"ownership": {"owners": [{"name": "team:jobs"}]}}},
        "inputs": [{"namespace": "n", "name": "in", "inputFacets": {"dataQualityMetrics": {"rowCount": 3}}}],
        "outputs": [{"namespace": "n", "name": "out", "facets": facets}],
    }  # fmt: skip


def test_the_graph_has_what_was_said_last(tmp_path: Path) -> None:
    index = LineageIndex(tmp_path / "i.db")
    new = _event("2026-01-02T00:00:00Z", ownership={"owners": [{"name": "team:new"}]})
    old = _event(
        "2026-01-01T00:00:00Z", ownership={"owners": [{"name": "team:old"}]}, dataQualityMetrics={"rowCount": 1}
    )
    for number, value in enumerate((new, old)):
        index.add(number, [(Digest.of(b"%d" % number), parse_event(value))])
    found = {one.name: one.facets for one in index.graph("job:n:j", 2)}
    assert found == {
        "in": {"dataQualityMetrics": {"rowCount": 3}},
        "j": {"ownership": {"owners": [{"name": "team:jobs"}]}, "test": {
            "passed": 0, "failed": 0, "skipped": 1, "tests": [{"name": "t", "status": "skip"}]}},
        "out": {"dataQualityMetrics": {"rowCount": 1}, "ownership": {"owners": [{"name": "team:new"}]}},
    }  # fmt: skip
    index.close()


def test_an_index_of_an_older_version_is_made_again(tmp_path: Path) -> None:
    index = LineageIndex(tmp_path / "i.db")
    index.add(6, [(Digest.of(b"x"), parse_event(_event("2026-01-02T00:00:00Z")))])
    assert index.position() == 7
    index._db.execute("PRAGMA user_version = 1")
    index.close()
    index = LineageIndex(tmp_path / "i.db")
    assert (index.position(), index.counts()["nodes"]) == (0, 0)
    index.close()
    assert LineageIndex(tmp_path / "i.db").position() == 0
