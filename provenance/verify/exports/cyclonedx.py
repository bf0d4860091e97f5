"""A lineage as a CycloneDX bill of materials for machine learning: a component an artefact, and what depends on what.

Invariants: a reference is made from digests and names; the serial number is of the evidence, so that the same evidence
gives the same document; a model card says what our statements say of a model and nothing of its worth.

Source: CycloneDX 1.6 (ECMA-424), components of type data and machine-learning-model.
"""

from __future__ import annotations

from provenance.encoding import Digest, JsonValue
from provenance.errors import printable
from provenance.statement import Kind
from provenance.statement.run import Run
from provenance.verify.audit import Audit, AuditItem
from provenance.verify.evidence import Evidence
from provenance.verify.exports.terms import TOOL, created, facts, summary, urn, verdict

_OURS = "provenance-ledger:"


def cyclonedx(audit: Audit, _evidence: Evidence) -> JsonValue:
    """The bill of materials of what was audited."""
    known = {item.name: item for item in audit.items}
    target = _component(audit.items[0], known)
    target["properties"] = [_property("verdict", verdict(audit)), *_list(target["properties"])]
    dependencies: list[JsonValue] = [
        {"ref": _reference(item), "dependsOn": [_reference(known[name]) for name in parents]}
        if (parents := [name for name in item.artefact.parents if name in known])
        else {"ref": _reference(item)}
        for item in audit.items
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{_uuid(audit)}",
        "version": 1,
        "metadata": {
            "timestamp": created(audit),
            "tools": {"components": [{"type": "application", "name": TOOL}]},
            "component": target,
        },
        "components": [_component(item, known) for item in audit.items[1:]],
        "dependencies": dependencies,
    }


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _uuid(audit: Audit) -> str:
    """A UUID out of what is exported."""
    names = "\n".join(f"{item.name} {item.artefact.index}" for item in audit.items)
    return Digest.of(f"cyclonedx\n{created(audit)}\n{names}".encode()).uuid


def _reference(item: AuditItem) -> str:
    return f"{urn(item.statement.digest.hex)}:{Digest.of(item.name.encode()).hex[:16]}"


def _component(item: AuditItem, known: dict[str, AuditItem]) -> dict[str, JsonValue]:
    statement, standards = item.statement, item.statement.standards
    is_model = statement.kind is Kind.MODEL
    properties: list[JsonValue] = [_property(*fact) for fact in facts(item)]
    value: dict[str, JsonValue] = {
        "type": "machine-learning-model" if is_model else "data",
        "bom-ref": _reference(item),
        "group": statement.name.dataset.namespace,
        "name": statement.name.dataset.name,
        "version": statement.name.version,
        "description": standards.description or summary(item),
        "hashes": [{"alg": "SHA-256", "content": statement.digest.hex}],
        "properties": [_property("hashed", "the fingerprint document"), *properties],
    }
    if standards.issuer is not None:
        value["supplier"] = {"name": standards.issuer}
    if statement.license is not None:
        value["licenses"] = [{"expression": statement.license}]
    if statement.origin is not None:
        value["externalReferences"] = [{"type": "distribution", "url": statement.origin}]
    if is_model:
        value["modelCard"] = _model_card(item, known)
    else:
        value["data"] = [_data(item)]
    return value


def _property(name: str, text: str) -> JsonValue:
    return {"name": _OURS + name, "value": printable(text)}


def _data(item: AuditItem) -> JsonValue:
    statement, standards = item.statement, item.statement.standards
    value: dict[str, JsonValue] = {
        "type": "dataset",
        "name": standards.title or str(statement.name),
        "classification": str(statement.sensitivity),
    }
    if statement.origin is not None:
        value["contents"] = {"url": statement.origin}
    if standards.personal_data:
        value["sensitiveData"] = ["personal data"]
    if standards.issuer is not None:
        value["governance"] = {"owners": [{"organization": {"name": standards.issuer}}]}
    return value


def _model_card(item: AuditItem, known: dict[str, AuditItem]) -> JsonValue:
    parents = [known[name] for name in item.artefact.parents if name in known]
    data: list[JsonValue] = [{"ref": _reference(one)} for one in parents if one.statement.kind is Kind.DATASET]
    parameters: dict[str, JsonValue] = {"datasets": data} if data else {}
    card: dict[str, JsonValue] = {"bom-ref": f"{_reference(item)}:card", "modelParameters": parameters}
    use = item.statement.standards.intended_use
    if use is not None:
        card["considerations"] = {"useCases": [use]}
    steps: list[JsonValue] = [
        _property(f"parameter:{name}", str(one.body.parameters[name]))
        for one in item.remarks
        if isinstance(one.body, Run)
        for name in sorted(one.body.parameters)
    ]
    if steps:
        card["properties"] = steps
    return card
