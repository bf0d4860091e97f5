"""Reading objects to their ends and hashing them: bounded memory, a bounded number at a time, interruptions survived.

Invariants: an entry is of exactly `size` bytes; an interrupted read goes on where it stopped only if the store can tell
that the object is still in the state that was listed, and starts anew otherwise; a digest that the store states is
compared with the computed one of the same kind; the first failure ends it all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeAlias

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Algorithm, FileEntry, new_hasher
from provenance.sources.base import Progress, ProgressCallback
from provenance.sources.remote.address import Address
from provenance.sources.remote.failures import TransientError, damaged
from provenance.sources.remote.objects import ObjectStore, StoredObject, object_label
from provenance.sources.remote.patience import Attempts, Patience

MAX_CONCURRENCY: Final = 8
"""Objects that are hashed at a time, and requests for parts of them that are under way at a time."""
_BATCH_OBJECTS: Final = 64
_BATCH_BYTES: Final = 1 << 28

OpenStore: TypeAlias = Callable[[Address, Patience], ObjectStore]


@dataclass(frozen=True, slots=True)
class Batch:
    """Objects that one worker reads. Everything in it can be pickled."""

    open_store: OpenStore
    address: Address
    patience: Patience
    algorithm: Algorithm
    objects: tuple[StoredObject, ...]


def read_batch(batch: Batch) -> tuple[FileEntry, ...]:
    """The entries of a batch: what an engine's worker runs."""
    store = batch.open_store(batch.address, batch.patience)
    try:
        return tuple(hash_objects(store, batch.objects, batch.algorithm, batch.patience, Meter(batch.objects, None)))
    finally:
        store.close()


def batches(objects: Sequence[StoredObject]) -> Iterator[tuple[StoredObject, ...]]:
    """The objects in order, so many together as are worth a worker's while."""
    batch: list[StoredObject] = []
    size = 0
    for stored in objects:
        if batch and (len(batch) >= _BATCH_OBJECTS or size + stored.size > _BATCH_BYTES):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(stored)
        size += stored.size
    if batch:
        yield tuple(batch)


class Meter:
    """Adds up what several threads have read and tells one callback, one call at a time."""

    def __init__(self, objects: Sequence[StoredObject], callback: ProgressCallback | None) -> None:
        self._totals = sum(stored.size for stored in objects), len(objects)
        self._callback, self._lock = callback, Lock()
        self._bytes = self._files = 0

    def advance(self, count_bytes: int, count_files: int) -> None:
        """So much more was read. Less than nothing when an object is started anew."""
        if self._callback is None:
            return
        with self._lock:
            self._bytes += count_bytes
            self._files += count_files
            self._callback(Progress(self._bytes, self._totals[0], self._files, self._totals[1]))


