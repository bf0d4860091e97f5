"""RLP against the `rlp` package, and against everything an attacker can put into lengths."""

from __future__ import annotations

import contextlib
import time

import pytest
import rlp as canonical
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provenance.anchor import rlp
from provenance.anchor.rlp import MAX_RLP_DEPTH, RlpItem
from provenance.errors import LimitError, MalformedError

MAX = 2**20

items = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6).map(tuple), max_leaves=40)


def parse(data: bytes) -> RlpItem:
    return rlp.parse(data, what="item", max_bytes=MAX)


def as_lists(item: RlpItem) -> object:
    return item if isinstance(item, bytes) else [as_lists(child) for child in item]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (b"", "80"),
        (b"\x00", "00"),
        (b"\x7f", "7f"),
        (b"\x80", "8180"),
        (b"dog", "83646f67"),
        ((), "c0"),
        ((b"cat", b"dog"), "c88363617483646f67"),
        ((b"cat", (b"dog", b"")), "ca83636174c583646f6780"),
        (((), ((),), ((), ((),))), "c7c0c1c0c3c0c1c0"),
        (b"\x04\x00", "820400"),
        (b"a" * 55, "b7" + "61" * 55),
        (b"a" * 56, "b838" + "61" * 56),
        ((b"a",) * 55, "f7" + "61" * 55),
        ((b"a",) * 56, "f838" + "61" * 56),
        (b"a" * 1024, "b90400" + "61" * 1024),
    ],
)
def test_published_examples(item: RlpItem, text: str) -> None:
    assert rlp.encode(item).hex() == text
    assert parse(bytes.fromhex(text)) == item


@given(items)
@settings(deadline=None)
def test_it_encodes_as_the_rlp_package_does_and_reads_it_back(item: RlpItem) -> None:
    with contextlib.suppress(LimitError):
        data = rlp.encode(item)
        assert data == canonical.encode(as_lists(item))
        assert parse(data) == item


@given(st.binary(max_size=120))
@example(b"\xb8\x00")
@example(b"\xbf" + b"\xff" * 8)
@example(b"\xf8\x01\x80")
@settings(max_examples=500, deadline=None)
def test_it_accepts_exactly_what_the_rlp_package_accepts(data: bytes) -> None:
    _compare_verdicts(data)


@given(items, st.data())
@settings(max_examples=300, deadline=None)
def test_it_judges_damaged_items_as_the_rlp_package_does(item: RlpItem, data: st.DataObject) -> None:
    encoded = bytearray(canonical.encode(as_lists(item)))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    _compare_verdicts(bytes(encoded))


def _compare_verdicts(data: bytes) -> None:
    try:
        expected = canonical.decode(data, strict=True)
    except canonical.exceptions.DecodingError:
        with pytest.raises(MalformedError):
            parse(data)
        return
    try:
        found = parse(data)
    except LimitError:
        return
    assert as_lists(found) == _plain(expected)
    assert rlp.encode(found) == data


def _plain(value: object) -> object:
    return [_plain(child) for child in value] if isinstance(value, list | tuple) else value


