"""Following a log: that it only grew since it was seen last, and that its files are those of its signed checkpoint.

Invariants: nothing is given out before it was verified against the signed root; a bundle's entries are hashed, and the
tree up to its end is shown to be a prefix of the signed tree by an RFC 9162 consistency proof out of the log's tiles,
so that no more than one bundle and the one before are in memory, with at most 1,024 tiles: it is bounded by a constant
(each bundle 16.8 MB at most, and as much for its entries; 17 MB of tiles with their inner nodes; 64 kB of the tree's
right edge), whatever the log's size.

A partial tile or bundle may be gone once the full one is there; the full one, cut, is then taken in its place.

Source: c2sp.org/tlog-tiles; RFC 9162 sections 2.1.1 and 2.1.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from provenance.errors import MalformedError, StoreError, VerificationError
from provenance.log.checkpoint import Checkpoint
from provenance.log.fault import FaultKind, LogFaultError
from provenance.log.static import StaticPath, TileBuilder, bundle_paths, cut_bundle
from provenance.log.tile import (
    TILE_HEIGHT,
    TILE_WIDTH,
    EntriesPath,
    TilePath,
    TileReader,
    encode_tile_path,
    parse_entries,
    tile_width,
)
from provenance.merkle import EMPTY_ROOT, HASH_BYTES, CompactRange, leaf_hash, prove_consistency, verify_consistency

ReadFile: TypeAlias = Callable[[StaticPath], bytes | None]
"""read(path): the file of a log at this path, bounded in size; None if the log has none there."""


@dataclass(frozen=True, slots=True)
class Head:
    """A signed checkpoint: its note, and what was read of it once its signature was verified."""

    note: bytes
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle of the signed tree. `leaves` are the entries' leaf hashes; `tiles` those that are known with it: the
    full ones, and with the last bundle the partial ones, too. `reached` is the tree up to the last full bundle."""

    path: EntriesPath
    data: bytes
    entries: tuple[bytes, ...]
    leaves: tuple[bytes, ...]
    tiles: tuple[tuple[TilePath, bytes], ...]
    reached: CompactRange

    @property
    def first(self) -> int:
        """The index of its first entry."""
        return self.path.index * TILE_WIDTH


