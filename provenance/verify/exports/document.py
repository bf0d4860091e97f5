"""Which formats there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from provenance.encoding import JsonValue
from provenance.errors import MalformedError
from provenance.statement.events import EVENT_TYPES
from provenance.statement.run import Run
from provenance.verify.audit import Audit
from provenance.verify.evidence import Evidence
from provenance.verify.exports.card import card
from provenance.verify.exports.croissant import croissant
from provenance.verify.exports.cyclonedx import cyclonedx
from provenance.verify.exports.envelopes import envelopes
from provenance.verify.exports.spdx import spdx

FORMATS: Final = ("croissant", "spdx", "cyclonedx", "card", "in-toto", "slsa")
_JSON: Final[Mapping[str, Callable[[Audit, Evidence], JsonValue]]] = {
    "croissant": croissant,
    "spdx": spdx,
    "cyclonedx": cyclonedx,
}


def export(audit: Audit, evidence: Evidence, form: str) -> bytes:
    """The audited artefact and its lineage, in UTF-8 and ending in a newline."""
    if form not in FORMATS:
        raise MalformedError("unknown format", expected=" | ".join(FORMATS), got=form)
    if not audit.items or audit.items[0].name != audit.report.target:
        hint = "see `provenance verify`"
        raise MalformedError("there is no readable statement to export", got=audit.report.target, hint=hint)
    if form in _JSON:
        return json.dumps(_JSON[form](audit, evidence), ensure_ascii=False, indent=2).encode("utf-8") + b"\n"
    if form == "card":
        return card(audit, evidence).encode("utf-8")
    return envelopes(evidence, (Run.TYPE,) if form == "slsa" else None, EVENT_TYPES)
