"""The bytes of registered datasets: read as they were when they were registered, and matched to what they should be.

Invariants: a dataset is hashed by the algorithm and rules that its statement states; nothing is taken from a cache, so
that a report is about bytes that were read; where records are asked for they are hashed again by the stated schema.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from provenance.errors import NotFoundError, StoreError
from provenance.fingerprint import Algorithm, Fingerprint
from provenance.ledger.fingerprinting import Wanted, find_fingerprint, reading_of
from provenance.ledger.gathering import KeptBlobs
from provenance.ledger.layout import exists
from provenance.ledger.verification import Verification, content_of
from provenance.limits import MAX_SCHEMA_BYTES
from provenance.signature import parse_envelope
from provenance.sources import ProgressCallback, Reading, open_source
from provenance.statement import DatasetStatement, parse_statement
from provenance.stores import BlobStore, DatasetRow, StoreReader
from provenance.verify import ContentFinding

Location = str | Path


class Contents:
    """Reads datasets for one ledger, whose folder is no part of them.

    `records`: hash records again too. `is_part`: only some of a dataset's files are meant to be there.
    """

    def __init__(
        self,
        store: StoreReader,
        blobs: BlobStore,
        leave_out: Path,
        *,
        records: bool = False,
        is_part: bool = False,
        progress: ProgressCallback | None = None,
    ) -> None:
        self._store, self._blobs, self._leave_out = store, blobs, leave_out
        self._records, self._is_part, self._progress = records, is_part, progress

    def at(self, row: DatasetRow, place: Location) -> ContentFinding:
        """What is at `place`, read as the dataset of `row` was."""
        statement = self.statement(row)
        found = find_fingerprint(place, self._wanted(statement), self._progress)
        finding = replace(content_of(found.fingerprint, found.location), is_part=self._is_part)
        return self._located(finding, statement, place)

    def where_registered(self, row: DatasetRow) -> ContentFinding | None:
        """What is where it was registered from. A place given to other bytes since says nothing of this dataset."""
        for location in self._store.locations(row.entry_index):
            if not exists(location.path):
                continue
            finding = self.at(row, Path(location.path))
            last = self._store.locations_at(location.path, limit=1)
            meant = self._store.dataset_at(last[0].entry_index) if last else None
            if _is(finding, row) or meant is None or meant.digest == row.digest:
                return finding
        return None

    def matched(self, place: Location, verification: Verification) -> tuple[DatasetRow, ContentFinding]:
        """What is at `place` and the dataset that it is, or was meant to be. `NotFoundError` if nothing fits."""
        location = open_source(place, Reading(leave_out=self._leave_out)).location
        here = self._store.locations_at(location, limit=1)
        meant = self._store.dataset_at(here[0].entry_index) if here else None
        if meant is not None:
            finding = self.at(meant, place)
            return self._match(finding, verification), finding
        finding = self._read(place, Algorithm.SHA256)
        try:
            return self._match(finding, verification), finding
        except NotFoundError as unknown:
            other = self._read(place, Algorithm.BLAKE3)
            try:
                return self._match(other, verification), other
            except NotFoundError:
                raise unknown from None

    def statement(self, row: DatasetRow) -> DatasetStatement:
        """What was signed of a dataset."""
        entry = self._store.entry(row.entry_index)
        if entry is None:
            raise StoreError("log entry is missing", where=f"entry {row.entry_index}")
        return parse_statement(parse_envelope(entry.envelope).payload)

    def _read(self, place: Location, algorithm: Algorithm) -> ContentFinding:
        reading = Reading(algorithm=algorithm, leave_out=self._leave_out)
        found = find_fingerprint(place, Wanted(reading=reading), self._progress)
        return replace(content_of(found.fingerprint, found.location), is_part=self._is_part)

    def _match(self, finding: ContentFinding, verification: Verification) -> DatasetRow:
        fingerprint = finding.fingerprint
        assert isinstance(fingerprint, Fingerprint)  # `content_of` gives it
        return verification.match(fingerprint, str(finding.where))

    def _located(self, finding: ContentFinding, statement: DatasetStatement, place: Location) -> ContentFinding:
        """With the ranges in which files differ, where that can be told."""
        chunks = statement.parameters.chunks
        if chunks is None or finding.digest == statement.digest:
            return finding
        from provenance.ledger.chunking import located

        return located(finding, statement, KeptBlobs(self._blobs, (statement.manifest, chunks)), place)

    def _wanted(self, statement: DatasetStatement) -> Wanted:
        wanted = Wanted(reading=reading_of(statement, self._leave_out))
        records = statement.fingerprint.records
        if not self._records or records is None:
            return wanted
        from provenance.encoding.records import parse_schema_document

        schema = parse_schema_document(self._blobs.get(records.schema, max_bytes=MAX_SCHEMA_BYTES))
        return replace(wanted, records=True, schema=schema, sort=schema.sort)


def _is(finding: ContentFinding, row: DatasetRow) -> bool:
    """Whether the files found are the row's, whatever was hashed of their records."""
    if finding.digest == row.digest:
        return True
    return finding.fingerprint is not None and finding.fingerprint.document.file_root.raw == row.file_root
