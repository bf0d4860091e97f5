"""Tiles and entry bundles (c2sp.org/tlog-tiles): the Merkle tree and its entries as immutable files.

Invariants: `encode_tile_path(parse_tile_path(x)) == x` and `encode_entries(parse_entries(x)) == x`; hash i of tile n
at level l covers leaves [(256 n + i) 256^l, (256 n + i + 1) 256^l); a tile only ever grows at its end, up to 256
hashes, so the tile of a smaller tree is a prefix of the tile of a larger one; a hash enters level l + 1 only when the
256 below it are complete.

    /tile/0/x001/234           full tile 1234 of leaf hashes, 8,192 bytes
    /tile/1/000.p/17           the first 17 hashes of tile 0 one level up, 544 bytes
    /tile/entries/x001/234     the 256 entries of tile 1234: big-endian u16 length, bytes, and so on
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from provenance.errors import LimitError, MalformedError, StoreError
from provenance.limits import MAX_ENTRY_BYTES
from provenance.log.decimal import check_range
from provenance.log.entry import check_entries, check_entry
from provenance.log.tile_nodes import TILE_BYTES, TILE_HEIGHT, TILE_WIDTH, EdgeNodes, TileNodes
from provenance.merkle import EMPTY_ROOT, HASH_BYTES, subtree_hash

__all__ = [
    "MAX_LEVEL",
    "TILE_BYTES",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "EdgeNodes",
    "EntriesPath",
    "Integration",
    "ReadTile",
    "TilePath",
    "TileReader",
    "encode_entries",
    "encode_tile_path",
    "integrate",
    "integrate_hashes",
    "join_entries",
    "parse_entries",
    "parse_tile_path",
    "tile_paths",
    "tile_width",
]

MAX_LEVEL: Final = 63

_LENGTH = Struct(">H")
_LENGTH_BYTES = _LENGTH.size
_MAX_CACHED_TILES = 1_024
_MAX_PATH_CHARS = 64
_PATH = re.compile(r"/tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")

ReadTile = Callable[[int, int], bytes]
"""read_tile(level, index): the tile's hashes present so far, concatenated; b"" if there is no such tile."""


@dataclass(frozen=True, slots=True)
class TilePath:
    """Names a tile of hashes: level 0 to 63, index within the level (uint64), width 1 to 256 hashes."""

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        check_range(self.level, what="tile level", max_value=MAX_LEVEL)
        _check_place(self.index, self.width)


@dataclass(frozen=True, slots=True)
class EntriesPath:
    """Names an entry bundle: its index (uint64), width 1 to 256 entries."""

    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        _check_place(self.index, self.width)


def parse_tile_path(path: str) -> TilePath | EntriesPath:
    """What `/tile/<L>/<N>[.p/<W>]` or `/tile/entries/<N>[.p/<W>]` names; `MalformedError` for any other text."""
    match = _PATH.fullmatch(path) if len(path) <= _MAX_PATH_CHARS else None
    if match is None:
        raise MalformedError(
            "tile path is out of form", expected="/tile/<level or entries>/<index>[.p/<width>]", got=path
        )
    level, groups, partial = match.groups()
    index = int(groups.replace("/", "").replace("x", ""))
    width = int(partial) if partial is not None else TILE_WIDTH
    found = EntriesPath(index, width) if level == "entries" else TilePath(int(level), index, width)
    if encode_tile_path(found) != path:
        raise MalformedError("tile path is not canonical", expected=encode_tile_path(found), got=path)
    return found


