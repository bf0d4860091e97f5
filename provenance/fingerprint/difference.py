"""Difference proofs: what became of single files between two datasets, for whoever has their two digests alone.

Invariants: for each path the document holds two proofs, one under each dataset's file root, that the file is there or
is not; nothing is claimed of paths that it does not name: that nothing else changed, only the two lists of files show.

Bytes (one line):
`{"after":{fingerprint document},"before":{fingerprint document},"changes":[{"after":{proof},"before":{proof}}],
"format":"urn:provenance-ledger:difference:1"}`, where a proof is a proof document's kind and claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError, VerificationError
from provenance.fingerprint.diff import Change, diff_files
from provenance.fingerprint.document import FingerprintDocument, parse_document
from provenance.fingerprint.files import FileEntry
from provenance.fingerprint.proof import (
    MAX_PROOF_BYTES,
    FileAbsenceProof,
    FileProof,
    ProofDocument,
    encode_claim,
    parse_claim,
    verify_proof,
)

FORMAT: Final = "urn:provenance-ledger:difference:1"
MAX_CHANGES: Final = 100_000


@dataclass(frozen=True, slots=True)
class PathDifference:
    """One path in both datasets: a file, or that there is none."""

    before: FileProof | FileAbsenceProof
    after: FileProof | FileAbsenceProof

    @property
    def path(self) -> str:
        """The path that both are about."""
        return _path(self.before)


@dataclass(frozen=True, slots=True)
class DifferenceProof:
    """What became of some paths from the dataset `before` to the dataset `after`."""

    before: FingerprintDocument
    after: FingerprintDocument
    paths: tuple[PathDifference, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes that are proven. A rename is proven as one path that went and one that came."""
        return diff_files(_files(one.before for one in self.paths), _files(one.after for one in self.paths))


def verify_difference(difference: DifferenceProof, before: Digest | None = None, after: Digest | None = None) -> None:
    """Return if every proof holds under its dataset's root, and the datasets are those of the digests given."""
    for document, expected, name in ((difference.before, before, "first"), (difference.after, after, "second")):
        if expected is not None and document.digest != expected:
            raise VerificationError(f"the {name} dataset is another", expected=expected, got=document.digest)
    seen: set[str] = set()
    for one in difference.paths:
        if one.path in seen or _path(one.after) != one.path:
            raise MalformedError("difference is about a path twice, or about two", got=one.path)
        seen.add(one.path)
        verify_proof(ProofDocument(difference.before, one.before))
        verify_proof(ProofDocument(difference.after, one.after))


def encode_difference(difference: DifferenceProof) -> bytes:
    """The document's bytes."""
    changes: list[JsonValue] = [
        {"before": encode_claim(one.before), "after": encode_claim(one.after)} for one in difference.paths
    ]
    return canonical_json(
        {
            "format": FORMAT,
            "before": difference.before.to_json(),
            "after": difference.after.to_json(),
            "changes": changes,
        }
    )


def parse_difference(data: bytes) -> DifferenceProof:
    """The difference in a document; `MalformedError` for anything else. Whether it holds is `verify_difference`'s."""
    fields = Fields(parse_json(data, what="difference", max_bytes=MAX_PROOF_BYTES), "difference")
    fields.constant("format", FORMAT)
    before = parse_document(fields.value("before"), "difference.before")
    after = parse_document(fields.value("after"), "difference.after")
    paths = []
    for value in fields.array("changes", max_items=MAX_CHANGES):
        change = Fields(value, "difference.changes")
        paths.append(PathDifference(_claim(change.value("before")), _claim(change.value("after"))))
        change.end()
    fields.end()
    difference = DifferenceProof(before, after, tuple(paths))
    if encode_difference(difference) != data:
        raise MalformedError("difference is not canonical JSON", expected="RFC 8785, on one line")
    return difference


def _claim(value: JsonValue) -> FileProof | FileAbsenceProof:
    claim = parse_claim(Fields(value, "difference.changes"))
    if not isinstance(claim, FileProof | FileAbsenceProof):
        raise MalformedError("difference holds a proof of no file", expected="file | file-absence")
    return claim


def _path(claim: FileProof | FileAbsenceProof) -> str:
    return claim.entry.path if isinstance(claim, FileProof) else claim.path


def _files(claims: Iterable[FileProof | FileAbsenceProof]) -> list[FileEntry]:
    return [claim.entry for claim in claims if isinstance(claim, FileProof)]
