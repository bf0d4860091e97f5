"""What events say is joined run by run: what failed, was superseded or belongs to another run says nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.encoding import Digest
from provenance.ledger.receiving import read_event
from provenance.lineage.event_time import parse_time_us
from provenance.lineage.imports.telling import PRODUCER as IMPORTER
from provenance.stores import lineage_rows, lineage_shapes
from provenance.stores.lineage_index import LineageIndex
from provenance.stores.lineage_nodes import GraphNode

PRODUCER = "https://p.example/"
RECEIVED_US = parse_time_us("2026-01-01T12:00:00Z")
KEY = "ab" * 32
Json = dict[str, Any]


def _run(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def _event(
    second: int, state: str, run: int, job: str = "j", ins: Iterable[Json] = (), outs: Iterable[Json] = (), **more: Any
) -> bytes:
    return json.dumps({
        "eventTime": f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z", "eventType": state, "producer": PRODUCER,
        "schemaURL": PRODUCER, "run": {"runId": _run(run)}, "job": {"namespace": "n", "name": job},
        "inputs": list(ins), "outputs": list(outs), **more,
    }).encode()  # fmt: skip


def _dataset(name: str, version: str | None = None, **facets: Json) -> Json:
    if version is not None:
        facets["version"] = {"datasetVersion": version}
    return {"namespace": "d", "name": name, "facets": facets}


def _from(**columns: str) -> Json:
    """A `columnLineage` facet: each field from the column c of a dataset."""
    fields = {
        name: {"inputFields": [{"namespace": "d", "name": source, "field": "c"}]} for name, source in columns.items()
    }
    return {"columnLineage": {"fields": fields}}


def _fields(*names: str) -> Json:
    return {"schema": {"fields": [{"name": name} for name in names]}}


def _index(tmp_path: Path, *events: bytes) -> LineageIndex:
    index = LineageIndex(tmp_path / "i.db")
    index.add(0, [(Digest.of(event), read_event(event)) for event in events])
    return index


def _graph(tmp_path: Path, *events: bytes, node: str = "dataset:d:out", depth: int = 10) -> dict[str, GraphNode]:
    index = _index(tmp_path, *events)
    found = {one.id: one for one in index.graph(node, depth)}
    index.close()
    return found


def test_inputs_and_outputs_of_one_run_are_joined(tmp_path: Path) -> None:
    graph = _graph(
        tmp_path, _event(0, "START", 1, ins=[_dataset("in")]), _event(1, "COMPLETE", 1, outs=[_dataset("out")])
    )
    assert graph["dataset:d:out"].sources == [{"origin": "dataset:d:in", "declared": False, "signed": False}]
    assert graph["job:n:j"].before == ["dataset:d:in"]


def test_a_runs_id_is_read_whatever_its_case(tmp_path: Path) -> None:
    upper = _event(1, "COMPLETE", 0xA, outs=[_dataset("out")]).replace(b"00000a", b"00000A")
    assert b"00000A" in upper
    graph = _graph(tmp_path, _event(0, "START", 0xA, ins=[_dataset("in")]), upper)
    assert [one["origin"] for one in graph["dataset:d:out"].sources] == ["dataset:d:in"]


def test_two_runs_of_one_job_are_not_mixed(tmp_path: Path) -> None:
    """A job makes a partition a day: that of today comes from today's input alone."""
    events = (
        _event(0, "COMPLETE", 1, ins=[_dataset("a")], outs=[_dataset("out_a")]),
        _event(1, "COMPLETE", 2, ins=[_dataset("b")], outs=[_dataset("out_b")]),
    )
    graph = _graph(tmp_path, *events, node="dataset:d:out_a")
    assert set(graph) == {"dataset:d:out_a", "job:n:j", "dataset:d:a"}
    assert graph["job:n:j"].before == ["dataset:d:a"]
    assert graph["job:n:j"].after == ["dataset:d:out_a"]
    # Who asks for the job sees all of it.
    whole = _graph(tmp_path, *events, node="job:n:j")
    assert whole["job:n:j"].before == ["dataset:d:a", "dataset:d:b"]
    assert [one["origin"] for one in whole["dataset:d:out_b"].sources] == ["dataset:d:b"]


