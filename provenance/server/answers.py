"""Successful answers: JSON, bytes that may be cached, and nothing new.

Invariants: JSON is compact UTF-8; what has an ETag is answered with 304 to a client that has it already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from provenance.encoding import Digest, JsonValue

IMMUTABLE: Final = "public, max-age=31536000, immutable"
BRIEF: Final = "public, max-age=60"
REVALIDATE: Final = "no-cache"


def json_answer(value: JsonValue, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    return JSONResponse(value, status, headers)


def cached_answer(
    request: Request,
    data: bytes,
    *,
    media_type: str,
    cache_control: str,
    headers: Mapping[str, str] | None = None,
    tag: str = "",
    encode: Callable[[], bytes] | None = None,
) -> Response:
    """Bytes with an ETag; status 304 if the client has them.

    `encode` makes what is sent of `data`, if it is sent; `tag` then tells its ETag from that of `data` itself.
    """
    etag = f'"{Digest.of(data).hex[:32]}{tag}"'
    fields = {"ETag": etag, "Cache-Control": cache_control, **(headers or {})}
    if etag in _etags(request) or "*" in _etags(request):
        fields.pop("Content-Encoding", None)
        return Response(status_code=304, headers=fields)
    return Response(data if encode is None else encode(), media_type=media_type, headers=fields)


def _etags(request: Request) -> set[str]:
    fields = ",".join(request.headers.getlist("if-none-match"))
    return {tag.strip().removeprefix("W/") for tag in fields.split(",")}
