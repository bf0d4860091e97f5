"""A dataset as a Croissant description: its files with their SHA-256, its licence, what it was made from.

Invariants: only a SHA-256 is given as one; a path is relative to the dataset; whoever made it is named only where the
source names an issuer.

Source: Croissant 1.1 (MLCommons), PROV-O for provenance, the Croissant RAI vocabulary 1.0.
"""

from __future__ import annotations

from typing import Final

from provenance.encoding import JsonValue
from provenance.fingerprint import Algorithm, FileEntry
from provenance.limits import check_size
from provenance.statement.run import Run
from provenance.verify.audit import Audit, AuditItem
from provenance.verify.evidence import Evidence
from provenance.verify.exports.terms import facts, files_of, media_type, summary, urn, verdict

MAX_DESCRIBED: Final = 100_000
_OURS: Final = "urn:provenance-ledger:"
_CONTEXT: Final[dict[str, JsonValue]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
            "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
            "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
            "separator", "source", "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}  # fmt: skip


def croissant(audit: Audit, evidence: Evidence) -> JsonValue:
    """The description of what was audited."""
    item = audit.items[0]
    statement, standards = item.statement, item.statement.standards
    files = files_of(item, evidence)
    check_size("dataset", len(files), MAX_DESCRIBED, "files")
    value: dict[str, JsonValue] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "@id": urn(statement.digest.hex),
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": standards.title or f"{statement.name.dataset.namespace}-{statement.name.dataset.name}",
        "description": standards.description or summary(item),
        "version": statement.name.version,
        "datePublished": statement.created,
        "url": statement.origin or urn(statement.digest.hex),
        "identifier": [_property("verdict", verdict(audit)), *(_property(*fact) for fact in facts(item))],
        "distribution": [_file(entry) for entry in files],
    }
    if statement.license is not None:
        value["license"] = _licence(statement.license)
    if standards.issuer is not None:
        value["creator"] = {"@type": "sc:Organization", "name": standards.issuer}
    return {**value, **_responsible(item), **_provenance(audit)}


def _file(entry: FileEntry) -> JsonValue:
    value: dict[str, JsonValue] = {
        "@type": "cr:FileObject",
        "@id": entry.path,
        "name": entry.path,
        "contentUrl": entry.path,
        "contentSize": f"{entry.size} B",
        "encodingFormat": media_type(entry.path),
    }
    if entry.algorithm is Algorithm.SHA256:
        value["sha256"] = entry.digest.hex
    return value


def _property(name: str, text: str) -> JsonValue:
    return {"@type": "sc:PropertyValue", "propertyID": f"{_OURS}{name}", "value": text}


def _licence(expression: str) -> str:
    """The address of the licence, if the expression is one identifier."""
    if " " in expression or expression.startswith(("LicenseRef-", "DocumentRef-")) or "+" in expression:
        return expression
    return f"https://spdx.org/licenses/{expression}.html"


def _responsible(item: AuditItem) -> dict[str, JsonValue]:
    standards = item.statement.standards
    span = standards.date_range
    found: dict[str, JsonValue | None] = {
        "rai:dataCollection": standards.source,
        "rai:dataCollectionType": str(standards.method) if standards.method is not None else None,
        "rai:dataCollectionTimeframe": list(span) if span is not None else None,
        "rai:dataUseCases": standards.intended_use,
        "rai:personalSensitiveInformation": (
            None
            if standards.personal_data is None
            else "holds personal data"
            if standards.personal_data
            else "holds no personal data, its source says"
        ),
        "rai:dataManipulationProtocol": ", ".join(standards.privacy_technologies) or None,
    }
    return {name: one for name, one in found.items() if one is not None}


def _provenance(audit: Audit) -> dict[str, JsonValue]:
    known = {item.name: item for item in audit.items}
    item, found = audit.items[0], dict[str, JsonValue]()
    sources: list[JsonValue] = [
        {
            "@type": "prov:Entity",
            "@id": urn(known[name].statement.digest.hex) if name in known else f"{_OURS}name:{name}",
            "prov:label": name,
        }
        for name in item.artefact.parents
    ]
    if sources:
        found["prov:wasDerivedFrom"] = sources
    runs: list[JsonValue] = [
        {
            "@type": "prov:Activity",
            "@id": f"{_OURS}run:{one.body.invocation}",
            "prov:label": one.body.step,
            "prov:startedAtTime": one.body.started,
            "prov:endedAtTime": one.body.finished,
        }
        for one in item.remarks
        if isinstance(one.body, Run)
    ]
    if runs:
        found["prov:wasGeneratedBy"] = runs
    return found