def hash_objects(
    store: ObjectStore, objects: Sequence[StoredObject], algorithm: Algorithm, patience: Patience, meter: Meter
) -> list[FileEntry]:
    """The entries of the objects, in their order."""
    width = max(1, min(MAX_CONCURRENCY, len(objects)))
    # One future an object costs more than a small object does.
    together = max(1, min(_BATCH_OBJECTS, len(objects) // (4 * width)))
    groups = [objects[start : start + together] for start in range(0, len(objects), together)]
    with ThreadPoolExecutor(MAX_CONCURRENCY) as fetchers, ThreadPoolExecutor(width) as hashers:
        reader = _Reader(store, patience, fetchers, MAX_CONCURRENCY // width, [])
        try:
            hashed = hashers.map(lambda group: _hash_group(reader, group, algorithm, meter), groups)
            return [entry for entries in hashed for entry in entries]
        except BaseException as error:  # noqa: BLE001 - the first failure is raised
            reader.failures.append(error)
            hashers.shutdown(wait=False, cancel_futures=True)
            fetchers.shutdown(wait=False, cancel_futures=True)
            raise reader.failures[0] from None


def patient_pieces(
    store: ObjectStore, stored: StoredObject, start: int, stop: int, patience: Patience
) -> Iterator[bytes]:
    """The bytes from `start` up to `stop`, however often the network fails in between.

    `TransientError` if it failed midway and what was read so far must not be gone on with.
    """
    attempts = Attempts(patience, object_label(store.label, stored.name))
    position, since = start, start
    while position < stop:
        try:
            for piece in store.read(stored, position, stop):
                yield piece
                position += len(piece)
        except TransientError as error:
            if position > start and not store.can_resume(stored):
                raise
            failure = error
        else:
            return
        if position - since >= patience.progress_bytes:
            attempts.moved_on()
            since = position
        attempts.failed(failure)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads objects of one store; parts of them are fetched ahead, where the store is read in parts. When there is
    one of `failures`, what is read further would be thrown away."""

    store: ObjectStore
    patience: Patience
    fetchers: ThreadPoolExecutor
    ahead: int
    failures: list[BaseException]

    def pieces(self, stored: StoredObject) -> Iterator[bytes]:
        step = self.store.range_bytes
        if step is None or stored.size <= step:
            return patient_pieces(self.store, stored, 0, stored.size, self.patience)
        return self._fetched_ahead(stored, step)

    def _fetched_ahead(self, stored: StoredObject, step: int) -> Iterator[bytes]:
        pending: deque[Future[bytes]] = deque()
        try:
            for start in range(0, stored.size, step):
                pending.append(self.fetchers.submit(self._part, stored, start, min(stored.size, start + step)))
                if len(pending) > self.ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def _part(self, stored: StoredObject, start: int, stop: int) -> bytes:
        return b"".join(patient_pieces(self.store, stored, start, stop, self.patience))


class _GivenUp(Exception):  # noqa: N818 - not an error: another one was
    """Another object has failed."""


def _hash_group(reader: _Reader, group: Sequence[StoredObject], algorithm: Algorithm, meter: Meter) -> list[FileEntry]:
    try:
        return [_hash_object(reader, stored, algorithm, meter) for stored in group]
    except _GivenUp:
        raise
    except BaseException as error:
        reader.failures.append(error)
        raise


def _hash_object(reader: _Reader, stored: StoredObject, algorithm: Algorithm, meter: Meter) -> FileEntry:
    where = object_label(reader.store.label, stored.name)
    attempts = Attempts(reader.patience, where)
    while True:
        read_bytes = [0]
        try:
            digests = _digests(reader, stored, algorithm, meter, read_bytes)
            break
        except TransientError as error:
            failure = error
        meter.advance(-read_bytes[0], 0)
        attempts.failed(failure)
    if read_bytes[0] != stored.size:
        raise SourceError(
            "object has another size", expected=f"{stored.size} bytes", got=f"{read_bytes[0]} bytes", where=where
        )
    computed = digests.get(Algorithm.SHA256)
    if stored.stated is not None and computed != stored.stated:
        raise damaged(where, expected=stored.stated, got=computed)
    meter.advance(0, 1)
    return FileEntry(stored.name, stored.size, digests[algorithm], algorithm)


def _digests(
    reader: _Reader, stored: StoredObject, algorithm: Algorithm, meter: Meter, read_bytes: list[int]
) -> dict[Algorithm, Digest]:
    """The digest by the algorithm, and by SHA-256 if there is one to compare with."""
    kinds = {algorithm} | ({Algorithm.SHA256} if stored.stated is not None else set())
    hashers = {kind: new_hasher(kind) for kind in kinds}
    for piece in reader.pieces(stored):
        if reader.failures:
            raise _GivenUp
        for hasher in hashers.values():
            hasher.update(piece)
        read_bytes[0] += len(piece)
        meter.advance(len(piece), 0)
    return {kind: Digest(hasher.digest()) for kind, hasher in hashers.items()}
