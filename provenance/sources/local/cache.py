"""The cache: what was hashed before, so that only what may have changed is read again.

Invariants: one file a dataset's folder and algorithm, 0600, replaced as a whole; its own checksum covers every byte,
and whatever is wrong with it makes it as good as none; a digest is taken only for a file whose device, inode, size and
both times are the same; a file whose times were not safely in the past when it was hashed (`RACY_NS`) is not kept, as a
later write could have left the same times (git's racy-clean rule).

Bytes, numbers little-endian:

    0    8   "PLCACHE" 0x01
    8    8   number of files, n
    16   8   length of the names
    24   32  SHA-256 of the dataset's place and the algorithm
    56   ..  the names, UTF-8, a zero byte between two of them
         40n identities: device, inode, size (unsigned), times of modification and change in nanoseconds (signed)
         32n digests
         32n leaf hashes
         32  SHA-256 of everything before
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from provenance.fingerprint import Algorithm
from provenance.sources.local.listing import IDENTITY, devices_of, times_of

RACY_NS: Final = 2_000_000_000
"""File systems keep times to 2 s or better; what was touched later than that before a run is read again in the next."""
_MAGIC: Final = b"PLCACHE\x01"
_HEAD: Final = struct.Struct("<8sQQ32s")
_HASH: Final = 32
_ROW: Final = IDENTITY.size + 2 * _HASH
_MAX_BYTES: Final = 4 * 2**30
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a cache holds, in columns: `identities` 40 bytes a file, `digests` and `leaves` 32."""

    names: list[str]
    identities: bytes
    digests: bytes
    leaves: bytes


NOTHING: Final = Remembered([], b"", b"", b"")


class Cache:
    """The cache of one place and algorithm in a folder of caches."""

    def __init__(self, folder: Path, place: str, algorithm: Algorithm) -> None:
        self._key = sha256(b"\0".join([os.fsencode(place), str(algorithm).encode()])).digest()
        self.path = folder / "files" / f"{self._key.hex()}.cache"

    @property
    def is_there(self) -> bool:
        """Whether there may be something to load; never raises."""
        try:
            return stat.S_ISREG(self.path.lstat().st_mode)
        except (OSError, ValueError):
            return False

    def load(self) -> Remembered:
        """What was remembered; nothing if the file is missing, damaged, of another version or another place."""
        try:
            # Neither a pipe in its place is waited for, nor a link followed.
            descriptor = os.open(self.path, _FLAGS)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
                    return NOTHING
                if not self._could_be(os.pread(descriptor, _HEAD.size, 0), status.st_size):
                    return NOTHING
                with os.fdopen(descriptor, "rb", closefd=False) as file:
                    return self._parse(file.read())
            finally:
                os.close(descriptor)
        except (OSError, ValueError, MemoryError):  # a folder, names that are not UTF-8, more than there is room for
            return NOTHING

    def _could_be(self, head: bytes, size: int) -> bool:
        """Whether a file that begins so can be of this place: nothing else is read whole."""
        if len(head) < _HEAD.size:
            return False
        magic, count, names_bytes, key = _HEAD.unpack(head)
        return bool((magic, key, size) == (_MAGIC, self._key, _HEAD.size + names_bytes + _ROW * count + _HASH))

    def _parse(self, data: bytes) -> Remembered:
        if len(data) < _HEAD.size + _HASH or sha256(memoryview(data)[:-_HASH]).digest() != data[-_HASH:]:
            return NOTHING
        magic, count, names_bytes, key = _HEAD.unpack_from(data)
        ends = [_HEAD.size, names_bytes, IDENTITY.size * count, _HASH * count, _HASH * count]
        if magic != _MAGIC or key != self._key or sum(ends) + _HASH != len(data):
            return NOTHING
        start, parts = 0, []
        for length in ends:
            parts.append(data[start : start + length])
            start += length
        names = parts[1].decode("utf-8", "surrogatepass").split("\0") if count else []
        return Remembered(names, parts[2], parts[3], parts[4]) if len(names) == count else NOTHING

    def save(self, found: Remembered) -> None:
        """Remember these files and nothing else. A cache that cannot be written is none: nothing is lost but time."""
        import tempfile

        names = "\0".join(found.names).encode("utf-8", "surrogatepass")
        head = _HEAD.pack(_MAGIC, len(found.names), len(names), self._key)
        data = b"".join([head, names, found.identities, found.digests, found.leaves])
        draft: Path | None = None
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.path.parent)
            draft = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.write(sha256(data).digest())
            draft.replace(self.path)
        except (OSError, ValueError):
            if draft is not None:
                draft.unlink(missing_ok=True)


