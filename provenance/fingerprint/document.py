"""The fingerprint document: a few hundred bytes that stand for a dataset.

Invariants: canonical JSON; its SHA-256 is *the dataset's digest*; two datasets have one digest only if they have the
same file names, sizes and contents.

Bytes: `{"files":{"algorithm":"sha256","count":1,"leaf":"urn:provenance-ledger:file-leaf:1","root":"<64 hex>"},
"format":"urn:provenance-ledger:fingerprint:1","totalBytes":3}` (one line).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, canonical_json
from provenance.errors import MalformedError
from provenance.fingerprint.files import FileEntry, file_root, sort_entries
from provenance.limits import MAX_FILES, MAX_SAFE_INTEGER

FORMAT: Final = "urn:provenance-ledger:fingerprint:1"
FILE_LEAF: Final = "urn:provenance-ledger:file-leaf:1"
ALGORITHM: Final = "sha256"


@dataclass(frozen=True, slots=True)
class FingerprintDocument:
    """What a dataset's digest is the SHA-256 of. `total_bytes` is the sum of all files' sizes."""

    file_count: int
    file_root: Digest
    total_bytes: int
    algorithm: str = ALGORITHM

    def to_json(self) -> dict[str, JsonValue]:
        """The document as a JSON value."""
        return {
            "format": FORMAT,
            "files": {
                "algorithm": self.algorithm,
                "count": self.file_count,
                "leaf": FILE_LEAF,
                "root": self.file_root.hex,
            },
            "totalBytes": self.total_bytes,
        }

    @property
    def digest(self) -> Digest:
        """The dataset's digest: SHA-256 of the canonical document."""
        return Digest.of(canonical_json(self.to_json()))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A fingerprint document with the file entries it was made from, in leaf order."""

    document: FingerprintDocument
    files: tuple[FileEntry, ...]

    @property
    def digest(self) -> Digest:
        """The dataset's digest."""
        return self.document.digest


def fingerprint_files(entries: Iterable[FileEntry]) -> Fingerprint:
    """The fingerprint of a dataset of these files, given in any order."""
    files = sort_entries(entries)
    total_bytes = sum(entry.size for entry in files)
    if total_bytes > MAX_SAFE_INTEGER:
        raise MalformedError("dataset is too large", expected=f"at most {MAX_SAFE_INTEGER} bytes", got=total_bytes)
    return Fingerprint(FingerprintDocument(len(files), file_root(files), total_bytes), files)


def parse_document(value: JsonValue, what: str = "fingerprint") -> FingerprintDocument:
    """The document in a parsed JSON value; `MalformedError` for another format or algorithm."""
    fields = Fields(value, what)
    fields.constant("format", FORMAT)
    files = fields.object("files")
    files.constant("leaf", FILE_LEAF)
    document = FingerprintDocument(
        algorithm=files.constant("algorithm", ALGORITHM),
        file_count=files.integer("count", minimum=1, maximum=MAX_FILES),
        file_root=files.digest("root"),
        total_bytes=fields.integer("totalBytes"),
    )
    files.end()
    fields.end()
    return document
