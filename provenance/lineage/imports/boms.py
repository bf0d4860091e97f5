"""Bills of materials with data and models in them: SPDX 3 documents and CycloneDX BOMs.

Invariants: only packages of the AI and dataset profiles, and components of type data and machine-learning-model, are
datasets here; an edge is what a relationship, a dependency or a model card states; what a model was tested on did not
go into it; software is passed over.

Sources: SPDX 3.0 (JSON-LD); CycloneDX 1.5 to 1.7 (JSON).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from provenance.encoding import JsonValue
from provenance.errors import MalformedError
from provenance.lineage.imports.declared import (
    Declared,
    DeclaredDataset,
    DeclaredStep,
    objects,
    text_of,
    texts,
    told_apart,
)

SPDX_FORM: Final = "spdx"
CYCLONEDX_FORM: Final = "cyclonedx"
_PACKAGES: Final = ("ai_AIPackage", "dataset_DatasetPackage")
_FROM_PARENT: Final = frozenset({"ancestorOf", "generates"})
_FROM_CHILD: Final = frozenset({"descendantOf", "trainedOn", "hasDataFile", "dependsOn"})
_COMPONENTS: Final = ("data", "machine-learning-model")


def read_spdx(value: JsonValue) -> Declared:
    """What an SPDX 3 document declares of data and models."""
    graph = value.get("@graph") if isinstance(value, dict) else None
    elements = objects(graph, "@graph")
    known: dict[str, DeclaredDataset] = {}
    for one in elements:
        element = text_of(one.get("spdxId")) or text_of(one.get("@id"))
        if element is not None and one.get("type") in _PACKAGES:
            known[element] = DeclaredDataset(_named(one, element, "software_packageVersion"), _spdx_hashes(one))
    edges: dict[str, list[str]] = {}
    for one in elements:
        kind, start, ends = one.get("relationshipType"), text_of(one.get("from")), one.get("to")
        kind = kind.rpartition("/")[2] if isinstance(kind, str) else None
        for end in ends if isinstance(ends, list) else [ends]:
            if start is None or not isinstance(end, str):
                continue
            if kind in _FROM_CHILD:
                edges.setdefault(start, []).append(end)
            elif kind in _FROM_PARENT:
                edges.setdefault(end, []).append(start)
    return _joined(SPDX_FORM, known, edges)


def read_cyclonedx(value: JsonValue) -> Declared:
    """What a CycloneDX BOM declares of data and models."""
    if not isinstance(value, dict):
        raise MalformedError("not a CycloneDX BOM", expected="a JSON object")
    metadata = value.get("metadata")
    top = metadata.get("component") if isinstance(metadata, dict) else None
    components = [*([top] if isinstance(top, dict) else []), *objects(value.get("components"), "components")]
    known: dict[str, DeclaredDataset] = {}
    edges: dict[str, list[str]] = {}
    for number, one in enumerate(components):
        if one.get("type") in _COMPONENTS:
            name = text_of(one.get("bom-ref")) or f"component {number}"
            known[name] = DeclaredDataset(_named(one, name, "version", "group"), _hashes(one))
            edges.setdefault(name, []).extend(_card(one))
    for one in objects(value.get("dependencies"), "dependencies"):
        ends, start = one.get("dependsOn"), text_of(one.get("ref"))
        if start is not None and isinstance(ends, list):
            edges.setdefault(start, []).extend(end for end in ends if isinstance(end, str))
    return _joined(CYCLONEDX_FORM, known, edges)


def _named(one: dict[str, JsonValue], fallback: str, version: str, group: str | None = None) -> str:
    name = text_of(one.get("name"))
    if name is None:
        return fallback
    prefix, suffix = text_of(one.get(group)) if group else None, text_of(one.get(version))
    return (f"{prefix}/" if prefix else "") + name + (f"@{suffix}" if suffix else "")


def _spdx_hashes(one: dict[str, JsonValue]) -> dict[str, str]:
    found = {}
    for each in objects(one.get("verifiedUsing"), "verifiedUsing"):
        algorithm, text = text_of(each.get("algorithm")), text_of(each.get("hashValue"))
        if algorithm is not None and text is not None:
            found[algorithm.rpartition("/")[2].lower()] = text
    return found


def _hashes(one: dict[str, JsonValue]) -> dict[str, str]:
    found = {}
    for each in objects(one.get("hashes"), "hashes"):
        pair = texts({"alg": each.get("alg"), "content": each.get("content")})
        if len(pair) == 2:
            found[pair["alg"].replace("-", "").lower()] = pair["content"]
    return found


def _card(one: dict[str, JsonValue]) -> Iterable[str]:
    """The datasets that a model card refers to."""
    card = one.get("modelCard")
    parameters = card.get("modelParameters") if isinstance(card, dict) else None
    stated = parameters.get("datasets") if isinstance(parameters, dict) else None
    for each in objects(stated, "modelCard.modelParameters.datasets"):
        reference = text_of(each.get("ref"))
        if reference is not None:
            yield reference


def _joined(form: str, known: dict[str, DeclaredDataset], edges: dict[str, list[str]]) -> Declared:
    known = told_apart(known)
    steps, used = [], set[str]()
    for child, parents in edges.items():
        inputs = [name for name in dict.fromkeys(parents) if name in known and name != child]
        if child in known and inputs:
            steps.append(
                DeclaredStep(f"made {known[child].name}", tuple(known[name] for name in inputs), (known[child],))
            )
            used.update((child, *inputs))
    return Declared(form, tuple(steps), tuple(one for name, one in known.items() if name not in used))
