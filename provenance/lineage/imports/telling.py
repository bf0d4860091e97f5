"""What a document declares, as OpenLineage events: what the receiver logs and indexes.

Invariants: an event is canonical JSON; it names the document by its SHA-256 and says that it was imported, in a facet
of ours; a run's id is made from the document and the step, or from an id that the step has wherever it stands, and from
the declarer and the namespace, so that what was imported is known again; a dataset that no step made is told as what a
step of its own declared.

Bytes: `{"eventTime":"..","eventType":"COMPLETE","inputs":[..],"job":{"name":"train","namespace":"dvc"},"outputs":[..],
"producer":"urn:provenance-ledger:import:1","run":{"facets":{"provenance_imported":{"declaredBy":"..","document":
"<64 hex>","format":"dvc",..}},"runId":".."},"schemaURL":".."}`

Source: OpenLineage 2-0-2; custom facets begin with a prefix of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, JsonValue, canonical_json
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.lineage.event_time import parse_time_us
from provenance.lineage.imports.declared import MAX_NAME_CHARS, Declared, DeclaredDataset, DeclaredStep

PRODUCER: Final = "urn:provenance-ledger:import:1"
_SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
_FACET: Final = "urn:provenance-ledger:schema:imported:1"
_VERSION: Final = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose word it is: the document's SHA-256, who is said to have declared it, the namespace its names are in, and
    the time that stands for what has none in it (RFC 3339)."""

    document: Digest
    declared_by: str
    namespace: str
    time: str

    def __post_init__(self) -> None:
        for what, text in (("declarer", self.declared_by), ("namespace", self.namespace)):
            check_size(what, len(text), MAX_NAME_CHARS, "characters")
            if not text.strip():
                raise MalformedError(f"{what} is empty", expected="text")


def tell(declared: Declared, origin: Origin) -> list[bytes]:
    """The events, one a step and one a dataset that stands alone."""
    alone = tuple(DeclaredStep(f"declared {one.name}", (), (one,)) for one in declared.datasets)
    steps = (*declared.steps, *alone)
    return [_run(declared.form, step, number, origin) for number, step in enumerate(steps)]


def _imported(form: str, origin: Origin, facts: dict[str, JsonValue]) -> JsonValue:
    return {
        "_producer": PRODUCER,
        "_schemaURL": _FACET,
        "format": form,
        "document": origin.document.hex,
        "declaredBy": origin.declared_by,
        "verified": False,
        **{name: value for name, value in facts.items() if value is not None},
    }


def _run(form: str, step: DeclaredStep, number: int, origin: Origin) -> bytes:
    facts: dict[str, JsonValue] = dict(step.facts)
    if step.started is not None:
        facts["startedAt"] = step.started
    if step.finished is not None and not _is_time(step.finished):
        facts["finishedAt"] = step.finished
    return canonical_json(
        {
            "eventType": "COMPLETE",
            "eventTime": next(time for time in (step.finished, step.started, origin.time) if _is_time(time)),
            "producer": PRODUCER,
            "schemaURL": _SCHEMA + "RunEvent",
            "run": {
                "runId": run_id_of(form, step, number, origin),
                "facets": {"provenance_imported": _imported(form, origin, facts)},
            },
            "job": {"namespace": origin.namespace, "name": step.name},
            "inputs": [_dataset(one, origin) for one in step.inputs],
            "outputs": [_dataset(one, origin) for one in step.outputs],
        }
    )


def _is_time(text: str | None) -> bool:
    """Whether it can be an event's time: documents also hold local times and dates, which are kept as facts."""
    try:
        return text is not None and parse_time_us(text) is not None
    except MalformedError:
        return False


def run_id_of(form: str, step: DeclaredStep, number: int, origin: Origin) -> str:
    """The run's UUID: of the step's own identity, if it has one, else of its place in the document."""
    if step.identity is not None:
        known, parts = b"", [form, step.identity, origin.declared_by, origin.namespace]
    else:
        known, parts = origin.document.raw, [str(number), step.name, origin.declared_by, origin.namespace]
    return Digest.of(known + "\0".join(parts).encode("utf-8", "surrogatepass")).uuid


def _dataset(dataset: DeclaredDataset, origin: Origin) -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = {"namespace": origin.namespace, "name": dataset.name}
    version = dataset.version
    if version is not None:
        common: dict[str, JsonValue] = {"_producer": PRODUCER, "_schemaURL": _VERSION}
        digests: dict[str, JsonValue] = dict(dataset.digests)
        value["facets"] = {
            "version": {**common, "datasetVersion": version},
            "provenance_declared": {"_producer": PRODUCER, "_schemaURL": _FACET, "digests": digests},
        }
    return value
