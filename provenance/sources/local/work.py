"""What one of a crew does, in a process of its own: look at its share of the files, read and hash them, look again.

Invariants: system calls and hashing alone, from a process that was forked for it; names are relative to the working
folder, so that a path is walked from there; what fails is told to the caller and ends this process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Final

from provenance.errors import ProvenanceError
from provenance.fingerprint import Algorithm, leaf_texts
from provenance.machine.calibration import Choice
from provenance.merkle.lists import hash_messages
from provenance.merkle.tier import HashTier
from provenance.sources.local.calls import compiled_calls
from provenance.sources.local.frames import read_frame, write_frame
from provenance.sources.local.hashing import BUFFER_BYTES, Contents, hash_contents, let_clock_tick, read_batch
from provenance.sources.local.listing import IDENTITY, SIZE, Identity, changed, identities, pack, unreadable
from provenance.sources.local.settling import held_so_far, let_leases_be_broken_silently
from provenance.sources.local.side_by_side import hash_large

BATCH: Final = 256
_TELL_FILES: Final = 2_048
_TELL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Tiers:
    """Who hashes contents of small files, who leaves, which are short, and who large files, from how many on."""

    contents: HashTier
    leaves: HashTier
    large: Choice


@dataclass(frozen=True, slots=True)
class Share:
    """Files from `start` to before `stop` of `names`, which are relative to `root`, which ends in a slash."""

    root: str
    names: Sequence[str]
    start: int
    stop: int
    algorithm: Algorithm
    tiers: Tiers

    def batches(self) -> Iterator[range]:
        """The numbers of its files, some at a time."""
        for start in range(self.start, self.stop, _TELL_FILES):
            yield range(start, min(start + _TELL_FILES, self.stop))


class Work:
    """Does what the frames that come ask for: ("look",), ("read",), ("hash", small, large) and ("check",)."""

    def __init__(self, share: Share) -> None:
        self._share, self._root, self._names = share, share.root, share.names
        self._identities = bytearray()
        self._calls = compiled_calls()
        self._view = memoryview(b"")
        self._out = -1

    def run(self, reads: int, writes: int) -> None:
        """Work until the caller closes its end."""
        self._out = writes
        let_leases_be_broken_silently()
        self._view = memoryview(bytearray(BUFFER_BYTES))
        try:
            try:
                os.chdir(self._root)
            except OSError as error:
                raise unreadable(self._root, error) from error
            while (frame := read_frame(reads)) is not None:
                if frame[0] == "look":
                    self._look()
                elif frame[0] == "read":
                    self._read()
                elif frame[0] == "hash":
                    self._hash(frame[1], frame[2])
                else:
                    self._check()
        except ProvenanceError as error:
            import pickle

            write_frame(writes, ("error", pickle.dumps(error)))

    def _look(self) -> None:
        for batch in self._share.batches():
            names = self._names[batch.start : batch.stop]
            found = self._calls.look(names) if self._calls is not None else b""
            found += pack(identities(self._root, names[len(found) // IDENTITY.size :], is_here=True))
            self._identities += found
            write_frame(self._out, ("looked", batch.start, found))
        write_frame(self._out, ("finished",))

    def _read(self) -> None:
        """Look at every file when it is opened, and hash it at once if it is not large."""
        start, stop = self._share.start, self._share.stop
        told, held = _Told(start), held_so_far()
        while start < stop:
            found, contents, large = self._read_batch(range(start, min(start + BATCH, stop)))
            self._identities += found
            count = len(found) // IDENTITY.size
            numbers = list(range(start, start + count))
            for place in reversed(large):
                del numbers[place]
            told.add(found, numbers, contents.pieces, *self._hash_contents(numbers, contents))
            start += count
            if told.is_enough or start == stop:
                write_frame(self._out, told.frame())
                told = _Told(start)
        self._finish(held)

    def _finish(self, held: int) -> None:
        """Say whether somebody may have been writing to a file, and that all is done."""
        if held_so_far() > held:
            write_frame(self._out, ("held",))
        write_frame(self._out, ("finished",))

    def _read_batch(self, batch: Sequence[int]) -> tuple[bytes, Contents, list[int]]:
        """The states, packed, of the first of these files, the contents of the small ones and the places of others."""
        names = self._names
        some = names[batch.start : batch.stop] if isinstance(batch, range) else [names[number] for number in batch]
        return read_batch(self._root, some, self._view, self._calls)

    def _hash(self, small: list[int], large: list[tuple[int, Identity]]) -> None:
        held = held_so_far()
        let_clock_tick([identity for _, identity in large])
        while small:
            found, contents, others = self._read_batch(small[:BATCH])
            count = len(found) // IDENTITY.size
            batch, small = small[:count], small[count:]
            for number, identity in zip(batch, IDENTITY.iter_unpack(found), strict=True):
                if identity != self._identity(number):
                    raise changed(self._root + self._names[number])
            if others:  # listed as small
                raise changed(self._root + self._names[batch[others[0]]])
            self._hash_small(batch, contents)
        self._hash_large(large)
        self._finish(held)

    def _hash_small(self, numbers: list[int], contents: Contents) -> None:
        digests, leaves = self._hash_contents(numbers, contents)
        write_frame(self._out, ("hashed", numbers, digests, leaves, sum(map(len, contents.pieces))))

    def _hash_contents(self, numbers: list[int], contents: Contents) -> tuple[bytes, bytes]:
        digests = hash_contents(contents, self._share.algorithm, self._share.tiers.contents)
        return digests, self._leaves(numbers, list(map(len, contents.pieces)), digests)

    def _hash_large(self, large: list[tuple[int, Identity]]) -> None:
        files = [(number, self._root + self._names[number], identity) for number, identity in large]
        told = _Counter(self._out)
        sizes = {number: identity[SIZE] for number, identity in large}
        for number, digest in hash_large(files, self._share.algorithm, self._share.tiers.large, told.advance):
            told.flush()
            leaf = self._leaves([number], [sizes[number]], digest)
            write_frame(self._out, ("hashed", [number], digest, leaf, 0))

    def _leaves(self, numbers: list[int], sizes: list[int], digests: bytes) -> bytes:
        names = [self._names[number] for number in numbers]
        texts = leaf_texts(names, sizes, digests, self._share.algorithm, "\0")
        return hash_messages([text.encode() for text in texts], tier=self._share.tiers.leaves)

    def _identity(self, number: int) -> Identity:
        found: Identity = IDENTITY.unpack_from(self._identities, IDENTITY.size * (number - self._share.start))
        return found

    def _check(self) -> None:
        start = self._share.start
        names = self._names[start : start + len(self._identities) // IDENTITY.size]
        done = self._calls.same(names, self._identities) if self._calls is not None else 0
        look, before = os.lstat, IDENTITY.iter_unpack(self._identities[IDENTITY.size * done :])
        for name, identity in zip(names[done:], before, strict=True):
            try:
                now = look(name)
            except OSError as error:
                raise changed(self._root + name) from error
            if identity != (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns):
                raise changed(self._root + name)
        write_frame(self._out, ("same",))


class _Told:
    """What was found since the caller was told last: a message for each batch would keep it from its processor."""

    def __init__(self, start: int) -> None:
        self._start, self._bytes, self._begun = start, 0, time.monotonic()
        self._identities: list[bytes] = []
        self._numbers: list[int] = []
        self._digests: list[bytes] = []
        self._leaves: list[bytes] = []

    def add(
        self,
        found: bytes,
        numbers: Sequence[int],
        contents: Sequence[Sized],
        digests: bytes,
        leaves: bytes,
    ) -> None:
        self._identities.append(found)
        self._numbers += numbers
        self._digests.append(digests)
        self._leaves.append(leaves)
        self._bytes += sum(map(len, contents))

    @property
    def is_enough(self) -> bool:
        return len(self._numbers) >= _TELL_FILES or time.monotonic() - self._begun > _TELL_S

    def frame(self) -> tuple[str, int, bytes, list[int], bytes, bytes, int]:
        identities, digests, leaves = map(b"".join, (self._identities, self._digests, self._leaves))
        return "took", self._start, identities, self._numbers, digests, leaves, self._bytes


class _Counter:
    """Tells of bytes read, some at a time."""

    def __init__(self, out: int) -> None:
        self._out, self._count, self._told = out, 0, time.monotonic()

    def advance(self, count: int) -> None:
        self._count += count
        if time.monotonic() - self._told > _TELL_S:
            self.flush()

    def flush(self) -> None:
        write_frame(self._out, ("advanced", self._count))
        self._count, self._told = 0, time.monotonic()
