"""OpenLineage events: other people's real ones, and what is wrong with bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import MalformedError
from provenance.lineage.openlineage import DatasetId, LineageEvent, parse_event
from tests.paths import SHARED

EVENTS = sorted((SHARED / "vectors" / "openlineage" / "events").rglob("*.json"))
INVALID = "simple_run_event.json"
GOOD = [path for path in EVENTS if path.name != INVALID]


def test_the_vectors_are_there() -> None:
    assert len(EVENTS) == 37


@pytest.mark.parametrize("path", GOOD, ids=[f"{path.parent.name}-{path.stem}" for path in GOOD])
def test_real_events_are_understood(path: Path) -> None:
    value = json.loads(path.read_bytes())
    event = parse_event(value)
    assert (event.kind, event.run, event.flags) == ("run", value["run"]["runId"], ())
    assert event.job == (value["job"]["namespace"], value["job"]["name"])
    for said, items in ((event.inputs, value.get("inputs", [])), (event.outputs, value.get("outputs", []))):
        assert [(one.id.namespace, one.id.name) for one in said] == [(i["namespace"], i["name"]) for i in items]
    stated = [
        (target, source["name"], source["field"])
        for item in value.get("outputs", [])
        for target, said in item.get("facets", {}).get("columnLineage", {}).get("fields", {}).items()
        for source in said["inputFields"]
    ]
    assert [(t, s.name, c) for one in event.outputs for t, s, c in one.columns] == stated


def test_the_invalid_one_is_told_what_is_wrong() -> None:
    (path,) = [path for path in EVENTS if path.name == INVALID]
    with pytest.raises(MalformedError, match=r"producer is no URI; got producer; at event\.producer"):
        parse_event(json.loads(path.read_bytes()))


def _event(**more: Any) -> dict[str, Any]:
    return {
        "eventTime": "2026-01-01T00:00:00Z",
        "producer": "https://p.example/",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "eventType": "COMPLETE",
        "run": {"runId": "0176a8c2-fe01-7439-87e6-56a1a1b4029f"},
        "job": {"namespace": "n", "name": "j"},
        "inputs": [{"namespace": "d", "name": "a"}, {"namespace": "d", "name": "b"}],
        "outputs": [{"namespace": "d", "name": "x"}, {"namespace": "d", "name": "y"}],
        **more,
    }


def _sources(event: LineageEvent) -> dict[str, tuple[list[str], bool]]:
    return {one.id.name: ([source.name for source in one.sources], one.is_declared) for one in event.outputs}


def test_an_event_that_says_nothing_of_sources_declares_none() -> None:
    """What its run read may stand in another event: the index infers, from all of them."""
    assert _sources(parse_event(_event())) == {"x": ([], False), "y": ([], False)}


def test_a_lineage_facet_makes_no_false_edges() -> None:
    entries = [
        {
            "namespace": "d",
            "name": "x",
            "type": "DATASET",
            "inputs": [{"namespace": "d", "name": "a", "type": "DATASET"}],
        },
        {"namespace": "d", "name": "y", "type": "DATASET", "inputs": []},
        {"type": "JOB", "inputs": []},
    ]
    event = parse_event(_event(job={"namespace": "n", "name": "j", "facets": {"lineage": {"entries": entries}}}))
    assert _sources(event) == {"x": (["a"], True), "y": ([], True)}


def test_a_datasets_own_facets_say_what_it_was_made_from() -> None:
    columns = {"fields": {"c": {"inputFields": [{"namespace": "d", "name": "b", "field": "f"}]}}}
    lineage = {
        "inputs": [{"namespace": "d", "name": "a", "type": "DATASET"}],
        "fields": {"k": {"inputs": [{"namespace": "d", "name": "b", "type": "DATASET", "field": "g"}]}},
    }
    version = {"datasetVersion": "7"}
    schema = {"fields": [{"name": "c", "type": "int"}, {"name": "k"}]}
    outputs = [
        {"namespace": "d", "name": "x", "facets": {"columnLineage": columns, "version": version, "schema": schema}},
        {"namespace": "d", "name": "y", "facets": {"lineage": lineage}},
    ]
    event = parse_event(_event(outputs=outputs))
    assert _sources(event) == {"x": (["b"], True), "y": (["a", "b"], True)}
    x, y = event.outputs
    assert (x.version, x.fields, x.columns) == ("7", (("c", "int"), ("k", None)), (("c", DatasetId("d", "b"), "f"),))
    assert y.columns == (("k", DatasetId("d", "b"), "g"),)


def test_the_other_kinds() -> None:
    base = {name: value for name, value in _event().items() if name in ("eventTime", "producer", "schemaURL")}
    job = parse_event({**base, "job": {"namespace": "n", "name": "j"}, "inputs": [{"namespace": "d", "name": "a"}]})
    assert (job.kind, job.run, len(job.inputs)) == ("job", None, 1)
    dataset = parse_event({**base, "dataset": {"namespace": "d", "name": "a"}})
    assert dataset.kind == "dataset" and dataset.dataset is not None and dataset.dataset.id == DatasetId("d", "a")
    del base["schemaURL"]
    assert parse_event({**base, "dataset": {"namespace": "d", "name": "a"}}).flags == ("no schemaURL",)
    assert parse_event({name: v for name, v in _event().items() if name != "eventType"}).flags == ("no eventType",)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"eventTime": None}, "eventTime is missing"),
        ({"eventTime": "yesterday"}, "eventTime is no time"),
        ({"producer": 1}, "producer is missing"),
        ({"producer": "me"}, "producer is no URI"),
        ({"run": {}}, "runId is missing"),
        ({"run": {"runId": "x"}}, "runId is no UUID"),
        ({"run": []}, "event.run is no object"),
        ({"job": None}, "event.job is no object"),
        ({"job": {"name": "j"}}, "namespace is missing"),
        ({"eventType": "DONE"}, "unknown eventType"),
        ({"inputs": {}}, "inputs is no list"),
        ({"inputs": [{"name": "a"}]}, "namespace is missing"),
        ({"outputs": [{"namespace": "d", "name": "x", "facets": []}]}, "facets is no object"),
        ({"outputs": [{"namespace": "d", "name": "x" * 5000}]}, "name is too long"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        parse_event(_event(**wrong))
    with pytest.raises(MalformedError):
        parse_event([])
    with pytest.raises(MalformedError, match="of no kind"):
        parse_event({"eventTime": "2026-01-01T00:00:00Z", "producer": "https://p.example/"})
