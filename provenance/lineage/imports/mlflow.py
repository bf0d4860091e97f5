"""Runs of an MLflow server, as `runs/search` answers with them: which datasets and models each read, and what it made.

Invariants: only finished runs declare anything; a run is known again by its id; MLflow's dataset digests are carried as
MLflow's fact, never as a digest of ours, for they are short and cover the first rows; what a model was evaluated on did
not go into it; who ran it, its parameters and metrics are passed over.

Bytes: `{"runs":[{"info":{"end_time":1767323045000,"run_id":"<32 hex>","run_name":"..","start_time":..,"status":
"FINISHED"},"inputs":{"dataset_inputs":[{"dataset":{"digest":"..","name":"..","source":"{..}","source_type":".."},
"tags":[{"key":"mlflow.data.context","value":"training"}]}],"model_inputs":[{"model_id":"m-.."}]},"outputs":
{"model_outputs":[{"model_id":"m-.."}]}}]}`; 64-bit numbers may be text, as protobuf writes them.

Source: MLflow REST API 2.0, `runs/search`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from provenance.encoding import JsonValue, parse_json
from provenance.errors import MalformedError, ProvenanceError
from provenance.lineage.imports.declared import (
    Declared,
    DeclaredDataset,
    DeclaredStep,
    as_object,
    objects,
    text_of,
)

FORM: Final = "mlflow"
SOURCE_TYPE: Final = "provenance"
"""What MLflow calls a source that is a registered dataset (`provenance.mlflow`)."""
_CONTEXT: Final = "mlflow.data.context"
_WENT_IN: Final = frozenset({"", "fit", "fine-tuning", "finetuning", "input", "inputs", "pretraining", "pre-training"})
"""Contexts of what went into a model, besides those that begin with `train`; it is not concluded of any other."""
_COMMIT: Final = "mlflow.source.git.commit"
_LAST_MS: Final = 253_402_300_799_000
_MAX_SOURCE_BYTES: Final = 65_535


def read_mlflow(value: JsonValue) -> Declared:
    """The steps that the finished runs of an answer declare."""
    if not isinstance(value, dict):
        raise MalformedError("not an answer of runs/search", expected="a JSON object with runs")
    runs = objects(value.get("runs"), "runs")
    steps = [_step(run) for run in runs if as_object(run.get("info")).get("status") == "FINISHED"]
    return Declared(FORM, tuple(steps))


def reduced(run: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What of a run says anything of lineage: no person, parameter or metric."""
    info, data = as_object(run.get("info")), as_object(run.get("data"))
    kept: tuple[str, ...] = ("run_id", "run_name", "experiment_id", "status", "start_time", "end_time")
    tags: list[JsonValue] = [
        {"key": _COMMIT, "value": one.get("value")}
        for one in objects(data.get("tags"), "tags")
        if one.get("key") == _COMMIT
    ]
    inputs = as_object(run.get("inputs"))
    datasets: list[JsonValue] = [_reduced_input(one) for one in objects(inputs.get("dataset_inputs"), "dataset_inputs")]
    return {
        "info": {name: info[name] for name in kept if name in info},
        "data": {"tags": tags},
        "inputs": {"dataset_inputs": datasets, "model_inputs": inputs.get("model_inputs") or []},
        "outputs": {"model_outputs": as_object(run.get("outputs")).get("model_outputs") or []},
    }


def _reduced_input(one: dict[str, JsonValue]) -> JsonValue:
    dataset = as_object(one.get("dataset"))
    kept = ("name", "digest", "source_type", "source")
    tags: list[JsonValue] = [dict(tag) for tag in objects(one.get("tags"), "tags") if tag.get("key") == _CONTEXT]
    return {"dataset": {name: dataset[name] for name in kept if name in dataset}, "tags": tags}


def _step(run: dict[str, JsonValue]) -> DeclaredStep:
    info = as_object(run.get("info"))
    run_id = text_of(info.get("run_id"))
    if run_id is None:
        raise MalformedError("run has no id", expected="run_id", where="runs.info")
    given, stated = as_object(run.get("inputs")), as_object(run.get("outputs"))
    inputs, others = list[DeclaredDataset](), list[JsonValue]()
    for one in objects(given.get("dataset_inputs"), "dataset_inputs"):
        dataset = _dataset(as_object(one.get("dataset")))
        context = _context(one)
        if context in _WENT_IN or context.startswith("train"):
            inputs.append(dataset)
        else:
            others.append(f"{context}: {dataset.name}")
    inputs += _models(given.get("model_inputs"), "model_inputs")
    outputs = _models(stated.get("model_outputs"), "model_outputs") or [DeclaredDataset(f"runs:/{run_id}")]
    facts: dict[str, JsonValue] = {"runId": run_id, "otherwiseUsed": others or None, "gitCommit": _commit(run)}
    name = text_of(info.get("run_name"))
    return DeclaredStep(
        f"{name} {run_id}" if name is not None else run_id,
        _unique(inputs),
        _unique(outputs),
        facts,
        _time(info.get("start_time")),
        _time(info.get("end_time")),
        identity=run_id,
    )


def _unique(datasets: list[DeclaredDataset]) -> tuple[DeclaredDataset, ...]:
    return tuple({one.name: one for one in datasets}.values())


def _dataset(dataset: dict[str, JsonValue]) -> DeclaredDataset:
    """A dataset, by what it is registered as, else by where it lies, else by its name and digest: MLflow's names are
    the same for many."""
    name, digest = text_of(dataset.get("name")) or "dataset", text_of(dataset.get("digest"))
    source = _source(dataset.get("source"))
    if dataset.get("source_type") == SOURCE_TYPE:
        reference, exact = text_of(source.get("reference")), text_of(source.get("sha256"))
        if reference is not None and exact is not None:
            return DeclaredDataset(reference, {"sha256": exact})
    place = next((text for key in ("uri", "url", "path") if (text := text_of(source.get(key))) is not None), None)
    digests = {"mlflow": digest} if digest is not None else {}
    if place is not None and (":" in place or place.startswith("/")):
        return DeclaredDataset(place, digests)
    return DeclaredDataset(f"{place or name}#{digest}" if digest is not None else place or name, digests)


def _source(value: JsonValue) -> dict[str, JsonValue]:
    text = text_of(value)
    if text is None:
        return {}
    try:
        return as_object(parse_json(text.encode("utf-8", "surrogatepass"), what="source", max_bytes=_MAX_SOURCE_BYTES))
    except ProvenanceError:  # some sources are plain text
        return {}


def _context(one: dict[str, JsonValue]) -> str:
    found = (tag.get("value") for tag in objects(one.get("tags"), "tags") if tag.get("key") == _CONTEXT)
    return (text_of(next(found, None)) or "").lower()


def _models(value: JsonValue, what: str) -> list[DeclaredDataset]:
    found = (text_of(one.get("model_id")) for one in objects(value, what))
    return [DeclaredDataset(f"models:/{model}") for model in found if model is not None]


def _commit(run: dict[str, JsonValue]) -> str | None:
    tags = objects(as_object(run.get("data")).get("tags"), "tags")
    return next((text_of(tag.get("value")) for tag in tags if tag.get("key") == _COMMIT), None)


def _time(value: JsonValue) -> str | None:
    """RFC 3339 of milliseconds, which protobuf's JSON writes as text."""
    try:
        milliseconds = int(value) if isinstance(value, int | str) else -1
    except ValueError:
        return None
    if not 0 <= milliseconds <= _LAST_MS:
        return None
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
