"""Trees of this project, made as a log makes them: `integrate` into tiles, proofs out of tiles.

Record i of a tree is its prefix followed by i in decimal, as the Go program makes them too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from provenance.log import TilePath, TileReader, encode_tile_path, entry_leaf, integrate, tile_paths
from provenance.merkle import prove_consistency, prove_inclusion

SMALL = range(1, 71)
LARGE = (255, 256, 257, 258, 65_535, 65_536, 65_537)
SIZES = (*SMALL, *LARGE)
PREFIX = "record "


class Tree:
    """The tree of the first `size` records."""

    def __init__(self, size: int, prefix: str = PREFIX) -> None:
        self.size = size
        self.leaves = [entry_leaf(f"{prefix}{number}".encode()) for number in range(size)]
        self.tiles = dict(integrate(lambda level, index: b"", 0, self.leaves).tiles)
        self._reader = TileReader(lambda level, index: self.tiles.get((level, index), b""), size)

    def root(self, size: int) -> bytes:
        """The root of its first records."""
        return self._reader.root_at(size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof of a record in the tree of its first records."""
        return prove_inclusion(index, size, self._reader.read)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The proof from one size to another."""
        return prove_consistency(old, size, self._reader.read)

    def files(self, size: int) -> dict[str, bytes]:
        """Every tile of the tree of its first records, by its path."""
        return {encode_tile_path(path): self._tile(path) for path in tile_paths(size)}

    def _tile(self, path: TilePath) -> bytes:
        return self.tiles[path.level, path.index][: path.width * 32]


@cache
def largest() -> Tree:
    """One tree that holds all of `SIZES`."""
    return Tree(max(SIZES))


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write tiles where their paths say."""
    for path, data in files.items():
        place = folder / path.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def places(size: int, seed: int) -> list[int]:
    """Indexes of records to prove: all of a small tree; the edges and a dozen others of a large one."""
    if size in SMALL:
        return list(range(size))
    chosen = random.Random(f"{seed} {size}").sample(range(size), 12)
    return sorted({0, 1, size // 2, size - 2, size - 1, *chosen})


def changed(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one of them changed."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]


def changed_proofs(proof: list[bytes], chance: random.Random) -> Iterator[list[bytes]]:
    """The proof with one byte of one hash changed, with a hash less, and with a hash more."""
    if proof:
        at = chance.randrange(len(proof))
        yield [*proof[:at], changed(proof[at], chance), *proof[at + 1 :]]
        yield proof[:-1]
    yield [*proof, bytes(32)]