class Memory:
    """Which files need not be read: the columns of a run, filled from the cache and then by hashing."""

    def __init__(self, names: Sequence[str], identities: bytes, remembered: Remembered, started_ns: int) -> None:
        self.names, self.identities = names, bytearray(identities)
        self._started_ns, self._racy_from_ns = started_ns, started_ns - RACY_NS
        self._distrusted: Set[int] = frozenset()
        count = len(names)
        self._same_names = remembered.names == names
        if not remembered.names:
            self.digests, self.leaves = bytearray(_HASH * count), bytearray(_HASH * count)
            self.unread: list[int] = list(range(count))
            self._known = bytearray(count)
            return
        if self._same_names and remembered.identities == identities:
            self.digests, self.leaves = bytearray(remembered.digests), bytearray(remembered.leaves)
            self.unread = []
        else:
            self.digests, self.leaves = bytearray(_HASH * count), bytearray(_HASH * count)
            self.unread = self._compare(remembered)
        self._known = bytearray(b"\1") * count
        for number in self.unread:
            self._known[number] = 0

    def _compare(self, remembered: Remembered) -> list[int]:
        width = IDENTITY.size
        mine, theirs, unread = bytes(self.identities), remembered.identities, []
        if self._same_names:
            self.digests[:], self.leaves[:] = remembered.digests, remembered.leaves
            return _differing(mine, theirs, width)
        place_of = {name: place for place, name in enumerate(remembered.names)}
        for number, name in enumerate(self.names):
            place = place_of.get(name, -1)
            if place < 0 or mine[width * number : width * (number + 1)] != theirs[width * place : width * (place + 1)]:
                unread.append(number)
            else:
                target, source = slice(_HASH * number, _HASH * (number + 1)), slice(_HASH * place, _HASH * (place + 1))
                self.digests[target] = remembered.digests[source]
                self.leaves[target] = remembered.leaves[source]
        return unread

    def see(self, first: int, packed: bytes) -> None:
        """Keep the identities of files from this number on."""
        width = IDENTITY.size
        self.identities[width * first : width * first + len(packed)] = packed

    def declare(self, numbers: Sequence[int], digests: bytes, leaves: bytes) -> None:
        """Keep digests and leaf hashes of files that nobody read: for this run, and in no cache."""
        self.put(numbers, digests, leaves)
        for number in numbers:
            self._known[number] = 0
        told = set(numbers)
        self.unread = [number for number in self.unread if number not in told]

    def put(self, numbers: Sequence[int], digests: bytes, leaves: bytes) -> None:
        """Keep the digests and leaf hashes of these files."""
        count = len(numbers)
        if count and numbers[-1] - numbers[0] == count - 1:  # ascending, so neighbours
            whole = slice(_HASH * numbers[0], _HASH * (numbers[0] + count))
            self.digests[whole], self.leaves[whole] = digests, leaves
            self._known[numbers[0] : numbers[0] + count] = b"\1" * count
            return
        for place, number in enumerate(numbers):
            self.digests[_HASH * number : _HASH * (number + 1)] = digests[_HASH * place : _HASH * (place + 1)]
            self.leaves[_HASH * number : _HASH * (number + 1)] = leaves[_HASH * place : _HASH * (place + 1)]
            self._known[number] = 1

    def worth_keeping(self) -> Remembered:
        """What was hashed so far and may be taken for granted the next time."""
        runs = list(_runs(self._is_worth_it()))

        def of(column: bytes | bytearray, width: int) -> bytes:
            return b"".join([column[width * start : width * stop] for start, stop in runs])

        names = [name for start, stop in runs for name in self.names[start:stop]]
        return Remembered(names, of(self.identities, IDENTITY.size), of(self.digests, _HASH), of(self.leaves, _HASH))

    def distrust(self, devices: Set[int], margin_ns: int) -> None:
        """Keep nothing that lies on these devices, nor what was changed within so much of the start."""
        self._distrusted = devices
        self._racy_from_ns = min(self._racy_from_ns, self._started_ns - margin_ns)

    @property
    def has_news(self) -> bool:
        """Whether there is anything to keep that the cache does not hold, or it holds names that are gone: if not, it
        serves as it is."""
        if not self._same_names:
            return True
        worth = self._is_worth_it()
        return any(worth[number] for number in self.unread)

    def _is_worth_it(self) -> bytearray:
        """A 1 for each file that is known, whose times were safely in the past and will tell of a change."""
        worth, limit = bytearray(self._known), self._racy_from_ns
        if self._distrusted:
            for number, device in enumerate(devices_of(self.identities)):
                if device in self._distrusted:
                    worth[number] = 0
        modified, altered = times_of(self.identities)
        if worth and max(max(modified), max(altered)) >= limit:
            for number, latest in enumerate(map(max, modified, altered)):
                if latest >= limit:
                    worth[number] = 0
        return worth


def _differing(one: bytes, other: bytes, width: int) -> list[int]:
    """The numbers of the rows that are not the same, found by halves of ever smaller parts."""
    found, pending = [], [(0, len(one) // width)]
    while pending:
        start, stop = pending.pop()
        if one[width * start : width * stop] == other[width * start : width * stop]:
            continue
        if stop - start == 1:
            found.append(start)
        else:
            middle = (start + stop) // 2
            pending += [(middle, stop), (start, middle)]
    return found


def _runs(flags: bytearray) -> Iterator[tuple[int, int]]:
    """Where each run of ones begins and ends."""
    start = flags.find(1)
    while start >= 0:
        stop = flags.find(0, start)
        stop = len(flags) if stop < 0 else stop
        yield start, stop
        start = flags.find(1, stop)
