"""A crew: processes of this machine that look at files and hash them, each its share of a list of names.

Guarantees: the crew is made by `fork` from a process with one thread, before anything is read, and does system calls
and hashing alone; each member sees each of its files before it reads it, and all of them again at the end; what fails
in a member is raised in the caller; a member that dies is an error; no member outlives `close`.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from provenance.errors import SourceError
from provenance.fingerprint import Algorithm
from provenance.sources.local.frames import take_frames, write_frame
from provenance.sources.local.hashing import SMALL_BYTES
from provenance.sources.local.listing import IDENTITY, sizes_of
from provenance.sources.local.work import BATCH, Share, Tiers, Work

_PIPE_BYTES: Final = 1 << 20


def can_fork() -> bool:
    """Whether this process may make a crew: Linux, one thread, more than one processor, and it is told how children
    end (a process that ignores SIGCHLD is not)."""
    if sys.platform != "linux" or threading.active_count() != 1 or (os.cpu_count() or 1) < 2:
        return False
    return signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN


class Crew:
    """One process for each processor. `names` are relative to `root`, which ends in a slash.

    Files are looked at first (`begin_look`), then hashed as far as that is needed (`hash`); or read at once (`read`).
    `OSError` if the system gives no more processes or descriptors; none is left then.
    """

    def __init__(self, root: str, names: Sequence[str], algorithm: Algorithm, tiers: Tiers) -> None:
        self._root, self._names = root, names
        self._identities = bytearray(IDENTITY.size * len(names))
        self._members: list[_Member] = []
        count, batches = os.cpu_count() or 1, -(-len(names) // BATCH)
        try:
            for number in range(count):
                # Neighbours to one member: two that open files of one folder at a time wait for each other in the
                # kernel.
                start, stop = (min(batches * edge // count * BATCH, len(names)) for edge in (number, number + 1))
                work = Work(Share(root, names, start, stop, algorithm, tiers))
                self._members.append(_Member.start(work, (start, stop), self._members))
        except BaseException:
            self.close()
            raise

    def begin_look(self) -> None:
        """Have every file looked at, while the caller does something else."""
        self._ask(("look",))

    def end_look(self) -> bytes:
        """What came of it: the identity of every file, packed, in the order of the names."""
        for _ in self._frames("finished"):
            pass
        return bytes(self._identities)

    def read(self) -> Iterator[tuple[Any, ...]]:
        """Look at every file and hash it. Yields ("took", first number, identities packed, numbers, digests, leaves,
        bytes read) for those that are not large, then what `hash` does."""
        self._ask(("read",))
        yield from self._frames("finished")
        sizes = sizes_of(self._identities)
        large = [number for number, size in enumerate(sizes) if size > SMALL_BYTES]
        if large:
            yield from self.hash(large, sizes)

    def hash(self, numbers: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """Hash the files of these numbers, which have been looked at. Yields ("advanced", bytes read) and ("hashed",
        numbers, digests, leaves, bytes read that were not told)."""
        small: list[list[int]] = [[] for _ in self._members]
        large: list[list[int]] = [[] for _ in self._members]
        owner = 0
        for number in numbers:
            while number >= self._members[owner].share[1]:
                owner += 1
            if sizes[number] <= SMALL_BYTES:
                small[owner].append(number)
        load = [sum(sizes[number] for number in share) for share in small]
        for number in sorted((n for n in numbers if sizes[n] > SMALL_BYTES), key=lambda n: -sizes[n]):
            least = load.index(min(load))
            large[least].append(number)
            load[least] += sizes[number]
        for member, some, others in zip(self._members, small, large, strict=True):
            identities = [IDENTITY.unpack_from(self._identities, IDENTITY.size * number) for number in others]
            member.send(("hash", some, list(zip(others, identities, strict=True))))
        yield from self._frames("finished")

    def begin_check(self) -> None:
        """Have every file seen again, while the caller does something else."""
        self._ask(("check",))

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

    def _ask(self, frame: tuple[Any, ...]) -> None:
        for member in self._members:
            member.send(frame)

    def _frames(self, last: str) -> Iterator[tuple[Any, ...]]:
        """Frames of all members until each has sent one that is called `last`."""
        waiting = {member.reads: member for member in self._members}
        poll = select.poll()  # select() knows descriptors up to 1,023 alone
        for descriptor in waiting:
            poll.register(descriptor, select.POLLIN)
        while waiting:
            for descriptor, _ in poll.poll():
                member = waiting[descriptor]
                for frame in member.receive(self._died):
                    if frame[0] == "error":
                        import pickle

                        raise pickle.loads(frame[1])  # noqa: S301 - from a process this one made
                    if frame[0] == last:
                        del waiting[descriptor]
                        poll.unregister(descriptor)
                        break
                    if frame[0] in ("looked", "took"):
                        place = IDENTITY.size * frame[1]
                        self._identities[place : place + len(frame[2])] = frame[2]
                    yield frame

    def _died(self, status: int) -> SourceError:
        hint = "is memory short?"
        return SourceError("a hashing process ended", got=f"status {status}", where=self._root, hint=hint)


class _Member:
    """The caller's end of one process."""

    def __init__(self, pid: int, reads: int, writes: int, share: tuple[int, int]) -> None:
        self.pid, self.reads, self.writes, self.share = pid, reads, writes, share
        self._held = bytearray()

    @classmethod
    def start(cls, work: Work, share: tuple[int, int], others: Sequence[_Member]) -> _Member:
        made: list[int] = []
        try:
            made += os.pipe()
            made += os.pipe()
            from_child, to_parent, from_parent, to_child = made
            with suppress(OSError):  # a member need not wait until it is listened to
                fcntl.fcntl(to_parent, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            pid = os.fork()
        except OSError:
            for descriptor in made:
                os.close(descriptor)
            raise
        if pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                # It lives for one dataset, and looking through what it holds for garbage takes a tenth of its time.
                gc.disable()
                for descriptor in (from_child, to_child, *(d for m in others for d in (m.reads, m.writes))):
                    os.close(descriptor)
                work.run(from_parent, to_parent)
                code = 0
            finally:
                os._exit(code)
        os.close(to_parent)
        os.close(from_parent)
        return cls(pid, from_child, to_child, share)

    def send(self, frame: tuple[Any, ...]) -> None:
        with suppress(BrokenPipeError):  # it is gone: reading from it says how
            write_frame(self.writes, frame)

    def receive(self, died: Callable[[int], SourceError]) -> Iterator[Any]:
        data = os.read(self.reads, _PIPE_BYTES)
        if not data:
            status = 0
            with suppress(ChildProcessError):  # somebody else was told
                _, status = os.waitpid(self.pid, 0)
            self.pid = 0
            raise died(status)
        self._held += data
        yield from take_frames(self._held)

    def end(self) -> None:
        for descriptor in (self.reads, self.writes):
            os.close(descriptor)
        if self.pid:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
