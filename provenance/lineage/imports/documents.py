"""Which format a document is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from provenance.encoding import JsonValue, parse_foreign_json
from provenance.encoding.card import is_card
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.lineage.imports.attestations import read_attestations
from provenance.lineage.imports.boms import read_cyclonedx, read_spdx
from provenance.lineage.imports.cards import read_croissant, read_hub_card
from provenance.lineage.imports.declared import MAX_DECLARED, Declared
from provenance.lineage.imports.dvc import read_dvc
from provenance.lineage.imports.mlflow import read_mlflow
from provenance.lineage.imports.prov import read_prov

FORMS: Final = ("dvc", "in-toto", "spdx", "cyclonedx", "mlflow", "prov", "croissant", "card")
MAX_DOCUMENT_BYTES: Final = 64 * 2**20


def read_document(data: bytes, form: str | None = None, name: str = "") -> Declared:
    """What a document declares. Without `form`, by its content, and by its file's name for DVC's."""
    check_size("document", len(data), MAX_DOCUMENT_BYTES)
    last = name.rpartition("/")[2]
    if form == "dvc" or (form is None and (last.endswith(".dvc") or last == "dvc.lock")):
        return read_dvc(data)
    if form == "card" or (form is None and is_card(data)):
        return read_hub_card(data)
    if form not in (None, *FORMS):
        raise MalformedError("unknown format of a document", expected=" | ".join(FORMS), got=form)
    value, values = None, list[JsonValue]()
    try:
        value = parse_foreign_json(data, what="document", max_bytes=MAX_DOCUMENT_BYTES)
    except MalformedError:
        # Attestations come one a line, too. What they are not, is said of the document.
        lines = [line for line in data.splitlines() if line.strip()]
        if form not in (None, "in-toto") or len(lines) < 2 or not lines[0].lstrip().startswith(b"{"):
            if form is None:
                raise _unknown(last) from None
            raise
        values = list(_lines(lines))
    found = form if form is not None else "in-toto" if values else _recognised(value, last)
    if found == "in-toto":
        return read_attestations(values or [value])
    return _READERS[found](value)


_READERS: Final = {
    "spdx": read_spdx,
    "cyclonedx": read_cyclonedx,
    "mlflow": read_mlflow,
    "prov": read_prov,
    "croissant": read_croissant,
}


def _lines(lines: Sequence[bytes]) -> Iterator[JsonValue]:
    check_size("file of attestations", len(lines), MAX_DECLARED, "lines")
    for number, line in enumerate(lines, 1):
        yield parse_foreign_json(line, what=f"attestation in line {number}", max_bytes=MAX_DOCUMENT_BYTES)


def _recognised(value: JsonValue, name: str) -> str:
    if isinstance(value, dict):
        if value.get("bomFormat") == "CycloneDX":
            return "cyclonedx"
        if "@graph" in value:
            return "spdx"
        if "runs" in value:
            return "mlflow"
        if "distribution" in value or "conformsTo" in value:
            return "croissant"
        if {"entity", "wasDerivedFrom", "wasGeneratedBy", "bundle"} & set(value):
            return "prov"
        if {"_type", "payload", "dsseEnvelope"} & set(value):
            return "in-toto"
    raise _unknown(name)


def _unknown(name: str) -> MalformedError:
    hint = f"say it: --format {'|'.join(FORMS)}"
    return MalformedError("cannot tell what format the document is of", got=name or "a document", hint=hint)
