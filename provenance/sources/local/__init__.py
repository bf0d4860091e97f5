"""Datasets on a local file system: one file, or a folder with everything below it.

The written rule for each odd thing:

- an empty file is a file of size 0; an empty folder is no part of a dataset (as for git and OMS);
- a symbolic link below the dataset's path is refused: what it points to is not bound by its name (the path itself may
  be a link; it is resolved first);
- a device, socket or pipe is refused; so is a name that is not UTF-8;
- a dataset that changes while it is read is refused: every name, inode, size and both times must be the same in a
  listing before, at each file's reading, and in a listing after;
- two hard links to one file are two files;
- the ledger in use, if it lies within, is left out when its owner names it; so is what `.provenanceignore` says, which
  is itself a file of the dataset; nothing else is, whatever it is called;
- with a cache, a file that is the same as when it was hashed is not read again, and where few were read the listing
  after is of those, and of the folders' times; where none was there is none. `check_unchanged` lists everything again.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

from provenance.errors import MalformedError, SourceError
from provenance.fingerprint import Algorithm, FileList, Fingerprint, Parameters, fingerprint_list, leaf_text
from provenance.merkle.lists import hash_messages, root_of_hashes
from provenance.merkle.tier import HashTier
from provenance.sources.base import Progress, ProgressCallback, Reading, Workers
from provenance.sources.local.cache import NOTHING, Cache, Memory
from provenance.sources.local.crew import BATCH, Crew, Tiers, can_fork, let_clock_tick
from provenance.sources.local.hashing import hash_file
from provenance.sources.local.ignore import IGNORE_FILE, IgnoreRules
from provenance.sources.local.listing import (
    IDENTITY,
    SIZE,
    Identity,
    changed,
    checked_name,
    hold_still,
    identify,
    identities,
    kind_of,
    list_names,
    read_rules,
    refused,
    sizes_of,
    unreadable,
)

_MANY_FILES: Final = 1_000
_MANY_BYTES: Final = 64 * 2**20
_FEW_TO_READ: Final = 64
"""So many small files are read by this process, without a crew."""
_FEW_TO_HASH: Final = 8
"""So many files are hashed by hashlib, whatever is the fastest for more."""
_SAVE_S: Final = 5.0
"""How often a long run writes down what it has, so that a killed one goes on from there."""


class LocalSource:
    """A file or folder. `SourceError` if there is nothing at `path`."""

    def __init__(self, path: str | os.PathLike[str], reading: Reading | None = None) -> None:
        self._reading = reading or Reading()
        leave_out = self._reading.leave_out
        try:
            self._root = Path(path).resolve(strict=True)
            self._stat = self._root.stat()
            self._left_out = leave_out.resolve() if leave_out is not None else None
        except (OSError, RuntimeError, ValueError) as error:
            raise unreadable(str(path), error) from error
        self._state: tuple[list[str], bytes] | None = None
        self._folders: dict[str, Identity] = {}
        self._listed_ns = 0

    @property
    def location(self) -> str:
        """The absolute path, links resolved."""
        return str(self._root)

    def fingerprint(self, progress: ProgressCallback | None = None, *, workers: Workers | None = None) -> Fingerprint:
        """The fingerprint of the file or folder as it is now."""
        rules = self._rules()
        parameters = self._parameters(rules)
        self._folders, self._listed_ns = {}, time.time_ns()
        names = self._list(rules, self._folders)
        run = _Run(self._base, names, self._reading, progress, self._root)
        with ExitStack() as stack:
            crew = None
            if workers is None and self._is_for_a_crew(names):
                crew = stack.enter_context(Crew(self._base, names, self._reading.algorithm, run.tiers))
            packed = crew.identify() if crew is not None else _pack(identities(self._base, names))
            run.begin(packed)
            if workers is not None:
                run.hash_elsewhere(workers)
            elif crew is not None and run.is_much:
                run.hash_by(crew)
            else:
                run.hash_here()
            self._check_after(run, crew, names, rules)
        self._state = names, packed
        return run.finish(parameters)

    def check_unchanged(self) -> None:
        """Raise `SourceError` that names a file unless the dataset is what it was when it was fingerprinted last."""
        if self._state is not None:
            names, packed = self._state
            _check_names(self._base, names, self._list(self._rules()))
            _check_same(self._base, names, packed, _pack(identities(self._base, names)))

    @property
    def _base(self) -> str:
        """What a name is appended to."""
        folder = self._root if stat.S_ISDIR(self._stat.st_mode) else self._root.parent
        return str(folder).rstrip("/") + "/"

    def _rules(self) -> IgnoreRules:
        if not stat.S_ISDIR(self._stat.st_mode):
            return IgnoreRules(())
        return read_rules(self._root, self._reading.ignore)

    def _parameters(self, rules: IgnoreRules) -> Parameters:
        try:
            return Parameters(rules.texts)
        except MalformedError as error:
            raise SourceError(error.what, expected=error.expected, got=error.got, where=self._root) from error

    def _list(self, rules: IgnoreRules, folders: dict[str, Identity] | None = None) -> list[str]:
        if not stat.S_ISDIR(self._stat.st_mode):
            try:
                status = self._root.lstat()
            except OSError as error:
                raise unreadable(str(self._root), error) from error
            if not stat.S_ISREG(status.st_mode):
                raise SourceError("not a file or folder", got=kind_of(status.st_mode), where=self._root)
            return [checked_name(self._root.name, self._root)]
        names = list_names(self._root, rules, self._left_out, folders)
        if not names:
            raise SourceError("folder holds no files", expected="at least one file", where=self._root)
        return names

    def _is_for_a_crew(self, names: Sequence[str]) -> bool:
        if len(names) < 2 or not can_fork():
            return False
        return len(names) >= _MANY_FILES or _is_large(self._base, names)

    def _check_after(self, run: _Run, crew: Crew | None, names: list[str], rules: IgnoreRules) -> None:
        """That everything read is as it was: all of it, or, where a cache spared files, those that were read."""
        # Rules that another ignore file holds by now are not those that what is bound here was chosen by.
        if self._rules() != rules:
            raise changed(self._root / IGNORE_FILE)
        unread, cached = run.memory.unread, self._reading.cache is not None
        if not unread:
            return
        by_crew = None if cached and 4 * len(unread) < len(names) else crew
        if by_crew is not None:
            by_crew.begin_check()
        if not (cached and hold_still(self._folders, self._listed_ns)):
            _check_names(self._base, names, self._list(rules))
        if by_crew is not None:
            by_crew.end_check()
        else:
            _check_numbers(self._base, names, run.memory.identities, unread)


class _Run:
    """One fingerprint being taken: what is known, what was read, and who is told."""

    def __init__(
        self, base: str, names: list[str], reading: Reading, progress: ProgressCallback | None, root: Path
    ) -> None:
        from provenance.machine.calibration import hash_tier

        self._base, self._names, self._algorithm = base, names, reading.algorithm
        if len(names) < _FEW_TO_HASH:
            self.tiers = Tiers(HashTier.HASHLIB, HashTier.HASHLIB)
        else:
            self.tiers = Tiers(hash_tier("streams"), hash_tier("messages"))
        self._progress, self._lock = progress, Lock()
        self._started_ns = time.time_ns()
        self._saved = time.monotonic()
        self._cache = Cache(reading.cache, str(root), reading.algorithm) if reading.cache is not None else None
        self._done_bytes = self._done_files = self._total_bytes = 0
        self.memory = Memory([], b"", NOTHING, 0)

    def begin(self, packed: bytes) -> None:
        """What the files are; those that the cache knows need not be read."""
        remembered = self._cache.load() if self._cache is not None else NOTHING
        self.memory = Memory(self._names, packed, remembered, self._started_ns)
        self._sizes = sizes_of(packed)
        self._total_bytes = sum(self._sizes)
        if len(self.memory.unread) < len(self._names):
            known = self._total_bytes - sum(self._sizes[number] for number in self.memory.unread)
            self._tell(known, len(self._names) - len(self.memory.unread))

    @property
    def is_much(self) -> bool:
        """Whether what must be read is worth several processes."""
        unread = self.memory.unread
        return len(unread) > _FEW_TO_READ or sum(self._sizes[number] for number in unread) >= _MANY_BYTES

    def hash_by(self, crew: Crew) -> None:
        """Have a crew read what must be read."""
        for kind, what, more in crew.hash(self.memory.unread, self._sizes):
            if kind == "read":
                self._tell(what, 0)
            else:
                self._keep(what, more)

    def hash_here(self) -> None:
        """Read by threads of this process."""
        unread = self.memory.unread
        if not unread:
            return
        found = [self._identity(number) for number in unread]
        let_clock_tick(found)
        threads = os.cpu_count() or 1
        alone = len(unread) == 1
        work = partial(self._hash_one, threads=threads if alone else 1)
        if alone or threads == 1:
            for number, identity in zip(unread, found, strict=True):
                self._keep([number], work(number, identity))
            return
        with ThreadPoolExecutor(threads) as pool:
            try:
                for number, hashed in zip(unread, _windowed(pool, work, unread, found, 8 * threads), strict=True):
                    self._keep([number], hashed)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def hash_elsewhere(self, workers: Workers) -> None:
        """Have other machines read, a batch at a time."""
        unread = self.memory.unread
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
            self._keep(batch, hashed)
            self._tell(sum(self._sizes[number] for number in batch), 0)

    def finish(self, parameters: Parameters) -> Fingerprint:
        """The fingerprint, and the cache for the next time."""
        memory = self.memory
        if self._cache is not None and memory.has_news:
            self._cache.save(memory.worth_keeping())
        files = FileList(self._names, self._sizes, bytes(memory.digests), self._algorithm)
        reread = tuple(self._names[number] for number in memory.unread) if self._cache is not None else None
        return fingerprint_list(files, root_of_hashes(bytes(memory.leaves), tier=self.tiers.leaves), parameters, reread)

    def _identity(self, number: int) -> Identity:
        found: Identity = IDENTITY.unpack_from(self.memory.identities, IDENTITY.size * number)
        return found

    def _hash_one(self, number: int, identity: Identity, *, threads: int) -> bytes:
        advance = partial(self._tell, count_files=0)
        digest = _hash_file(self._base + self._names[number], identity, self._algorithm, advance, threads)
        return digest + _leaf(self._names[number], identity[SIZE], digest, self._algorithm)

    def _keep(self, numbers: Sequence[int], hashed: bytes) -> None:
        half = len(hashed) // 2
        self.memory.put(numbers, hashed[:half], hashed[half:])
        self._tell(0, len(numbers))
        if self._cache is not None and time.monotonic() - self._saved > _SAVE_S:
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


def hash_batch(batch: Batch) -> bytes:
    """The digests of a batch's files, then their leaf hashes. Device and inode are told by each machine differently:
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
    return b"".join(digests + leaves)


