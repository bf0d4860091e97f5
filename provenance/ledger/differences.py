"""Differences between two datasets, wherever each of them is: a path, a reference, a manifest.

Invariants: both sides are complete lists of files, so that what is not among the changes did not change; sides hashed
by two algorithms cannot be compared and are refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import MalformedError
from provenance.fingerprint import Change, ChangeKind, FileEntry, FingerprintDocument, diff_files, parse_manifest
from provenance.fingerprint.difference import DifferenceProof, PathDifference, verify_difference
from provenance.fingerprint.proof import FileAbsenceProof, FileProof
from provenance.ledger.proofs import prove_file_of
from provenance.limits import MAX_MANIFEST_BYTES, check_size

_MANIFEST_START = b'{"digest":{"'


@dataclass(frozen=True, slots=True)
class Side:
    """One dataset of a comparison: its name, its fingerprint document and its files in leaf order; the rules by which
    others were left out, as far as they are known."""

    name: str
    document: FingerprintDocument
    files: Sequence[FileEntry]
    ignore: tuple[str, ...] = ()


def manifest_side(path: Path) -> Side | None:
    """The dataset that a manifest file lists; None if the file is no manifest."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(len(_MANIFEST_START))
        if data != _MANIFEST_START:
            return None
        check_size("manifest", os.fstat(file.fileno()).st_size, MAX_MANIFEST_BYTES)
        data += file.read(MAX_MANIFEST_BYTES)
    found = parse_manifest(data)
    return Side(str(path), found.document, found.files)


def compare(before: Side, after: Side) -> tuple[Change, ...]:
    """Every change from one side to the other."""
    if before.document.algorithm is not after.document.algorithm:
        hint = f"fingerprint both by one: --algorithm {before.document.algorithm}"
        raise MalformedError(
            "the two are hashed by two algorithms",
            expected=before.document.algorithm,
            got=after.document.algorithm,
            hint=hint,
        )
    return diff_files(before.files, after.files)


def prove_difference(before: Side, after: Side, changes: Sequence[Change]) -> DifferenceProof:
    """Proofs of these changes under both roots."""
    paths: dict[str, None] = {}
    for change in changes:
        paths[change.path] = None
        if change.kind in (ChangeKind.RENAMED, ChangeKind.SWAPPED) and change.other is not None:
            paths[change.other] = None
    first, second = _prover(before), _prover(after)
    ordered = sorted(paths, key=lambda path: path.encode("utf-8"))
    proof = DifferenceProof(
        before.document, after.document, tuple(PathDifference(first(path), second(path)) for path in ordered)
    )
    verify_difference(proof, before.document.digest, after.document.digest)
    return proof


def _prover(side: Side) -> Callable[[str], FileProof | FileAbsenceProof]:
    def prove(path: str) -> FileProof | FileAbsenceProof:
        claim = prove_file_of(side.document, side.files, path).claim
        assert isinstance(claim, FileProof | FileAbsenceProof)  # `prove_file` makes no other
        return claim

    return prove