class Follower:
    """One signed checkpoint of a log, and the log's files, none of which is trusted."""

    def __init__(self, read: ReadFile, head: Head, *, before: Head | None = None) -> None:
        """`before` is what was seen last of the same log."""
        self._read, self._head, self._before = read, head, before
        self._tree = TileReader(self._tile, head.checkpoint.size)

    def check_growth(self) -> None:
        """Return if the checkpoint extends the one before; `LogFaultError` if the log forked, went back or shows no
        tiles that prove it."""
        if self._before is None:
            return
        old, new = self._before.checkpoint, self._head.checkpoint
        if new.size < old.size:
            got = f"{new.size} entries"
            raise self._fault(FaultKind.WENT_BACK, "log went back", expected=f"at least {old.size} entries", got=got)
        root, proof = self._authentic_root(old.size)
        if root != old.root:
            what = f"log forked: it signed two trees of its first {old.size} entries"
            raise self._fault(
                FaultKind.FORKED, what, expected=old.root.hex(), got=root.hex(), root=root, proof=tuple(proof)
            )

    def bundles(self, reached: CompactRange | None = None, *, all_tiles: bool = False) -> Iterator[VerifiedBundle]:
        """The bundles after `reached`, a range from 0 to the end of a full bundle, in order, each verified.

        With `all_tiles` every tile that they give is compared with the log's, not only those that proofs need.
        `StoreError` if `reached` is not of this log's tree.
        """
        reached = CompactRange() if reached is None else reached
        builder = self._builder(reached)
        size = self._head.checkpoint.size
        for path in bundle_paths(size, since=reached.size):
            data = self._need(path)
            try:
                entries = parse_entries(data, width=path.width, allow_empty=True)
            except MalformedError as error:
                raise self._fault(FaultKind.MISMATCH, error.what, got=error.got, where=encode_tile_path(path)) from None
            leaves = tuple(leaf_hash(entry) for entry in entries)
            grown = CompactRange.of(0, reached.nodes)
            for leaf in leaves:
                grown.append(leaf)
            self._check_entries(grown, path)
            tiles = builder.append(leaves)
            if grown.size == size:
                tiles += builder.partial()
            if all_tiles:
                self._compare(tiles)
            if path.width == TILE_WIDTH:
                reached = grown
            yield VerifiedBundle(path, data, entries, leaves, tuple(tiles), reached)

    def read_range(self, size: int) -> CompactRange:
        """The range of the first `size` leaves, out of the log's tiles: as good as they are."""
        found, at = CompactRange(), 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                found.append_subtree(level, self._tree.read(level, at >> level))
                at += 1 << level
        return found

    def _check_entries(self, grown: CompactRange, path: EntriesPath) -> None:
        root, _ = self._authentic_root(grown.size)
        if grown.root() != root:
            what = "entries are not those of the signed tree"
            where = encode_tile_path(path)
            raise self._fault(FaultKind.MISMATCH, what, expected=root.hex(), got=grown.root().hex(), where=where)

    def _authentic_root(self, size: int) -> tuple[bytes, list[bytes]]:
        """The root of the first `size` leaves of the signed tree, and the proof that it is."""
        new = self._head.checkpoint
        if size == new.size or not size:
            return (new.root if size else EMPTY_ROOT), []
        root, proof = self._tree.root_at(size), prove_consistency(size, new.size, self._tree.read)
        try:
            verify_consistency(size, new.size, root, new.root, proof)
        except VerificationError as error:
            what = "tiles are not those of the signed tree"
            where = f"tree of {new.size}"
            raise self._fault(FaultKind.MISMATCH, what, expected=error.expected, got=error.got, where=where) from None
        return root, proof

    def _builder(self, reached: CompactRange) -> TileBuilder:
        if reached.size % TILE_WIDTH or reached.size > self._head.checkpoint.size:
            raise StoreError("what was kept of the log does not fit it", got=f"{reached.size} entries")
        if reached.root() != self._authentic_root(reached.size)[0]:
            raise StoreError("what was kept of the log is damaged", where=f"tree of {reached.size}")

        def row(level: int, index: int) -> bytes:
            width = tile_width(level, index, reached.size)
            first = index * TILE_WIDTH
            return b"".join(self._tree.read(level * TILE_HEIGHT, at) for at in range(first, first + width))

        builder = TileBuilder(reached.size, row)
        if TileReader(builder.row, reached.size).root_at(reached.size) != reached.root():
            raise self._fault(FaultKind.MISMATCH, "tiles are not those of the signed tree", where="right edge")
        return builder

    def _compare(self, tiles: list[tuple[TilePath, bytes]]) -> None:
        for path, expected in tiles:
            if self._need(path) != expected:
                what = "tile does not hold the hashes of its tree"
                raise self._fault(FaultKind.MISMATCH, what, where=encode_tile_path(path))

    def _tile(self, level: int, index: int) -> bytes:
        return self._need(TilePath(level, index, tile_width(level, index, self._head.checkpoint.size)))

    def _need(self, path: StaticPath) -> bytes:
        """The file at a path that the signed size implies."""
        data = self._read(path)
        if data is None and path.width < TILE_WIDTH:
            data = self._cut(path)
        if data is None:
            what = "log withholds a file of its checkpoint"
            raise self._fault(FaultKind.WITHHELD, what, where=encode_tile_path(path))
        if isinstance(path, TilePath) and len(data) != path.width * HASH_BYTES:
            expected = f"{path.width * HASH_BYTES} bytes"
            where = encode_tile_path(path)
            raise self._fault(
                FaultKind.MISMATCH, "tile has a wrong length", expected=expected, got=len(data), where=where
            )
        return data

    def _cut(self, path: StaticPath) -> bytes | None:
        if isinstance(path, TilePath):
            full = self._read(TilePath(path.level, path.index))
            return None if full is None else full[: path.width * HASH_BYTES]
        full = self._read(EntriesPath(path.index))
        try:
            return None if full is None else cut_bundle(full, path.width)
        except MalformedError as error:
            raise self._fault(FaultKind.MISMATCH, error.what, where=encode_tile_path(path)) from None

    def _fault(
        self,
        kind: FaultKind,
        what: str,
        *,
        expected: object = None,
        got: object = None,
        where: object = None,
        root: bytes | None = None,
        proof: tuple[bytes, ...] = (),
    ) -> LogFaultError:
        earlier = None if self._before is None else self._before.note
        return LogFaultError(
            kind, what, earlier=earlier, later=self._head.note, expected=expected, got=got, where=where,
            root=root, proof=proof,
        )  # fmt: skip
