"""Tile paths, widths and entry bundles: the examples of c2sp.org/tlog-tiles, and strictness."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_ENTRY_BYTES, MAX_UINT64
from provenance.log.tile import (
    EntriesPath,
    TilePath,
    encode_entries,
    encode_tile_path,
    parse_entries,
    parse_tile_path,
    tile_paths,
    tile_width,
)

PATHS: dict[str, TilePath | EntriesPath] = {
    "/tile/0/000": TilePath(0, 0),
    "/tile/0/999": TilePath(0, 999),
    "/tile/0/x001/000": TilePath(0, 1000),
    "/tile/0/x001/x234/067": TilePath(0, 1_234_067),
    "/tile/63/000.p/1": TilePath(63, 0, 1),
    "/tile/1/000.p/17": TilePath(1, 0, 17),
    "/tile/10/005.p/255": TilePath(10, 5, 255),
    "/tile/7/x018/x446/x744/x073/x709/x551/615": TilePath(7, MAX_UINT64),
    "/tile/entries/000": EntriesPath(0),
    "/tile/entries/x001/x234/067.p/8": EntriesPath(1_234_067, 8),
    "/tile/entries/x018/x446/x744/x073/x709/x551/615.p/255": EntriesPath(MAX_UINT64, 255),
}


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_parsed_and_encoded(path: str) -> None:
    assert parse_tile_path(path) == PATHS[path]
    assert encode_tile_path(PATHS[path]) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/tile",
        "/tile/",
        "/tile/0",
        "/tile/0/",
        "tile/0/000",
        "//tile/0/000",
        "/tile//0/000",
        "/tile/0/000/",
        "/tile/0/000\n",
        "/tile/0/000 ",
        "/tile/0/0",
        "/tile/0/00",
        "/tile/0/0000",
        "/tile/0/x000",
        "/tile/0/x000/000",
        "/tile/0/x000/001",
        "/tile/0/x000/x001/001",
        "/tile/0/001/001",
        "/tile/0/001/x001",
        "/tile/0/x01/001",
        "/tile/0/X001/001",
        "/tile/00/000",
        "/tile/01/000",
        "/tile/64/000",
        "/tile/100/000",
        "/tile/-1/000",
        "/tile/+1/000",
        "/tile/data/000",
        "/tile/Entries/000",
        "/tile/entries",
        "/tile/entries/",
        "/tile/0/entries/000",
        "/tile/0/000.p",
        "/tile/0/000.p/",
        "/tile/0/000.p/0",
        "/tile/0/000.p/00",
        "/tile/0/000.p/01",
        "/tile/0/000.p/001",
        "/tile/0/000.p/256",
        "/tile/0/000.p/999",
        "/tile/0/000.p/1000",
        "/tile/0/000.p/-1",
        "/tile/0/000.p/1/",
        "/tile/0/000.P/1",
        "/tile/0/000/.p/1",
        "/tile/0/../000",
        "/tile/0/%30%30%30",
        "/tile/0/\u0660\u0660\u0660",
        "/tile/\u0661/000",
        "/tile/0/x018/x446/x744/x073/x709/x551/616",  # 2**64
        "/tile/0/x999/x999/x999/x999/x999/x999/999",
        "/tile/0/x001/x018/x446/x744/x073/x709/x551/615",
        "/tile/0/" + "x000/" * 10_000 + "000",
    ],
)
def test_other_paths_are_rejected(path: str) -> None:
    with pytest.raises(MalformedError):
        parse_tile_path(path)


@pytest.mark.parametrize(("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**64, 1), (0, 0, 0)])
def test_values_that_have_no_path_are_refused(level: int, index: int, width: int) -> None:
    with pytest.raises(MalformedError):
        TilePath(level, index, width)


def test_widths_above_a_full_tile_are_refused() -> None:
    for refused in (lambda: TilePath(0, 0, 257), lambda: EntriesPath(0, 257), lambda: EntriesPath(2**64)):
        with pytest.raises(MalformedError):
            refused()


def test_the_tree_of_70_000_has_the_tiles_of_the_specification() -> None:
    tiles = list(tile_paths(70_000))
    assert sum(1 for tile in tiles if tile.level == 0 and tile.width == 256) == 273
    assert [tile for tile in tiles if tile.width < 256] == [
        TilePath(0, 273, 112),
        TilePath(1, 1, 17),
        TilePath(2, 0, 1),
    ]
    assert TilePath(1, 0, 256) in tiles and len(tiles) == 273 + 1 + 3
    assert list(tile_paths(256)) == [TilePath(0, 0, 256), TilePath(1, 0, 1)]
    assert list(tile_paths(0)) == []


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000])
def test_widths_are_floor_size_by_256_to_the_level_modulo_256(size: int) -> None:
    for level in range(9):
        hashes = size // 256**level
        last = hashes // 256
        assert tile_width(level, last, size) == hashes % 256
        assert tile_width(level, last + 1, size) == 0
        assert last == 0 or tile_width(level, last - 1, size) == 256


def test_the_largest_tree_has_no_full_tile_at_level_seven() -> None:
    assert [tile_width(level, 0, MAX_UINT64) for level in (6, 7, 8, 63)] == [256, 255, 0, 0]
    with pytest.raises(MalformedError):
        tile_width(0, 0, MAX_UINT64 + 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 80_000), st.integers(0, 3_000))
def test_since_leaves_out_the_tiles_that_did_not_change(since: int, more: int) -> None:
    size = since + more
    before = set(tile_paths(since))
    assert list(tile_paths(size, since=since)) == [tile for tile in tile_paths(size) if tile not in before]


def test_since_is_not_above_size() -> None:
    with pytest.raises(MalformedError):
        list(tile_paths(5, since=6))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 63), st.integers(0, MAX_UINT64), st.integers(1, 256), st.booleans())
def test_every_path_round_trips(level: int, index: int, width: int, entries: bool) -> None:
    path = EntriesPath(index, width) if entries else TilePath(level, index, width)
    assert parse_tile_path(encode_tile_path(path)) == path


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="/tilenrsx0123456789.p", max_size=30).map("/tile/".__add__))
def test_any_text_is_refused_in_the_error_tree_or_re_encodes(path: str) -> None:
    try:
        found = parse_tile_path(path)
    except MalformedError:
        return
    assert encode_tile_path(found) == path


def test_bundles_are_length_prefixed_entries() -> None:
    assert encode_entries([b"a", b"bc"]) == b"\x00\x01a\x00\x02bc"
    assert parse_entries(b"\x00\x01a\x00\x02bc", width=2) == (b"a", b"bc")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=256))
def test_bundles_round_trip_and_every_truncation_is_rejected(entries: list[bytes]) -> None:
    data = encode_entries(entries)
    assert parse_entries(data, width=len(entries)) == tuple(entries)
    for cut in {0, 1, len(data) // 2, len(data) - 1}:
        with pytest.raises(MalformedError):
            parse_entries(data[:cut], width=len(entries))
    for width in {len(entries) - 1, len(entries) + 1}:
        with pytest.raises(MalformedError):
            parse_entries(data, width=width)


def test_bundles_of_the_largest_entries_round_trip() -> None:
    entries = (b"x" * MAX_ENTRY_BYTES,) * 256
    assert parse_entries(encode_entries(entries), width=256) == entries


def test_entries_and_bundles_outside_the_limits_are_refused() -> None:
    for entries in ([], [b""], [b"a", b""], [b"a"] * 257, [b"x" * (MAX_ENTRY_BYTES + 1)]):
        with pytest.raises(MalformedError):
            encode_entries(entries)
    for data, width in ((b"", 0), (b"\x00\x00", 1), (b"\x00\x01a\x00", 1), (b"\x00\x01a\x00", 2), (b"\x00", 1)):
        with pytest.raises(MalformedError):
            parse_entries(data, width=width)
    with pytest.raises(LimitError):
        parse_entries(bytes(2 * (MAX_ENTRY_BYTES + 2)), width=1)
