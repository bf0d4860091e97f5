"""Descriptions of single datasets and models: Hugging Face cards and Croissant descriptions.

Invariants: a card's front matter is read, its prose is not; what it names of the Hub keeps the Hub's name, as
`datasets/ID` or `models/ID`; words that stand for a kind of source (`original`, `extended`) name no dataset.

Sources: Hugging Face Hub, dataset and model card metadata; Croissant 1.1, PROV-O.
"""

from __future__ import annotations

import re
from typing import Final

from provenance.encoding import JsonValue
from provenance.encoding.card import read_card
from provenance.errors import MalformedError
from provenance.lineage.imports.declared import Declared, DeclaredDataset, DeclaredStep, as_object, objects, text_of

CARD_FORM: Final = "card"
CROISSANT_FORM: Final = "croissant"
_URN: Final = re.compile(r"urn:provenance-ledger:artefact:sha256:([0-9a-f]{64})")
_KINDS: Final = frozenset({"original", "extended"})


def read_hub_card(data: bytes) -> Declared:
    """What a Hugging Face card declares: a model, or a dataset, and what it was made from."""
    card = as_object(read_card(data).metadata)
    entries = card.get("model-index")
    index = as_object(entries[0]) if isinstance(entries, list) and entries else {}
    is_model = any(name in card for name in ("base_model", "datasets", "library_name", "pipeline_tag", "model-index"))
    named = (card.get("model_name"), index.get("name"), card.get("pretty_name"))
    name = next((text for one in named if (text := text_of(one)) is not None), None)
    if name is None:
        hint = "say it: model_name, or pretty_name of a dataset"
        raise MalformedError("card does not say whose it is", expected="a name in its front matter", hint=hint)
    if is_model:
        inputs = [*_hub(card.get("base_model"), "models"), *_hub(card.get("datasets"), "datasets")]
    else:
        inputs = _hub(card.get("source_datasets"), "datasets")
    return _made(CARD_FORM, DeclaredDataset(name), inputs)


def read_croissant(value: JsonValue) -> Declared:
    """What a Croissant description says that its dataset was derived from."""
    described = as_object(value)
    name = text_of(described.get("name"))
    if name is None:
        raise MalformedError("description has no name", expected="name")
    sources = described.get("prov:wasDerivedFrom")
    inputs = [_entity(one) for one in _several(sources)]
    version = text_of(described.get("version"))
    own = DeclaredDataset(f"{name}@{version}" if version is not None else name, _digests(described.get("@id")))
    return _made(CROISSANT_FORM, own, inputs)


def _made(form: str, output: DeclaredDataset, inputs: list[DeclaredDataset]) -> Declared:
    given = {one.name: one for one in inputs if one.name != output.name}
    if not given:
        return Declared(form, (), (output,))
    return Declared(form, (DeclaredStep(f"made {output.name}", tuple(given.values()), (output,)),))


def _hub(value: JsonValue, kind: str) -> list[DeclaredDataset]:
    names = (text_of(one) for one in (value if isinstance(value, list) else [value]))
    found = (name.removeprefix("extended|") for name in names if name is not None)
    return [DeclaredDataset(f"{kind}/{name}") for name in found if name not in _KINDS]


def _several(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _entity(value: JsonValue) -> DeclaredDataset:
    if isinstance(value, str):
        return DeclaredDataset(value, _digests(value))
    (one,) = objects([value], "prov:wasDerivedFrom")
    label, identifier = text_of(one.get("prov:label")) or text_of(one.get("name")), text_of(one.get("@id"))
    if label is None and identifier is None:
        raise MalformedError("source has no name", expected="@id or prov:label", where="prov:wasDerivedFrom")
    return DeclaredDataset(label or identifier or "", _digests(identifier))


def _digests(identifier: JsonValue) -> dict[str, str]:
    match = _URN.fullmatch(identifier) if isinstance(identifier, str) else None
    return {"sha256": match[1]} if match is not None else {}
