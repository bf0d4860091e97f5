"""What every export says of an artefact in the same words: its URN, its verdict, its files, when it was stated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from provenance.errors import NotFoundError
from provenance.fingerprint import FileEntry, open_manifest
from provenance.policy import Status
from provenance.verify.audit import Audit, AuditItem
from provenance.verify.evidence import Evidence

TOOL: Final = "provenance"
_MEDIA_TYPES: Final = {
    "csv": "text/csv", "tsv": "text/tab-separated-values", "json": "application/json", "jsonl": "application/jsonlines",
    "ndjson": "application/jsonlines", "parquet": "application/vnd.apache.parquet", "txt": "text/plain",
    "md": "text/markdown", "xml": "application/xml", "yaml": "application/yaml", "yml": "application/yaml",
    "zip": "application/zip", "gz": "application/gzip", "tar": "application/x-tar", "png": "image/png",
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "wav": "audio/wav",
    "mp3": "audio/mpeg", "mp4": "video/mp4", "pdf": "application/pdf", "html": "text/html",
    "arrow": "application/vnd.apache.arrow.file", "feather": "application/vnd.apache.arrow.file",
}  # fmt: skip


def urn(digest: str) -> str:
    """What an artefact of this dataset digest is called."""
    return f"urn:provenance-ledger:artefact:sha256:{digest}"


def media_type(path: str) -> str:
    """What the name's ending says; a stream of bytes if it says nothing."""
    return _MEDIA_TYPES.get(path.rpartition("/")[2].rpartition(".")[2].lower(), "application/octet-stream")


def summary(item: AuditItem) -> str:
    """One line on what it is."""
    document = item.statement.fingerprint
    files = "1 file" if document.file_count == 1 else f"{document.file_count} files"
    return f"{item.name}: {files}, {document.total_bytes} bytes"


def verdict(audit: Audit) -> str:
    """Our verdict on the exported artefact, with what it lacks."""
    report = audit.report
    level = report.level.name if report.level is not None else "no level"
    skipped = sorted({check.id for check in report.checks if check.status is Status.NOT_PERFORMED})
    lacks = f"; not performed: {', '.join(skipped)}" if skipped else ""
    return f"{report.verdict} at {level}{lacks}"


def created(audit: Audit) -> str:
    """When the last of its statements was signed, by its signers: the document says nothing that is newer."""
    return max(item.statement.created for item in audit.items)


def files_of(item: AuditItem, evidence: Evidence) -> Sequence[FileEntry]:
    """Its files, out of its manifest. `NotFoundError` if that is not at hand."""
    manifest = evidence.blobs.get(item.statement.manifest)
    if manifest is None:
        raise NotFoundError(
            "the list of its files is not at hand", got=item.name, hint="a bundle with manifests has it"
        )
    return open_manifest(manifest, item.statement.fingerprint).files


def facts(item: AuditItem) -> list[tuple[str, str]]:
    """What our log says of it, by names of our own."""
    artefact = item.artefact
    found = [
        ("status", str(artefact.status)),
        ("logEntry", str(artefact.index)),
        ("signer", artefact.signer),
        ("sensitivity", str(item.statement.sensitivity)),
        ("fileRoot", item.statement.fingerprint.file_root.hex),
    ]
    return found + [(one.noun, f"entry {one.index}: {one.words}") for one in item.remarks]
