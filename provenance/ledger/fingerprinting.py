"""From a place to a fingerprint: files hashed, their records too where that is wanted, trees and blobs kept.

Steps: 1 open the source and the engine; 2 hash its files; 3 hash large ones chunk by chunk; 4 read those that hold
tables, hash their rows; 5 list the source again, so that all of it is of one state. Needs no ledger, and loads neither
chain nor store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import FileEntry, Fingerprint
from provenance.sources import ProgressCallback, Reading, Source, Workers, open_source

if TYPE_CHECKING:
    from provenance.encoding.records import RecordSchema
    from provenance.ledger.records import RecordResult
    from provenance.statement import DatasetStatement
    from provenance.tables import Table

LOCAL_ENGINE: Final = "local"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a fingerprint is to cover, and who makes it.

    `records`: hash the rows of the dataset's tables too, by `schema` (None: the tables' own) and with the order that
    `sort` declares, column names. `trees` is a folder in which the records' trees are kept; None keeps
    none. `engine` names who does the hashing, this machine or a cluster. `chunks`: make a chunk map too.
    """

    reading: Reading = field(default_factory=Reading)
    records: bool = False
    schema: RecordSchema | None = None
    sort: tuple[str, ...] = ()
    trees: Path | None = None
    engine: str = LOCAL_ENGINE
    chunks: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A fingerprint, where it is of, and what else was made: `blobs` are content-addressed and named by it.

    `strangers` are the paths of declared digests that the dataset has no file of, in order.
    """

    fingerprint: Fingerprint
    location: str
    records: RecordResult | None = None
    blobs: tuple[bytes, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever asked for the fingerprint should know of it."""
        if not self.strangers:
            return ()
        some = "a name" if len(self.strangers) == 1 else f"{len(self.strangers):,} names"
        return (f"{some} of the checksum file not in the dataset, the first {self.strangers[0]!a}",)


def find_fingerprint(
    location: str | os.PathLike[str], wanted: Wanted | None = None, progress: ProgressCallback | None = None
) -> Found:
    """The fingerprint of what is at `location`. `SourceError` if it cannot be read as one unchanging dataset."""
    wanted = wanted or Wanted()
    source = open_source(location, wanted.reading)
    with _workers(wanted.engine) as workers:
        fingerprint = source.fingerprint(progress, workers=workers)
        blobs: list[bytes] = []
        _check_nothing_declared(source, fingerprint, wanted)
        if wanted.chunks:
            from provenance.fingerprint.chunks import encode_chunk_map
            from provenance.ledger.chunking import make_chunk_map

            blobs.append(encode_chunk_map(make_chunk_map(source, fingerprint, progress)))
            parameters = replace(fingerprint.parameters, chunks=Digest.of(blobs[-1]))
            fingerprint = replace(fingerprint, parameters=parameters)
        records = None
        if wanted.records:
            records = _records(source, fingerprint, wanted, workers, progress)
            fingerprint = fingerprint.with_records(records.fingerprint)
            blobs.append(records.schema.encode())
    if wanted.records or wanted.chunks:
        source.check_unchanged()
    strangers = sorted(wanted.reading.declared.keys() - {entry.path for entry in fingerprint.files})
    return Found(fingerprint, source.location, records, tuple(blobs), tuple(strangers))


def _check_nothing_declared(source: Source, fingerprint: Fingerprint, wanted: Wanted) -> None:
    """Raise `SourceError` if bytes would be read whose digest was taken from somebody's word: it is computed, or they
    are not read. (Copies of remote tables are compared with their digests, whoever stated them.)"""
    is_read = wanted.chunks or (wanted.records and "://" not in source.location)
    if is_read and fingerprint.parameters.declared_files:
        raise SourceError(
            "digests are declared of files that chunks or records are read from",
            expected="computed digests",
            got=f"{fingerprint.parameters.declared_files} declared by {fingerprint.parameters.declared_by}",
            where=source.location,
            hint="leave --declared-by out, or --chunks and --records",
        )


def reading_of(statement: DatasetStatement, leave_out: Path | None = None) -> Reading:
    """How a registered dataset's bytes are read again: by the hash and rules that its statement states, all of them."""
    return Reading(algorithm=statement.fingerprint.algorithm, ignore=statement.parameters.ignore, leave_out=leave_out)


@contextmanager
def _workers(engine: str) -> Iterator[Workers | None]:
    if engine == LOCAL_ENGINE:
        yield None
        return
    from provenance.engines import open_engine

    with open_engine(engine) as workers:
        yield workers


def _records(
    source: Source,
    fingerprint: Fingerprint,
    wanted: Wanted,
    workers: Workers | None,
    progress: ProgressCallback | None,
) -> RecordResult:
    """The records of the dataset's tables: all of them are one table, rows in the order of their files' paths."""
    from provenance.ledger.records import fingerprint_records

    with _tables(source, fingerprint.files, workers, progress) as root:
        table = open_records(root, fingerprint.files, wanted.schema)
        return fingerprint_records(table, folder=wanted.trees, sort=wanted.sort, workers=workers, progress=progress)


@contextmanager
def _tables(
    source: Source, files: Sequence[FileEntry], workers: Workers | None, progress: ProgressCallback | None
) -> Iterator[Path]:
    """Where the dataset's tables can be read: where it lies, or where copies of them do."""
    if "://" not in source.location:
        yield Path(source.location)
        return
    from provenance.ledger.copying import local_copies
    from provenance.tables import is_table

    tables = [entry for entry in files if is_table(entry.path)]
    if not tables:
        raise _no_table(source.location)
    if workers is not None:
        hint = "leave --engine out, or copy the dataset to where the cluster reads it"
        raise SourceError("records of a remote dataset are read by this machine alone", hint=hint)
    with local_copies(source, tables, progress) as folder:
        yield folder


def open_records(root: Path, files: Sequence[FileEntry], schema: RecordSchema | None) -> Table:
    """The table of those of a dataset's files that are tables, in the order of their paths."""
    from provenance.tables import is_table, open_table

    if not root.exists():
        hint = "copy it here first"
        raise SourceError("records are read from this machine only", expected="a local path", where=root, hint=hint)
    places = [root / entry.path for entry in files if is_table(entry.path)] if root.is_dir() else [root]
    if not places:
        raise _no_table(root)
    return open_table(places, schema=schema)


def _no_table(where: object) -> SourceError:
    hint = "leave --records out, or convert them to Parquet, Arrow, CSV or JSON Lines"
    return SourceError("no file of the dataset is a table", where=where, hint=hint)
