"""Request bodies: read under a limit of size, of time and of memory, and of a media type that was asked for.

Invariants: no more than the limit and one network read is ever taken in, whatever Content-Length says or if there is
none; a body that comes too slowly is refused; a compressed body is refused, so that what is counted is what is parsed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from starlette.requests import ClientDisconnect, Request

from provenance.encoding import JsonValue, parse_json
from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_JSON_NODES, check_size
from provenance.server.bounds import ServerLimits
from provenance.server.problems import MEDIA, TIMEOUT, RequestRefusedError
from provenance.server.service import Service

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 5.6.2 calls it so
_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*({_TOKEN})=({_TOKEN}|"(?:[^"\\\r\n]|\\[\t -~])*")[ \t]*')
_LENGTH = re.compile(r"[0-9]{1,19}")
JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type: `essence` is type/subtype in lower case; parameter names are in lower case."""

    essence: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_media_type(text: str) -> MediaType:
    """The media type in a Content-Type field (RFC 9110 8.3.1). `MalformedError` if it is none."""
    match = _TYPE.match(text)
    at = match.end() if match else 0
    parameters: dict[str, str] = {}
    while match and at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None or parameter[1].lower() in parameters:
            match = None
            break
        value = parameter[2]
        parameters[parameter[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value
        at = parameter.end()
    if match is None:
        raise MalformedError("not a media type", expected="type/subtype", got=text, where="Content-Type")
    return MediaType(match[1].lower(), parameters)


def require_media_type(request: Request, accepted: Sequence[str]) -> MediaType:
    """The request's media type, which is one of those accepted. Status 415 for any other, and for compression."""
    text = request.headers.get("content-type")
    found = parse_media_type(text) if text else None
    if found is None or found.essence not in accepted:
        raise RequestRefusedError(
            MEDIA,
            "body has another media type" if found else "body has no media type",
            expected=" or ".join(accepted),
            got=found.essence if found else None,
            where="Content-Type",
            headers={"Accept-Post": ", ".join(accepted)},
        )
    charset = found.parameters.get("charset", "utf-8")
    if charset.lower() != "utf-8":
        raise RequestRefusedError(MEDIA, "body has another charset", expected="utf-8", got=charset)
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise RequestRefusedError(MEDIA, "body is compressed", expected="no Content-Encoding", got=coding)
    return found


async def body_pieces(request: Request, limits: ServerLimits, *, what: str, max_bytes: int) -> AsyncIterator[bytes]:
    """The body, piece by piece. `LimitError` above `max_bytes`; status 408 if it comes too slowly."""
    declared = request.headers.get("content-length")
    if declared is not None:
        check_size(what, int(declared) if _LENGTH.fullmatch(declared) else 2**63, max_bytes)
    started_s, received = time.monotonic(), 0
    while True:
        allowed_s = limits.body_timeout_s + received / limits.min_body_bytes_per_s
        try:
            async with asyncio.timeout(started_s + allowed_s - time.monotonic()):
                message = await request.receive()
        except TimeoutError:
            raise RequestRefusedError(
                TIMEOUT,
                f"{what} came too slowly",
                expected=f"{limits.body_timeout_s:g} s, then {limits.min_body_bytes_per_s} bytes a second",
                got=f"{received} bytes in {time.monotonic() - started_s:.0f} s",
            ) from None
        if message["type"] != "http.request":
            raise ClientDisconnect
        piece = message.get("body", b"")
        received += len(piece)
        if received > max_bytes:
            raise LimitError(f"{what} is too large", expected=f"at most {max_bytes} bytes", got="more")
        if piece:
            yield piece
        if not message.get("more_body", False):
            return


@asynccontextmanager
async def whole_body(request: Request, service: Service, *, what: str, max_bytes: int) -> AsyncIterator[bytes]:
    """The body, counted as held in memory until the block ends."""
    held, pieces = 0, list[bytes]()
    try:
        async for piece in body_pieces(request, service.limits, what=what, max_bytes=max_bytes):
            service.held_bytes.hold(len(piece))
            held += len(piece)
            pieces.append(piece)
        body = await service.read(partial(b"".join, tuple(pieces)))
        pieces.clear()
        yield body
    finally:
        service.held_bytes.release(held)


def parse_body(data: bytes, *, what: str, max_bytes: int) -> JsonValue:
    """The strict JSON value of a body, which has `MAX_JSON_NODES` values at most."""
    check_nodes(data, what)
    return parse_json(data, what=what, max_bytes=max_bytes)


def check_nodes(data: bytes, what: str) -> None:
    """`LimitError` if JSON text would take many times its own size in memory once it is parsed."""
    nodes = data.count(b",") + data.count(b"[") + data.count(b"{")
    if nodes > MAX_JSON_NODES:
        raise LimitError(f"{what} holds too many values", expected=f"at most {MAX_JSON_NODES}", got=nodes)
