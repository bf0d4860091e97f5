"""`GET /v1/keys/{keyid}`: what the log holds about a key.

Invariant: key events are in log order and their list only grows at its end, so that following `nextCursor` misses
nothing.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import Digest, JsonValue
from provenance.ledger.key_events import said_of_key
from provenance.server.answers import json_answer
from provenance.server.openapi import documented
from provenance.server.parameters import encode_cursor, page_limit, parse_cursor, read_query
from provenance.server.service import Service


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()
    ledger = service.ledger

    @router.get("/v1/keys/{keyid}", **documented("listKeyEvents"))
    async def keys(request: Request) -> Response:
        query = read_query(request, "cursor", "limit")
        after, limit = parse_cursor("keys", query), page_limit(query)
        keyid = Digest.from_hex(request.path_params["keyid"], what="key id")

        def look() -> Response:
            said = said_of_key(ledger, keyid, after=after, limit=limit + 1)
            cursor = encode_cursor("keys", said[limit - 1].index) if len(said) > limit else None
            items: list[JsonValue] = [one.to_json() for one in said[:limit]]
            return json_answer({"keyid": keyid.hex, "items": items, "nextCursor": cursor})

        return await service.read(look)

    return router
