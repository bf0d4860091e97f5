"""A crew: processes of this machine that look at files and hash them, each its share of a list of names.

Guarantees: the crew is made by `fork` from a process with one thread, before anything is read, and does system calls
and hashing alone; every member sees all of its files before any of them reads one, and again at the end; what fails in
a member is raised in the caller; a member that dies is an error that names the file it was at; no member outlives
`close`.

Messages are frames: length (4, little-endian), then a tuple by `marshal`.
"""

from __future__ import annotations

import faulthandler
import gc
import marshal
import os
import pickle
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from provenance.errors import ProvenanceError, SourceError
from provenance.fingerprint import Algorithm, leaf_text
from provenance.merkle.lists import hash_messages
from provenance.merkle.tier import HashTier
from provenance.sources.local.hashing import SMALL_BYTES, hash_contents, hash_large, read_small
from provenance.sources.local.listing import CHANGED, IDENTITY, SIZE, TICK_NS, Identity, changed, identify, identities

BATCH: Final = 256
_LENGTH: Final = struct.Struct("<I")
_PIPE_BYTES: Final = 1 << 20
_BUFFER_BYTES: Final = 4 * 2**20
_BATCH_BYTES: Final = 2**20
"""Contents read before they are hashed: they stay in a core's cache, and their memory with the allocator."""


def can_fork() -> bool:
    """Whether this process may make a crew: Linux, one thread, more than one processor."""
    return sys.platform == "linux" and threading.active_count() == 1 and (os.cpu_count() or 1) > 1


@dataclass(frozen=True, slots=True)
class Tiers:
    """Who hashes contents of files, and who leaves, which are short."""

    contents: HashTier
    leaves: HashTier