def _quiet(_count: int) -> None:
    pass


def _hash_file(
    path: str, identity: Identity, algorithm: Algorithm, advance: Callable[[int], None], threads: int
) -> bytes:
    return hash_file(path, identity, algorithm, advance, threads=threads)


def _leaf(name: str, size: int, digest: bytes, algorithm: Algorithm) -> bytes:
    return hash_messages([b"\0" + leaf_text(name, size, digest.hex(), algorithm).encode()], tier=HashTier.HASHLIB)


def _windowed(
    pool: ThreadPoolExecutor,
    work: Callable[[int, Identity], bytes],
    numbers: Sequence[int],
    found: Sequence[Identity],
    window: int,
) -> Iterator[bytes]:
    """Results in order, a window of them under way."""
    pending = []
    for number, identity in zip(numbers, found, strict=True):
        pending.append(pool.submit(work, number, identity))
        if len(pending) >= window:
            yield pending.pop(0).result()
    for future in pending:
        yield future.result()


def _is_large(base: str, names: Sequence[str]) -> bool:
    total = 0
    for name in names:
        try:
            total += os.lstat(base + name).st_size
        except OSError:
            return False
        if total >= _MANY_BYTES:
            return True
    return False


def _pack(found: Sequence[Identity]) -> bytes:
    return b"".join([IDENTITY.pack(*identity) for identity in found])


def _check_names(base: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Raise unless both listings are of the same names."""
    if before == after:
        return
    for name in sorted(set(before) ^ set(after), key=lambda name: name.encode("utf-8")):
        raise changed(Path(base + name))


def _check_same(base: str, names: Sequence[str], before: bytes, after: bytes) -> None:
    """Raise unless every file is in the same state."""
    if before == after:
        return
    for name, old, new in zip(names, IDENTITY.iter_unpack(before), IDENTITY.iter_unpack(after), strict=True):
        if old != new:
            raise changed(Path(base + name))


def _check_numbers(base: str, names: Sequence[str], packed: bytes, numbers: Sequence[int]) -> None:
    width = IDENTITY.size
    wanted = [names[number] for number in numbers]
    before = packed if len(numbers) == len(names) else b"".join([packed[width * n : width * (n + 1)] for n in numbers])
    try:
        after = _pack(identities(base, wanted))
    except SourceError as error:
        if error.what == "not a file or folder":
            raise
        raise changed(error.where or base) from error
    _check_same(base, wanted, before, after)


__all__ = ["Batch", "LocalSource", "hash_batch", "refused"]
