"""`GET /v1/map/{kind}/{value}`: every entry about something, with the proof that there are no others; `GET /map/head`.

Invariants: an answer is of the log as it is when it is asked; its head is signed, and checked with the log's key alone;
the head that is shown by itself is of a checkpoint that was published, and comes after it.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.errors import MalformedError
from provenance.ledger.mapping import answer_about
from provenance.ledger.witnessing import public_head
from provenance.log.map import KeyKind, MapKey, answer_json
from provenance.server.answers import REVALIDATE, cached_answer, json_answer
from provenance.server.openapi import documented
from provenance.server.parameters import read_query
from provenance.server.routes.tiles import NOTE_TYPE
from provenance.server.service import Service


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()
    ledger = service.ledger

    @router.get("/v1/map/{kind}/{value:path}", **documented("getMapAnswer"))
    async def answer(request: Request) -> Response:
        read_query(request)
        kind, value = request.path_params["kind"], request.path_params["value"]
        if kind not in list(KeyKind):
            raise MalformedError("unknown kind", expected=" | ".join(KeyKind), got=kind, where="path")
        key = MapKey(KeyKind(kind), value)
        return await service.heavy(lambda: json_answer(answer_json(answer_about(ledger, key))))

    @router.get("/map/head", **documented("getMapHead"))
    async def head(request: Request) -> Response:
        read_query(request)
        note = await service.read(lambda: public_head(ledger))
        return cached_answer(request, note, media_type=NOTE_TYPE, cache_control=REVALIDATE)

    return router