def test_runs_that_share_an_input_are_reached_through_it(tmp_path: Path) -> None:
    graph = _graph(
        tmp_path,
        _event(0, "COMPLETE", 1, ins=[_dataset("a"), _dataset("table")], outs=[_dataset("out")]),
        _event(1, "COMPLETE", 2, ins=[_dataset("b"), _dataset("table")], outs=[_dataset("other")]),
    )
    assert "dataset:d:b" in graph and graph["job:n:j"].before == ["dataset:d:a", "dataset:d:b", "dataset:d:table"]
    near = _graph(
        tmp_path, _event(2, "COMPLETE", 1, ins=[_dataset("a")], outs=[_dataset("out")]), node="dataset:d:out", depth=2
    )
    assert "dataset:d:b" not in near and near["job:n:j"].before == ["dataset:d:a", "dataset:d:table"]


@pytest.mark.parametrize("state", ["FAIL", "ABORT"])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_failed_run_makes_no_edge(tmp_path: Path, state: str, is_late: bool) -> None:
    io: Json = {"ins": [_dataset("in")], "outs": [_dataset("out", "1", **_fields("c"), **_from(c="in"))]}
    events = [_event(0, "START", 1, **io), _event(1, state, 1, **io), _event(2, "OTHER", 1, **io)]
    index = _index(tmp_path, *(reversed(events) if is_late else events))
    (shown,) = index.graph("dataset:d:out", 10)
    assert (shown.sources, shown.before, shown.version, shown.fields) == ([], [], None, [])
    assert index.columns("dataset:d:out") == []
    # It runs again under the same name, and ends well.
    done = _event(3, "COMPLETE", 1)
    index.add(1, [(Digest.of(done), read_event(done))])
    shown = next(one for one in index.graph("dataset:d:out", 10) if one.name == "out")
    assert (shown.before, shown.version, len(shown.fields)) == (["job:n:j"], "1", 1)
    assert index.columns("dataset:d:out") == [("c", "dataset:d:in", "c")]
    index.close()


def test_declared_sources_replace_inferred_ones(tmp_path: Path) -> None:
    """START says what is read and written, COMPLETE of which input the output was made, as Spark's events do."""
    ins = [_dataset("a"), _dataset("b")]
    events = [
        _event(0, "START", 1, ins=ins, outs=[_dataset("out"), _dataset("log")]),
        _event(1, "COMPLETE", 1, ins=ins, outs=[_dataset("out", **_from(c="a")), _dataset("log")]),
    ]
    for number, order in enumerate((events, events[::-1])):
        (tmp_path / str(number)).mkdir()
        graph = _graph(tmp_path / str(number), *order)
        assert graph["dataset:d:out"].sources == [{"origin": "dataset:d:a", "declared": True, "signed": False}]
        assert graph["dataset:d:log"].sources == [
            {"origin": "dataset:d:a", "declared": False, "signed": False},
            {"origin": "dataset:d:b", "declared": False, "signed": False},
        ]


@pytest.mark.parametrize("is_late", [False, True])
def test_what_a_run_declares_later_replaces_what_it_declared(tmp_path: Path, is_late: bool) -> None:
    events = [
        _event(0, "START", 1, outs=[_dataset("out", **_from(c="a", d="b"), **_fields("c", "d"))]),
        _event(1, "COMPLETE", 1, outs=[_dataset("out", **_from(c="a"), **_fields("c"))]),
    ]
    graph = _graph(tmp_path, *(reversed(events) if is_late else events))
    assert [one["origin"] for one in graph["dataset:d:out"].sources] == ["dataset:d:a"]
    assert [one["name"] for one in graph["dataset:d:out"].fields] == ["c"]


