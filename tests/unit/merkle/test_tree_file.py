"""The header of a stored tree: round trip, every changed byte, every cut, and limits."""

from __future__ import annotations

import struct
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError
from provenance.merkle.tree_file import (
    HEADER_BYTES,
    MAX_LEAVES,
    NO_COMPANION,
    TreeLayout,
    encode_header,
    parse_header,
)

SIZES = st.integers(0, 100) | st.integers(0, MAX_LEAVES)
HASHES = st.binary(min_size=32, max_size=32)


@given(SIZES, HASHES, st.sampled_from([0, 4, 8]), HASHES)
def test_round_trip(size: int, root: bytes, width: int, checksum: bytes) -> None:
    layout = TreeLayout(size, root, width, checksum if width else NO_COMPANION)
    data = encode_header(layout)
    assert len(data) == HEADER_BYTES
    assert parse_header(data) == layout


@given(SIZES)
def test_level_arrays_lie_one_after_another_in_at_most_64_bytes_a_leaf(size: int) -> None:
    layout = TreeLayout(size, bytes(32), 8, bytes(32))
    end = HEADER_BYTES
    for level, offset in layout.offsets.items():
        assert offset == end and level not in (1, 2)
        end += 32 * (size >> level)
    assert layout.companion_offset == end
    assert layout.file_bytes == end + 8 * size <= HEADER_BYTES + 64 * size


def test_every_changed_byte_is_malformed() -> None:
    data = encode_header(TreeLayout(77, bytes(range(32)), 4, bytes(range(32, 64))))
    for place in range(HEADER_BYTES):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(MalformedError):
            parse_header(bytes(changed))


def test_every_changed_byte_under_a_right_checksum_is_malformed_or_another_tree() -> None:
    layout = TreeLayout(77, bytes(range(32)), 4, bytes(range(32, 64)))
    data = encode_header(layout)
    own_fields = {*range(16, 48), *range(1_088, 1_120)}
    for place in range(HEADER_BYTES - 32):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        changed[-32:] = sha256(changed[:-32]).digest()
        if place in own_fields:
            assert parse_header(bytes(changed)) != layout
        else:
            with pytest.raises(MalformedError):
                parse_header(bytes(changed))


def test_every_cut_and_more_bytes_are_malformed() -> None:
    data = encode_header(TreeLayout(3, bytes(32)))
    for length in range(HEADER_BYTES):
        with pytest.raises(MalformedError):
            parse_header(data[:length])
    with pytest.raises(MalformedError):
        parse_header(data + b"\0")


def test_a_size_beyond_the_limit_is_malformed() -> None:
    data = bytearray(encode_header(TreeLayout(0, bytes(32))))
    data[8:16] = struct.pack("<Q", MAX_LEAVES + 1)
    data[-32:] = sha256(data[:-32]).digest()
    with pytest.raises(MalformedError, match="too large"):
        parse_header(bytes(data))


@pytest.mark.parametrize(
    "arguments",
    [
        (-1, bytes(32)),
        (MAX_LEAVES + 1, bytes(32)),
        (1, bytes(31)),
        (1, bytes(32), 2),
        (1, bytes(32), 4, bytes(33)),
        (1, bytes(32), 0, b"\1" * 32),
    ],
)
def test_layouts_that_cannot_be_are_malformed(arguments: tuple[int, bytes, int, bytes]) -> None:
    with pytest.raises(MalformedError):
        TreeLayout(*arguments)
