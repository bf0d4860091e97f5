"""Tiles: golang.org/x/mod/sumdb/tlog reads what this project's log makes, and this project reads Go's.

Go's paths have the tile's height in them and c2sp.org/tlog-tiles' have not; otherwise both are the same. The layout of
entry bundles is no part of Go's package: of entries it only hashes records.
"""

from __future__ import annotations

import random
from base64 import b64decode
from pathlib import Path

import pytest

from provenance.errors import MalformedError, VerificationError
from provenance.log import (
    TilePath,
    TileReader,
    encode_tile_path,
    parse_tile_path,
    tile_width,
)
from provenance.merkle import prove_inclusion, verify_consistency, verify_inclusion
from tests.interop.peer import Peer, hashes
from tests.interop.trees import LARGE, PREFIX, changed, largest, places, write_files

SEED = 8
SIZES = (1, 2, 7, 70, *LARGE)


def test_paths_of_tiles_at_any_place(go: Peer) -> None:
    chance = random.Random(SEED)
    indexes = [0, 1, 999, 1_000, 1_001, 999_999, 1_000_000, 123_456_789, 2**63 - 1]
    indexes += [chance.randrange(2 ** chance.randrange(1, 63)) for _ in range(200)]
    for index in indexes:
        level, width = chance.randrange(64), chance.choice((1, 9, 10, 255, 256, 256))
        path = encode_tile_path(TilePath(level, index, width))
        assert f"/{go.ask('tile-path', level=level, index=index, width=width)}" == path
        assert go.ask("parse-path", path=path[1:]) == {"level": level, "index": index, "width": width}
        assert parse_tile_path(path) == TilePath(level, index, width)


def test_paths_that_are_none(go: Peer) -> None:
    for bad in (
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/000/",
        "tile/0//000",
        "tile/00/000",
        "tile/-1/000",
        "tile/x/000",
        "tile/0/x000/001",
        "tile/0/001/234",
        "tile/0/x001/x234",
        "tile/0/x1/234",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/-1",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.q/1",
        "tile/0/x001.p/234",
    ):
        assert not go.accepts("parse-path", path=bad), bad
        with pytest.raises(MalformedError):
            parse_tile_path(f"/{bad}")


@pytest.mark.parametrize("size", SIZES)
def test_go_reads_our_tiles(go: Peer, tmp_path: Path, size: int) -> None:
    tree = largest()
    write_files(tmp_path, tree.files(size))
    found = go.ask("read-tiles", tree="ours", folder=tmp_path, size=size, root=tree.root(size))
    assert b64decode(found) == tree.root(size)
    indexes = places(size, SEED)
    assert hashes(go.ask("record-hashes", tree="ours", indexes=indexes)) == [tree.leaves[at] for at in indexes]
    for index in indexes:
        proof = hashes(go.ask("prove-record", tree="ours", size=size, index=index))
        verify_inclusion(tree.leaves[index], index, size, proof, tree.root(size))
        proof = hashes(go.ask("prove-tree", tree="ours", size=size, old=index + 1))
        verify_consistency(index + 1, size, tree.root(index + 1), tree.root(size), proof)


@pytest.mark.parametrize("size", [70, 258, 65_537])
def test_go_refuses_our_tiles_with_one_byte_changed(go: Peer, tmp_path: Path, size: int) -> None:
    chance, tree = random.Random(SEED), largest()
    files = tree.files(size)
    write_files(tmp_path, files)
    for path in chance.sample(sorted(files), min(len(files), 12)):
        at = tmp_path / path.removeprefix("/")
        tile = parse_tile_path(path)
        assert isinstance(tile, TilePath)
        indexes = [tile.index * 256 * 256**tile.level]
        at.write_bytes(changed(files[path], chance))
        read = {"tree": "bad", "folder": tmp_path, "size": size, "root": tree.root(size)}
        assert not (go.accepts("read-tiles", **read) and go.accepts("record-hashes", tree="bad", indexes=indexes)), path
        at.write_bytes(files[path][:-32])
        assert not (go.accepts("read-tiles", **read) and go.accepts("record-hashes", tree="bad", indexes=indexes)), path
        at.write_bytes(files[path])
        assert go.accepts("read-tiles", **read) and go.accepts("record-hashes", tree="bad", indexes=indexes)
    wrong = changed(tree.root(size), chance)
    assert not go.accepts("read-tiles", tree="bad", folder=tmp_path, size=size, root=wrong)


@pytest.mark.parametrize("size", SIZES)
def test_we_read_the_tiles_of_go(go: Peer, tmp_path: Path, size: int) -> None:
    tree = largest()
    go.ask("grow", tree=f"tiles {size}", prefix=PREFIX, size=size)
    assert go.ask("write-tiles", tree=f"tiles {size}", size=size, folder=tmp_path) == len(tree.files(size))
    files = {f"/{file.relative_to(tmp_path)}": file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert files == tree.files(size)
    assert {encode_tile_path(parse_tile_path(path)) for path in files} == set(files)

    def read_tile(level: int, index: int) -> bytes:
        return files[encode_tile_path(TilePath(level, index, tile_width(level, index, size)))]

    reader = TileReader(read_tile, size)
    root = b64decode(go.ask("root", tree=f"tiles {size}", size=size))
    assert reader.root_at(size) == root
    for index in places(size, SEED):
        verify_inclusion(tree.leaves[index], index, size, prove_inclusion(index, size, reader.read), root)


@pytest.mark.parametrize("size", [70, 258])
def test_we_refuse_the_tiles_of_go_with_one_byte_changed(go: Peer, tmp_path: Path, size: int) -> None:
    chance = random.Random(SEED)
    root = b64decode(go.ask("grow", tree=f"bad {size}", prefix=PREFIX, size=size))
    go.ask("write-tiles", tree=f"bad {size}", size=size, folder=tmp_path)
    for file in sorted(one for one in tmp_path.rglob("*") if one.is_file()):
        good = file.read_bytes()
        at = chance.randrange(len(good))
        file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        path = parse_tile_path(f"/{file.relative_to(tmp_path)}")
        assert isinstance(path, TilePath)
        index = min(size - 1, (path.index * 256 + at // 32) * 256**path.level)
        with pytest.raises(VerificationError):
            _proven(tmp_path, size, index, root)
        file.write_bytes(good)
        _proven(tmp_path, size, index, root)


def _proven(folder: Path, size: int, index: int, root: bytes) -> None:
    """A reader that trusts the signed root alone: the tree has this root, and the leaf in the tile is in it."""

    def read_tile(level: int, number: int) -> bytes:
        path = encode_tile_path(TilePath(level, number, tile_width(level, number, size)))
        return (folder / path.removeprefix("/")).read_bytes()

    reader = TileReader(read_tile, size)
    if reader.root_at(size) != root:
        raise VerificationError("tiles are of another tree")
    verify_inclusion(reader.read(0, index), index, size, prove_inclusion(index, size, reader.read), root)