def test_reading_an_old_version_does_not_change_the_current_one(tmp_path: Path) -> None:
    graph = _graph(
        tmp_path,
        _event(0, "COMPLETE", 1, "w1", outs=[_dataset("out", "v1", **_fields("one"))]),
        _event(1, "COMPLETE", 2, "w2", outs=[_dataset("out", "v2", **_fields("two"))]),
        _event(2, "COMPLETE", 3, "r", ins=[_dataset("out", "v1", **_fields("one"))], outs=[_dataset("x")]),
    )
    shown = graph["dataset:d:out"]
    assert (shown.version, shown.read_versions) == ("v2", ["v1"])
    assert [one["name"] for one in shown.fields] == ["two"]


def test_what_nobody_wrote_has_no_version_but_those_that_were_read(tmp_path: Path) -> None:
    graph = _graph(
        tmp_path,
        _event(0, "COMPLETE", 1, ins=[_dataset("in", "v1", **_fields("c"))], outs=[_dataset("out")]),
        _event(1, "FAIL", 2, ins=[_dataset("in", "v2")], outs=[_dataset("out")]),
    )
    shown = graph["dataset:d:in"]
    assert (shown.version, shown.versions, shown.read_versions) == (None, [], ["v2", "v1"])
    assert [one["name"] for one in shown.fields] == ["c"]


def test_the_version_of_an_input_is_told(tmp_path: Path) -> None:
    graph = _graph(
        tmp_path,
        *(_event(n, "START", n, ins=[_dataset("in", f"v{n}"), _dataset("x")]) for n in range(1, 8)),
        *(_event(10 + n, "COMPLETE", n, outs=[_dataset("out", f"o{n}")]) for n in range(1, 8)),
    )
    shown = graph["dataset:d:out"]
    assert shown.version == "o7"
    assert shown.versions == [
        {
            "version": f"o{n}",
            "time": f"2026-01-01T00:00:{10 + n}Z",
            "run": _run(n),
            "saidBy": None,
            "inputs": [{"origin": "dataset:d:in", "version": f"v{n}"}],
        }
        for n in (7, 6, 5, 4, 3)
    ]
    assert graph["dataset:d:in"].read_versions == ["v7", "v6", "v5", "v4", "v3"]


def test_columns_of_a_failed_run_or_an_old_one_do_not_stay(tmp_path: Path) -> None:
    index = _index(
        tmp_path,
        _event(0, "COMPLETE", 1, outs=[_dataset("out", **_from(c="old", gone="old"))]),
        _event(1, "COMPLETE", 2, outs=[_dataset("out", **_from(c="b"))]),
        _event(2, "FAIL", 3, outs=[_dataset("out", **_from(c="failed"))]),
        _event(1, "COMPLETE", 4, "other", outs=[_dataset("out", **_from(d="b"))]),
    )
    # Of two jobs that write it, what each said last.
    assert index.columns("dataset:d:out") == [("c", "dataset:d:b", "c"), ("d", "dataset:d:b", "c")]
    assert index.columns("datasetField:d:out:gone") == []
    index.close()


def test_columns_that_the_dataset_has_no_more_do_not_stay(tmp_path: Path) -> None:
    index = _index(
        tmp_path,
        _event(0, "COMPLETE", 1, outs=[_dataset("out", **_from(c="a", C2="a", gone="a", **{"s.part": "a"}))]),
        _event(1, "COMPLETE", 2, "other", outs=[_dataset("out", **_fields("c", "c2", "s"))]),
    )
    assert [name for name, _, _ in index.columns("dataset:d:out")] == ["C2", "c", "s.part"]
    index.close()


