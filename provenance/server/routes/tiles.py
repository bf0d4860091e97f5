"""`GET /checkpoint` and `GET /tile/...`: the log as C2SP tlog-tiles clients and monitors read it.

Invariants: a tile's bytes never change once they were served; the checkpoint is asked for again every time; what a
static copy of the log has no file for is 404, whatever is wrong with its path, and nothing is ever redirected; a bundle
is compressed only for a client that accepts it, under an ETag of its own.

Source: c2sp.org/tlog-tiles; RFC 9110 sections 8.8.3 (ETag), 12.5.3 (Accept-Encoding), 13.1.2 (If-None-Match).
"""

from __future__ import annotations

import gzip
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.errors import MalformedError, NotFoundError
from provenance.ledger.witnessing import public_checkpoint
from provenance.log import EntriesPath, parse_tile_path
from provenance.log.tile import TILE_WIDTH
from provenance.server.answers import BRIEF, IMMUTABLE, REVALIDATE, cached_answer
from provenance.server.openapi import documented
from provenance.server.parameters import read_query
from provenance.server.service import Service
from provenance.server.uploads import BYTES

NOTE_TYPE: Final = "text/plain; charset=utf-8"
_GZIP_LEVEL: Final = 6
_MAX_CODINGS: Final = 32
"""Codings of an Accept-Encoding that are looked at."""


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()

    @router.get("/checkpoint", **documented("getCheckpoint"))
    async def checkpoint(request: Request) -> Response:
        read_query(request)
        note = await service.read(lambda: public_checkpoint(service.ledger))
        return cached_answer(request, note, media_type=NOTE_TYPE, cache_control=REVALIDATE)

    @router.get("/tile/{path:path}", **documented("getTile"))
    async def tile(request: Request) -> Response:
        read_query(request)
        path = f"/tile/{request.path_params['path']}"
        return await service.read(lambda: _tile(service, request, path))

    return router


def _tile(service: Service, request: Request, path: str) -> Response:
    try:
        parsed = parse_tile_path(path)
    except MalformedError as error:
        raise NotFoundError("there is no such tile", expected=error.expected, got=path) from None
    data, is_full = service.ledger.log.tile(path)
    # A partial tile never changes either, but is asked for once: nobody should keep it for a year.
    control = IMMUTABLE if is_full and parsed.width == TILE_WIDTH else BRIEF
    if not isinstance(parsed, EntriesPath):
        return cached_answer(request, data, media_type=BYTES, cache_control=control)
    varying = {"Vary": "Accept-Encoding"}
    if not accepts_gzip(request):
        return cached_answer(request, data, media_type=BYTES, cache_control=control, headers=varying)
    return cached_answer(
        request,
        data,
        media_type=BYTES,
        cache_control=control,
        headers={**varying, "Content-Encoding": "gzip"},
        tag="-gzip",
        encode=lambda: gzip.compress(data, _GZIP_LEVEL, mtime=0),
    )


def accepts_gzip(request: Request) -> bool:
    """Whether the client said that it takes gzip: by its name, else by `*`, each with a weight above 0."""
    weights: dict[str, bool] = {}
    fields = ",".join(request.headers.getlist("accept-encoding"))
    for item in fields.split(",")[:_MAX_CODINGS]:
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weights.setdefault("gzip" if name == "x-gzip" else name, not any(_is_zero(one) for one in parameters))
    return weights.get("gzip", weights.get("*", False))


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")
