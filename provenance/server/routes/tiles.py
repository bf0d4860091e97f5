"""`GET /checkpoint` and `GET /tile/...`: the log as C2SP tlog-tiles clients and monitors read it.

Invariant: a tile's bytes never change once they were served; the checkpoint is asked for again every time.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.server.answers import IMMUTABLE, REVALIDATE, cached_answer
from provenance.server.openapi import documented
from provenance.server.parameters import read_query
from provenance.server.service import Service
from provenance.server.uploads import BYTES

NOTE_TYPE: Final = "text/plain; charset=utf-8"


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()

    @router.get("/checkpoint", **documented("getCheckpoint"))
    async def checkpoint(request: Request) -> Response:
        read_query(request)
        row = await service.read(service.ledger.log.checkpoint)
        return cached_answer(request, row.note, media_type=NOTE_TYPE, cache_control=REVALIDATE)

    @router.get("/tile/{path:path}", **documented("getTile"))
    async def tile(request: Request) -> Response:
        read_query(request)
        path = f"/tile/{request.path_params['path']}"

        def look() -> Response:
            data, _ = service.ledger.log.tile(path)
            return cached_answer(request, data, media_type=BYTES, cache_control=IMMUTABLE)

        return await service.read(look)

    return router
