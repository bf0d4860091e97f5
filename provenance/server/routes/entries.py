"""`GET /v1/entries/{index}`: one log entry with its proof. `GET /v1/anchors`: the checkpoints that are on a chain."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.server.answers import json_answer
from provenance.server.documents import anchor_json, entry_json, page_json
from provenance.server.openapi import documented
from provenance.server.parameters import encode_cursor, entry_index, page_limit, parse_cursor, read_query
from provenance.server.service import Service


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()
    ledger = service.ledger

    @router.get("/v1/entries/{index}", **documented("getEntry"))
    async def entry(request: Request) -> Response:
        read_query(request)
        index = entry_index(request)

        def look() -> Response:
            return json_answer(entry_json(ledger.log.entry(index), ledger.log.inclusion(index)))

        return await service.read(look)

    @router.get("/v1/anchors", **documented("listAnchors"))
    async def anchors(request: Request) -> Response:
        query = read_query(request, "cursor", "limit")
        after, limit = parse_cursor("anchors", query) or 0, page_limit(query)

        def look() -> Response:
            rows = ledger.anchors(after_id=after, limit=limit)
            more = bool(rows) and bool(ledger.anchors(after_id=rows[-1].id, limit=1))
            cursor = encode_cursor("anchors", rows[-1].id) if more else None
            return json_answer(page_json([anchor_json(row) for row in rows], cursor))

        return await service.read(look)

    return router
