"""OpenLineage events: what of them means lineage.

Invariants: what the specification requires is required, and an event without it is refused with what is wrong; what it
leaves open is taken as it comes; a facet that is not interpreted is kept with the event's bytes; edges lead from the
inputs of a job to it and from it to its outputs, and the sources of a dataset are those that its `lineage` facet and
its `columnLineage` say, or none is said: other events of the run may say more, so nothing is inferred from one alone.

Source: OpenLineage 2-0-2 (RunEvent, JobEvent, DatasetEvent); facets `lineage`, `columnLineage`, `schema`, `version`,
and those of `provenance.lineage.facets`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from provenance.encoding import JsonValue
from provenance.errors import MalformedError
from provenance.lineage.event_time import parse_time_us
from provenance.lineage.facets import Facets, read_dataset_facets, read_facets

EventKind = Literal["run", "job", "dataset"]
RUN_STATES: Final = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
MAX_FIELDS: Final = 100_000
_MAX_NAME_CHARS: Final = 4_096
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
Object = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node of the graph. Its `id` is what Marquez writes, which two nodes can share, for namespaces and names may
    hold colons; its `text` is its own."""

    kind: Literal["dataset", "job"]
    namespace: str
    name: str

    @property
    def id(self) -> str:
        """`dataset:NAMESPACE:NAME` or `job:NAMESPACE:NAME`."""
        return f"{self.kind}:{self.namespace}:{self.name}"

    @property
    def text(self) -> str:
        """`dataset:3:a:b:c` for the name c in the namespace a:b: the number says where the namespace ends."""
        return f"{self.kind}:{len(self.namespace)}:{self.namespace}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> NodeKey:
        """The node whose `text` this is."""
        kind, length, rest = text.split(":", 2)
        end = int(length)
        return cls("job" if kind == "job" else "dataset", rest[:end], rest[end + 1 :])


