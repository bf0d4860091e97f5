"""`POST /v1/statements` and `GET /v1/receipts/{ref}`: what sources signed, and the receipts they get.

Invariants: the body is the log entry, byte for byte; it is signed before it comes here, so that this server never holds
a source's key; sending it again gives the same entry.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.limits import MAX_ENTRY_BYTES
from provenance.server.answers import json_answer
from provenance.server.bodies import JSON_TYPE, require_media_type, whole_body
from provenance.server.openapi import documented
from provenance.server.parameters import read_query, reference
from provenance.server.service import Service

ENVELOPE_TYPE: Final = "application/vnd.dsse.envelope.v1+json"


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()

    @router.post("/v1/statements", **documented("submitStatement"))
    async def submit(request: Request) -> Response:
        read_query(request)
        require_media_type(request, (ENVELOPE_TYPE, JSON_TYPE))
        async with whole_body(request, service, what="envelope", max_bytes=MAX_ENTRY_BYTES) as body:
            receipt = await service.write(partial(service.ledger.submit, body))
        location = f"/v1/entries/{receipt.index}"
        return json_answer(receipt.to_json(), 201 if receipt.created else 200, {"Location": location})

    @router.get("/v1/receipts/{ref:path}", **documented("getReceipt"))
    async def receipt_of(request: Request) -> Response:
        read_query(request)
        ref = reference(request)
        return await service.read(lambda: json_answer(service.ledger.receipt(str(ref)).to_json()))

    return router
