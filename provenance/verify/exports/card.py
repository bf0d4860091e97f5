"""An artefact as a Hugging Face card: Markdown with front matter, for the `README.md` beside it.

Invariants: the front matter is YAML that says no more than the statement; a licence is given by the Hub's identifier
where it has one, else as `other` with its SPDX expression as the name; text of others cannot end the front matter, nor
become markup.

Source: Hugging Face Hub, dataset and model card metadata.
"""

from __future__ import annotations

import json
import re
from typing import Final

from provenance.encoding import JsonValue
from provenance.statement import Kind
from provenance.statement.described import HUB_LICENCES
from provenance.verify.audit import Audit, AuditItem
from provenance.verify.evidence import Evidence
from provenance.verify.exports.terms import facts, summary, urn, verdict

_TO_HUB: Final = {spdx: hub for hub, spdx in reversed(HUB_LICENCES.items())}
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#+\-!|~$&])")


def card(audit: Audit, evidence: Evidence) -> str:  # noqa: ARG001 - as every export
    """The card of what was audited."""
    item = audit.items[0]
    statement, standards = item.statement, item.statement.standards
    title = standards.title or str(statement.name)
    front: dict[str, JsonValue] = {**_licence(statement.license)}
    if statement.kind is Kind.MODEL:
        front["model_name"] = title
    else:
        front["pretty_name"] = title
    front["tags"] = ["provenance"]
    front["provenance"] = {
        "artefact": str(statement.name),
        "sha256": statement.digest.hex,
        "fileRoot": statement.fingerprint.file_root.hex,
        "verdict": verdict(audit),
    }
    # JSON is YAML, and cannot hold a line of three hyphens by itself.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=True)}" for name, value in front.items()]
    parts = ["---", *lines, "---", "", f"# {_plain(title)}", "", _plain(standards.description or summary(item)), ""]
    if standards.intended_use is not None:
        parts += ["## Intended use", "", _plain(standards.intended_use), ""]
    parts += ["## Provenance", "", *_provenance(item), "", *_lineage(audit)]
    return "\n".join(parts)


def _licence(expression: str | None) -> dict[str, JsonValue]:
    if expression is None:
        return {"license": "unknown"}
    if expression in _TO_HUB:
        return {"license": _TO_HUB[expression]}
    return {"license": "other", "license_name": expression}


def _provenance(item: AuditItem) -> list[str]:
    statement = item.statement
    rows = [
        ("artefact", str(statement.name)),
        ("id", urn(statement.digest.hex)),
        ("origin", statement.origin or "made from what is named below" if item.artefact.parents else statement.origin),
        ("licence", statement.license),
        *facts(item),
    ]
    return ["| | |", "| --- | --- |", *(f"| {_plain(name)} | {_plain(text)} |" for name, text in rows if text)]


def _lineage(audit: Audit) -> list[str]:
    items = audit.items[1:]
    if not items:
        return []
    stated = [(one.name, str(one.artefact.status), one.statement.license or "not declared") for one in items]
    rows = ["| " + " | ".join(map(_plain, texts)) + " |" for texts in stated]
    return ["## Made from", "", "| | status | licence |", "| --- | --- | --- |", *rows, ""]


def _plain(text: str) -> str:
    """Text that is no markup, in one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
