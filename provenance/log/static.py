"""A log as files (c2sp.org/tlog-tiles): which there are at a size, and the tiles, made from leaf hashes as they come.

Invariants: a file that any size had is never another file at a larger size; the builder gives each full tile once, a
level after the level below it; memory is one row of at most 256 hashes a level, whatever the log's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from provenance.errors import MalformedError
from provenance.log.tile import (
    MAX_LEVEL,
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    EntriesPath,
    ReadTile,
    TilePath,
    tile_paths,
    tile_width,
)
from provenance.log.tile_nodes import fold
from provenance.merkle import HASH_BYTES

CHECKPOINT_PATH: Final = "checkpoint"
HEAD_PATH: Final = "map/head"
"""The head of the log's map (`provenance.log.map`); no part of tlog-tiles."""
LENGTH_BYTES: Final = 2
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (LENGTH_BYTES + 65_535)
"""A full entry bundle: 256 entries of any log, each at most 65,535 bytes after its length."""

StaticPath: TypeAlias = TilePath | EntriesPath


def max_bytes_of(path: StaticPath) -> int:
    """The most bytes that a file at this path may have."""
    if isinstance(path, EntriesPath):
        return path.width * (MAX_BUNDLE_BYTES // TILE_WIDTH)
    return path.width * HASH_BYTES


def bundle_paths(size: int, *, since: int = 0) -> Iterator[EntriesPath]:
    """Every entry bundle of a log of `size` that the log of `since` did not have in the same width."""
    for index in range(since // TILE_WIDTH, -(-size // TILE_WIDTH)):
        width = tile_width(0, index, size)
        if width != tile_width(0, index, since):
            yield EntriesPath(index, width)


def static_paths(size: int, *, since: int = 0) -> Iterator[StaticPath]:
    """Every file but the checkpoint that a log of `size` has and one of `since` had not: bundles, then tiles."""
    yield from bundle_paths(size, since=since)
    yield from tile_paths(size, since=since)


def cut_bundle(data: bytes, width: int) -> bytes:
    """The first `width` entries of a bundle that may hold more; `MalformedError` if it holds fewer."""
    at = 0
    for number in range(width):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            raise MalformedError("entry bundle is cut", expected=f"{width} entries", got=number)
    return data[:at]


class TileBuilder:
    """The tiles of a tree that grows, from its leaf hashes."""

    __slots__ = ("_full", "_rows", "size")

    def __init__(self, size: int = 0, read_tile: ReadTile | None = None) -> None:
        """Begin at a tree of `size`, whose rightmost tiles `read_tile` gives; what it gives is not verified here."""
        self.size = size
        self._rows: list[bytearray] = []
        self._full: list[int] = []
        while hashes := size >> (TILE_HEIGHT * len(self._rows)):
            full, width = divmod(hashes, TILE_WIDTH)
            row = read_tile(len(self._rows), full)[: width * HASH_BYTES] if width and read_tile is not None else b""
            if len(row) != width * HASH_BYTES:
                raise MalformedError("tile is short", expected=f"{width} hashes", got=f"{len(row)} bytes")
            self._rows.append(bytearray(row))
            self._full.append(full)

    def append(self, leaf_hashes: Sequence[bytes]) -> list[tuple[TilePath, bytes]]:
        """The full tiles that these leaf hashes complete, each after those below it."""
        done: list[tuple[TilePath, bytes]] = []
        for leaf in leaf_hashes:
            self._push(0, leaf, done)
            self.size += 1
        return done

    def partial(self) -> list[tuple[TilePath, bytes]]:
        """The partial tiles of the tree as it is, level by level."""
        return [
            (TilePath(level, self._full[level], len(row) // HASH_BYTES), bytes(row))
            for level, row in enumerate(self._rows)
            if row
        ]

    def row(self, level: int, index: int) -> bytes:
        """A `ReadTile` of the partial tiles; b"" for any other."""
        is_there = level < len(self._rows) and self._full[level] == index
        return bytes(self._rows[level]) if is_there else b""

    def _push(self, level: int, value: bytes, done: list[tuple[TilePath, bytes]]) -> None:
        if level > MAX_LEVEL:
            raise MalformedError("tree is too high", expected=f"levels up to {MAX_LEVEL}")
        if level == len(self._rows):
            self._rows.append(bytearray())
            self._full.append(0)
        row = self._rows[level]
        row += value
        if len(row) == TILE_BYTES:
            tile = bytes(row)
            row.clear()
            done.append((TilePath(level, self._full[level]), tile))
            self._full[level] += 1
            self._push(level + 1, fold(tile, TILE_HEIGHT), done)
