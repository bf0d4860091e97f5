"""In-toto attestations of others: statements, bare, in DSSE envelopes and in Sigstore bundles, one or a line each.

Invariants: signatures are not checked, and it is said so; a SLSA provenance is a step from its materials to its
subjects, any other predicate a step to its subjects from nothing.

Sources: in-toto Statement v0.1 and v1; SLSA Provenance v0.1, v0.2 and v1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from provenance.encoding import JsonValue, b64decode, parse_foreign_json
from provenance.errors import MalformedError
from provenance.lineage.imports.declared import (
    MAX_NAME_CHARS,
    Declared,
    DeclaredDataset,
    DeclaredStep,
    as_object,
    objects,
    text_of,
    texts,
)

FORM: Final = "in-toto"
_STATEMENTS: Final = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")
_SLSA: Final = "https://slsa.dev/provenance/v"
_MAX_BYTES: Final = 64 * 2**20


def read_attestations(values: Sequence[JsonValue]) -> Declared:
    """The steps that attestations declare."""
    return Declared(FORM, tuple(_step(value) for value in values))


def _step(value: JsonValue) -> DeclaredStep:
    statement = _statement(value)
    predicate_type = text_of(statement.get("predicateType")) or "unknown"
    predicate = statement.get("predicate")
    outputs = tuple(_described(one) for one in objects(statement.get("subject"), "subject"))
    if not outputs:
        raise MalformedError("attestation has no subject", expected="one at least", got=predicate_type)
    facts: dict[str, JsonValue] = {"predicateType": predicate_type, "signature": "not checked"}
    if not isinstance(predicate, dict) or not predicate_type.startswith(_SLSA):
        return DeclaredStep(predicate_type, (), outputs, facts)
    if "buildDefinition" in predicate:
        return _slsa_1(predicate, outputs, facts)
    return _slsa_0(predicate, outputs, facts)


def _statement(value: JsonValue) -> dict[str, JsonValue]:
    """The statement, out of whatever it is in."""
    for _ in range(3):
        if not isinstance(value, dict):
            break
        if value.get("_type") in _STATEMENTS:
            return value
        if isinstance(value.get("dsseEnvelope"), dict):
            value = value["dsseEnvelope"]
        elif isinstance(payload := value.get("payload"), str):
            raw = b64decode(payload, what="payload", max_bytes=_MAX_BYTES)
            value = parse_foreign_json(raw, what="payload of an attestation", max_bytes=_MAX_BYTES)
        else:
            break
    expected = f"{' or '.join(_STATEMENTS)}, bare or in a DSSE envelope or Sigstore bundle"
    raise MalformedError("not an in-toto attestation", expected=expected)


def _described(one: dict[str, JsonValue]) -> DeclaredDataset:
    """A resource descriptor, or a material of SLSA v0."""
    digests = texts(one.get("digest"))
    name = text_of(one.get("name")) or text_of(one.get("uri")) or text_of(one.get("downloadLocation"))
    if name is None:
        name = next((f"{algorithm}:{text}" for algorithm, text in sorted(digests.items())), None)
    if name is None:
        raise MalformedError("resource has no name", expected="name, uri or digest")
    return DeclaredDataset(name, digests)


def _slsa_1(
    predicate: dict[str, JsonValue], outputs: tuple[DeclaredDataset, ...], facts: dict[str, JsonValue]
) -> DeclaredStep:
    definition, details = as_object(predicate.get("buildDefinition")), as_object(predicate.get("runDetails"))
    metadata, builder = as_object(details.get("metadata")), as_object(details.get("builder"))
    inputs = tuple(_described(one) for one in objects(definition.get("resolvedDependencies"), "resolvedDependencies"))
    kind = text_of(definition.get("buildType")) or "unknown"
    facts = {**facts, "buildType": kind, "builder": text_of(builder.get("id"))}
    step = text_of(as_object(definition.get("externalParameters")).get("step"))
    started, finished = text_of(metadata.get("startedOn")), text_of(metadata.get("finishedOn"))
    return DeclaredStep(_job(step or kind, outputs), inputs, outputs, facts, started, finished)


def _slsa_0(
    predicate: dict[str, JsonValue], outputs: tuple[DeclaredDataset, ...], facts: dict[str, JsonValue]
) -> DeclaredStep:
    inputs = tuple(_described(one) for one in objects(predicate.get("materials"), "materials"))
    kind = text_of(predicate.get("buildType")) or text_of(as_object(predicate.get("recipe")).get("type")) or "unknown"
    facts = {**facts, "buildType": kind, "builder": text_of(as_object(predicate.get("builder")).get("id"))}
    metadata = as_object(predicate.get("metadata"))
    started, finished = text_of(metadata.get("buildStartedOn")), text_of(metadata.get("buildFinishedOn"))
    return DeclaredStep(_job(kind, outputs), inputs, outputs, facts, started, finished)


def _job(kind: str, outputs: tuple[DeclaredDataset, ...]) -> str:
    """A job's name. A kind of build makes many things: without the subject, each would seem made from what all were."""
    return f"{kind} {outputs[0].name}"[:MAX_NAME_CHARS]
