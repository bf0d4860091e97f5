"""SHA-256 of large files, several side by side: a processor that hashes one waits most of the time.

Invariants: as `hashing`: a file is read under the identity it was listed with, or is an error that names it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from provenance.fingerprint import Algorithm
from provenance.machine.calibration import LANES, Choice
from provenance.merkle.compiled import BLOCK_BYTES, STREAMS, Streams, address_of, extensions_or_error
from provenance.merkle.tier import HashTier
from provenance.sources.local.hashing import Advance, hash_file, open_listed, pages
from provenance.sources.local.listing import SIZE, Identity, changed, identify, unreadable

_LANE_BYTES: Final = 128 * 1024
"""Of each file that is hashed side by side with others, at a time: together they stay in a core's cache."""


class SideBySide(Protocol):
    """Hashes of so many messages as it has room for, that are given piece by piece."""

    room: int

    def begin(self, place: int) -> None:
        """A new message at this place."""

    def update(self, pieces: Sequence[memoryview | None]) -> None:
        """More of the message at each place; None for nothing. Whole blocks of 64 bytes, but for a message's last."""

    def finish(self, place: int) -> bytes:
        """The digest of all that was given."""


class InLanes:
    """By stringzilla's lanes."""

    room = LANES

    def __init__(self) -> None:
        import stringzilla

        self._new, self._hashers = stringzilla.Sha256, stringzilla.Sha256s(LANES)

    def begin(self, place: int) -> None:
        self._hashers[place] = self._new()

    def update(self, pieces: Sequence[memoryview | None]) -> None:
        self._hashers.update([b"" if piece is None else piece for piece in pieces])

    def finish(self, place: int) -> bytes:
        digest: bytes = self._hashers[place].digest()
        return digest


class ByExtensions:
    """By the processor's SHA extensions."""

    room = STREAMS

    def __init__(self) -> None:
        self._streams = Streams(extensions_or_error())
        self._given: list[tuple[int, bytes]] = [(0, b"")] * STREAMS
        """Bytes given, and those that are no block yet."""

    def begin(self, place: int) -> None:
        self._streams.begin(place)
        self._given[place] = 0, b""

    def update(self, pieces: Sequence[memoryview | None]) -> None:
        for place, piece in enumerate(pieces):
            if piece is not None:
                rest = bytes(piece[len(piece) // BLOCK_BYTES * BLOCK_BYTES :])
                self._given[place] = self._given[place][0] + len(piece), rest
        addresses = [0 if piece is None else address_of(piece) for piece in pieces]
        self._streams.update(addresses, [0 if piece is None else len(piece) // BLOCK_BYTES for piece in pieces])

    def finish(self, place: int) -> bytes:
        count, rest = self._given[place]
        return self._streams.finish(place, rest, count)


def hash_side_by_side(
    files: Sequence[tuple[int, str, Identity]], advance: Advance, hashers: SideBySide
) -> Iterator[tuple[int, bytes]]:
    """The SHA-256 of large files, by number, some of them at a time; a place that is done takes the next file."""
    waiting = list(reversed(files))
    lanes: list[_Lane | None] = [None] * hashers.room
    try:
        while True:
            for place, lane in enumerate(lanes):
                if lane is None and waiting:
                    lanes[place] = _Lane(*waiting.pop())
                    hashers.begin(place)
            if not any(lanes):
                return
            hashers.update([lane.read(advance) if lane else None for lane in lanes])
            for place, lane in enumerate(lanes):
                if lane and lane.left == 0:
                    lane.finish()
                    yield lane.number, hashers.finish(place)
                    lanes[place] = None
    finally:
        for lane in lanes:
            if lane:
                lane.close()


class _Lane:
    """One file that is read piece by piece."""

    def __init__(self, number: int, path: str, identity: Identity) -> None:
        self.number, self._path, self._identity = number, path, identity
        self._descriptor = open_listed(path, identity)
        self._open, self.left = True, identity[SIZE]
        self._view = pages(_LANE_BYTES)

    def read(self, advance: Advance) -> memoryview:
        """The next piece: as much as there is room for, unless it is the last."""
        wanted, held = min(self.left, _LANE_BYTES), 0
        while held < wanted:
            try:
                count = os.readv(self._descriptor, [self._view[held:wanted]])
            except OSError as error:
                raise unreadable(self._path, error) from error
            if not count:
                raise changed(self._path)
            held += count
            advance(count)
        self.left -= held
        return self._view[:held]

    def finish(self) -> None:
        # A byte beyond the end, or another state, is a change.
        try:
            is_other = os.read(self._descriptor, 1) or identify(os.fstat(self._descriptor)) != self._identity
        except OSError as error:
            raise unreadable(self._path, error) from error
        if is_other:
            raise changed(self._path)
        self.close()

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)


def hash_large(
    files: Sequence[tuple[int, str, Identity]], algorithm: Algorithm, chosen: Choice, advance: Advance
) -> Iterator[tuple[int, bytes]]:
    """The digests of large files, by their numbers, in any order; side by side if there are enough of them."""
    if algorithm is Algorithm.SHA256 and len(files) >= chosen.fewest and chosen.tier is not HashTier.HASHLIB:
        hashers = ByExtensions() if chosen.tier is HashTier.EXTENSIONS else InLanes()
        yield from hash_side_by_side(files, advance, hashers)
    else:
        for number, path, identity in files:
            yield number, hash_file(path, identity, algorithm, advance)
