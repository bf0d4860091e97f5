"""A log as files: which there are, and the tiles that are made of leaf hashes as they come."""

from __future__ import annotations

import pytest

from provenance.errors import MalformedError
from provenance.log import EntriesPath, TilePath, encode_tile_path
from provenance.log.static import TileBuilder, cut_bundle, max_bytes_of, static_paths
from tests.simulators.hand_log import EMPTY_ROOT, HandLog, leaf, mth

ENTRIES = [b"%d" % number for number in range(70_000)]
SIZES = (0, 1, 2, 255, 256, 257, 300, 511, 512, 1_000)


def hand_files(size: int) -> dict[str, bytes]:
    files = HandLog().files(ENTRIES[:size])
    del files["checkpoint"]
    return files


@pytest.mark.parametrize("size", [*SIZES, 70_000])
def test_the_files_of_a_size_are_those_that_the_text_names(size: int) -> None:
    assert [encode_tile_path(path)[1:] for path in static_paths(size)] == sorted(
        hand_files(size), key=[encode_tile_path(path)[1:] for path in static_paths(size)].index
    )


@pytest.mark.parametrize("since", SIZES)
def test_what_is_new_and_what_was_there_are_all(since: int) -> None:
    before = {encode_tile_path(path) for path in static_paths(since)}
    new = {encode_tile_path(path) for path in static_paths(1_000, since=since)}
    assert not before & new
    assert new | before >= {encode_tile_path(path) for path in static_paths(1_000)}
    assert new <= {encode_tile_path(path) for path in static_paths(1_000)}


def test_the_example_of_the_text_has_its_tiles() -> None:
    paths = [encode_tile_path(path) for path in static_paths(70_000)]
    for path in ("/tile/0/272", "/tile/0/273.p/112", "/tile/1/000", "/tile/1/001.p/17", "/tile/2/000.p/1"):
        assert path in paths
    assert sum(path.startswith("/tile/0/") for path in paths) == 274
    assert not any(path.startswith("/tile/3/") for path in paths)


@pytest.mark.parametrize("step", [1, 7, 256, 300])
def test_the_builder_makes_every_tile_once(step: int) -> None:
    builder, found, size = TileBuilder(), {}, 1_000
    for at in range(0, size, step):
        for path, data in builder.append([leaf(entry) for entry in ENTRIES[at : min(at + step, size)]]):
            assert path not in found and path.width == 256
            found[path] = data
    found.update(builder.partial())
    tiles = {name: data for name, data in hand_files(size).items() if not name.startswith("tile/entries")}
    assert {encode_tile_path(path)[1:]: data for path, data in found.items()} == tiles


@pytest.mark.parametrize("size", SIZES)
def test_a_builder_goes_on_where_another_ended(size: int) -> None:
    first, whole = TileBuilder(), TileBuilder()
    leaves = [leaf(entry) for entry in ENTRIES[:1_000]]
    first.append(leaves[:size])
    second = TileBuilder(size, first.row)
    assert second.size == size
    second.append(leaves[size:])
    whole.append(leaves)
    assert second.partial() == whole.partial()


def test_a_builder_refuses_a_row_that_is_short() -> None:
    with pytest.raises(MalformedError, match="short"):
        TileBuilder(3, lambda level, index: b"\x00" * 64)


def test_a_bundle_is_cut_to_its_first_entries() -> None:
    files = hand_files(256)
    for width in (1, 2, 255, 256):
        assert (
            cut_bundle(files["tile/entries/000"], width)
            == HandLog().files(ENTRIES[:width])["tile/entries/000" + (f".p/{width}" if width < 256 else "")]
        )
    for data in (b"", b"\x00", b"\x00\x02a", files["tile/entries/000"][:-1]):
        with pytest.raises(MalformedError, match="cut"):
            cut_bundle(data, 256)


def test_sizes_of_files_are_bounded() -> None:
    assert max_bytes_of(TilePath(0, 0)) == 8_192
    assert max_bytes_of(TilePath(0, 0, 3)) == 96
    assert max_bytes_of(EntriesPath(0)) == 256 * 65_537
    assert max_bytes_of(EntriesPath(0, 2)) == 2 * 65_537


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 511, 513, 700])
def test_the_log_written_by_hand_has_the_root_of_the_text(size: int) -> None:
    note = HandLog().files(ENTRIES[:size])["checkpoint"]
    root = mth([leaf(entry) for entry in ENTRIES[:size]]) if size else EMPTY_ROOT
    assert HandLog().sign(size, root) == note
