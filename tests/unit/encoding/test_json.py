"""Strict JSON: what is refused, and that what is accepted round-trips."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import Digest, Fields, b64decode, b64encode, canonical_json, parse_json
from provenance.errors import LimitError, MalformedError


def parse(data: bytes) -> object:
    return parse_json(data, what="test", max_bytes=1_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1,]",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"9007199254740992",
        b"-9007199254740992",
        b"18446744073709551616",
        b"1" * 5000,
        b'"\xff"',
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b'"a\nb"',
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"[" * 33 + b"]" * 33,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(data)


def test_too_large_is_a_limit_error() -> None:
    with pytest.raises(LimitError):
        parse_json(b"[1,2,3]", what="test", max_bytes=6)


def test_deep_nesting_is_refused_where_the_recursion_limit_was_raised() -> None:
    code = (
        "import sys; sys.setrecursionlimit(10**6)\n"
        "from provenance.encoding import parse_json; from provenance.errors import LimitError\n"
        "for data in (b'[' * 10**6, b'{\"a\":' * 10**6, b'\"' + b'\\\\\"' * 10**6 + b'[' * 40):\n"
        "    try: parse_json(data, what='x', max_bytes=10**8)\n"
        "    except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, ["LimitError", "LimitError", "MalformedError"])


def test_brackets_in_strings_are_no_depth() -> None:
    assert parse(b'["' + b"[" * 100 + b'","\\\\",{"a\\"[[[[":"' + b"{" * 100 + b'"}]')
    with pytest.raises(LimitError):
        parse(b'["\\\\",' + b"[" * 32 + b"]" * 33)


def test_depth_at_the_limit_is_accepted() -> None:
    assert parse(b"[" * 32 + b"]" * 32) is not None


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not 2**53 <= abs(x) < 1e21)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_canonical_form_is_a_fixed_point(value: object) -> None:
    encoded = canonical_json(value)
    assert canonical_json(parse(encoded)) == encoded


@given(st.binary(max_size=60))
def test_any_bytes_parse_or_are_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        canonical_json(parse(data))


@pytest.mark.parametrize("value", [float("nan"), 2**53, "\ud800", {1: 2}, object(), b"x"])
def test_no_canonical_form(value: object) -> None:
    with pytest.raises(MalformedError):
        canonical_json(value)


@pytest.mark.parametrize("text", ["AA", "AAA", "AA=", "AB==", "A A=", "AA==\n", "_-8=", "é", 5, None, "A" * 100])
def test_base64_that_is_not_canonical(text: object) -> None:
    with pytest.raises(MalformedError):
        b64decode(text, what="test", max_bytes=10)


@given(st.binary(max_size=50))
def test_base64_round_trip(data: bytes) -> None:
    assert b64decode(b64encode(data), what="test", max_bytes=50) == data


@pytest.mark.parametrize("text", ["", "ab", "A" * 64, "g" * 64, "0" * 63, "0" * 65, 7, None, "０" * 64])
def test_digest_text_is_strict(text: object) -> None:
    with pytest.raises(MalformedError):
        Digest.from_hex(text)


def test_fields_refuse_wrong_types_and_unknown_names() -> None:
    fields = Fields({"n": True, "s": 1, "o": {"x": 1}}, "thing")
    with pytest.raises(MalformedError, match=r"thing\.n has the wrong type; expected an integer; got a boolean"):
        fields.integer("n")
    with pytest.raises(MalformedError, match=r"thing\.s has the wrong type"):
        fields.string("s")
    with pytest.raises(MalformedError, match="lacks a field; expected missing"):
        fields.value("missing")
    with pytest.raises(MalformedError, match="unknown field; got o"):
        fields.end()
