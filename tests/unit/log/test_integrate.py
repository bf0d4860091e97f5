"""Integration and the tile reader against naive oracles written from the specifications, and against pymerkle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

import provenance.log.tile as tile_module
import provenance.log.tile_nodes as tile_nodes
from provenance.errors import MalformedError, StoreError, VerificationError
from provenance.limits import MAX_UINT64
from provenance.log import Integration, TileReader, entry_leaf, integrate, tile_paths, tile_width
from provenance.log.tile import EdgeNodes, integrate_hashes
from provenance.merkle import (
    EMPTY_ROOT,
    fold_pairs,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from provenance.merkle.tier import HashTier

LEAVES = [leaf_hash(b"entry %d" % number) for number in range(70_000)]


class Tiles:
    """Tiles as a store keeps them: bytes that only grow. Counts what is read."""

    def __init__(self) -> None:
        self.data: dict[tuple[int, int], bytes] = {}
        self.reads: list[tuple[int, int]] = []
        self.size = 0

    def read(self, level: int, index: int) -> bytes:
        self.reads.append((level, index))
        return self.data.get((level, index), b"")

    def grow(self, leaves: Sequence[bytes]) -> Integration:
        grown = integrate(self.read, self.size, leaves)
        for place, data in grown.tiles.items():
            old = self.data.get(place, b"")
            assert data.startswith(old) and len(data) > len(old), "a tile only grows, and only changed tiles are given"
            self.data[place] = data
        self.size = grown.size
        return grown


def grown_to(size: int) -> Tiles:
    tiles = Tiles()
    tiles.grow(LEAVES[:size])
    return tiles


def naive_tiles(leaves: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """Word for word: tile n at level l is MTH(D[(256 n + i) 256^l : (256 n + i + 1) 256^l]) for i in 0 to 255."""
    tiles: dict[tuple[int, int], bytes] = {}
    level = 0
    while len(leaves) // 256**level:
        step = 256**level
        hashes = [root_of(leaves[at : at + step]) for at in range(0, len(leaves) // step * step, step)]
        for index in range(0, len(hashes), 256):
            tiles[level, index // 256] = b"".join(hashes[index : index + 256])
        level += 1
    return tiles


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 9162 2.1.3.1, word for word, over leaf hashes."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*naive_path(index, leaves[:split]), root_of(leaves[split:])]
    return [*naive_path(index - split, leaves[split:]), root_of(leaves[:split])]


def naive_consistency(size: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """RFC 9162 2.1.4.1, word for word, over leaf hashes."""
    if size == len(leaves):
        return [] if whole else [root_of(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if size <= split:
        return [*naive_consistency(size, leaves[:split], whole), root_of(leaves[split:])]
    return [*naive_consistency(size - split, leaves[split:], False), root_of(leaves[:split])]


def test_every_size_to_600_one_leaf_at_a_time() -> None:
    tiles = Tiles()
    for size in range(1, 601):
        grown = tiles.grow([LEAVES[size - 1]])
        assert (grown.size, grown.root) == (size, root_of(LEAVES[:size]))
        if size % 50 == 0 or size in {255, 256, 257, 511, 512, 513}:
            assert tiles.data == naive_tiles(LEAVES[:size])


def test_every_size_to_600_at_once_has_the_same_tiles() -> None:
    for size in range(601):
        grown = integrate(Tiles().read, 0, LEAVES[:size])
        assert grown.root == root_of(LEAVES[:size])
        assert {place: len(data) // 32 for place, data in grown.tiles.items()} == {
            (path.level, path.index): path.width for path in tile_paths(size)
        }


def test_random_batches_to_70_000() -> None:
    chance = random.Random(9162)
    tiles = Tiles()
    while tiles.size < len(LEAVES):
        before = tiles.size
        batch = LEAVES[before : before + chance.choice([0, 1, 2, 255, 256, 257, chance.randrange(9_000)])]
        grown = tiles.grow(batch)
        assert grown.root == root_of(LEAVES[: tiles.size])
        assert list(grown.tiles) == [(path.level, path.index) for path in tile_paths(tiles.size, since=before)]
    assert tiles.data == naive_tiles(LEAVES)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=6))
def test_batches_do_not_matter(batches: list[int]) -> None:
    tiles = Tiles()
    for count in batches:
        tiles.grow(LEAVES[tiles.size : tiles.size + count])
    assert tiles.data == grown_to(sum(batches)).data
    assert integrate(tiles.read, tiles.size, []).root == root_of(LEAVES[: tiles.size])


class Kept(Tiles):
    """As a sequencer integrates: with what was hashed before."""

    def __init__(self, tier: HashTier) -> None:
        super().__init__()
        self.nodes = EdgeNodes(tier)

    def grow(self, leaves: Sequence[bytes]) -> Integration:
        before = TileReader(self.read, self.size, nodes=self.nodes).root_at(self.size)
        assert before == TileReader(self.read, self.size).root_at(self.size)
        grown = integrate_hashes(self.read, self.size, b"".join(leaves), self.nodes)
        self.data |= grown.tiles
        self.size = grown.size
        return grown


@pytest.mark.parametrize("tier", HashTier)
@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_of_earlier_integrations_changes_nothing(tier: HashTier, seed: int) -> None:
    chance = random.Random(seed)
    tiles = Kept(tier)
    while tiles.size < 3_000 if seed else tiles.size < len(LEAVES):
        count = chance.choice([1, 2, 100, 255, 256, 257, chance.randrange(1_500)]) if seed else chance.randrange(9_000)
        grown = tiles.grow(LEAVES[tiles.size : tiles.size + count])
        assert grown.root == root_of(LEAVES[: tiles.size])
    assert tiles.data == naive_tiles(LEAVES[: tiles.size])


def test_what_is_kept_of_another_tree_is_not_taken() -> None:
    """Tiles decide: of another log of the same size, of one that went back, of a tile with one hash changed."""
    others = [leaf_hash(b"other %d" % number) for number in range(1_000)]
    changed = [*LEAVES[:290], others[0], *LEAVES[291:300]]
    tiles = Kept(HashTier.HASHLIB)
    tiles.grow(LEAVES[:300])
    for leaves in (
        others[:300],
        LEAVES[:300],
        changed,
        LEAVES[:280],
        [*LEAVES[:5], *others[:295]],
        LEAVES[: 5 * 256],
        others[:5],
    ):
        tiles.data, tiles.size = dict(integrate(Tiles().read, 0, leaves).tiles), len(leaves)
        assert tiles.grow(LEAVES[500:517]).root == root_of([*leaves, *LEAVES[500:517]])


def test_little_is_hashed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """About a node an entry, however small the batches."""
    hashed = 0

    def count(hashes: bytes, *, tier: HashTier) -> bytes:
        nonlocal hashed
        hashed += len(hashes) // 64
        return fold_pairs(hashes, tier=tier)

    monkeypatch.setattr(tile_nodes, "fold_pairs", count)
    tiles = Kept(HashTier.HASHLIB)
    for size in range(0, 10_000, 20):
        grown = integrate_hashes(tiles.read, size, b"".join(LEAVES[size : size + 20]), tiles.nodes)
        tiles.data |= grown.tiles
        TileReader(tiles.read, size + 20, nodes=tiles.nodes).root_at(size + 20)
    assert hashed < 10_000


def test_integration_reads_only_the_right_edge_and_hashes_little(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = grown_to(69_999)
    hashed = 0

    def count(hashes: bytes, *, tier: HashTier) -> bytes:
        nonlocal hashed
        hashed += len(hashes) // 64
        return fold_pairs(hashes, tier=tier)

    monkeypatch.setattr(tile_nodes, "fold_pairs", count)
    grown = tiles.grow(LEAVES[69_999:])
    assert grown.root == root_of(LEAVES)
    assert set(tiles.reads) <= {(0, 273), (1, 1), (2, 0)} and len(tiles.reads) == len(set(tiles.reads))
    assert list(grown.tiles) == [(0, 273)]
    assert hashed < 3 * 256


def test_nothing_integrated_changes_nothing() -> None:
    assert integrate(Tiles().read, 0, []) == Integration(0, EMPTY_ROOT, {})
    tiles = grown_to(300)
    assert integrate(tiles.read, 300, []) == Integration(300, root_of(LEAVES[:300]), {})


@pytest.mark.parametrize("stored", [b"", b"\x00" * 31, b"\x00" * 32 * 43, b"\x00" * 32 * 45, b"\x00" * (32 * 44 - 1)])
def test_a_damaged_right_edge_is_a_store_error(stored: bytes) -> None:
    tiles = grown_to(300)
    tiles.data[0, 1] = stored
    for leaves in ([], LEAVES[300:301], LEAVES[300:900]):
        with pytest.raises(StoreError, match="tile 0/1"):
            integrate(tiles.read, 300, leaves)


def test_sizes_and_leaf_hashes_are_checked() -> None:
    for size, leaves in ((-1, []), (MAX_UINT64 + 1, []), (MAX_UINT64, [LEAVES[0]]), (0, [b"x" * 31]), (0, [b""])):
        with pytest.raises(MalformedError):
            integrate(Tiles().read, size, leaves)


def test_the_largest_trees_integrate() -> None:
    """A store that answers every hash with zeros: sizes near 2**64 take eight levels and no shortcuts."""
    size = MAX_UINT64 - 300

    def zeros(level: int, index: int) -> bytes:
        return bytes(32 * tile_width(level, index, size))

    grown = integrate(zeros, size, LEAVES[:300])
    assert grown.size == MAX_UINT64
    assert {level for level, _ in grown.tiles} == {0, 1}
    assert len(grown.tiles[1, (size >> 8) // 256]) == 32 * 255


def test_roots_at_every_size_of_a_smaller_tree() -> None:
    reader = TileReader(grown_to(600).read, 600)
    assert [reader.root_at(size) for size in range(601)] == [root_of(LEAVES[:size]) for size in range(601)]


def test_proofs_equal_the_naive_ones_at_random_places() -> None:
    chance = random.Random(6962)
    tiles = grown_to(70_000)
    reader = TileReader(tiles.read, 70_000)
    sizes = [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 70_000, *(chance.randrange(1, 70_001) for _ in range(12))]
    for size in sizes:
        root = root_of(LEAVES[:size])
        assert reader.root_at(size) == root
        for index in {0, size - 1, chance.randrange(size)}:
            proof = prove_inclusion(index, size, reader.read)
            assert proof == naive_path(index, LEAVES[:size])
            verify_inclusion(LEAVES[index], index, size, proof, root)
        earlier = chance.randrange(1, size + 1)
        proof = prove_consistency(earlier, size, reader.read)
        assert proof == naive_consistency(earlier, LEAVES[:size])
        verify_consistency(earlier, size, root_of(LEAVES[:earlier]), root, proof)
    assert len(tiles.reads) == len(set(tiles.reads)), "a reader reads a tile once"


def test_every_pair_of_small_sizes_is_consistent() -> None:
    reader = TileReader(grown_to(64).read, 64)
    for later in range(1, 65):
        for earlier in range(1, later + 1):
            proof = prove_consistency(earlier, later, reader.read)
            assert proof == naive_consistency(earlier, LEAVES[:later])
            verify_consistency(earlier, later, root_of(LEAVES[:earlier]), root_of(LEAVES[:later]), proof)


def test_a_reader_of_a_smaller_tree_reads_the_tiles_of_a_larger_one() -> None:
    tiles = grown_to(70_000)
    for size in (1, 255, 256, 300, 65_536, 69_999):
        reader = TileReader(tiles.read, size)
        assert reader.root_at(size) == root_of(LEAVES[:size])
        with pytest.raises(MalformedError, match="outside the tree"):
            reader.read(0, size)


def test_what_is_not_in_the_tree_is_not_read() -> None:
    tiles = grown_to(300)
    reader = TileReader(tiles.read, 300)
    for level, index in ((0, 300), (0, -1), (-1, 0), (8, 1), (9, 0), (63, 0), (64, 0), (0, 2**70)):
        with pytest.raises(MalformedError):
            reader.read(level, index)
    for size in (-1, 301):
        with pytest.raises(MalformedError):
            reader.root_at(size)
    assert tiles.reads[-1:] in ([], [(0, 0)])
    assert TileReader(tiles.read, 0).root_at(0) == EMPTY_ROOT


@pytest.mark.parametrize("cut", [0, 1, 32, 32 * 43, 32 * 44 - 1, 32 * 44 + 1, 8_193, 8_192 + 32])
def test_short_ragged_and_oversized_tiles_are_store_errors(cut: int) -> None:
    tiles = grown_to(300)
    tiles.data[0, 1] = bytes(cut)
    with pytest.raises(StoreError, match="tile 0/1"):
        TileReader(tiles.read, 300).root_at(300)
    assert TileReader(tiles.read, 300).root_at(256) == root_of(LEAVES[:256])


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_module, "_MAX_CACHED_TILES", 2)
    tiles = grown_to(2_000)
    reader = TileReader(tiles.read, 2_000)
    assert [reader.read(0, index) for index in range(2_000)] == LEAVES[:2_000]
    assert reader.root_at(2_000) == root_of(LEAVES[:2_000])


def test_a_changed_tile_byte_never_gives_a_wrong_proof_that_verifies() -> None:
    tiles = grown_to(600)
    root = root_of(LEAVES[:600])
    chance = random.Random(0)
    for place, data in list(tiles.data.items()):
        for at in [0, len(data) - 1, *chance.sample(range(len(data)), 10)]:
            tiles.data[place] = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            reader = TileReader(tiles.read, 600)
            for index in (0, 255, 256, 599, min(599, at // 32)):
                leaf, proof = reader.read(0, index), prove_inclusion(index, 600, reader.read)
                if (leaf, proof) == (LEAVES[index], naive_path(index, LEAVES[:600])):
                    continue
                with pytest.raises(VerificationError):
                    verify_inclusion(leaf, index, 600, proof, root)
        tiles.data[place] = data


def test_pymerkle_finds_the_same_roots_and_leaves() -> None:
    entries = [b"entry %d" % number for number in range(700)]
    independent = InmemoryTree(algorithm="sha256")
    tiles = Tiles()
    for entry in entries:
        independent.append_entry(entry)
        grown = tiles.grow([entry_leaf(entry)])
        if grown.size % 37 == 0 or grown.size in {1, 255, 256, 257, 511, 512, 513, 700}:
            assert grown.root == cast(bytes, independent.get_root())
            assert TileReader(tiles.read, grown.size).read(0, grown.size - 1) == independent.get_leaf(grown.size)
    assert TileReader(tiles.read, 700).root_at(300) == independent.get_root(300)
