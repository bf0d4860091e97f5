"""The data of a dataset that is to be attested: found, and read again, all of it or files drawn by a seed.

Steps: 1 the places that whoever runs the attester named, in their order, are looked at for the dataset; 2 one that is
to be read whole is fingerprinted as its statement says, its records too; 3 of a larger one files are drawn out of its
manifest, which is taken from beside the log and verified against the signed fingerprint, and each is hashed.
Invariants: nothing is read but below the places that were named; bytes that differ from the fingerprint are a refusal;
bytes that cannot be had are a reason, which is never taken for having read them; memory does not grow with the data.

The files of the dataset in entry n are `draw(SHA-256(seed || n as big-endian u64), count, of)`
(`provenance.ledger.sampling`), numbered from 0 in leaf order; of those the first ones that fit into the limit of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from provenance.encoding import Digest
from provenance.errors import MalformedError, ProvenanceError, SourceError
from provenance.fingerprint import FileEntry, FingerprintDocument, new_hasher, open_manifest, same_files
from provenance.ledger.chunking import open_entry
from provenance.ledger.fingerprinting import Wanted, find_fingerprint, reading_of
from provenance.ledger.layout import exists
from provenance.ledger.sampling import draw
from provenance.sources import Source, open_source
from provenance.statement import DatasetStatement
from provenance.statement.checked_range import DataSample, EntryCheck, SkipReason
from provenance.verify.admission import EntryRefusedError

DEFAULT_SAMPLE_FILES: Final = 16
DEFAULT_MAX_BYTES: Final = 64 * 2**30
MAX_PLACES: Final = 64
_PIECE_BYTES: Final = 1 << 20
_REMOTE: Final = "://"

ReadManifest = Callable[[DatasetStatement], bytes | None]
"""read(statement): the manifest that it names; None if it is not to be had."""


@dataclass(frozen=True, slots=True)
class DataPlaces:
    """Where data is read, and how much of it.

    `roots` are folders or URIs that hold a dataset as `<namespace>/<name>/<version>` or `<namespace>/<name>@<version>`;
    `uris` are beginnings of the origins, as statements declare them, that are read. Of a dataset at most `sample_files`
    files are read (None: all), and `max_bytes`. With `is_required` one whose data cannot be read is refused.
    """

    roots: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    sample_files: int | None = DEFAULT_SAMPLE_FILES
    max_bytes: int = DEFAULT_MAX_BYTES
    is_required: bool = False

    def __post_init__(self) -> None:
        if len(self.roots) + len(self.uris) > MAX_PLACES:
            raise MalformedError("too many places of data", expected=f"at most {MAX_PLACES}")
        for uri in self.uris:
            scheme, separator, rest = uri.partition(_REMOTE)
            if not separator or scheme.lower() == "file" or "/" not in rest or not rest.partition("/")[0]:
                hint = "end the host with a slash, so that no other host begins with it"
                raise MalformedError("not the beginning of an origin", expected="scheme://host/...", hint=hint)


@dataclass(frozen=True, slots=True)
class DataOutcome:
    """What came of the checks of data and records: what was read of a dataset, or why it was not."""

    sample: DataSample | None
    data: SkipReason | None
    records: SkipReason | None


class AttestedData:
    """Reads the data of datasets."""

    def __init__(self, places: DataPlaces, *, check_stopped: Callable[[], None] = lambda: None) -> None:
        """`check_stopped` is asked between pieces of a file that was drawn; it raises to end the reading."""
        self._places, self._check_stopped = places, check_stopped

    def check(self, entry: int, statement: DatasetStatement, seed: Digest, read_manifest: ReadManifest) -> DataOutcome:
        """What of the dataset's data was read and is what its fingerprint says. `EntryRefusedError` if it is not."""
        is_found, reason = False, SkipReason.NO_PLACE
        for place in self._candidates(statement):
            is_found = True
            try:
                return self._read(entry, statement, place, seed, read_manifest)
            except (SourceError, MalformedError):
                reason = SkipReason.UNREACHABLE
            except _TooLargeError:
                reason = SkipReason.TOO_LARGE
                break
        if self._places.is_required:
            what = "its data cannot be read" if is_found else "its data is at no place that is known here"
            raise EntryRefusedError(EntryCheck.DATA, what, expected="data that can be compared", got=reason)
        return DataOutcome(None, reason, reason)

    def _candidates(self, statement: DatasetStatement) -> Iterator[str]:
        name = statement.name
        below = f"{name.dataset.namespace}/{name.dataset.name}"
        for root in self._places.roots:
            for path in (f"{below}/{name.version}", f"{below}@{name.version}"):
                if _REMOTE in root:
                    yield f"{root.rstrip('/')}/{path}"
                elif exists(Path(root) / path):
                    yield str(Path(root) / path)
        origin = statement.origin
        if origin is not None and ".." not in origin and any(origin.startswith(uri) for uri in self._places.uris):
            yield origin

    def _read(
        self, entry: int, statement: DatasetStatement, place: str, seed: Digest, read_manifest: ReadManifest
    ) -> DataOutcome:
        count, limit = statement.fingerprint.file_count, self._places.sample_files
        if (limit is None or count <= limit) and statement.fingerprint.total_bytes <= self._places.max_bytes:
            return self._whole(entry, statement, place)
        manifest = read_manifest(statement)
        if manifest is None and statement.fingerprint.total_bytes <= self._places.max_bytes:
            return self._whole(entry, statement, place)
        if manifest is None:
            raise _TooLargeError
        try:
            files = open_manifest(manifest, statement.fingerprint).files
        except ProvenanceError as error:
            raise EntryRefusedError(EntryCheck.DATA, f"its manifest is not its own: {error.what}") from None
        drawn = draw(entry_seed(seed, entry), min(limit or count, count), count)
        fitting, left = list[int](), self._places.max_bytes
        for number in drawn:
            if files[number].size <= left:
                fitting.append(number)
                left -= files[number].size
        if not fitting:
            raise _TooLargeError
        source = open_source(place, reading_of(statement))
        self._check_names(source, {entry.path: entry.size for entry in files})
        for number in fitting:
            self._check_file(source, files[number], number)
        total = sum(files[number].size for number in fitting)
        sample = DataSample(entry, len(fitting), count, total)
        records = SkipReason.SAMPLED if statement.fingerprint.records is not None else SkipReason.INAPPLICABLE
        return DataOutcome(sample, None, records)

    def _whole(self, entry: int, statement: DatasetStatement, place: str) -> DataOutcome:
        """All files, and then the records, by the schema that their tables have of their own."""
        stated, wanted = statement.fingerprint, Wanted(reading=reading_of(statement))
        found = find_fingerprint(place, wanted, self._watch).fingerprint.document
        if not same_files(found, stated):
            what = "its data is not what was fingerprinted"
            raise EntryRefusedError(EntryCheck.DATA, what, expected=stated.file_root, got=found.file_root)
        sample = DataSample(entry, stated.file_count, stated.file_count, stated.total_bytes)
        if stated.records is None:
            return DataOutcome(sample, None, SkipReason.INAPPLICABLE)
        try:
            return DataOutcome(sample, None, self._records(place, stated, wanted))
        except MalformedError as error:
            raise EntryRefusedError(EntryCheck.RECORDS, f"its records cannot be read: {error.what}") from None

    def _records(self, place: str, stated: FingerprintDocument, wanted: Wanted) -> SkipReason | None:
        try:
            found = find_fingerprint(place, replace(wanted, records=True), self._watch).fingerprint.document
        except SourceError:
            return SkipReason.UNREACHABLE
        if found.records is None or stated.records is None or found.records.schema != stated.records.schema:
            return SkipReason.NO_SCHEMA
        if replace(found.records, index_count=None, index_root=None) != replace(
            stated.records, index_count=None, index_root=None
        ) or (stated.records.index_root is not None and found.digest != stated.digest):
            raise EntryRefusedError(EntryCheck.RECORDS, "its records are not what was fingerprinted")
        return None

    def _watch(self, _: object) -> None:
        self._check_stopped()

    def _check_names(self, source: Source, stated: Mapping[str, int]) -> None:
        """That a remote dataset lists the stated files with their sizes, which costs no reading of them."""
        listing = getattr(source, "list", None)
        if listing is not None and dict(listing()) != stated:
            raise EntryRefusedError(EntryCheck.DATA, "its files are not those that were fingerprinted, by their names")

    def _check_file(self, source: Source, stated: FileEntry, number: int) -> None:
        hasher, size = new_hasher(stated.algorithm), 0
        if _REMOTE not in source.location and not exists(Path(source.location) / stated.path):
            raise EntryRefusedError(EntryCheck.DATA, f"file {number} of its manifest is not there")
        try:
            with open_entry(source, stated.path) as file:
                while size <= stated.size and (piece := file.read(min(_PIECE_BYTES, stated.size + 1 - size))):
                    self._check_stopped()
                    hasher.update(piece)
                    size += len(piece)
        except OSError as error:
            raise SourceError("cannot read a file", got=error.strerror) from error
        if size != stated.size or hasher.digest() != stated.digest.raw:
            what = f"file {number} of its manifest is not what was fingerprinted"
            raise EntryRefusedError(
                EntryCheck.DATA, what, expected=stated.digest, got=f"{size} bytes of another digest"
            )


class _TooLargeError(Exception):
    """Nothing of the dataset fits into the limit."""


def entry_seed(seed: Digest, entry: int) -> bytes:
    """What decides which files of the dataset in an entry are drawn, 32 bytes."""
    return sha256(seed.raw + entry.to_bytes(8, "big")).digest()