def test_events_without_a_run_stand_alone(tmp_path: Path) -> None:
    """A job's design of today is not mixed with that of yesterday; a dataset's own event says what it is."""
    plain = {"producer": PRODUCER, "schemaURL": PRODUCER}
    events = [
        {"eventTime": f"2026-01-01T00:00:0{n}Z", "job": {"namespace": "n", "name": "j"}, **io, **plain}
        for n, io in enumerate([
            {"inputs": [_dataset("a")], "outputs": [_dataset("x")]},
            {"inputs": [_dataset("b")], "outputs": [_dataset("y")]},
        ])
    ]  # fmt: skip
    dataset = _dataset("y", "7", **_from(c="z"))
    events.append({"eventTime": "2026-01-01T00:00:05Z", "dataset": dataset, **plain})
    graph = _graph(tmp_path, *(json.dumps(event).encode() for event in events), node="job:n:j")
    assert [one["origin"] for one in graph["dataset:d:x"].sources] == ["dataset:d:a"]
    assert graph["dataset:d:y"].sources == [
        {"origin": "dataset:d:b", "declared": False, "signed": False},
        {"origin": "dataset:d:z", "declared": True, "signed": False},
    ]  # fmt: skip
    assert graph["dataset:d:y"].versions == [
        {"version": "7", "time": "2026-01-01T00:00:05Z", "run": None, "saidBy": None, "inputs": []}
    ]
    assert graph["dataset:d:y"].before == ["job:n:j"]


def test_what_is_cut_off_anywhere_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_rows, "PIECE_ROWS", 3)
    monkeypatch.setattr(lineage_shapes, "PIECE_ROWS", 3)
    monkeypatch.setattr(lineage_shapes, "SHARED_ROWS", 3)
    sources = [_dataset(f"in{n}") for n in range(8)]
    columns = _from(**{f"c{n}": f"in{n}" for n in range(8)})
    events = [
        _event(0, "COMPLETE", 1, outs=[_dataset("x")]),
        _event(0, "COMPLETE", 2, ins=sources, outs=[_dataset("y"), _dataset("z", "1", **columns)]),
        _event(1, "COMPLETE", 3, outs=[_dataset("x")]),
    ]
    told = [(Digest.of(event), read_event(event)) for event in events]
    index = LineageIndex(tmp_path / "whole.db")
    index.add(0, told)
    whole = index.graph("job:n:j", 9)
    assert len(whole) == 12 and len(next(one for one in whole if one.name == "z").sources) == 8
    for cut in range(30):
        index.close()
        index = LineageIndex(tmp_path / f"{cut}.db")
        work = index._writer.write(0, told, RECEIVED_US)
        for _ in range(cut):
            with index._writing():
                next(work, None)
        index.close()
        index = LineageIndex(index._path)
        index.add(0, told)
        assert index.graph("job:n:j", 9) == whole
        assert index._db.execute("SELECT runs FROM shapes WHERE runs > 0 ORDER BY 1").fetchall() == [(1,), (2,)]
    index.close()


# What follows is the same again, worked out the slow way from all events at once.
NAMES = ("a", "b", "c")
JOBS = ("j", "k")
STATES = ("START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER")


def _owned(by: str) -> Json:
    return {"ownership": {"owners": [{"name": by, "type": "OWNER"}]}}


def _future(second: int, time: str, *args: Any, **more: Any) -> bytes:
    return _event(second, *args, **more).replace(f"2026-01-01T00:00:{second:02}Z".encode(), time.encode())