@dataclass(frozen=True, slots=True)
class DatasetId:
    """A dataset as OpenLineage names it."""

    namespace: str
    name: str

    @property
    def node(self) -> NodeKey:
        """Its node in the graph."""
        return NodeKey("dataset", self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class DatasetSaid:
    """What an event says of a dataset. `sources` are what it says it was made from, if `is_declared`; `columns` are
    (its field, source, the source's field), `facets` what it says of owners, quality and names."""

    id: DatasetId
    version: str | None = None
    fields: tuple[tuple[str, str | None], ...] = ()
    sources: tuple[DatasetId, ...] = ()
    is_declared: bool = False
    columns: tuple[tuple[str, DatasetId, str], ...] = ()
    facets: Facets = ()


@dataclass(frozen=True, slots=True)
class LineageEvent:
    """An event, as far as it means lineage. `job` is (namespace, name), `job_facets` what is said of its owners and
    tests; `flags` say what is missing, and let pass; `signer` is the keyid of who signed it."""

    kind: EventKind
    time: str
    producer: str
    state: str | None = None
    run: str | None = None
    job: tuple[str, str] | None = None
    inputs: tuple[DatasetSaid, ...] = ()
    outputs: tuple[DatasetSaid, ...] = ()
    dataset: DatasetSaid | None = None
    job_facets: Facets = ()
    flags: tuple[str, ...] = field(default=())
    signer: str | None = None

    @property
    def time_us(self) -> int:
        """When it happened: microseconds since 1970 in UTC."""
        return parse_time_us(self.time)

    @property
    def job_node(self) -> NodeKey | None:
        """The job's node in the graph."""
        return None if self.job is None else NodeKey("job", *self.job)


def parse_event(value: JsonValue) -> LineageEvent:
    """The event in a JSON value; `MalformedError` says what is wrong and where."""
    event = _object(value, "event")
    time, producer = _text(event, "eventTime", "event"), _text(event, "producer", "event")
    parse_time_us(time)
    if not _URI.fullmatch(producer):
        raise MalformedError("producer is no URI", got=producer, where="event.producer")
    flags = () if isinstance(event.get("schemaURL"), str) else ("no schemaURL",)
    if "run" in event:
        return _run_event(event, time, producer, flags)
    if "job" in event:
        inputs, outputs = _io(event)
        said = read_facets(_facets(_object(event["job"], "event.job"), "event.job"))
        return LineageEvent(
            "job", time, producer, None, None, _job(event), inputs, outputs, job_facets=said, flags=flags
        )
    if "dataset" in event:
        dataset = _dataset(event["dataset"], "event.dataset")
        return LineageEvent("dataset", time, producer, dataset=dataset, flags=flags)
    raise MalformedError("event is of no kind", expected="run and job, job, or dataset", got=", ".join(sorted(event)))


def _run_event(event: Object, time: str, producer: str, flags: tuple[str, ...]) -> LineageEvent:
    run = _object(event["run"], "event.run")
    run_id = _text(run, "runId", "event.run")
    if not _UUID.fullmatch(run_id):
        raise MalformedError("runId is no UUID", expected="a UUID", got=run_id, where="event.run.runId")
    of_run = _facets(run, "event.run")
    state = event.get("eventType")
    if state is not None and state not in RUN_STATES:
        raise MalformedError("unknown eventType", expected=" | ".join(RUN_STATES), got=state, where="event.eventType")
    if state is None:
        flags = (*flags, "no eventType")
    inputs, outputs = _io(event)
    known = None if state is None else str(state)
    job = _job(event)
    said = read_facets(of_run, _facets(_object(event["job"], "event.job"), "event.job"))
    return LineageEvent("run", time, producer, known, run_id, job, inputs, outputs, job_facets=said, flags=flags)


def _io(event: Object) -> tuple[tuple[DatasetSaid, ...], tuple[DatasetSaid, ...]]:
    inputs, outputs = (
        tuple(_dataset(item, f"event.{name}[{number}]") for number, item in enumerate(_list(event, name)))
        for name in ("inputs", "outputs")
    )
    explicit = _job_lineage(event)
    completed = [
        replace(one, sources=tuple(dict.fromkeys((*one.sources, *explicit[one.id]))), is_declared=True)
        if one.id in explicit
        else one
        for one in outputs
    ]
    return inputs, tuple(completed)


def _job(event: Object) -> tuple[str, str]:
    job = _object(event.get("job"), "event.job")
    _facets(job, "event.job")
    return _text(job, "namespace", "event.job"), _text(job, "name", "event.job")


def _job_lineage(event: Object) -> dict[DatasetId, tuple[DatasetId, ...]]:
    """What the job's `lineage` facet states, target by target."""
    job = event.get("job")
    facet = _facets(_object(job, "event.job"), "event.job").get("lineage") if job is not None else None
    found: dict[DatasetId, tuple[DatasetId, ...]] = {}
    if not isinstance(facet, dict):
        return found
    for entry in _list(facet, "entries"):
        one = _object(entry, "event.job.facets.lineage")
        if one.get("type") == "DATASET":
            target = DatasetId(_text(one, "namespace", "lineage"), _text(one, "name", "lineage"))
            found[target] = tuple(_sources(one))
    return found


def _dataset(value: JsonValue, where: str) -> DatasetSaid:
    item = _object(value, where)
    name = DatasetId(_text(item, "namespace", where), _text(item, "name", where))
    facets = _facets(item, where)
    columns = tuple(_columns(facets))
    stated, is_declared = tuple(dict.fromkeys(source for _, source, _ in columns)), bool(columns)
    explicit = facets.get("lineage")
    if isinstance(explicit, dict):
        stated, is_declared = tuple(dict.fromkeys((*_sources(explicit), *stated))), True
    said = read_dataset_facets(facets, _facets(item, where, "inputFacets"))
    return DatasetSaid(name, _version(facets), tuple(_fields(facets)), stated, is_declared, columns, said)


def _sources(entry: Object) -> list[DatasetId]:
    """Datasets among the `inputs` of an explicit entry, and of its fields."""
    found = []
    items = [*_list(entry, "inputs")]
    fields = entry.get("fields")
    if isinstance(fields, dict):
        for one in fields.values():
            items += _list(_object(one, "lineage.fields"), "inputs")
    for item in items[:MAX_FIELDS]:
        source = _object(item, "lineage.inputs")
        if source.get("type", "DATASET") == "DATASET":
            found.append(DatasetId(_text(source, "namespace", "lineage"), _text(source, "name", "lineage")))
    return list(dict.fromkeys(found))


def _columns(facets: Object) -> list[tuple[str, DatasetId, str]]:
    found: list[tuple[str, DatasetId, str]] = []
    for facet_name, key in (("columnLineage", "inputFields"), ("lineage", "inputs")):
        facet = facets.get(facet_name)
        fields = facet.get("fields") if isinstance(facet, dict) else None
        if not isinstance(fields, dict):
            continue
        for target, said in fields.items():
            where = f"facets.{facet_name}.fields"
            for item in _list(_object(said, where), key):
                one = _object(item, where)
                if isinstance(one.get("field"), str) and one.get("type", "DATASET") == "DATASET":
                    source = DatasetId(_text(one, "namespace", where), _text(one, "name", where))
                    found.append((target, source, str(one["field"])))
    if len(found) > MAX_FIELDS:
        raise MalformedError("event says too much of columns", expected=f"at most {MAX_FIELDS}", got=len(found))
    return found


def _fields(facets: Object) -> list[tuple[str, str | None]]:
    facet = facets.get("schema")
    found: list[tuple[str, str | None]] = []
    for item in _list(facet, "fields")[:MAX_FIELDS] if isinstance(facet, dict) else ():
        one = _object(item, "facets.schema.fields")
        kind = one.get("type")
        found.append((_text(one, "name", "facets.schema.fields"), kind if isinstance(kind, str) else None))
    return found


def _version(facets: Object) -> str | None:
    facet = facets.get("version")
    version = facet.get("datasetVersion") if isinstance(facet, dict) else None
    return version if isinstance(version, str) else None


def _facets(item: Object, where: str, name: str = "facets") -> Object:
    facets = item.get(name)
    return {} if facets is None else _object(facets, f"{where}.{name}")


def _object(value: JsonValue, where: str) -> Object:
    if not isinstance(value, dict):
        raise MalformedError(f"{where} is no object", expected="a JSON object", where=where)
    return value


def _list(item: Object, name: str) -> list[JsonValue]:
    value = item.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedError(f"{name} is no list", expected="a list", where=name)
    if len(value) > MAX_FIELDS:
        raise MalformedError(f"{name} is too long", expected=f"at most {MAX_FIELDS}", got=len(value))
    return value


def _text(item: Object, name: str, where: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedError(f"{name} is missing", expected="text", where=f"{where}.{name}")
    if len(value) > _MAX_NAME_CHARS:
        raise MalformedError(f"{name} is too long", expected=f"at most {_MAX_NAME_CHARS} characters", where=where)
    return value
