"""Items of an array are the bytes that were written, and what is no such array is refused as Python's parser would."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import items_of
from provenance.errors import LimitError, MalformedError

SPACE = st.text(" \t\n\r", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only),
    VALUES, st.none() | st.integers(0, 2), st.booleans(),
)  # fmt: skip


def _items(data: bytes, **more: Any) -> list[bytes]:
    return items_of(data, **{"what": "batch", "max_bytes": 2**20, "max_items": 100, "member": "events", **more})


@given(st.lists(TEXTS, max_size=5), st.data(), st.sampled_from([None, "events", "\\u0065vents"]))
def test_every_item_is_the_bytes_it_was_written_in(texts: list[str], data: st.DataObject, name: str | None) -> None:
    def space() -> str:
        return data.draw(SPACE)

    array = "[" + space() + f"{space()},{space()}".join(texts) + space() + "]"
    if name is not None:
        array = f'{{{space()}"a":[1,{{"events":[2]}}]{space()},"{name}"{space()}:{space()}{array}{space()},"z":{{}}}}'
    whole = (space() + array + space()).encode("utf-8", "surrogatepass")
    assert _items(whole) == [text.encode() for text in texts]


def test_numbers_and_escapes_stay() -> None:
    raws = [
        b'{"x":123456789012345678901234567890.123456789}',
        b'{"y":"\\u00e9","y" : 1.10}',
        "é".encode().join([b'"'] * 2),
    ]
    assert _items(b"[" + b" ,\n".join(raws) + b"]") == raws


@given(st.text('[]{}",:\\1 aevnts-', max_size=24))
def test_what_is_taken_is_what_python_takes(text: str) -> None:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    value = value.get("events") if isinstance(value, dict) else value
    if isinstance(value, list):
        assert [json.loads(item) for item in _items(text.encode())] == value
    else:
        with pytest.raises(MalformedError):
            _items(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"", b" ", b"1", b"{}", b"[", b"[1", b"[1,", b"[1,]", b"[,1]", b"[1 2]", b"[1]]", b"[1]x", b"[NaN]",
        b"[-Infinity]",
        b"\xff", b'["\xed\xa0\x80"]', b'{"events":1}', b'{"events":{}}', b'{"events":[1],"events":[2]}',
        b'{"events":[1],}',
        b'{"events" [1]}', b'{"a":{"events":[1]}}', b"{events:[1]}", b"[" + b"9" * 5_000 + b"]", b"\xef\xbb\xbf[1]",
    ],
)  # fmt: skip
def test_what_is_no_list_of_items_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        _items(data)


def test_limits_hold_and_the_time_is_linear() -> None:
    assert len(_items(b"[" + b",".join([b"1"] * 100) + b"]")) == 100
    for data in (b"[" + b",".join([b"1"] * 101) + b"]", b"[" * 257 + b"]" * 257, b"[" + b" " * 2**20 + b"]"):
        with pytest.raises(LimitError):
            _items(data)
    assert _items(b"[" * 256 + b"]" * 256) == [b"[" * 255 + b"]" * 255]
    size = 4 * 2**20
    started = time.perf_counter()
    for data in (
        b"[" + b'{"a":1},' * (size // 8) + b"1]",
        b"[" + b'"' * size + b"]",
        b"[" * size,
        b"[" + b" " * size,
        b'{"a":1,' * (size // 7),
        b'{"a":"' + b"\\" * size,
    ):
        try:
            _items(data, max_bytes=2 * size, max_items=size)
        except MalformedError:
            continue
    assert time.perf_counter() - started < 20
