"""Which format a document is of."""

from __future__ import annotations

from typing import Final

from provenance.encoding import JsonValue, parse_foreign_json
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.lineage.imports.attestations import read_attestations
from provenance.lineage.imports.boms import read_cyclonedx, read_spdx
from provenance.lineage.imports.declared import Declared
from provenance.lineage.imports.dvc import read_dvc

FORMS: Final = ("dvc", "in-toto", "spdx", "cyclonedx")
MAX_DOCUMENT_BYTES: Final = 64 * 2**20


def read_document(data: bytes, form: str | None = None, name: str = "") -> Declared:
    """What a document declares. Without `form`, by its content, and by its file's name for DVC's."""
    check_size("document", len(data), MAX_DOCUMENT_BYTES)
    found = form if form is not None else _recognised(data, name)
    if found == "dvc":
        return read_dvc(data)
    if found == "in-toto":
        return read_attestations(data)
    if found in ("spdx", "cyclonedx"):
        value = parse_foreign_json(data, what="document", max_bytes=MAX_DOCUMENT_BYTES)
        return read_spdx(value) if found == "spdx" else read_cyclonedx(value)
    raise MalformedError("unknown format of a document", expected=" | ".join(FORMS), got=form)


def _recognised(data: bytes, name: str) -> str:
    last = name.rpartition("/")[2]
    if last.endswith(".dvc") or last == "dvc.lock":
        return "dvc"
    if data.lstrip()[:1] == b"{":
        try:
            value: JsonValue = parse_foreign_json(data, what="document", max_bytes=MAX_DOCUMENT_BYTES)
        except MalformedError:
            return "in-toto"  # lines of JSON; or said when it is read
        if isinstance(value, dict):
            if value.get("bomFormat") == "CycloneDX":
                return "cyclonedx"
            if "@graph" in value:
                return "spdx"
            if {"_type", "payload", "dsseEnvelope"} & set(value):
                return "in-toto"
    hint = f"say it: --format {'|'.join(FORMS)}"
    raise MalformedError("cannot tell what format the document is of", got=last or "a document", hint=hint)
