"""PROV-JSON: what entities were derived from, and which activities used and generated them.

Invariants: where a derivation says what an entity was made from, that holds; only where none does, all that its
activity used counts, so that an activity of many inputs and outputs makes no edges that nobody stated; bundles within
are read as part of the document; agents are passed over.

Source: The PROV-JSON Serialization, W3C member submission of 24 April 2013.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provenance.encoding import JsonValue
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.lineage.imports.declared import (
    MAX_DECLARED,
    MAX_EDGES,
    MAX_NAME_CHARS,
    Declared,
    DeclaredDataset,
    DeclaredStep,
    text_of,
    told_apart,
)

FORM: Final = "prov"
_RECORDS: Final = ("entity", "activity", "used", "wasGeneratedBy", "wasDerivedFrom")
_ENDS: Final = frozenset({"prov:entity", "prov:activity", "prov:generatedEntity", "prov:usedEntity"})
_Record = tuple[str, dict[str, JsonValue]]


def read_prov(value: JsonValue) -> Declared:
    """The steps that a PROV-JSON document declares, one an entity that was made."""
    if not isinstance(value, dict) or not any(name in value for name in (*_RECORDS, "bundle")):
        raise MalformedError("not a PROV-JSON document", expected=f"an object with {', '.join(_RECORDS)}")
    parts = [value, *(part for _, part in _records(value, "bundle"))]
    prefixes = _prefixes(value)
    found = {
        name: [one for number, part in enumerate(parts) for one in _expanded(part, name, prefixes, number)]
        for name in _RECORDS
    }
    check_size("document", sum(map(len, found.values())), 4 * MAX_DECLARED, "records")
    entities = told_apart({name: _dataset(name, record) for name, record in found["entity"]})
    activities = dict(found["activity"])
    used, generated, derived = dict[str, list[str]](), dict[str, list[str]](), dict[str, list[str]]()
    for records, start, end, edges in (
        (found["used"], "prov:activity", "prov:entity", used),
        (found["wasGeneratedBy"], "prov:entity", "prov:activity", generated),
        (found["wasDerivedFrom"], "prov:generatedEntity", "prov:usedEntity", derived),
    ):
        for _, record in records:
            one, other = text_of(record.get(start)), text_of(record.get(end))
            if one is not None and other is not None:
                edges.setdefault(one, []).append(other)
    steps: list[DeclaredStep] = []
    count = 0
    for name in dict.fromkeys((*generated, *derived)):
        makers = generated.get(name, [])
        sources = derived.get(name)
        count += sum(len(sources if sources is not None else used.get(maker, [])) for maker in makers) + len(makers) + 1
        check_size("document", count, MAX_EDGES, "inputs and outputs")
        steps += _steps(name, generated.get(name, []), derived.get(name), used, entities, activities)
    told = {one.name for step in steps for one in (*step.inputs, *step.outputs)}
    return Declared(FORM, tuple(steps), tuple(one for one in entities.values() if one.name not in told))


def _prefixes(part: dict[str, JsonValue]) -> dict[str, str]:
    stated = part.get("prefix")
    return {name: uri for name, uri in stated.items() if isinstance(uri, str)} if isinstance(stated, dict) else {}


def _expanded(part: dict[str, JsonValue], name: str, outer: dict[str, str], number: int) -> Iterator[_Record]:
    """The records of a kind, ids as URIs where their prefix is declared: the same short name may be two things, and a
    blank one is another in each part."""
    prefixes = {**outer, **_prefixes(part)}

    def whole(text: str) -> str:
        prefix, colon, local = text.partition(":")
        if prefix == "_" and colon:
            return f"_:{number}:{local}"
        uri = prefixes.get(prefix) if colon else prefixes.get("default")
        found = text if uri is None else uri + (local if colon else text)
        return f"_:-:{found}" if found.startswith("_:") else found  # no other is what a blank one is called here

    for identifier, record in _records(part, name):
        ends = {key: whole(one) if key in _ENDS and isinstance(one, str) else one for key, one in record.items()}
        yield whole(identifier), ends


def _steps(
    name: str,
    makers: list[str],
    sources: list[str] | None,
    used: dict[str, list[str]],
    entities: dict[str, DeclaredDataset],
    activities: dict[str, dict[str, JsonValue]],
) -> Iterator[DeclaredStep]:
    """How one entity was made: a step an activity, one without any where it was only derived."""

    def known(one: str) -> DeclaredDataset:
        return entities.get(one) or DeclaredDataset(one)

    output = known(name)
    for maker in (*makers,) or (None,):
        inputs = sources if sources is not None else used.get(maker or "", [])
        given = {one.name: one for one in map(known, inputs) if one.name != output.name}
        record = activities.get(maker, {}) if maker is not None else {}
        label = (_label(record) or maker) if maker is not None else "derived"
        yield DeclaredStep(
            f"{label} {output.name}"[:MAX_NAME_CHARS],
            tuple(given.values()),
            (output,),
            {},
            _literal(record.get("prov:startTime")),
            _literal(record.get("prov:endTime")),
        )


def _records(part: dict[str, JsonValue], name: str) -> Iterator[_Record]:
    """The records of a kind: an object by id, whose values are one record or a list of them."""
    records = part.get(name)
    if records is None:
        return
    if not isinstance(records, dict):
        raise MalformedError(f"{name} is no object", expected="records by their ids", where=name)
    for identifier, given in records.items():
        for record in given if isinstance(given, list) else [given]:
            if not isinstance(record, dict):
                raise MalformedError(f"{name} holds something that is no record", where=f"{name}.{identifier}"[:200])
            yield identifier, record


def _dataset(identifier: str, record: dict[str, JsonValue]) -> DeclaredDataset:
    digests = {}
    for name, given in record.items():
        algorithm, text = name.rpartition(":")[2].lower(), _literal(given)
        if algorithm in ("sha256", "sha512", "sha1", "md5", "blake3") and text is not None:
            digests[algorithm] = text
    return DeclaredDataset(_label(record) or identifier, digests)


def _label(record: dict[str, JsonValue]) -> str | None:
    return _literal(record.get("prov:label"))


def _literal(value: JsonValue) -> str | None:
    """The text of a plain or typed literal; the first of several."""
    if isinstance(value, list):
        value = value[0] if value else None
    return text_of(value.get("$") if isinstance(value, dict) else value)
