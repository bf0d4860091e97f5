"""`GET /v1/events/{ref}` and `GET /v1/impact/{ref}`: what was said of a dataset later, and who is concerned.

Invariant: events are in log order and their list only grows at its end, so that following `nextCursor` misses nothing.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import JsonValue
from provenance.server.answers import json_answer
from provenance.server.openapi import documented
from provenance.server.parameters import encode_cursor, page_limit, parse_cursor, read_query, reference
from provenance.server.service import Service


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()
    ledger = service.ledger

    @router.get("/v1/events/{ref:path}", **documented("listEvents"))
    async def events(request: Request) -> Response:
        query = read_query(request, "cursor", "limit")
        after, limit = parse_cursor("events", query), page_limit(query)
        ref = str(reference(request))

        def look() -> Response:
            name = str(ledger.pin(ref).name)
            said = ledger.said_about(ref, after=after, limit=limit + 1)
            last = said[limit - 1].index if len(said) > limit else None
            items: list[JsonValue] = [one.to_json() for one in said[:limit]]
            cursor = encode_cursor("events", last) if last is not None else None
            return json_answer({"about": name, "items": items, "nextCursor": cursor})

        return await service.read(look)

    @router.get("/v1/impact/{ref:path}", **documented("getImpact"))
    async def impact(request: Request) -> Response:
        read_query(request)
        ref = str(reference(request))
        return await service.heavy(lambda: json_answer(ledger.impact(ref).to_json()))

    return router