def test_an_event_of_the_future_holds_no_longer_than_it_was_sent(tmp_path: Path) -> None:
    """A time that is ahead of the receiver's counts as five minutes after the event was received."""
    index = LineageIndex(tmp_path / "i.db")
    received = [RECEIVED_US, RECEIVED_US + 299_000_000, RECEIVED_US + 301_000_000]
    evil = _dataset("out", "evil", **_fields("evil"), **_owned("evil"), **_from(evil="x"))
    events = [_future(1, "9999-01-01T00:00:00Z", "COMPLETE", 1, outs=[evil])]
    for number, time in ((2, "2026-01-01T12:04:59Z"), (3, "2026-01-01T12:05:01Z")):
        said = _dataset(
            "out", f"v{number}", **_fields(f"f{number}"), **_owned(f"o{number}"), **_from(**{f"f{number}": "x"})
        )
        events.append(_future(number, time, "COMPLETE", number, outs=[said]))
    found = []
    for number, (event, received_us) in enumerate(zip(events, received, strict=True)):
        index.add(number, [(Digest.of(event), read_event(event))], received_us=received_us)
        (shown, *_) = index.graph("dataset:d:out", 1)
        owners = [one["name"] for one in shown.facets["ownership"]["owners"]]
        found.append(
            (shown.version, [one["name"] for one in shown.fields], owners, [c for c, *_ in index.columns(shown.id)])
        )
    assert found == [("evil", ["evil"], ["evil"], ["evil"])] * 2 + [("v3", ["f3"], ["o3"], ["f3"])]
    assert shown.updated == "2026-01-01T12:05:01Z"
    index.close()


@pytest.mark.parametrize("order", [1, -1])
def test_what_nobody_signed_changes_nothing_of_what_was(tmp_path: Path, order: int) -> None:
    good = _dataset("out", "good", **_fields("good"), **_owned("good"), **_from(good="a"))
    evil = _dataset("out", "evil", **_fields("evil"), **_owned("evil"), **_from(evil="b"))
    events = [
        (_event(0, "START", 1, ins=[_dataset("a")]), KEY),
        (_event(1, "COMPLETE", 1, outs=[good]), KEY),
        # The same run, said by somebody else: that it read more, made it otherwise, and failed.
        (_event(2, "RUNNING", 1, ins=[_dataset("b")], outs=[evil]), None),
        (_event(3, "COMPLETE", 2, outs=[evil]), None),
        (_event(4, "FAIL", 1), None),
    ]
    index = LineageIndex(tmp_path / "i.db")
    for event, signer in events[::order]:
        index.add(0, [(Digest.of(event), replace(read_event(event), signer=signer))])
    shown = next(one for one in index.graph("dataset:d:out", 9) if one.name == "out")
    assert (shown.version, [one["name"] for one in shown.fields]) == ("good", ["good"])
    assert shown.facets["ownership"]["owners"][0]["name"] == "good"
    assert shown.said_by == {"version": KEY, "schema": KEY, "ownership": KEY}
    assert [(one["version"], one["saidBy"]) for one in shown.versions] == [("good", KEY), ("evil", None)]
    assert shown.sources == [
        {"origin": "dataset:d:a", "declared": True, "signed": True},
        {"origin": "dataset:d:b", "declared": True, "signed": False},
    ]
    assert index.columns("dataset:d:out") == [("good", "dataset:d:a", "c")]
    index.close()


def test_what_this_ledger_imported_is_said_by_it(tmp_path: Path) -> None:
    imported = _event(0, "COMPLETE", 1, outs=[_dataset("out", "1")]).replace(PRODUCER.encode(), IMPORTER.encode())
    graph = _graph(tmp_path, imported, _event(1, "COMPLETE", 2, outs=[_dataset("out", "2")]))
    assert (graph["dataset:d:out"].version, graph["dataset:d:out"].said_by) == ("1", {"version": "import"})


def _also(*names: str) -> Json:
    return {"symlinks": {"identifiers": [{"namespace": "d", "name": name, "type": "TABLE"} for name in names]}}


def _state(state: str, previous: str | None = None) -> Json:
    facet: Json = {"lifecycleStateChange": state}
    if previous is not None:
        facet["previousIdentifier"] = {"namespace": "d", "name": previous}
    return {"lifecycleStateChange": facet}


