"""Canonical JSON (RFC 8785) out, strict JSON in.

Invariants: `canonical_json(parse_json(x))` is one byte string for one value; what `parse_json` accepts can always be
encoded again: UTF-8 only, no duplicate names, no NaN or infinity, no integer beyond 2**53 - 1, no lone surrogate,
bounded size and depth.

Example: {"b": 1.0, "a": "é"} is encoded as b'{"a":"\\xc3\\xa9","b":1}'.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import rfc8785

from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_JSON_DEPTH, MAX_SAFE_INTEGER, check_size

MAX_FOREIGN_DEPTH: Final = 256
"""Levels in JSON of other programs, a query plan for example; Python's parser recurses to 1,000."""
JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")
# A string, which ends at the end of the data if nothing else ends it, so that one pass is linear in the data.
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 encoding of a JSON value. `MalformedError` if it has none."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise MalformedError("value has no canonical JSON", expected="RFC 8785", got=error) from error


def parse_json(data: bytes, *, what: str, max_bytes: int, max_depth: int = MAX_JSON_DEPTH) -> JsonValue:
    """The value of one strict JSON text. `MalformedError` says what is wrong and where; `LimitError` if too large."""
    check_size(what, len(data), max_bytes)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", expected="UTF-8", where=f"byte {error.start}") from error
    check_depth(data, what, max_depth)
    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=_unique_names,
            parse_int=_safe_integer,
            parse_float=_finite_float,
            parse_constant=no_constant,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedError(f"{what} is not JSON", got=error.msg, where=where) from error
    except _RefusedError as error:
        raise MalformedError(f"{what} is not strict JSON", expected=error.expected, got=error.got) from None
    if _SURROGATE_ESCAPE.search(data):
        _check_surrogates(value, what)
    return value


def parse_foreign_json(data: bytes, *, what: str, max_bytes: int, max_depth: int = MAX_FOREIGN_DEPTH) -> JsonValue:
    """The value of a JSON text that somebody else's program wrote: any integers, and of a name twice the last counts.

    It may not be encoded again: keep the bytes. `MalformedError` if it is no JSON, `LimitError` if it is too deep.
    """
    check_size(what, len(data), max_bytes)
    check_depth(data, what, max_depth)
    with shown_fault(what):
        try:
            value: JsonValue = json.loads(data.decode("utf-8"), parse_constant=no_constant)
        except UnicodeDecodeError as error:
            raise MalformedError(f"{what} is not UTF-8", expected="UTF-8", where=f"byte {error.start}") from error
    if _SURROGATE_ESCAPE.search(data):
        _check_surrogates(value, what)
    return value


@contextmanager
def shown_fault(what: str) -> Iterator[None]:
    """What Python's parser says of a JSON text of another program, as `MalformedError`."""
    try:
        yield
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedError(f"{what} is not JSON", got=error.msg, where=where) from error
    except _RefusedError as error:
        raise MalformedError(f"{what} is not JSON", expected=error.expected, got=error.got) from None
    except ValueError as error:  # an integer of thousands of digits
        raise MalformedError(f"{what} holds a number that is too long") from error


class _RefusedError(Exception):
    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected)
        self.expected, self.got = expected, got


def _unique_names(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _RefusedError("every name once in an object", f"the name {name!r} twice")
            seen.add(name)
    return found


def _safe_integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_SAFE_INTEGER:
        raise _RefusedError(f"integers between -{MAX_SAFE_INTEGER} and {MAX_SAFE_INTEGER}", digits)
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _RefusedError("finite numbers", digits)
    if MAX_SAFE_INTEGER < abs(value) < 1e21:  # RFC 8785 writes these as integers, which would be refused on reading
        raise _RefusedError(f"integers between -{MAX_SAFE_INTEGER} and {MAX_SAFE_INTEGER}", digits)
    return value


def no_constant(name: str) -> JsonValue:
    """Refuse NaN and the infinities, which Python's parser takes."""
    raise _RefusedError("finite numbers", name)


def check_depth(data: bytes, what: str, max_depth: int) -> None:
    """`LimitError` if a JSON text has more levels."""
    # Before parsing: json's C scanner recurses, and where a library raised the recursion limit it overflows the stack.
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(data):
        byte = data[token.start()]
        if byte in b"[{":
            depth += 1
            if depth > max_depth:
                raise LimitError(
                    f"{what} is nested too deeply",
                    expected=f"at most {max_depth} levels",
                    where=f"byte {token.start()}",
                )
        elif byte in b"]}":
            depth -= 1


def _children(node: JsonValue) -> list[JsonValue]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _check_surrogates(value: JsonValue, what: str) -> None:
    stack: list[JsonValue] = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack.extend(node.keys())
        stack.extend(_children(node))
        if isinstance(node, str):
            try:
                node.encode("utf-8")
            except UnicodeEncodeError as error:
                raise MalformedError(f"{what} holds a lone surrogate", expected="Unicode scalar values") from error
