"""The fingerprint document: a few hundred bytes that stand for a dataset.

Invariants: canonical JSON; its SHA-256 is *the dataset's digest*; two datasets have one digest only if they have the
same file names, sizes and contents, and their records, where they are fingerprinted too, are the same.

Bytes: `{"files":{"algorithm":"sha256","count":1,"leaf":"urn:provenance-ledger:file-leaf:1","root":"<64 hex>"},
"format":"urn:provenance-ledger:fingerprint:1","totalBytes":3}` (one line); with records, `"records":{...}` before
`"totalBytes"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, canonical_json
from provenance.errors import MalformedError
from provenance.fingerprint.algorithm import Algorithm, parse_algorithm
from provenance.fingerprint.files import FileEntry, FileList, file_root, sort_entries
from provenance.fingerprint.parameters import Parameters
from provenance.fingerprint.records import RecordFingerprint, parse_record_fingerprint
from provenance.limits import MAX_FILES, MAX_SAFE_INTEGER

FORMAT: Final = "urn:provenance-ledger:fingerprint:1"
FILE_LEAF: Final = "urn:provenance-ledger:file-leaf:1"


@dataclass(frozen=True, slots=True)
class FingerprintDocument:
    """What a dataset's digest is the SHA-256 of. `total_bytes` is the sum of all files' sizes."""

    file_count: int
    file_root: Digest
    total_bytes: int
    algorithm: Algorithm = Algorithm.SHA256
    records: RecordFingerprint | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """The document as a JSON value."""
        value: dict[str, JsonValue] = {
            "format": FORMAT,
            "files": {
                "algorithm": str(self.algorithm),
                "count": self.file_count,
                "leaf": FILE_LEAF,
                "root": self.file_root.hex,
            },
            "totalBytes": self.total_bytes,
        }
        if self.records is not None:
            value["records"] = self.records.to_json()
        return value

    @property
    def digest(self) -> Digest:
        """The dataset's digest: SHA-256 of the canonical document."""
        return Digest.of(canonical_json(self.to_json()))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A fingerprint document with the file entries it was made from, in leaf order, and how it was made.

    `reread` are the paths of the files that were read this time, in leaf order; None if all were (no cache was used).
    """

    document: FingerprintDocument
    files: Sequence[FileEntry]
    parameters: Parameters = field(default_factory=Parameters)
    reread: tuple[str, ...] | None = field(default=None, compare=False)

    def with_records(self, records: RecordFingerprint) -> Fingerprint:
        """The same files, their records fingerprinted too."""
        return replace(self, document=replace(self.document, records=records))

    @property
    def digest(self) -> Digest:
        """The dataset's digest."""
        return self.document.digest


def fingerprint_files(entries: Iterable[FileEntry], parameters: Parameters | None = None) -> Fingerprint:
    """The fingerprint of a dataset of these files, given in any order."""
    files = sort_entries(entries)
    total_bytes = sum(entry.size for entry in files)
    if total_bytes > MAX_SAFE_INTEGER:
        raise MalformedError("dataset is too large", expected=f"at most {MAX_SAFE_INTEGER} bytes", got=total_bytes)
    document = FingerprintDocument(len(files), file_root(files), total_bytes, files[0].algorithm)
    return Fingerprint(document, files, parameters or Parameters())


def fingerprint_list(
    files: FileList, root: bytes, parameters: Parameters | None = None, reread: tuple[str, ...] | None = None
) -> Fingerprint:
    """The fingerprint of files in leaf order whose root is known already. `MalformedError` if they are too large."""
    if not files:
        raise MalformedError("dataset has no files", expected="at least one file")
    total_bytes = sum(files.sizes)
    if total_bytes > MAX_SAFE_INTEGER:
        raise MalformedError("dataset is too large", expected=f"at most {MAX_SAFE_INTEGER} bytes", got=total_bytes)
    document = FingerprintDocument(len(files), Digest(root), total_bytes, files.algorithm)
    return Fingerprint(document, files, parameters or Parameters(), reread)


def same_files(one: FingerprintDocument, other: FingerprintDocument) -> bool:
    """Whether two documents are of the same files, hashed alike, whatever each says of their records."""
    return replace(one, records=None) == replace(other, records=None)


def parse_document(value: JsonValue, what: str = "fingerprint") -> FingerprintDocument:
    """The document in a parsed JSON value; `MalformedError` for another format or algorithm."""
    fields = Fields(value, what)
    fields.constant("format", FORMAT)
    files = fields.object("files")
    files.constant("leaf", FILE_LEAF)
    document = FingerprintDocument(
        algorithm=parse_algorithm(files.string("algorithm")),
        file_count=files.integer("count", minimum=1, maximum=MAX_FILES),
        file_root=files.digest("root"),
        total_bytes=fields.integer("totalBytes"),
        records=parse_record_fingerprint(fields.value("records"), f"{what}.records") if "records" in fields else None,
    )
    files.end()
    fields.end()
    return document