def test_two_names_of_one_dataset_lead_to_each_other(tmp_path: Path) -> None:
    """One job writes a path, another reads the table that the path is a location of."""
    events = [
        _event(0, "COMPLETE", 1, "w", ins=[_dataset("raw")], outs=[_dataset("/path", **_also("table", "/path"))]),
        _event(1, "COMPLETE", 2, "r", ins=[_dataset("table")], outs=[_dataset("report")]),
        _event(2, "COMPLETE", 3, "s", ins=[_dataset("view", **_also("table"))], outs=[_dataset("other")]),
    ]
    graph = _graph(tmp_path, *events, node="dataset:d:report", depth=4)
    assert {one.name for one in graph.values()} == {"report", "r", "table", "/path", "view", "w", "raw", "s", "other"}
    assert graph["dataset:d:table"].same_as == ["dataset:d:/path", "dataset:d:view"]
    assert graph["dataset:d:/path"].same_as == graph["dataset:d:view"].same_as == ["dataset:d:table"]
    assert graph["dataset:d:/path"].facets["symlinks"]["identifiers"][0]["name"] == "table"
    # From one name to another is no step: neither is an edge.
    assert set(_graph(tmp_path, node="dataset:d:view", depth=0)) == {
        f"dataset:d:{n}" for n in ("view", "table", "/path")
    }
    assert graph["dataset:d:table"].before == [] and graph["dataset:d:/path"].after == []
    # What it is also called is what was said last.
    later = _event(3, "COMPLETE", 4, "w", outs=[_dataset("/path", **_also("elsewhere"))])
    assert "dataset:d:raw" not in _graph(tmp_path, later, node="dataset:d:report", depth=9)
    assert _graph(tmp_path, node="dataset:d:elsewhere", depth=0).keys() == {"dataset:d:elsewhere", "dataset:d:/path"}


def test_a_rename_is_an_edge(tmp_path: Path) -> None:
    events = [
        _event(0, "COMPLETE", 1, "w", ins=[_dataset("raw")], outs=[_dataset("old")]),
        _event(1, "COMPLETE", 2, "mv", outs=[_dataset("new", **_state("RENAME", "old"))]),
        _event(2, "FAIL", 3, "mv", outs=[_dataset("newer", **_state("RENAME", "new"))]),
    ]
    graph = _graph(tmp_path, *events, node="dataset:d:new")
    assert set(graph) == {"dataset:d:new", "job:n:mv", "dataset:d:old", "job:n:w", "dataset:d:raw"}
    assert (graph["dataset:d:new"].before, graph["dataset:d:old"].after) == (
        ["dataset:d:old", "job:n:mv"], ["dataset:d:new"],
    )  # fmt: skip
    assert graph["dataset:d:new"].sources == [{"origin": "dataset:d:old", "declared": True, "signed": False}]
    assert (graph["dataset:d:new"].state, graph["dataset:d:old"].state) == ("RENAME", None)
    near = _graph(tmp_path, node="dataset:d:new", depth=1)
    assert set(near) == {"dataset:d:new", "dataset:d:old", "job:n:mv"}
    assert set(_graph(tmp_path, node="dataset:d:old", depth=1)) == {"dataset:d:new", "dataset:d:old", "job:n:w"}


def test_what_became_of_a_dataset_is_what_a_run_that_ended_well_said_last(tmp_path: Path) -> None:
    events = [
        _event(0, "COMPLETE", 1, outs=[_dataset("out", **_state("CREATE"))]),
        _event(1, "COMPLETE", 2, outs=[_dataset("out", **_state("DROP"))]),
        _event(2, "FAIL", 3, outs=[_dataset("out", **_state("TRUNCATE"))]),
    ]
    shown = _graph(tmp_path, *events)["dataset:d:out"]
    assert (shown.state, shown.said_by, shown.facets) == ("DROP", {"lifecycleStateChange": None}, {})