@given(items)
@settings(deadline=None)
def test_every_truncation_and_every_added_byte_is_refused(item: RlpItem) -> None:
    data = canonical.encode(as_lists(item))
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            parse(data[:length])
    for tail in (b"\x00", b"\x80", b"\xc0", data):
        with pytest.raises(MalformedError):
            parse(data + tail)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nothing", ""),
        ("a byte below 128 as a string", "8100"),
        ("the largest byte that is its own encoding, as a string", "817f"),
        ("a short string with a long length", "b801" + "61"),
        ("55 bytes with a long length", "b837" + "61" * 55),
        ("a short list with a long length", "f800"),
        ("55 bytes of list with a long length", "f837" + "61" * 55),
        ("a length with a leading zero", "b90038" + "61" * 56),
        ("a list length with a leading zero", "f90038" + "61" * 56),
        ("a length of which bytes are missing", "b9"),
        ("a length of which one byte is missing", "b901"),
        ("a string beyond the end", "8261"),
        ("a list beyond the end", "c2c0"),
        ("an item that leaves its list", "c28261"),
        ("an item that takes its list's neighbour", "c3c18261"),
        ("a length of 2**64 - 1", "bf" + "ff" * 8),
        ("a list length of 2**64 - 1", "ff" + "ff" * 8),
        ("two items", "8080"),
    ],
)
def test_what_is_not_canonical(name: str, text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse(bytes.fromhex(text))
    assert not isinstance(caught.value, LimitError), name


def _nested(levels: int) -> bytes:
    data = b"\xc0"
    for _ in range(levels - 1):
        data = canonical.codec.length_prefix(len(data), 192) + data
    return data


def test_depth_is_limited() -> None:
    assert parse(_nested(MAX_RLP_DEPTH))
    with pytest.raises(LimitError, match="nested too deeply"):
        parse(_nested(MAX_RLP_DEPTH + 1))


@pytest.mark.parametrize("levels", [1_000, 20_000])
def test_depth_bombs_end_in_a_limit_error(levels: int) -> None:
    with pytest.raises(LimitError, match="nested too deeply"):
        parse(_nested(levels))


def test_a_list_that_claims_to_hold_itself_is_a_limit_error() -> None:
    with pytest.raises(MalformedError):
        parse(b"\xc1" * 100_000)


def test_deep_items_are_not_encoded() -> None:
    item: RlpItem = ()
    for _ in range(10_000):
        item = (item,)
    with pytest.raises(LimitError):
        rlp.encode(item)


@pytest.mark.parametrize("item", [None, 5, "text", [b""], (b"", None), ((5,),)])
def test_only_bytes_and_tuples_are_items(item: object) -> None:
    with pytest.raises(MalformedError):
        rlp.encode(item)  # type: ignore[arg-type]


def test_size_is_limited_before_anything_is_read() -> None:
    with pytest.raises(LimitError, match="at most 10 bytes"):
        rlp.parse(b"\xff" * 11, what="item", max_bytes=10)


def test_many_small_items_take_linear_time() -> None:
    data = canonical.codec.length_prefix(200_000, 192) + b"\xc0" * 200_000
    start = time.process_time()
    assert len(rlp.parse_list(data, what="item", max_bytes=MAX)) == 200_000
    assert time.process_time() - start < 5


@given(st.integers(0, 2**80))
@settings(deadline=None)
def test_integers_round_trip(value: int) -> None:
    data = rlp.encode_uint(value)
    assert data == canonical.sedes.big_endian_int.serialize(value)
    assert rlp.as_uint(data, what="value", maximum=2**80) == value


@pytest.mark.parametrize("data", [b"\0", b"\0\1", b"\0" * 9])
def test_integers_have_no_leading_zeros(data: bytes) -> None:
    with pytest.raises(MalformedError, match="leading zeros"):
        rlp.as_uint(data, what="value")


def test_integers_are_limited() -> None:
    assert rlp.as_uint(b"\xff" * 8, what="value") == 2**64 - 1
    for data in (b"\1" + bytes(8), b"\xff" * 100_000):
        with pytest.raises(MalformedError, match="out of range") as caught:
            rlp.as_uint(data, what="value")
        assert len(str(caught.value)) < 400
    with pytest.raises(MalformedError):
        rlp.as_uint(b"\5", what="value", maximum=4)
    with pytest.raises(MalformedError):
        rlp.encode_uint(-1)


def test_kinds_are_checked() -> None:
    with pytest.raises(MalformedError, match="not a list"):
        rlp.parse_list(b"\x80", what="value", max_bytes=MAX)
    with pytest.raises(MalformedError, match="not a byte string"):
        rlp.as_bytes((), what="value")
    with pytest.raises(MalformedError, match="not a byte string"):
        rlp.as_uint((b"",), what="value")
    with pytest.raises(MalformedError, match="wrong length"):
        rlp.as_bytes(b"abc", what="value", size=4)


def test_errors_say_what_and_where() -> None:
    with pytest.raises(MalformedError) as caught:
        rlp.parse(bytes.fromhex("c3c18261"), what="block header", max_bytes=MAX)
    assert str(caught.value) == "block header is truncated; expected 2 bytes; got 0 bytes; at byte 2"
