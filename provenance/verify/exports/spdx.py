"""A lineage as an SPDX document: a package an artefact, and what was made from what.

Invariants: an element's id is made from digests; what nobody declared is SPDX's "no assertion"; a licence is declared
by the source, concluded by nobody.

Source: SPDX 3.0.1, profiles Core, Software, SimpleLicensing, Dataset, AI; JSON-LD serialisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provenance.encoding import Digest, JsonValue
from provenance.statement import Kind, Sensitivity
from provenance.statement.run import Run
from provenance.verify.audit import Audit, AuditItem
from provenance.verify.evidence import Evidence
from provenance.verify.exports.terms import TOOL, created, facts, summary, urn, verdict

CONTEXT: Final = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_CREATION: Final = "_:creation"
_AGENT: Final = "urn:provenance-ledger:agent:provenance"
_UNKNOWN: Final = "expandedlicensing_NoAssertionLicense"
_CONFIDENTIALITY: Final[Mapping[Sensitivity, str]] = {
    Sensitivity.PUBLIC: "clear",
    Sensitivity.INTERNAL: "green",
    Sensitivity.CONFIDENTIAL: "amber",
    Sensitivity.RESTRICTED: "red",
}
"""As the Traffic Light Protocol has them."""


def spdx(audit: Audit, _evidence: Evidence) -> JsonValue:
    """The document of what was audited and all that went into it."""
    packages = [_package(item) for item in audit.items]
    signers = dict.fromkeys(item.artefact.signer for item in audit.items)
    agents: list[JsonValue] = [_element("SoftwareAgent", _AGENT, name=TOOL)]
    agents += [_element("Agent", _signer(name), name=name) for name in signers]
    licences = dict.fromkeys(item.statement.license for item in audit.items if item.statement.license is not None)
    expressions = [
        _element("simplelicensing_LicenseExpression", _licence(text), simplelicensing_licenseExpression=text)
        for text in licences
    ]
    relationships = [one for item in audit.items for one in _relationships(audit, item)]
    elements = [*agents, *packages, *expressions, *relationships]
    target = urn(audit.items[0].statement.digest.hex)
    document = _element(
        "SpdxDocument",
        _id("document", target),
        name=audit.report.target,
        comment=f"verdict: {verdict(audit)}",
        rootElement=[_id_of(audit.items[0])],
        element=[one["spdxId"] for one in elements if isinstance(one, dict)],
        profileConformance=["core", "software", "simpleLicensing", "dataset", "ai"],
    )
    creation: JsonValue = {
        "type": "CreationInfo",
        "@id": _CREATION,
        "specVersion": "3.0.1",
        "created": created(audit),
        "createdBy": [_AGENT],
    }
    return {"@context": CONTEXT, "@graph": [creation, document, *elements]}


def _element(kind: str, spdx_id: str, **fields: JsonValue) -> dict[str, JsonValue]:
    return {"type": kind, "spdxId": spdx_id, "creationInfo": _CREATION, **fields}


def _id(kind: str, text: str) -> str:
    return f"urn:provenance-ledger:spdx:{kind}:{Digest.of(text.encode()).hex}"


def _id_of(item: AuditItem) -> str:
    return urn(item.statement.digest.hex) + f":{Digest.of(item.name.encode()).hex[:16]}"


def _signer(name: str) -> str:
    return _id("agent", name)


def _licence(text: str) -> str:
    return _id("licence", text)


def _package(item: AuditItem) -> dict[str, JsonValue]:
    statement, standards = item.statement, item.statement.standards
    is_model = statement.kind is Kind.MODEL
    value: dict[str, JsonValue] = {
        "name": str(statement.name.dataset),
        "summary": standards.title or summary(item),
        "comment": "; ".join(f"{name}: {text}" for name, text in facts(item)),
        "originatedBy": [_signer(item.artefact.signer)],
        "builtTime": statement.created,
        "releaseTime": statement.created,
        "verifiedUsing": [
            {
                "type": "Hash",
                "algorithm": "sha256",
                "hashValue": statement.digest.hex,
                "comment": "of the fingerprint document, which holds the Merkle root of the files",
            }
        ],
        "software_packageVersion": statement.name.version,
        "software_downloadLocation": statement.origin or urn(statement.digest.hex),
        "software_primaryPurpose": "model" if is_model else "data",
    }
    if standards.description is not None:
        value["description"] = standards.description
    return _element(
        "ai_AIPackage" if is_model else "dataset_DatasetPackage",
        _id_of(item),
        **value,
        **(_of_model(item) if is_model else _of_dataset(item)),
    )


def _personal(item: AuditItem) -> str:
    said = item.statement.standards.personal_data
    return "noAssertion" if said is None else "yes" if said else "no"


def _of_dataset(item: AuditItem) -> dict[str, JsonValue]:
    statement, standards = item.statement, item.statement.standards
    value: dict[str, JsonValue] = {
        "dataset_datasetType": ["structured" if statement.fingerprint.records is not None else "noAssertion"],
        "dataset_datasetSize": statement.fingerprint.total_bytes,
        "dataset_confidentialityLevel": _CONFIDENTIALITY[statement.sensitivity],
        "dataset_hasSensitivePersonalInformation": _personal(item),
    }
    steps = [one.body.step for one in item.remarks if isinstance(one.body, Run)]
    if steps:
        value["dataset_dataPreprocessing"] = list(dict.fromkeys(steps))
    if standards.method is not None:
        value["dataset_dataCollectionProcess"] = str(standards.method)
    if standards.intended_use is not None:
        value["dataset_intendedUse"] = standards.intended_use
    if standards.privacy_technologies:
        value["dataset_anonymizationMethodUsed"] = list(standards.privacy_technologies)
    return value


def _of_model(item: AuditItem) -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = {"ai_useSensitivePersonalInformation": _personal(item)}
    runs = [one.body for one in item.remarks if isinstance(one.body, Run)]
    if runs:
        value["ai_informationAboutTraining"] = "; ".join(f"step {run.step}" for run in runs)
        parameters = {name: run.parameters[name] for run in runs for name in sorted(run.parameters)}
        if parameters:
            value["ai_hyperparameter"] = [
                {"type": "DictionaryEntry", "key": name, "value": str(one)} for name, one in parameters.items()
            ]
    if item.statement.standards.intended_use is not None:
        value["ai_informationAboutApplication"] = item.statement.standards.intended_use
    return value


def _relationships(audit: Audit, item: AuditItem) -> list[dict[str, JsonValue]]:
    known = {one.name: one for one in audit.items}
    own, declared = _id_of(item), item.statement.license
    found = [
        _relationship("hasDeclaredLicense", own, [_licence(declared) if declared is not None else _UNKNOWN]),
        _relationship("hasConcludedLicense", own, [_UNKNOWN]),
    ]
    parents = [known[name] for name in item.artefact.parents if name in known]
    if parents:
        found.append(_relationship("descendantOf", own, [_id_of(one) for one in parents]))
    if item.statement.kind is Kind.MODEL:
        data: list[JsonValue] = [_id_of(one) for one in parents if one.statement.kind is Kind.DATASET]
        if data:
            found.append(_relationship("trainedOn", own, data))
    return found


def _relationship(kind: str, start: str, ends: list[JsonValue] | list[str]) -> dict[str, JsonValue]:
    name = _id("relationship", f"{kind} {start}")
    to: list[JsonValue] = list(ends)
    return _element("Relationship", name, relationshipType=kind, **{"from": start}, to=to)
