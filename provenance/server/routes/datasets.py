"""`GET /v1/datasets...`: what is registered, by namespace, name and version.

Invariant: lists are in log order and only grow at their end, so that following `nextCursor` misses nothing.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import JsonValue
from provenance.server.answers import json_answer
from provenance.server.documents import dataset_json, page_json
from provenance.server.openapi import documented
from provenance.server.parameters import (
    dataset_name,
    encode_cursor,
    namespace,
    page_limit,
    parse_cursor,
    pinned_name,
    read_query,
)
from provenance.server.service import Service


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()
    ledger = service.ledger

    @router.get("/v1/datasets", **documented("listDatasets"))
    async def datasets(request: Request) -> Response:
        query = read_query(request, "cursor", "limit", "namespace")
        after, limit, space = parse_cursor("datasets", query), page_limit(query), namespace(query)

        def look() -> Response:
            rows = ledger.datasets(after=after, limit=limit, namespace=space)
            last = rows[-1].entry_index if rows else None
            more = last is not None and bool(ledger.datasets(after=last, limit=1, namespace=space))
            cursor = encode_cursor("datasets", last) if more and last is not None else None
            return json_answer(page_json([dataset_json(row) for row in rows], cursor))

        return await service.read(look)

    @router.get("/v1/datasets/{namespace}/{name}", **documented("getDataset"))
    async def dataset(request: Request) -> Response:
        query = read_query(request, "cursor", "limit")
        name = str(dataset_name(request))
        after, limit = parse_cursor("versions", query), page_limit(query)

        def look() -> Response:
            latest = ledger.dataset(name)
            rows = ledger.versions(name, after=after, limit=limit)
            last = rows[-1].entry_index if rows else latest.entry_index
            cursor = encode_cursor("versions", last) if last < latest.entry_index else None
            page: dict[str, JsonValue] = {"name": name, "latest": dataset_json(latest)}
            return json_answer({**page, "versions": [dataset_json(row) for row in rows], "nextCursor": cursor})

        return await service.read(look)

    @router.get("/v1/datasets/{namespace}/{name}/{version}", **documented("getDatasetVersion"))
    async def version(request: Request) -> Response:
        read_query(request)
        name = pinned_name(request)
        return await service.read(lambda: json_answer(dataset_json(ledger.dataset(str(name)))))

    return router
