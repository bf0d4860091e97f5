"""One reading of a dataset's files: what is known of them, what was read, and who is told.

Invariants: what a cache spares is not read; what was hashed is kept in the cache now and then, so that a killed run
goes on from there; results do not depend on who hashed, nor in what order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import (
    Algorithm,
    FileList,
    Fingerprint,
    Parameters,
    fingerprint_list,
    leaf_text,
    leaf_texts,
)
from provenance.merkle import HASH_BYTES
from provenance.merkle.lists import hash_messages, root_of_hashes
from provenance.merkle.tier import HashTier
from provenance.sources.base import Progress, ProgressCallback, Reading, Workers
from provenance.sources.local.cache import NOTHING, Cache, Memory
from provenance.sources.local.crew import Crew
from provenance.sources.local.hashing import hash_file, let_clock_tick
from provenance.sources.local.listing import (
    IDENTITY,
    SIZE,
    Identity,
    changed,
    devices_of,
    identify,
    sizes_of,
    unreadable,
)
from provenance.sources.local.settling import RECENT_NS, begin, held_so_far, keeps_times
from provenance.sources.local.work import BATCH, Tiers

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

MANY_BYTES: Final = 64 * 2**20
_FEW_TO_READ: Final = 64
"""So many small files are read by this process, without a crew."""
_FEW_TO_HASH: Final = 8
"""So many files are hashed by hashlib, whatever is the fastest for more."""
_SAVE_S: Final = 5.0
"""How often a long run writes down what it has, so that a killed one goes on from there."""


class Run:
    """One fingerprint being taken: what is known, what was read, and who is told."""

    def __init__(
        self, base: str, names: list[str], reading: Reading, progress: ProgressCallback | None, root: Path
    ) -> None:
        from provenance.machine.calibration import Choice, Kind, choice

        self._base, self._names, self._algorithm = base, names, reading.algorithm
        if len(names) < _FEW_TO_HASH:
            self.tiers = Tiers(HashTier.HASHLIB, HashTier.HASHLIB, Choice(HashTier.HASHLIB, _FEW_TO_HASH))
        else:
            self.tiers = Tiers(choice(Kind.CONTENTS).tier, choice(Kind.MESSAGES).tier, choice(Kind.STREAMS))
        self._declared, self._root = reading.declared, root
        self.declared: list[int] = []
        """The numbers of files whose digests are declared: they are not read, nor kept in the cache as if they were."""
        self._progress, self._lock = progress, Lock()
        self._started_ns = time.time_ns()
        self._saved = time.monotonic()
        self._cache = Cache(reading.cache, str(root), reading.algorithm) if reading.cache is not None else None
        self._done_bytes = self._done_files = self._total_bytes = 0
        self.was_held = False
        """Whether somebody may have been writing to a file that was read."""
        begin()
        self._remembered = NOTHING
        self.memory = Memory([], b"", NOTHING, 0)

    @property
    def knows_nothing(self) -> bool:
        """Whether no cache can spare a file its reading."""
        return not self._declared and (self._cache is None or not self._cache.is_there)

    def remember(self) -> None:
        """Look into the cache."""
        if self._cache is not None:
            self._remembered = self._cache.load()

    def begin(self, packed: bytes) -> None:
        """What the files are; those that the cache knows need not be read."""
        self.memory = Memory(self._names, packed, self._remembered, self._started_ns)
        self._sizes = sizes_of(packed)
        self._total_bytes = sum(self._sizes)
        if self._declared:
            self._take_declared()
        if len(self.memory.unread) < len(self._names):
            known = self._total_bytes - sum(self._sizes[number] for number in self.memory.unread)
            self._tell(known, len(self._names) - len(self.memory.unread))

    def _take_declared(self) -> None:
        memory, declared, names = self.memory, self._declared, self._names
        unread = set(memory.unread)
        for number, name in enumerate(names):
            digest = declared.get(name)
            if digest is None or number in unread:
                continue
            known = Digest(bytes(memory.digests[HASH_BYTES * number : HASH_BYTES * (number + 1)]))
            if known != digest:
                what = "the file is not what was declared of it"
                raise SourceError(what, expected=digest, got=known, where=self._root / name)
        self.declared = [number for number in memory.unread if names[number] in declared]
        digests = b"".join(declared[names[number]].raw for number in self.declared)
        sizes = [self._sizes[number] for number in self.declared]
        texts = leaf_texts([names[number] for number in self.declared], sizes, digests, self._algorithm, "\0")
        leaves = hash_messages([text.encode() for text in texts], tier=self.tiers.leaves)
        memory.declare(self.declared, digests, leaves)

    @property
    def is_much(self) -> bool:
        """Whether what must be read is worth several processes."""
        unread = self.memory.unread
        return len(unread) > _FEW_TO_READ or sum(self._sizes[number] for number in unread) >= MANY_BYTES

    def read_by(self, crew: Crew) -> None:
        """Have a crew read every file, whatever it is; so how much there is shows by and by."""
        self.memory = Memory(self._names, bytes(IDENTITY.size * len(self._names)), NOTHING, self._started_ns)
        for frame in crew.read():
            if frame[0] == "took":
                self.memory.see(frame[1], frame[2])
                self._total_bytes += sum(sizes_of(frame[2]))
                self._keep(*frame[3:])
            else:
                self._take(frame)
        self._sizes = sizes_of(self.memory.identities)

    def hash_by(self, crew: Crew) -> None:
        """Have a crew read what must be read."""
        for frame in crew.hash(self.memory.unread, self._sizes):
            self._take(frame)

    def _take(self, frame: tuple[Any, ...]) -> None:
        if frame[0] == "advanced":
            self._tell(frame[1], 0)
        elif frame[0] == "held":
            self.was_held = True
        else:
            self._keep(*frame[1:])

    def hash_here(self) -> None:
        """Read by threads of this process."""
        unread = self.memory.unread
        if not unread:
            return
        held = held_so_far()
        found = [self._identity(number) for number in unread]
        let_clock_tick(found)
        alone = len(unread) == 1
        threads = (os.cpu_count() or 1) if alone else _threads_to_be_had(os.cpu_count() or 1)
        work = partial(self._hash_one, threads=threads if alone else 1)
        if alone or threads == 1:
            for number, identity in zip(unread, found, strict=True):
                self._keep([number], *work(number, identity))
        else:
            self._hash_by_threads(threads, work, unread, found)
        self.was_held = self.was_held or held_so_far() > held

    def _hash_by_threads(
        self,
        threads: int,
        work: Callable[[int, Identity], tuple[bytes, bytes]],
        unread: Sequence[int],
        found: Sequence[Identity],
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads) as pool:
            try:
                for number, hashed in zip(unread, _windowed(pool, work, unread, found, 8 * threads), strict=True):
                    self._keep([number], *hashed)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def hash_elsewhere(self, workers: Workers) -> None:
        """Have other machines read, a batch at a time."""
        unread = self.memory.unread
        self.was_held = bool(unread)  # whether it was, nobody tells from there
        let_clock_tick([self._identity(number) for number in unread])
        batches = (
            [unread[start : start + BATCH] for start in range(0, len(unread), BATCH)]
            if len(unread) >= 8 * BATCH
            else [[number] for number in unread]
        )
        items = [
            Batch(self._base, self._algorithm, tuple((self._names[number], self._identity(number)) for number in batch))
            for batch in batches
        ]
        for batch, hashed in zip(batches, workers.map(hash_batch, items), strict=True):
            self._keep(batch, *hashed, sum(self._sizes[number] for number in batch))

    def finish(self, parameters: Parameters) -> Fingerprint:
        """The fingerprint, and the cache for the next time."""
        memory = self.memory
        if self._cache is not None:
            self._distrust()
            if memory.has_news:
                self._cache.save(memory.worth_keeping())
        files = FileList(self._names, self._sizes, bytes(memory.digests), self._algorithm)
        reread = tuple(self._names[number] for number in memory.unread) if self._cache is not None else None
        return fingerprint_list(files, root_of_hashes(bytes(memory.leaves), tier=self.tiers.leaves), parameters, reread)

    def _distrust(self) -> None:
        """Keep nothing of which times may not tell: of file systems that have none that do, and, where somebody may
        have been writing, of the last minute."""
        devices = devices_of(self.memory.identities)
        samples = {device: self._base + self._names[devices.index(device)] for device in set(devices)}
        distrusted = {device for device, path in samples.items() if not keeps_times(path)}
        self.memory.distrust(distrusted, RECENT_NS if self.was_held else 0)

    def _identity(self, number: int) -> Identity:
        found: Identity = IDENTITY.unpack_from(self.memory.identities, IDENTITY.size * number)
        return found

    def _hash_one(self, number: int, identity: Identity, *, threads: int) -> tuple[bytes, bytes]:
        advance = partial(self._tell, count_files=0)
        digest = _hash_file(self._base + self._names[number], identity, self._algorithm, advance, threads)
        return digest, _leaf(self._names[number], identity[SIZE], digest, self._algorithm)

    def _keep(self, numbers: Sequence[int], digests: bytes, leaves: bytes, count_bytes: int = 0) -> None:
        self.memory.put(numbers, digests, leaves)
        self._tell(count_bytes, len(numbers))
        if self._cache is not None and time.monotonic() - self._saved > _SAVE_S:
            self._distrust()
            self._cache.save(self.memory.worth_keeping())
            self._saved = time.monotonic()

    def _tell(self, count_bytes: int, count_files: int) -> None:
        if self._progress is None:
            return
        with self._lock:
            self._done_bytes += count_bytes
            self._done_files += count_files
            self._progress(Progress(self._done_bytes, self._total_bytes, self._done_files, len(self._names)))


@dataclass(frozen=True, slots=True)
class Batch:
    """Files for a worker elsewhere: `base` and a name are a path there, of a file with this identity here."""

    base: str
    algorithm: Algorithm
    files: tuple[tuple[str, Identity], ...]


def hash_batch(batch: Batch) -> tuple[bytes, bytes]:
    """The digests of a batch's files, and their leaf hashes. Device and inode are told by each machine differently:
    size and times must be those listed."""
    digests, leaves = [], []
    for name, listed in batch.files:
        path = batch.base + name
        try:
            here = identify(os.lstat(path))
        except OSError as error:
            raise unreadable(path, error) from error
        if here[SIZE:] != listed[SIZE:]:
            raise changed(path)
        digest = hash_file(path, here, batch.algorithm, _quiet)
        digests.append(digest)
        leaves.append(_leaf(name, listed[SIZE], digest, batch.algorithm))
    return b"".join(digests), b"".join(leaves)


def _quiet(_count: int) -> None:
    pass


def _hash_file(
    path: str, identity: Identity, algorithm: Algorithm, advance: Callable[[int], None], threads: int
) -> bytes:
    return hash_file(path, identity, algorithm, advance, threads=threads)


def _leaf(name: str, size: int, digest: bytes, algorithm: Algorithm) -> bytes:
    return hash_messages([b"\0" + leaf_text(name, size, digest.hex(), algorithm).encode()], tier=HashTier.HASHLIB)


def _threads_to_be_had(count: int) -> int:
    """How many of so many the system gives at a time; 1 if none: then this one works."""
    enough, started = Event(), list[Thread]()
    with suppress(RuntimeError):
        for _ in range(count):
            thread = Thread(target=enough.wait)
            thread.start()
            started.append(thread)
    enough.set()
    for thread in started:
        thread.join()
    return max(len(started), 1)


def _windowed(
    pool: ThreadPoolExecutor,
    work: Callable[[int, Identity], tuple[bytes, bytes]],
    numbers: Sequence[int],
    found: Sequence[Identity],
    window: int,
) -> Iterator[tuple[bytes, bytes]]:
    """Results in order, a window of them under way."""
    pending = []
    for number, identity in zip(numbers, found, strict=True):
        pending.append(pool.submit(work, number, identity))
        if len(pending) >= window:
            yield pending.pop(0).result()
    for future in pending:
        yield future.result()
