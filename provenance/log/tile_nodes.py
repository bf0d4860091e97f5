"""The nodes inside a tile: the hashes over its hashes, made when they are asked for, and kept while it grows.

Invariants: a row of nodes is a function of the tile's bytes alone; what was kept of a tile is taken only for bytes that
begin with those it was made of. Node i of row h covers hashes [i 2^h, (i + 1) 2^h) of the tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from provenance.merkle import EMPTY_ROOT, HASH_BYTES, fold_pairs
from provenance.merkle.tier import HashTier

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
"""Hashes in a full tile, entries in a full bundle."""
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES


class TileNodes:
    """The hashes of a tile, or of a few, and the nodes over them, each row made when it is asked for."""

    __slots__ = ("_known", "_tier", "rows")

    def __init__(self, hashes: bytes, known: Sequence[bytes] = (), tier: HashTier = HashTier.HASHLIB) -> None:
        """`known`: rows over hashes that these begin with."""
        self.rows = [hashes]
        self._known, self._tier = known, tier

    def row(self, height: int) -> bytes:
        """The nodes of perfect subtrees over 2^height hashes each, concatenated."""
        while len(self.rows) <= height:
            done = self._known[len(self.rows)] if len(self.rows) < len(self._known) else b""
            self.rows.append(done + fold_pairs(self.rows[-1][2 * len(done) :], tier=self._tier))
        return self.rows[height]


class EdgeNodes:
    """What was hashed of the last tiles of a growing tree, so that only what is new is hashed the next time.

    What a tile holds by now decides, and not what is kept of it: nodes are taken for bytes that begin with those they
    were made of, a root for exactly the partial tiles it was made of. At most one tile a level is kept.
    """

    __slots__ = ("_last", "_root", "tier")

    def __init__(self, tier: HashTier = HashTier.HASHLIB) -> None:
        self.tier = tier
        self._last: dict[int, TileNodes] = {}
        self._root: tuple[int, list[bytes], bytes] = 0, [], EMPTY_ROOT

    def of(self, level: int, tile: bytes) -> TileNodes:
        """The nodes of the last tile of `level`."""
        self._last[level] = nodes = self._over(level, tile)
        return nodes

    def fold(self, level: int, hashes: bytes) -> bytes:
        """The hashes of complete tiles, out of the hashes from the last tile's first one on, which are new or not.

        The tile that is the last one then is kept.
        """
        nodes, tiles = self._over(level, hashes), len(hashes) // TILE_BYTES
        if not tiles:
            self._last[level] = nodes
            return b""
        complete = nodes.row(TILE_HEIGHT)
        rest = [row[tiles * TILE_BYTES >> height :] for height, row in enumerate(nodes.rows[:TILE_HEIGHT])]
        self._last[level] = TileNodes(rest[0], rest, self.tier)
        return complete

    def _over(self, level: int, hashes: bytes) -> TileNodes:
        known = self._last.get(level)
        if known is None or not hashes.startswith(known.rows[0]):
            return TileNodes(hashes, (), self.tier)
        return known if len(hashes) == len(known.rows[0]) else TileNodes(hashes, known.rows, self.tier)

    def root(self, size: int, tiles: list[bytes]) -> bytes | None:
        """The root that was kept for a tree of `size` with these partial tiles, lowest level first."""
        return self._root[2] if self._root[:2] == (size, tiles) else None

    def keep_root(self, size: int, tiles: list[bytes], root: bytes) -> None:
        """Keep the root of such a tree in place of the one before."""
        self._root = size, tiles, root


def fold(hashes: bytes, times: int) -> bytes:
    """Concatenated hashes, each pair replaced by its node, `times` over; an odd last hash is left out."""
    for _ in range(times):
        hashes = fold_pairs(hashes)
    return hashes
