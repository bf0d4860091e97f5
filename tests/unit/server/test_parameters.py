"""What URLs say: cursors, pages, queries and names."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError
from provenance.server.parameters import (
    MAX_POSITION,
    encode_cursor,
    entry_index,
    flag,
    namespace,
    page_limit,
    parse_cursor,
    pinned_name,
    read_query,
    reference,
)
from provenance.server.problems import RequestRefusedError, kind_of
from tests.unit.server.client import request_of


@given(st.sampled_from(["datasets", "versions", "anchors"]), st.integers(0, MAX_POSITION))
def test_a_cursor_comes_back(name: str, position: int) -> None:
    cursor = encode_cursor(name, position)  # type: ignore[arg-type]
    assert parse_cursor(name, {"cursor": cursor}) == position  # type: ignore[arg-type]
    assert len(cursor) <= 64


def test_no_cursor_is_none() -> None:
    assert parse_cursor("datasets", {}) is None


def test_a_cursor_has_one_text() -> None:
    good = encode_cursor("datasets", 41)
    for place in range(len(good)):
        for character in "AZaz09-_=+/ %":
            changed = good[:place] + character + good[place + 1 :]
            try:
                position = parse_cursor("datasets", {"cursor": changed})
            except MalformedError:
                continue
            assert position is not None and encode_cursor("datasets", position) == changed
    for end in range(len(good)):
        cut = good[:end]
        try:
            position = parse_cursor("datasets", {"cursor": cut})
        except MalformedError:
            continue
        assert position is not None and encode_cursor("datasets", position) == cut


NO_CURSORS = (
    *(b"anchors:1", b"datasets:", b"datasets:-1", b"datasets:01", b"datasets: 1", b"datasets:1\n", b"41", b"\xff", b""),
    *(b"datasets:%d" % 2**63, b"datasets:" + b"9" * 30),
)


@pytest.mark.parametrize("inside", NO_CURSORS)
def test_a_cursor_of_another_list_or_form_is_refused(inside: bytes) -> None:
    text = base64.urlsafe_b64encode(inside).decode().rstrip("=")
    with pytest.raises(MalformedError):
        parse_cursor("datasets", {"cursor": text})


@given(st.text())
def test_any_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_cursor("anchors", {"cursor": text})


def test_a_page_has_1_to_1000_items() -> None:
    assert [page_limit(query) for query in ({}, {"limit": "1"}, {"limit": "1000"})] == [100, 1, 1_000]
    for text in ("0", "1001", "-1", "+1", "01", "1.0", "1e2", "", " 1", "\u0661", "9" * 5_000):
        with pytest.raises(MalformedError):
            page_limit({"limit": text})


def test_a_query_field_is_known_and_given_once() -> None:
    assert read_query(request_of(query="a=1&b=%C3%A9+x"), "a", "b") == {"a": "1", "b": "\u00e9 x"}
    assert read_query(request_of(query="a="), "a") == {"a": ""}
    assert read_query(request_of()) == {}
    for query in (
        "c=1",
        "a=1&a=1",
        "a",
        "=1",
        "a=%FF",
        "&",
        "a=1&&b=1",
        "&".join(f"a{n}=1" for n in range(50)),
        "%00=1",
    ):
        with pytest.raises(MalformedError):
            read_query(request_of(query=query), "a", "b")


def test_a_flag_is_true_or_false() -> None:
    assert flag({}, "x", default=True) and not flag({"x": "false"}, "x", default=True)
    for text in ("1", "TRUE", "yes", ""):
        with pytest.raises(MalformedError):
            flag({"x": text}, "x", default=True)


def test_an_index_is_an_unsigned_64_bit_decimal() -> None:
    def index_of(text: str) -> int:
        request = request_of()
        request.scope["path_params"] = {"index": text}
        return entry_index(request)

    assert [index_of("0"), index_of(str(2**64 - 1))] == [0, 2**64 - 1]
    for text in ("-1", "00", str(2**64), "1" * 5_000, "\u0661", "1 ", ""):
        with pytest.raises(MalformedError):
            index_of(text)


def test_names_that_are_too_long_are_a_matter_of_the_url() -> None:
    def path(**parts: str) -> object:
        request = request_of()
        request.scope["path_params"] = parts
        return pinned_name(request) if "version" in parts else reference(request)

    assert str(path(namespace="a", name="b", version="1")) == "a/b@1"
    assert str(path(ref="a/b@1")) == "a/b@1"
    for parts in (
        {"namespace": "a" * 65, "name": "b", "version": "1"},
        {"namespace": "a", "name": "b" * 129, "version": "1"},
        {"namespace": "a", "name": "b", "version": "1" * 65},
        {"ref": "a/" + "b" * 129},
    ):
        with pytest.raises(RequestRefusedError) as refused:
            path(**parts)
        assert kind_of(refused.value).status == 414
    with pytest.raises(MalformedError) as malformed:
        namespace({"namespace": ".."})
    assert kind_of(malformed.value).status == 400
