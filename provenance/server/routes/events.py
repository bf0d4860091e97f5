"""`GET /v1/events/{ref}` and `GET /v1/impact/{ref}`: what was said of a dataset later, and who is concerned.

Invariants: events are in log order and their list only grows at its end, so that following `nextCursor` misses nothing;
an impact's order is fixed by what is in the log, so that it misses nothing that was there when its first page was.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import JsonValue
from provenance.ledger.impact import Descendant, Impact
from provenance.server.answers import json_answer
from provenance.server.openapi import documented
from provenance.server.parameters import encode_cursor, page_limit, parse_cursor, read_query, reference, reference_in
from provenance.server.service import Service

_ENTRY_BITS: Final = 44
"""A log entry's index in an impact's cursor; above them is a distance, at most `limits.MAX_LINEAGE_NODES`."""


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
        query = read_query(request, "cursor", "limit", "to")
        after, limit = parse_cursor("impact", query), page_limit(query)
        ref, to = str(reference(request)), reference_in(query, "to")

        def found() -> Response:
            name = str(ledger.pin(str(to)).name) if to is not None else None
            return json_answer(impact_page(ledger.impact(ref), after, limit, name))

        return await service.heavy(found)

    return router


def impact_page(impact: Impact, after: int | None, limit: int, to: str | None) -> dict[str, JsonValue]:
    """A page of an impact; with `to`, what is said of that descendant."""
    if to is not None:
        return {**impact.to_json(to), "nextCursor": None}
    rest = [one for one in impact.descendants if after is None or _position(one) > after]
    cursor = encode_cursor("impact", _position(rest[limit - 1])) if len(rest) > limit else None
    items: list[JsonValue] = [one.to_json() for one in rest[:limit]]
    counts: dict[str, JsonValue] = {"count": len(impact.affected), "spared": impact.spared_count}
    return {"of": impact.of, **counts, "affected": items, "path": None, "nextCursor": cursor}


def _position(one: Descendant) -> int:
    """Where it stands among the descendants: by distance, then by log entry."""
    return one.distance << _ENTRY_BITS | one.entry
