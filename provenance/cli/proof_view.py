"""What a proof says, in rows for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from provenance.cli.screen import count_text, size_text
from provenance.errors import printable

if TYPE_CHECKING:
    from provenance.fingerprint.proof import ProofDocument

_MAX_SHOWN_CHARS = 200


def proof_rows(document: ProofDocument) -> list[tuple[str, str | None]]:
    """What the proof claims, and about which dataset."""
    from provenance.fingerprint.proof import FileAbsenceProof, FileProof, RecordAbsenceProof, RecordProof

    claim = document.claim
    files, records = document.fingerprint.file_count, document.fingerprint.records
    rows: list[tuple[str, str | None]] = [("digest", document.digest.hex)]
    match claim:
        case FileProof():
            entry = claim.entry
            rows += [
                ("file", f"{printable(entry.path)}, {size_text(entry.size)}, {entry.algorithm} {entry.digest.hex}"),
                ("in it", f"yes: file {claim.index + 1:,} of {files:,}"),
            ]
        case FileAbsenceProof():
            rows += [
                ("file", printable(claim.path)),
                ("in it", f"no: none of {count_text(files, 'file')} has this name"),
            ]
        case RecordProof():
            count = records.count if records else 0
            rows += [
                ("record", record_text(document, claim.record)),
                ("in it", f"yes: row {claim.index:,} of {count:,}"),
            ]
        case RecordAbsenceProof():
            count = records.count if records else 0
            rows += [
                ("record", record_text(document, claim.record)),
                ("in it", f"no: none of {count_text(count, 'row')} is it"),
            ]
        case _:
            last = claim.begin + len(claim.records) - 1
            rows += [
                ("records", count_text(len(claim.records), "row")),
                ("in it", f"yes: rows {claim.begin} to {last}"),
            ]
    return rows


def record_text(document: ProofDocument, record: bytes) -> str:
    """A record's values by their columns, shortened."""
    if document.schema is None:
        return f"{size_text(len(record))} of CBOR"
    from provenance.encoding.records import decode_row, parse_schema

    text = json.dumps(decode_row(record, parse_schema(document.schema)), ensure_ascii=False)
    return printable(text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}...")
