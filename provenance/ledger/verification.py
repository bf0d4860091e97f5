"""Verification against this ledger: evidence from its own store, judged as a stranger would judge a bundle.

Invariants: nothing is taken for granted because it is in the database: signatures, proofs and receipts are verified
again; a chain is asked about a block once and its answer is kept only for final blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from provenance.encoding import Digest
from provenance.errors import NotFoundError
from provenance.fingerprint import Fingerprint
from provenance.ledger.gathering import gather
from provenance.ledger.impact import descendants_of, reached
from provenance.ledger.reference import pinned_name
from provenance.policy import Status, TrustRoots
from provenance.stores import BlobStore, DatasetRow, OutboxRow, Store
from provenance.verify import BlockFinding, Check, ContentFinding, Evidence, Report, verify_evidence

_MAX_FILES_COMPARED = 1_000


class Verification:
    """Verifies rows of one store under one set of trust roots."""

    def __init__(self, store: Store, blobs: BlobStore, trust: TrustRoots) -> None:
        self._store, self._blobs, self._trust = store, blobs, trust

    def evidence(
        self,
        row: DatasetRow,
        *,
        with_manifests: bool = True,
        anchor: OutboxRow | None = None,
        with_all: bool = False,
    ) -> Evidence:
        """The evidence for a row and its ancestors: as it is, or by what an `anchor` holds; `with_all` as `gather`."""
        with self._store.snapshot() as snapshot:
            return gather(
                snapshot,
                self._blobs,
                row,
                self._trust,
                with_manifests=with_manifests,
                anchor=anchor,
                with_all=with_all,
            )

    def report(
        self,
        row: DatasetRow,
        contents: Mapping[str, ContentFinding],
        blocks: Sequence[BlockFinding],
        evidence: Evidence | None = None,
    ) -> Report:
        """The report on a row; `affected` names everything in the ledger that was made from what failed."""
        evidence = evidence or self.evidence(row)
        report = verify_evidence(evidence, self._trust, contents=contents, blocks=blocks)
        return replace(report, affected=self._affected(report))

    def match(self, fingerprint: Fingerprint, location: str) -> DatasetRow:
        """The registered dataset that bytes at `location` are, or were meant to be.

        First one of this digest that was registered from there; then the last one registered from there, for bytes
        that belong elsewhere are not what should be there; then the last of this digest; then the one with which it
        shares most files. `NotFoundError` if nothing fits.
        """
        rows = self._store.datasets_by_digest(fingerprint.digest) or self._of_same_files(fingerprint)
        here = {location_row.entry_index for location_row in self._store.locations_at(location)}
        meant = self._store.dataset_at(max(here)) if here else None
        if rows and (meant is None or any(row.entry_index in here for row in rows)):
            return max(rows, key=lambda row: (row.entry_index in here, row.entry_index))
        if meant is not None:
            return meant
        shared = self._most_shared(fingerprint)
        if shared is not None:
            return shared
        raise NotFoundError(
            "these bytes are not registered in this ledger",
            got=f"digest {fingerprint.digest}",
            where=location,
            hint="register them with `provenance register`, or name what they should be with --as REF",
        )

    def _of_same_files(self, fingerprint: Fingerprint) -> list[DatasetRow]:
        """Datasets of the very same files, whose records were fingerprinted on one side only."""
        return self._store.datasets_by_root(fingerprint.document.file_root.raw)

    def _most_shared(self, fingerprint: Fingerprint) -> DatasetRow | None:
        counts: dict[int, tuple[int, DatasetRow]] = {}
        # An empty file is in too many datasets to say anything.
        for entry in [entry for entry in fingerprint.files if entry.size][:_MAX_FILES_COMPARED]:
            holders = {m.dataset.entry_index: m.dataset for m in self._store.datasets_by_file(entry.digest, limit=20)}
            for index, row in holders.items():
                counts[index] = (counts.get(index, (0, row))[0] + 1, row)
        return max(counts.values(), key=lambda item: (item[0], item[1].entry_index))[1] if counts else None

    def _twins(self, report: Report) -> set[int]:
        """Other datasets that were registered with the same digest from the place where the bytes are wrong now."""
        places = {check.subject: check.where for check in report.failures if check.id == "content" and check.where}
        twins = set[int]()
        for artefact in report.artefacts:
            for row in self._store.datasets_by_digest(Digest.from_hex(artefact.digest)):
                there = any(
                    location.path == places.get(artefact.name) for location in self._store.locations(row.entry_index)
                )
                if there and row.entry_index != artefact.index:
                    twins.add(row.entry_index)
        return twins

    def _affected(self, report: Report) -> tuple[str, ...]:
        failures = [check for check in report.failures if check.id != "lineage"]
        broken, tainted = ({c.subject for c in failures if c.id not in but} for but in ((), ("revocation",)))
        found = {artefact.index for artefact in report.artefacts if artefact.name in report.affected}
        whole: list[int] = []
        for artefact in report.artefacts:
            since = report.revoked.get(artefact.name)
            if artefact.name in broken and (artefact.name in tainted or since is None):
                whole.append(artefact.index)
            elif artefact.name in broken and since is not None:
                found |= reached(self._store, artefact.index, since)
        found |= descendants_of(self._store, whole)
        for twin in self._twins(report):
            found.update({twin, *self._store.descendants(twin)})
        rows = (self._store.dataset_at(index) for index in sorted(found))
        return tuple(pinned_name(row) for row in rows if row is not None)


def file_report(report: Report, digest: Digest, paths: Sequence[str]) -> Report:
    """`report` with the check that one file, known by its SHA-256, is part of the dataset."""
    where = ", ".join(paths[:10])
    note = "the file is part of this dataset"
    check = Check("content.file", report.target, Status.PASSED, note, found=digest.hex, where=where)
    return replace(report, checks=(*report.checks, check))


def content_of(fingerprint: Fingerprint, location: str | Path) -> ContentFinding:
    """What was found at a place, for a verifier."""
    return ContentFinding(fingerprint.digest, str(location), fingerprint)