@dataclass(eq=False)
class _Known:
    job: str | None
    ends: list[tuple[int, str]] = field(default_factory=list)
    io: set[tuple[str, str]] = field(default_factory=set)
    said: list[tuple[int, str, str, Json]] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        return not self.ends or max(self.ends)[1] == "COMPLETE"

    def declared(self, role: str, name: str) -> list[str] | None:
        stated = [
            (second, [one["inputFields"][0]["name"] for one in facets["columnLineage"]["fields"].values()])
            for second, of, which, facets in self.said
            if (of, which) == (role, name) and "columnLineage" in facets
        ]
        return max(stated)[1] if stated else None


class _Oracle:
    """Run by run, from the values of all events."""

    def __init__(self, events: Iterable[tuple[int, Json]]) -> None:
        runs: dict[Any, _Known] = {}
        for second, event in events:
            job = event["job"]["name"] if "job" in event else None
            key = (event["run"]["runId"], job) if "run" in event else second
            run = runs.setdefault(key, _Known(job))
            if event.get("eventType") in ("COMPLETE", "FAIL", "ABORT"):
                run.ends.append((second, event["eventType"]))
            told = [("in", one) for one in event.get("inputs", [])] + [("out", one) for one in event.get("outputs", [])]
            for role, one in told + ([("out", event["dataset"])] if "dataset" in event else []):
                run.io.add((role, one["name"]))
                run.said.append((second, role, one["name"], one["facets"]))
        self.runs = list(runs.values())
        self.live = [run for run in self.runs if run.is_live]

    def last(self, name: str, facet: str) -> Any:
        """What a live writer said last, or any reader."""
        for role, runs in (("out", self.live), ("in", self.runs if facet == "schema" else [])):
            stated = [
                (second, json.dumps(facets[facet]))
                for run in runs
                for second, of, which, facets in run.said
                if (of, which) == (role, name) and facet in facets
            ]
            if stated:
                return json.loads(max(stated)[1])
        return None

    def sources(self, name: str) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for run in self.live:
            for role, which in run.io:
                if which != name:
                    continue
                stated = run.declared(role, name)
                if stated is not None:
                    found |= {f"dataset:d:{one}": True for one in stated if one != name}
                elif role == "out":
                    for other, one in run.io:
                        if other == "in" and one != name:
                            found.setdefault(f"dataset:d:{one}", False)
        return found

    def graph(self, start: str, depth: int) -> dict[str, tuple[set[str], set[str]]]:
        """(before, after) of what is `depth` steps from a dataset or job at most."""
        level, followed = {start: 0}, list[_Known]()
        if start in JOBS:
            followed = [run for run in self.live if run.job == start]
        for now in range(depth + 1):
            if start in JOBS and now == 1:
                level |= {name: 1 for run in followed for _, name in run.io if name not in level}
            for run in self.live:
                if run.job is None or run in followed or now == depth:
                    continue
                if any(level.get(name) == now for _, name in run.io):
                    followed.append(run)
                    level.setdefault(run.job, now + 1)
                    if now + 2 <= depth:
                        for _, name in run.io:
                            level.setdefault(name, now + 2)
        # An edge is told at both of its ends, if both are shown.
        edges = {
            (role, run.job, name)
            for run in self.live
            for role, name in run.io
            if run.job is not None and (run in followed or name in level)
        }
        found = {}
        for node in level:
            reads, writes = ({e for e in edges if e[0] == role and node in e[1:]} for role in ("in", "out"))
            if node in JOBS:
                found[node] = ({name for _, _, name in reads}, {name for _, _, name in writes})
            else:
                found[node] = ({job for _, job, _ in writes}, {job for _, job, _ in reads})
        return found


