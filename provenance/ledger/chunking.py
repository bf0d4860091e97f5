"""Chunk maps of datasets that lie somewhere: made, and compared with what lies there now.

Invariants: chunks are read in the same state as the files' own digests were computed in, which the source checks after;
memory does not grow with a file; what cannot be read any more is not located, and fails no verification by itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, cast

from provenance.encoding import Digest
from provenance.errors import ProvenanceError, SourceError
from provenance.fingerprint import Algorithm, ChangeKind, FileEntry, Fingerprint, diff_files, new_hasher, open_manifest
from provenance.fingerprint.chunks import (
    CHUNK_BYTES,
    MAX_CHUNK_MAP_BYTES,
    ChunkMap,
    Damage,
    check_chunk_bytes,
    check_chunk_map,
    comparable_chunks,
    diff_chunks,
    file_chunks,
    has_chunks,
    open_chunk_map,
)
from provenance.sources import Progress, ProgressCallback, Source, open_source
from provenance.statement import DatasetStatement
from provenance.stores import BlobStore
from provenance.verify import ContentFinding

_SPAN_CHUNKS: Final = 32
"""So many chunks are one piece of work."""
_MAX_LOCATED: Final = 20
"""Of so many files that changed it is said where: each costs a reading of it."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def make_chunk_map(
    source: Source,
    fingerprint: Fingerprint,
    progress: ProgressCallback | None = None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> ChunkMap:
    """The chunk map of files that were fingerprinted just now. `SourceError` names one that cannot be read.

    The caller has the source check afterwards that they are still what they were.
    """
    check_chunk_bytes(chunk_bytes)
    root, algorithm = fingerprint.document.file_root, fingerprint.document.algorithm
    files = [entry for entry in fingerprint.files if has_chunks(entry.size, chunk_bytes)]
    spans = [span for entry in files for span in _spans(entry, chunk_bytes)]
    total, done = sum(entry.size for entry in files), 0
    found: dict[str, bytearray] = {entry.path: bytearray() for entry in files}

    def work(span: tuple[FileEntry, int, int]) -> bytes:
        entry, begin, end = span
        bounds = [(start, min(start + chunk_bytes, end)) for start in range(begin, end, chunk_bytes)]
        return _hash_chunks(source, entry, bounds, algorithm)

    for (entry, begin, end), digests in in_order(work, spans):
        found[entry.path] += digests
        done += end - begin
        if progress is not None:
            progress(Progress(done, total, 0, len(files)))
    return ChunkMap(root, {path: bytes(digests) for path, digests in found.items()}, chunk_bytes, algorithm)


def located(
    finding: ContentFinding, statement: DatasetStatement, blobs: Mapping[Digest, bytes], place: str | PathLike[str]
) -> ContentFinding:
    """The same finding, with the ranges in which files at `place` differ, if the statement names a chunk map and its
    bytes and the manifest are at hand. They explain a failure and decide nothing: without them there is just less said.
    """
    chunks = statement.parameters.chunks
    if chunks is None or finding.fingerprint is None or finding.digest == statement.digest:
        return finding
    try:
        manifest, data = blobs.get(statement.manifest), blobs.get(chunks)
        if manifest is None or data is None:
            return finding
        stated = open_manifest(manifest, statement.fingerprint)
        damage = locate_damage(place, open_chunk_map(data, statement.fingerprint), stated, finding.fingerprint)
    except ProvenanceError:  # a damaged blob; the verifier says so of the manifest
        return finding
    return replace(finding, damage=damage)


def kept_chunk_map(statement: DatasetStatement, blobs: BlobStore) -> ChunkMap | None:
    """The chunk map that a statement names; None if it names none, or its bytes are not kept here."""
    digest = statement.parameters.chunks
    if digest is None or not blobs.has(digest):
        return None
    return open_chunk_map(blobs.get(digest, max_bytes=MAX_CHUNK_MAP_BYTES), statement.fingerprint)


def locate_damage(
    place: str | PathLike[str], chunks: ChunkMap, stated: Fingerprint, found: Fingerprint
) -> Mapping[str, tuple[Damage, ...]]:
    """Where the first files that changed differ from what was stated: path -> ranges of bytes.

    A file smaller than a chunk differs as a whole, as far as can be told.
    """
    check_chunk_map(chunks, stated)
    source = open_source(place)
    damage: dict[str, tuple[Damage, ...]] = {}
    for change in diff_files(stated.files, found.files):
        before, after = change.expected, change.found
        if change.kind is not ChangeKind.CHANGED or before is None or after is None:
            continue
        digests = file_chunks(chunks, before)
        if digests is None:
            continue
        if len(damage) == _MAX_LOCATED:
            break
        bounds = list(comparable_chunks(before.size, after.size, chunks.chunk_bytes))
        try:
            now = _hash_chunks(source, after, bounds, chunks.algorithm)
        except ProvenanceError:  # the files were read once; that they cannot be any more changes no verdict
            continue
        damage[before.path] = diff_chunks(digests, before.size, now, after.size, chunks.chunk_bytes)
    return damage


def open_entry(source: Source, path: str) -> BinaryIO:
    """A file of a dataset by its path, to be read from any position. `SourceError` if it cannot be opened."""
    opener = cast("Callable[[str], BinaryIO] | None", getattr(source, "open", None))
    if opener is not None:
        return opener(path)
    root = Path(source.location)
    place = root / path if root.is_dir() else root
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SourceError("cannot read", got=os.strerror(error.errno or 0), where=place) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceError("not a file", where=place)
        return cast(BinaryIO, os.fdopen(descriptor, "rb", buffering=0))
    except BaseException:
        os.close(descriptor)
        raise


def _spans(entry: FileEntry, chunk_bytes: int) -> Iterator[tuple[FileEntry, int, int]]:
    width = _SPAN_CHUNKS * chunk_bytes
    for begin in range(0, entry.size, width):
        yield entry, begin, min(begin + width, entry.size)


def _hash_chunks(source: Source, entry: FileEntry, bounds: Sequence[tuple[int, int]], algorithm: Algorithm) -> bytes:
    digests = bytearray()
    if not bounds:
        return b""
    with open_entry(source, entry.path) as file:
        buffer = bytearray(max(end - begin for begin, end in bounds))
        for begin, end in bounds:
            view = memoryview(buffer)[: end - begin]
            read_exactly(file, begin, view, entry.path)
            digests += hash_chunk(view, algorithm)
    return bytes(digests)


def read_exactly(file: BinaryIO, begin: int, view: memoryview, where: str) -> None:
    """Fill a view with the bytes of a file from `begin` on. `SourceError` if it ends before."""
    try:
        file.seek(begin)
        place = 0
        while place < len(view):
            count = file.readinto(view[place:])  # type: ignore[attr-defined]
            if not count:
                raise SourceError(
                    "file is shorter than it was", expected=begin + len(view), got=begin + place, where=where
                )
            place += count
    except OSError as error:
        raise SourceError("cannot read", got=os.strerror(error.errno or 0), where=where) from error


def hash_chunk(data: bytes | memoryview, algorithm: Algorithm) -> bytes:
    """The digest of one chunk, 32 bytes."""
    hasher = new_hasher(algorithm)
    hasher.update(data)
    return hasher.digest()


def in_order(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[tuple[_Item, _Result]]:
    """Each item and its result by threads, in the order of the items; few are under way at a time."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > 2 * threads:
                    first, future = waiting.pop(0)
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
