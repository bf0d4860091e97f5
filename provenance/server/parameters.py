"""What a URL says: references, indexes, pages and cursors.

Invariants: a query field is known and given once, or the request is refused; a cursor is opaque to clients, has one
text, and is good only for the list that gave it out.

A cursor is base64url without padding of `<list>:<position>`: `datasets:41` is ZGF0YXNldHM6NDE.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final, Literal, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request

from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_PAGE_ITEMS
from provenance.log.decimal import parse_decimal
from provenance.server.problems import URL, RequestRefusedError
from provenance.statement import DatasetName, PinnedName, Reference, parse_reference

DEFAULT_PAGE_ITEMS: Final = 100
MAX_POSITION: Final = 2**63 - 1
ListName = Literal["datasets", "versions", "anchors", "events", "usage", "keys", "impact"]
_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_QUERY_FIELDS = 16
T = TypeVar("T")


def read_query(request: Request, *names: str) -> dict[str, str]:
    """The query's fields, each of them one of `names`."""
    text = request.scope["query_string"].decode("latin-1")
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS
        )
    except ValueError as error:  # UnicodeDecodeError too
        raise MalformedError("query is not name=value pairs in UTF-8", got=text, where="query") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            expected = ", ".join(names) or "no query"
            raise MalformedError("unknown query field", expected=expected, got=name, where="query")
        if name in found:
            raise MalformedError("query field is given twice", got=name, where="query")
        found[name] = value
    return found


def page_limit(query: dict[str, str]) -> int:
    """The field `limit`: 1 to `MAX_PAGE_ITEMS`."""
    text = query.get("limit", str(DEFAULT_PAGE_ITEMS))
    limit = parse_decimal(text, what="limit", max_value=MAX_PAGE_ITEMS)
    if limit < 1:
        raise MalformedError("limit is out of range", expected=f"1 to {MAX_PAGE_ITEMS}", got=text)
    return limit


def encode_cursor(name: ListName, position: int) -> str:
    """The cursor to what follows `position` in a list."""
    return base64.urlsafe_b64encode(f"{name}:{position}".encode("ascii")).decode("ascii").rstrip("=")


def parse_cursor(name: ListName, query: dict[str, str]) -> int | None:
    """The position in the field `cursor`; None where there is none. `MalformedError` for another list's."""
    text = query.get("cursor")
    if text is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if _CURSOR.fullmatch(text) else b""
        found, _, position = raw.decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        found, position = "", ""
    if found != name or not position.isdecimal() or encode_cursor(name, int(position)) != text:
        expected = f"a nextCursor of the list of {name}"
        raise MalformedError("cursor is not one this list gave out", expected=expected, got=text)
    return parse_decimal(position, what="cursor", max_value=MAX_POSITION)


def flag(query: dict[str, str], name: str, *, default: bool) -> bool:
    """A query field that is `true` or `false`."""
    text = query.get(name, "true" if default else "false")
    if text not in ("true", "false"):
        raise MalformedError(f"{name} is not a flag", expected="true or false", got=text)
    return text == "true"


def entry_index(request: Request) -> int:
    """The path's log index, an unsigned 64-bit integer in decimal."""
    return parse_decimal(request.path_params["index"], what="entry index")


def reference(request: Request) -> Reference:
    """The path's reference."""
    return _of_url(lambda: parse_reference(request.path_params["ref"]))


def reference_in(query: dict[str, str], name: str) -> Reference | None:
    """The reference in a query field, if it is there."""
    text = query.get(name)
    return None if text is None else _of_url(lambda: parse_reference(text))


def dataset_name(request: Request) -> DatasetName:
    """The path's namespace and name."""
    parts = request.path_params
    return _of_url(lambda: DatasetName(parts["namespace"], parts["name"]))


def pinned_name(request: Request) -> PinnedName:
    """The path's namespace, name and version."""
    name = dataset_name(request)
    return _of_url(lambda: PinnedName(name, request.path_params["version"]))


def namespace(query: dict[str, str]) -> str | None:
    """The field `namespace`."""
    text = query.get("namespace")
    return None if text is None else _of_url(lambda: DatasetName(text, "x").namespace)


def _of_url(parse: Callable[[], T]) -> T:
    # 413 would speak of the body: what is too long is a part of the URL.
    try:
        return parse()
    except LimitError as error:
        raise RequestRefusedError(URL, error.what, expected=error.expected, got=error.got) from error