@st.composite
def _histories(draw: st.DrawFn) -> list[tuple[int, Json]]:
    def datasets(role: str) -> list[Json]:
        found = []
        for name in draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True)):
            facets: Json = {}
            if draw(st.booleans()):
                facets |= _fields(*draw(st.lists(st.sampled_from(("f", "g")), min_size=1, unique=True)))
            if role == "out" and draw(st.booleans()):
                facets |= _from(
                    **draw(st.dictionaries(st.sampled_from(("f", "g")), st.sampled_from(NAMES), min_size=1))
                )
            found.append(_dataset(name, draw(st.none() | st.sampled_from(("1", "2"))), **facets))
        return found

    events = []
    for second in range(draw(st.integers(1, 8))):
        time = {"eventTime": f"2026-01-01T00:00:{second:02}Z", "producer": PRODUCER, "schemaURL": PRODUCER}
        kind = draw(st.sampled_from(("run", "run", "run", "run", "job", "dataset")))
        if kind == "dataset":
            event: Json = {"dataset": (datasets("out") or [_dataset("a")])[0]}
        else:
            event = {"job": {"namespace": "n", "name": draw(st.sampled_from("jjk"))}}
            event |= {"inputs": datasets("in"), "outputs": datasets("out")}
        if kind == "run":
            event |= {"run": {"runId": _run(draw(st.integers(1, 2)))}, "eventType": draw(st.sampled_from(STATES))}
        events.append((second, time | event))
    return events


def _fill(path: Path, batches: list[list[Json]], cuts: list[int]) -> LineageIndex:
    """Index events in this order, some of them after an attempt that was cut off after so many pieces."""
    index = LineageIndex(path)
    for number, events in enumerate(batches):
        raws = [json.dumps(event).encode() for event in events]
        told = [(Digest.of(raw), read_event(raw)) for raw in raws]
        if number < len(cuts):
            work = index._writer.write(number, told, RECEIVED_US)
            for _ in range(cuts[number]):
                with index._writing():
                    next(work, None)
            index.close()
            index = LineageIndex(path)
        index.add(number, told)
    return index


@settings(max_examples=100, deadline=None)
@given(
    _histories(),
    st.randoms(use_true_random=False),
    st.sampled_from([(1, 1), (2, 2), (500, 500)]),
    st.lists(st.integers(0, 9), max_size=3),
)
def test_the_graph_is_that_of_the_runs(
    history: list[tuple[int, Json]], random: Any, sizes: tuple[int, int], cuts: list[int]
) -> None:
    oracle = _Oracle(history)
    events = [event for _, event in history]
    random.shuffle(events)
    size = random.randint(1, 3)
    batches = [events[start : start + size] for start in range(0, len(events), size)]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lineage_rows, "PIECE_ROWS", sizes[0])
        patch.setattr(lineage_shapes, "PIECE_ROWS", sizes[0])
        patch.setattr(lineage_shapes, "SHARED_ROWS", sizes[1])
        index = _fill(Path(folder) / "i.db", batches, cuts)
        known = {name for run in oracle.runs for _, name in run.io}
        for depth in (0, 1, 2, 3, 9):
            for start in (*sorted(known), *sorted({run.job for run in oracle.runs if run.job is not None})):
                node = f"job:n:{start}" if start in JOBS else f"dataset:d:{start}"
                shown = index.graph(node, depth)
                reached = {one.name: (_names(one.before), _names(one.after)) for one in shown}
                assert reached == oracle.graph(start, depth)
                for one in shown:
                    if one.type == "DATASET":
                        version, fields = oracle.last(one.name, "version"), oracle.last(one.name, "schema")
                        assert one.version == (version and version["datasetVersion"])
                        assert [f["name"] for f in one.fields] == [
                            f["name"] for f in (fields or {"fields": []})["fields"]
                        ]
                        assert {s["origin"]: s["declared"] for s in one.sources} == oracle.sources(one.name)
        counted = "SELECT shapes.runs, (SELECT count(*) FROM runs WHERE shape = shapes.id) FROM shapes"
        assert all(said == found for said, found in index._db.execute(counted))
        index.close()


def _names(ids: list[str]) -> set[str]:
    return {one.rpartition(":")[2] for one in ids}