def encode_tile_path(path: TilePath | EntriesPath) -> str:
    """The path of a tile or entry bundle; the `.p/<W>` suffix only below 256."""
    digits = str(path.index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    kind = "entries" if isinstance(path, EntriesPath) else str(path.level)
    return f"/tile/{kind}/{place}" + (f".p/{path.width}" if path.width < TILE_WIDTH else "")


def tile_width(level: int, index: int, size: int) -> int:
    """How many hashes tile `index` of `level` holds in the tree of `size`: 0 (no such tile) to 256."""
    check_range(size, what="tree size")
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


def tile_paths(size: int, *, since: int = 0) -> Iterator[TilePath]:
    """Every tile of the tree of `size` that the tree of `since` did not have in the same width, level by level."""
    check_range(size, what="tree size")
    check_range(since, what="earlier tree size", max_value=size)
    level = 0
    while hashes := size >> (TILE_HEIGHT * level):
        first = (since >> (TILE_HEIGHT * level)) // TILE_WIDTH
        for index in range(first, -(-hashes // TILE_WIDTH)):
            width = tile_width(level, index, size)
            if width != tile_width(level, index, since):
                yield TilePath(level, index, width)
        level += 1


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each of 1 to 256 entries after its length as a big-endian u16."""
    _check_place(0, len(entries))
    check_entries(entries)
    return join_entries(entries)


def join_entries(entries: Sequence[bytes]) -> bytes:
    """As `encode_entries`, of entries that were checked."""
    parts = [b""] * (2 * len(entries))  # entries are not copied to be put after their lengths
    parts[::2] = map(_LENGTH.pack, map(len, entries))
    parts[1::2] = entries
    return b"".join(parts)


def parse_entries(data: bytes, *, width: int, allow_empty: bool = False) -> tuple[bytes, ...]:
    """The `width` entries of a bundle; `MalformedError` if there are more, fewer, an empty or a cut one.

    Other logs than ours may hold empty entries: `allow_empty` takes them.
    """
    _check_place(0, width)
    if len(data) > width * (_LENGTH_BYTES + MAX_ENTRY_BYTES):
        raise LimitError("entry bundle is too large", expected=f"{width} entries", got=f"{len(data)} bytes")
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            raise MalformedError("entry bundle is cut", expected=f"{at} bytes", got=len(data), where=f"{len(entries)}")
        if at == start and not allow_empty:
            check_entry(b"")
        entries.append(data[start:at])
    if len(entries) != width:
        raise MalformedError("entry bundle has a wrong width", expected=f"{width} entries", got=len(entries))
    return tuple(entries)


@dataclass(frozen=True, slots=True)
class Integration:
    """The tree after new leaves: its size, its root, and (level, index) -> whole bytes of each tile that changed."""

    size: int
    root: bytes
    tiles: Mapping[tuple[int, int], bytes]


def integrate(read_tile: ReadTile, size: int, new_leaf_hashes: Sequence[bytes]) -> Integration:
    """The tree of `size` extended by leaf hashes: new root and every new or grown tile, at every level.

    Reads only partial tiles of the right edge, each at most once: O(new leaves + log size) hashes. `StoreError` if
    such a tile does not hold exactly the hashes that `size` implies.
    """
    if not set(map(len, new_leaf_hashes)) <= {HASH_BYTES}:
        raise MalformedError("leaf hash has a wrong length", expected=f"{HASH_BYTES} bytes")
    return integrate_hashes(read_tile, size, b"".join(new_leaf_hashes), EdgeNodes())


def integrate_hashes(read_tile: ReadTile, size: int, hashes: bytes, nodes: EdgeNodes) -> Integration:
    """As `integrate`, of concatenated leaf hashes; `nodes` saves what was hashed before, and says how to hash."""
    new_size = size + len(hashes) // HASH_BYTES
    check_range(size, what="tree size")
    check_range(new_size, what="new tree size")
    edge = _RightEdge(read_tile, size)
    tiles: dict[tuple[int, int], bytes] = {}
    level, arriving = 0, hashes
    while arriving:
        index = (size >> (TILE_HEIGHT * level)) // TILE_WIDTH
        row = edge(level, index) + arriving
        for at in range(0, len(row), TILE_BYTES):
            tiles[level, index + at // TILE_BYTES] = row[at : at + TILE_BYTES]
        arriving = nodes.fold(level, row)
        level += 1
    reader = TileReader(lambda level, index: tiles.get((level, index)) or edge(level, index), new_size, nodes=nodes)
    return Integration(new_size, reader.root_at(new_size), tiles)


class TileReader:
    """Reads hashes, roots and proofs' nodes of the tree of `size` out of its tiles; keeps tiles it has read.

    `read` is the reader for `merkle.prove_inclusion` and `merkle.prove_consistency`, for any tree up to `size`. What
    it returns is as good as the tiles: a proof is checked against a signed root before anyone relies on it.
    """

    __slots__ = ("_edge", "_nodes", "_read_tile", "size")

    def __init__(self, read_tile: ReadTile, size: int, *, nodes: EdgeNodes | None = None) -> None:
        """`nodes` saves what was hashed before of the last tiles."""
        check_range(size, what="tree size")
        self.size = size
        self._read_tile, self._edge = read_tile, nodes
        self._nodes: dict[tuple[int, int], TileNodes] = {}

    def read(self, level: int, index: int) -> bytes:
        """The hash of the perfect subtree over leaves [index << level, (index + 1) << level), 32 bytes.

        `MalformedError` if it is not complete in the tree of `size`; `StoreError` if its tile is missing or short.
        """
        if not (0 <= level <= MAX_LEVEL and index >= 0 and (index + 1) << level <= self.size):
            raise MalformedError("subtree is outside the tree", expected=f"tree of {self.size}", got=f"{level}/{index}")
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, offset = divmod(index, TILE_WIDTH >> height)
        row = self._tile(tile_level, tile_index).row(height)
        return row[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]

    def root_at(self, size: int) -> bytes:
        """The RFC 9162 root of the first `size` leaves, 0 to the reader's size; `MalformedError` above it."""
        check_range(size, what="tree size", max_value=self.size)
        if not size:
            return EMPTY_ROOT
        if self._edge is None or size != self.size:
            return subtree_hash(0, size, self.read)
        # A root is made of what is in partial tiles alone: 256 hashes are one of the next level.
        widths = [(level, size >> (TILE_HEIGHT * level)) for level in range(-(-size.bit_length() // TILE_HEIGHT))]
        tiles = [self._tile(level, width // TILE_WIDTH).row(0) for level, width in widths if width % TILE_WIDTH]
        root = self._edge.root(size, tiles)
        if root is None:
            root = subtree_hash(0, size, self.read)
            self._edge.keep_root(size, tiles, root)
        return root

    def _tile(self, level: int, index: int) -> TileNodes:
        nodes = self._nodes.get((level, index))
        if nodes is None:
            width = tile_width(level, index, self.size)
            data = self._read_tile(level, index)
            if not width * HASH_BYTES <= len(data) <= TILE_BYTES or len(data) % HASH_BYTES:
                raise _damaged(level, index, width, data)
            if len(self._nodes) >= _MAX_CACHED_TILES:
                del self._nodes[next(iter(self._nodes))]
            hashes = data[: width * HASH_BYTES]
            nodes = self._edge.of(level, hashes) if self._edge is not None and width < TILE_WIDTH else TileNodes(hashes)
            self._nodes[level, index] = nodes
        return nodes


class _RightEdge:
    """The partial tiles of the tree of `size`: exactly the hashes it implies, each read once; b"" where it has none."""

    __slots__ = ("_read_tile", "_size", "_tiles")

    def __init__(self, read_tile: ReadTile, size: int) -> None:
        self._read_tile = read_tile
        self._size = size
        self._tiles: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        if (level, index) not in self._tiles:
            width = tile_width(level, index, self._size)
            data = self._read_tile(level, index) if width else b""
            if len(data) != width * HASH_BYTES:
                raise _damaged(level, index, width, data)
            self._tiles[level, index] = data
        return self._tiles[level, index]


def _damaged(level: int, index: int, width: int, data: bytes) -> StoreError:
    return StoreError(
        "tile does not hold the hashes of its tree",
        expected=f"{width} hashes, {width * HASH_BYTES} bytes",
        got=f"{len(data)} bytes",
        where=f"tile {level}/{index}",
        hint="run `provenance log fsck`",
    )


def _check_place(index: int, width: int) -> None:
    check_range(index, what="tile index")
    if not 1 <= width <= TILE_WIDTH:
        raise MalformedError("tile width is out of range", expected=f"1 to {TILE_WIDTH}", got=width)