class Crew:
    """One process for each processor. `names` are relative to `root`, which ends in a slash."""

    def __init__(self, root: str, names: Sequence[str], algorithm: Algorithm, tiers: Tiers) -> None:
        self._root, self._names = root, names
        self._batches = [(start, min(start + BATCH, len(names))) for start in range(0, len(names), BATCH)]
        self._members: list[_Member] = []
        self._packed = b""
        count = os.cpu_count() or 1
        for number in range(count):
            # Neighbours to one member: two that open files of one folder at a time wait for each other in the kernel.
            share = self._batches[len(self._batches) * number // count : len(self._batches) * (number + 1) // count]
            work = _Work(root, names, share, algorithm, tiers)
            self._members.append(_Member.start(work, self._members))

    def identify(self) -> bytes:
        """The identity of every file, packed, in the order of the names."""
        packed: dict[int, bytes] = {}
        for _, frame in self._frames("listed"):
            packed[frame[1]] = frame[2]
        self._packed = b"".join(packed[start] for start, _ in self._batches)
        return self._packed

    def hash(self, numbers: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[str, Any, Any]]:
        """Hash the files of these numbers. Yields ("read", bytes, 0) and ("hashed", numbers, digests + leaves)."""
        small: list[list[int]] = [[] for _ in self._members]
        large: list[list[int]] = [[] for _ in self._members]
        count, total = len(self._members), len(self._batches)
        owners = {
            self._batches[place][0]: member
            for member in range(count)
            for place in range(total * member // count, total * (member + 1) // count)
        }
        for number in numbers:
            if sizes[number] <= SMALL_BYTES:
                small[owners[number // BATCH * BATCH]].append(number)
        load = [sum(sizes[number] for number in share) for share in small]
        for number in sorted((n for n in numbers if sizes[n] > SMALL_BYTES), key=lambda n: -sizes[n]):
            least = load.index(min(load))
            large[least].append(number)
            load[least] += sizes[number]
        for member, some, others in zip(self._members, small, large, strict=True):
            identities = [IDENTITY.unpack_from(self._packed, IDENTITY.size * number) for number in others]
            member.send(("hash", some, list(zip(others, identities, strict=True))))
        for member, frame in self._frames("finished"):
            if frame[0] == "at":
                member.at = frame[1]
            else:
                yield frame

    def begin_check(self) -> None:
        """Have every file seen again, while the caller does something else."""
        for member in self._members:
            member.send(("check",))

    def end_check(self) -> None:
        """What came of it: `SourceError` names the first file that changed."""
        for _ in self._frames("same"):
            pass

    def close(self) -> None:
        """End every member at once."""
        for member in self._members:
            member.end()
        self._members = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _frames(self, last: str) -> Iterator[tuple[_Member, Any]]:
        """Frames of all members until each has sent one that is called `last`; that of "listed" batches counts down."""
        waiting = {member.reads: member for member in self._members}
        while waiting:
            ready, _, _ = select.select(list(waiting), [], [])
            for descriptor in ready:
                member = waiting[descriptor]
                for frame in member.receive(self._died):
                    if frame[0] == "error":
                        raise pickle.loads(frame[1])  # noqa: S301 - from a process this one made
                    if frame[0] == last and (last != "listed" or frame[1] < 0):
                        del waiting[descriptor]
                        break
                    yield member, frame

    def _died(self, member: _Member, status: int) -> SourceError:
        where = self._root + self._names[member.at] if member.at >= 0 else self._root
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS:
            try:
                same = identify(os.lstat(where)) == IDENTITY.unpack_from(self._packed, IDENTITY.size * member.at)
            except OSError:
                same = False
            return SourceError("cannot read", got="a bus error", where=where) if same else changed(where)
        return SourceError("a hashing process ended", got=f"status {status}", where=where, hint="is memory short?")


class _Member:
    """The caller's end of one process."""

    def __init__(self, pid: int, reads: int, writes: int) -> None:
        self.pid, self.reads, self.writes = pid, reads, writes
        self.at = -1
        self._held = bytearray()

    @classmethod
    def start(cls, work: _Work, others: Sequence[_Member]) -> _Member:
        from_child, to_parent = os.pipe()
        from_parent, to_child = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                # A mapped file that is cut short ends this process, and how it ended says why.
                faulthandler.disable()
                # It lives for one dataset, and looking through what it holds for garbage takes a tenth of its time.
                gc.disable()
                signal.signal(signal.SIGBUS, signal.SIG_DFL)
                for descriptor in (from_child, to_child, *(d for m in others for d in (m.reads, m.writes))):
                    os.close(descriptor)
                work.run(from_parent, to_parent)
                code = 0
            finally:
                os._exit(code)
        os.close(to_parent)
        os.close(from_parent)
        return cls(pid, from_child, to_child)

    def send(self, frame: tuple[Any, ...]) -> None:
        with suppress(BrokenPipeError):  # it is gone: reading from it says how
            _write(self.writes, frame)

    def receive(self, died: Callable[[_Member, int], SourceError]) -> Iterator[Any]:
        data = os.read(self.reads, _PIPE_BYTES)
        if not data:
            _, status = os.waitpid(self.pid, 0)
            self.pid = 0
            raise died(self, status)
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            end = _LENGTH.size + length
            if len(self._held) < end:
                return
            frame = marshal.loads(self._held[_LENGTH.size : end])  # noqa: S302 - from a process this one made
            del self._held[:end]
            yield frame

    def end(self) -> None:
        for descriptor in (self.reads, self.writes):
            os.close(descriptor)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class _Work:
    """What a member does, in the child process."""

    def __init__(
        self, root: str, names: Sequence[str], share: Sequence[tuple[int, int]], algorithm: Algorithm, tiers: Tiers
    ) -> None:
        self._root, self._names, self._share = root, names, share
        self._algorithm, self._tiers = algorithm, tiers
        self._first = share[0][0] if share else 0
        self._identities: list[Identity] = []
        self._view = memoryview(b"")
        self._out = -1

    def run(self, reads: int, writes: int) -> None:
        self._out = writes
        self._view = memoryview(bytearray(_BUFFER_BYTES))
        try:
            self._list()
            while (frame := _read(reads)) is not None:
                if frame[0] == "hash":
                    self._hash(frame[1], frame[2])
                else:
                    self._check()
        except ProvenanceError as error:
            _write(writes, ("error", pickle.dumps(error)))

    def _list(self) -> None:
        for start, stop in self._share:
            found = identities(self._root, self._names[start:stop])
            self._identities += found
            packed = b"".join([IDENTITY.pack(*identity) for identity in found])
            _write(self._out, ("listed", start, packed))
        _write(self._out, ("listed", -1, b""))

    def _hash(self, small: list[int], large: list[tuple[int, Identity]]) -> None:
        first = self._first
        let_clock_tick([*(self._identities[number - first] for number in small), *(identity for _, identity in large)])
        for batch in self._batches(small):
            self._hash_small(batch)
        files = [(number, self._root + self._names[number], identity) for number, identity in large]
        read = _Counter(self._out)
        numbers = iter([number for number, _ in large])
        if files:
            _write(self._out, ("at", next(numbers)))
        sizes = {number: identity[SIZE] for number, identity in large}
        for number, digest in hash_large(files, self._algorithm, self._tiers.contents, read.advance):
            self._done([number], [sizes[number]], digest)
            read.flush()
            following = next(numbers, None)
            if following is not None:
                _write(self._out, ("at", following))
        _write(self._out, ("finished",))

    def _batches(self, numbers: list[int]) -> Iterator[list[int]]:
        """Not more than `BATCH` files at a time, nor, but for a file alone, `_BATCH_BYTES`: the buffer holds both."""
        batch: list[int] = []
        held = 0
        for number in numbers:
            size = self._identities[number - self._first][SIZE]
            if batch and (len(batch) == BATCH or held + size > _BATCH_BYTES):
                yield batch
                batch, held = [], 0
            batch.append(number)
            held += size
        if batch:
            yield batch

    def _hash_small(self, numbers: list[int]) -> None:
        root, names, known, first = self._root, self._names, self._identities, self._first
        contents = read_small([(root + names[number], known[number - first]) for number in numbers], self._view)
        digests = hash_contents(contents, self._algorithm, self._tiers.contents)
        sizes = [len(content) for content in contents]
        _write(self._out, ("read", sum(sizes), 0))
        self._done(numbers, sizes, digests)

    def _done(self, numbers: list[int], sizes: list[int], digests: bytes) -> None:
        hexed, names, kind = digests.hex(), self._names, str(self._algorithm)
        texts = [
            leaf_text(names[number], size, hexed[64 * place : 64 * place + 64], kind)
            for place, (number, size) in enumerate(zip(numbers, sizes, strict=True))
        ]
        leaves = hash_messages([b"\0" + text.encode() for text in texts], tier=self._tiers.leaves)
        _write(self._out, ("hashed", numbers, digests + leaves))

    def _check(self) -> None:
        for start, stop in self._share:
            found = identities(self._root, self._names[start:stop])
            before = self._identities[start - self._first : stop - self._first]
            if found != before:
                number = next(n for n, pair in enumerate(zip(found, before, strict=True), start) if pair[0] != pair[1])
                raise changed(self._root + self._names[number])
        _write(self._out, ("same",))


class _Counter:
    """Tells of bytes read, some at a time."""

    def __init__(self, out: int) -> None:
        self._out, self._count, self._told = out, 0, time.monotonic()

    def advance(self, count: int) -> None:
        self._count += count
        if time.monotonic() - self._told > 0.1:
            self.flush()

    def flush(self) -> None:
        _write(self._out, ("read", self._count, 0))
        self._count, self._told = 0, time.monotonic()


def let_clock_tick(found: Sequence[Identity]) -> None:
    """Wait, if a file was written just now, until a further write would leave another time on it."""
    now_ns = time.time_ns()
    # Whatever else is set, a write leaves the time of change; one that lies ahead cannot be left once more.
    newest_ns = max((time_ns for identity in found if (time_ns := identity[CHANGED]) <= now_ns), default=0)
    if now_ns - newest_ns < TICK_NS:
        time.sleep((TICK_NS - (now_ns - newest_ns)) / 1e9)


def _write(descriptor: int, frame: tuple[Any, ...]) -> None:
    body = marshal.dumps(frame)
    data = memoryview(_LENGTH.pack(len(body)) + body)
    while len(data):
        data = data[os.write(descriptor, data) :]


def _read(descriptor: int) -> Any:
    head = _read_exactly(descriptor, _LENGTH.size)
    if head is None:
        return None
    body = _read_exactly(descriptor, _LENGTH.unpack(head)[0])
    return None if body is None else marshal.loads(body)  # noqa: S302 - from the process that made this one


def _read_exactly(descriptor: int, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        more = os.read(descriptor, count - len(data))
        if not more:
            return None
        data += more
    return data
